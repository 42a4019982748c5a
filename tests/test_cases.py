"""Cases: content digests, and every kind of bad input, each with the net left as it was."""

import copy
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.dataset import Dataset
from skorch.exceptions import NotInitializedError
from torch import nn

from hessdiag.cases import NetworkCase, check_case
from hessdiag.examination import examine
from hessdiag.spectra import layer_spectra


class Dropping(nn.Module):
    """Forgets to look at self.training."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 8), nn.Linear(8, 3)
        self.inner = ForgetfulDropout()

    def forward(self, x):
        return self.second(self.inner(self.first(x)))


class ForgetfulDropout(nn.Module):
    def forward(self, x):
        return nn.functional.dropout(x, 0.5)


def make_data(n_samples=20):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n_samples, 4)).astype("float32"), rng.integers(0, 3, n_samples)


def make_module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))


def make_net(module=None, net_class=NeuralNetClassifier, fit=True, **settings):
    settings.setdefault("criterion", nn.CrossEntropyLoss)
    settings = {"max_epochs": 2, "verbose": 0, "train_split": None} | settings
    net = net_class(make_module() if module is None else module, **settings)
    return net.fit(*make_data()) if fit else net


def snapshot(net):
    """Everything that an examination must leave as it is."""
    module = net.module_
    return {
        "state": {k: v.clone() for k, v in module.state_dict().items()},
        "grad": {k: None if p.grad is None else p.grad.clone() for k, p in named(module)},
        "ids": [id(p) for p in module.parameters()],
        "requires_grad": [p.requires_grad for p in module.parameters()],
        "training": [m.training for m in module.modules()],
        "hooks": [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in module.modules()],
        "settings": sorted(net.__dict__),
        "torch_random": torch.get_rng_state(),
        "numpy_random": np.random.get_state()[1].copy(),  # noqa: NPY002
        "python_random": random.getstate(),
    }


def named(module):
    return list(module.named_parameters())


def assert_equal(before, after):
    assert before.keys() == after.keys()
    for key, value in before.items():
        if isinstance(value, dict):
            assert_equal(value, after[key])
        elif isinstance(value, torch.Tensor):
            assert torch.equal(torch.nan_to_num(value), torch.nan_to_num(after[key])), key
        elif isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, after[key])
        else:
            assert value == after[key], key


def poisoned(net, value):
    with torch.no_grad():
        net.module_[3].weight[1, 2] = value
    return net


def frozen():
    net = make_net()
    net.module_.requires_grad_(False)
    return net


def shuffling():
    net = make_net()
    net.__dict__["iterator_valid__shuffle"] = True  # skorch itself warns of set_params
    return net


X, Y = make_data()
BAD_VALUE = X.copy()
BAD_VALUE[3, 1] = np.inf

# What is wrong -> (net, X, y, keywords, error, what its message must say).
BAD_INPUT = {
    "module": (lambda: make_module(), X, Y, {}, TypeError, "from_module"),
    "class": (lambda: NeuralNetClassifier, X, Y, {}, TypeError, "the class NeuralNetClassifier"),
    "sklearn": (LogisticRegression, X, Y, {}, TypeError, "fitted skorch net"),
    "list": (lambda: [make_net()], X, Y, {}, TypeError, "found a list of 1"),
    "unfitted": (lambda: make_net(fit=False), X, Y, {}, NotFittedError, r"net\.fit\(X, y\) first"),
    "lengths": (make_net, X, Y[:-1], {}, ValueError, "20 samples in X and 19 in y"),
    "dict lengths": (make_net, {"a": X, "b": X[1:]}, Y, {}, ValueError, "same length"),
    "empty": (make_net, X[:0], Y[:0], {}, ValueError, "at least one sample"),
    "no y": (make_net, X, None, {}, ValueError, "targets y, found None"),
    "frozen": (frozen, X, Y, {}, ValueError, "requires_grad_"),
    "nan": (lambda: poisoned(make_net(), np.nan), X, Y, {}, ValueError, "parameter '3.weight'"),
    "inf": (lambda: poisoned(make_net(), np.inf), X, Y, {}, ValueError, "learning rate"),
    "data": (make_net, BAD_VALUE, Y, {}, ValueError, "in X"),
    "width": (make_net, X[:, :3], Y, {}, ValueError, r"\(20, 3\) torch.float"),
    "pattern": (make_net, X, Y, {"layers": ["0", "conv*"]}, ValueError, "'conv.*: 0, 1, 3"),
    "parameter": (make_net, X, Y, {"layers": {"a": "9.weight"}}, ValueError, "'9.weight' in block"),
    "no block": (make_net, X, Y, {"layers": {}}, ValueError, "empty dict"),
    "two blocks": (
        make_net,
        X,
        Y,
        {"layers": {"a": "0.*", "b": "0.weight"}},
        ValueError,
        "at most one block",
    ),
    "no layer": (make_net, X, Y, {"layers": []}, ValueError, "at least one"),
    "unreduced": (
        lambda: set_reduction(make_net(), "none"),
        X,
        Y,
        {},
        ValueError,
        r"0-d tensor\), found a tensor of shape \(20,\)",
    ),
    "float labels": (
        make_net,
        X,
        Y.astype("float32"),
        {},
        ValueError,
        r"targets \(20,\) .*float",
    ),
    "label range": (make_net, X, Y + 2, {}, ValueError, "from 0 to"),
    "dropout": (lambda: make_net(Dropping()), X, Y, {}, ValueError, "ForgetfulDropout 'inner'"),
    "shuffle": (
        shuffling,
        X,
        Y,
        {},
        ValueError,
        "iterator_valid__shuffle=False",
    ),
}


def set_reduction(net, reduction):
    net.criterion_.reduction = reduction
    return net


@pytest.mark.parametrize("what", BAD_INPUT)
@pytest.mark.parametrize("way", ["check_case", "examine", "layer_spectra"])
def test_bad_input_is_explained_and_the_net_left_as_it_was(what, way):
    make, X, y, settings, error, message = BAD_INPUT[what]
    net = make()
    fitted = hasattr(net, "module_")
    before = snapshot(net) if fitted else None
    compute = {
        "check_case": lambda net, X, y, **settings: check_case(NetworkCase(net, X, y), **settings),
        "examine": examine,
        "layer_spectra": layer_spectra,
    }[way]
    with pytest.raises(error, match=message):
        compute(net, X, y, **settings)
    if fitted:
        assert_equal(before, snapshot(net))


def test_unfitted_error_is_that_of_both_libraries():
    with pytest.raises(NotInitializedError):
        NetworkCase(make_net(fit=False), X, Y)


@pytest.mark.parametrize("keyword", ["curvature", "method"])
def test_unknown_choices_are_refused(keyword):
    with pytest.raises(ValueError, match=f"Expected {keyword} to be one of 'hessian'|'auto'"):
        layer_spectra(make_net(), X, Y, **{keyword: "fisher"})


@pytest.mark.parametrize("value", [0, 2.5, None])
def test_numbers_of_steps_and_probes_are_positive_integers(value):
    for keyword in ("n_lanczos_steps", "n_probes"):
        with pytest.raises(ValueError, match=keyword):
            layer_spectra(make_net(), X, Y, **{keyword: value})


@pytest.mark.parametrize(
    "scalar",
    [lambda output, y: output, lambda output, y: 1.0, "entropy"],
    ids=["not 0-d", "no tensor", "unknown word"],
)
def test_scalars_that_are_none_are_refused(scalar):
    with pytest.raises(ValueError, match="0-d tensor"):
        layer_spectra(make_net(), X, Y, scalar=scalar)


def test_binary_targets_of_another_shape_are_refused():
    net = NeuralNetBinaryClassifier(nn.Linear(4, 1), verbose=0).initialize()
    with pytest.raises(
        ValueError, match=r"for BCEWithLogitsLoss, found outputs \(20,\) with targets \(20, 2\)"
    ):
        check_case(NetworkCase(net, X, np.ones((20, 2), dtype="float32")))


def test_good_cases_pass_the_check_and_stay_untouched():
    net = make_net()
    net.module_.train()
    before = snapshot(net)
    case = NetworkCase(net, X, Y, name="good")
    assert check_case(case) is case
    assert_equal(before, snapshot(net))
    with pytest.raises(TypeError, match="NetworkCase"):
        check_case(net)


@pytest.mark.parametrize("where", ["numpy", "torch"])
def test_nothing_changes_also_where_the_computation_breaks_off(monkeypatch, where):
    net = make_net()
    net.module_.train()
    next(net.module_.parameters()).grad = torch.ones(5, 4)
    before = snapshot(net)

    def broken(*args, **kwargs):
        raise MemoryError("in mid-computation")

    if where == "numpy":
        monkeypatch.setattr(np.linalg, "eigvalsh", broken)
        monkeypatch.setattr(np.linalg, "eigh", broken)
    else:
        monkeypatch.setattr("hessdiag.curvature.factors._capture._Sweeps.factor", broken)
    for compute in (examine, layer_spectra):
        with pytest.raises(MemoryError):
            compute(net, X, Y)
        assert_equal(before, snapshot(net))
    monkeypatch.undo()
    for compute in (examine, layer_spectra):
        compute(net, X, Y)
        assert_equal(before, snapshot(net))


def test_digest_depends_on_content_only():
    case = NetworkCase(make_net(), X, Y, name="a")
    digest = case.digest()
    assert len(digest) == 32
    case.net.predict(X)
    case.net.module_.train()
    layer_spectra(case.net, X, Y)
    assert case.digest() == digest
    assert NetworkCase(copy.deepcopy(case.net), X.copy(), list(Y)).digest() == digest
    assert NetworkCase(pickle.loads(pickle.dumps(case.net)), X, Y).digest() == digest


def test_digest_changes_with_every_part():
    def changed(change):
        net = make_net()
        change(net)
        return NetworkCase(net, X, Y).digest()

    def set_weight(net):
        with torch.no_grad():
            net.module_[0].weight[0, 0] += 1e-6

    def set_buffer(net):
        net.module_[1].running_mean[0] += 1e-6

    other = X.copy()
    other[0, 0] += 1e-6
    digests = [
        NetworkCase(make_net(), X, Y).digest(),
        changed(set_weight),
        changed(set_buffer),
        changed(lambda net: net.module_[0].weight.requires_grad_(False)),
        changed(lambda net: setattr(net.module_[1], "eps", 1e-3)),
        changed(lambda net: net.module_.__setitem__(2, nn.Tanh())),
        changed(lambda net: setattr(net.criterion_, "label_smoothing", 0.1)),
        changed(lambda net: setattr(net.criterion_, "weight", torch.ones(3))),
        changed(lambda net: set_reduction(net, "sum")),
        NetworkCase(make_net(), other, Y).digest(),
        NetworkCase(make_net(), X.astype("float64"), Y).digest(),
        NetworkCase(make_net(), X, (Y + 1) % 3).digest(),
        NetworkCase(make_net(net_class=NeuralNetRegressor), X, Y).digest(),
    ]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    ("X", "y"),
    [
        ({"a": X, "b": Y}, Y),
        ([X, Y], Y),
        (Dataset(X, Y), None),
        (torch.as_tensor(X), torch.as_tensor(Y)),
    ],
    ids=["dict", "list", "dataset", "tensors"],
)
def test_digest_takes_data_of_every_form(X, y):
    first, second = (NetworkCase(make_net(), X, y).digest() for _ in range(2))
    assert first == second


@pytest.mark.slow
def test_digest_is_the_same_in_another_process(tmp_path):
    script = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('cases_here', {__file__!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "print(module.NetworkCase(module.make_net(), module.X, module.Y).digest())\n"
    )
    path = Path(tmp_path) / "digest.py"
    path.write_text(script)
    printed = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == NetworkCase(make_net(), X, Y).digest()

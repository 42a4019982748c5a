"""Whatever changes a result changes the digest; what cannot be seen through has none."""

import copy
import enum
import functools
import logging
import os
import subprocess
import sys
import threading
import types
import warnings
from collections import OrderedDict, UserDict, defaultdict

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import hessdiag as hd
from hessdiag.digests import NotDigestibleError, content_digest, value_digest
from hessdiag.features import counted_examinations
from hessdiag.testing import network_state, state_changes

X = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
Y = np.random.default_rng(1).normal(size=(12, 1)).astype("float32")
FACTOR = 2.0


class Holder(nn.Module):
    """A net whose output depends on whatever it is given to hold."""

    def __init__(self, held=None):
        super().__init__()
        self.linear = nn.Linear(4, 1)
        self.held = held

    def forward(self, x):
        return self.linear(x)


def made(module=None, net_class=NeuralNetRegressor, **settings):
    torch.manual_seed(0)
    module = Holder() if module is None else module
    with torch.no_grad():
        for p in module.parameters():
            p.fill_(0.1)
    settings = {"train_split": None, "verbose": 0} | settings
    return net_class(module, **settings).initialize()


def digest(net):
    return content_digest(net, X, Y)


def holding(held):
    return digest(made(Holder(held)))


class Plain:
    def __init__(self, value):
        self.value = value

    def scale(self, x):
        return self.value * x


class Slotted:
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


def closure_over(value):
    def scaled(x):
        return value * x

    return scaled


def with_default(value):
    def scaled(x, by=value, *, plus=0):
        return by * x + plus

    return scaled


def with_attribute(value):
    def scaled(x):
        return scaled.by * x

    scaled.by = value
    return scaled


def reading_a_global(value):
    namespace = {"FACTOR": value}
    exec("def scaled(x):\n    return FACTOR * x", namespace)
    return namespace["scaled"]


def generator(seed):
    return torch.Generator().manual_seed(seed)


# Kinds of things that a module may hold: two that differ.
PAIRS = {
    "tensor": (torch.ones(2), torch.tensor([1.0, 1.5])),
    "tensor of another dtype": (torch.zeros(2), torch.zeros(2, dtype=torch.int32)),
    "tensor of another shape": (torch.zeros(2, 3), torch.zeros(3, 2)),
    "half precision": (torch.ones(2).bfloat16(), torch.full((2,), 2.0).bfloat16()),
    "complex tensor": (torch.tensor([1j]), torch.tensor([-1j])),
    "sparse tensor": (torch.eye(2).to_sparse(), (2 * torch.eye(2)).to_sparse()),
    "array": (np.ones(2), np.array([1.0, 2.0])),
    "array of objects": (np.array([{1: 2}], dtype=object), np.array([{1: 3}], dtype=object)),
    "masked array": (np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2], mask=[1, 0])),
    "number": (1.0, 1.0 + 1e-15),
    "int and bool": (1, True),
    "word and number": ("1", 1),
    "None and word": (None, "None"),
    "list of tensors": ([torch.ones(1)], [torch.zeros(1)]),
    "lists cut elsewhere": ([["a", "b"], []], [["a"], ["b"]]),
    "tuple and list": ((1, 2), [1, 2]),
    "words cut elsewhere": (["ab", "c"], ["a", "bc"]),
    "nested tuple": ((1, (torch.ones(1),)), (1, (torch.zeros(1),))),
    "dict of arrays": ({"a": np.ones(1)}, {"a": np.zeros(1)}),
    "order of a dict": ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "OrderedDict": (OrderedDict(a=1), OrderedDict(a=2)),
    "defaultdict": (defaultdict(list), defaultdict(dict)),
    "UserDict": (UserDict(a=1), UserDict(a=2)),
    "set": ({1, 2}, {1, 3}),
    "set of words": ({"a", "b"}, {"a", "c"}),
    "frozenset of tuples": (frozenset({(1, "a")}), frozenset({(1, "b")})),
    "bytes": (b"a", b"b"),
    "slice": (slice(0, 2), slice(0, 3)),
    "lambda": (lambda x: 2 * x, lambda x: 3 * x),
    "lambda of another operation": (lambda x: x + x, lambda x: x * x),
    "closure": (closure_over(2.0), closure_over(3.0)),
    "closure over a tensor": (closure_over(torch.ones(1)), closure_over(torch.zeros(1))),
    "closure over a closure": (
        closure_over(closure_over(2.0)),
        closure_over(closure_over(3.0)),
    ),
    "default": (with_default(2.0), with_default(3.0)),
    "function with an attribute": (with_attribute(2.0), with_attribute(3.0)),
    "global of a function": (reading_a_global(2.0), reading_a_global(3.0)),
    "library function": (torch.tanh, torch.sigmoid),
    "library function in Python": (nn.functional.relu, nn.functional.gelu),
    "ufunc": (np.sin, np.cos),
    "method of tensors": (torch.Tensor.relu, torch.Tensor.tanh),
    "partial": (functools.partial(pow, 2), functools.partial(pow, 3)),
    "keyword of a partial": (
        functools.partial(nn.functional.leaky_relu, negative_slope=0.1),
        functools.partial(nn.functional.leaky_relu, negative_slope=0.2),
    ),
    "bound method": (Plain(1).scale, Plain(2).scale),
    "cached function": (functools.cache(closure_over(2)), functools.cache(closure_over(3))),
    "plain object": (Plain(1), Plain(2)),
    "object in an object": (Plain(Plain([1])), Plain(Plain([2]))),
    "slots": (Slotted(1), Slotted(2)),
    "namespace": (types.SimpleNamespace(a=1), types.SimpleNamespace(a=2)),
    "enum": (Colour.RED, Colour.BLUE),
    "class": (Plain, Slotted),
    "torch dtype": (torch.float32, torch.float64),
    "generator": (generator(0), generator(1)),
    "numpy generator": (np.random.default_rng(0), np.random.default_rng(1)),
    "random state": (np.random.RandomState(0), np.random.RandomState(1)),
    "module outside of _modules": ([nn.Linear(2, 2, bias=False)], [nn.Linear(2, 2)]),
}


@pytest.mark.parametrize("what", PAIRS)
def test_what_a_module_holds_counts(what):
    first, second = PAIRS[what]
    assert holding(first) == holding(first)
    assert holding(first) != holding(second)


def hooked(register, hook):
    net = made()
    getattr(net.module_.linear, register)(hook)
    return net


def patched(attribute, value):
    net = made()
    setattr(net.module_, attribute, types.MethodType(value, net.module_))
    return net


def class_with(forward):
    return type("Mine", (Holder,), {"forward": forward, "__module__": "mine"})


class Scaled(NeuralNetRegressor):
    def __init__(self, *args, scale=1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.scale = scale

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return self.scale * super().get_loss(y_pred, y_true, *args, **kwargs)


class Annealed(NeuralNetRegressor):
    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return self.max_epochs * super().get_loss(y_pred, y_true, *args, **kwargs)


def with_scale(value):
    net = made(net_class=Scaled)
    net.scale = value
    return net


def net_class_with(factor):
    def infer(self, x, **params):
        return factor * self.module_(x)

    return type("Own", (NeuralNetRegressor,), {"infer": infer, "__module__": "mine"})


def pruned(amount):
    net = made()
    prune.l1_unstructured(net.module_.linear, "weight", amount)
    return net


def parametrized(make):
    net = made()
    make(net.module_.linear)
    return net


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


class Tripled(nn.Module):
    def forward(self, weight):
        return 3 * weight


def with_buffer(value, persistent):
    net = made()
    net.module_.register_buffer("mask", torch.tensor(value), persistent=persistent)
    return net


def with_tensor_hook(factor):
    net = made()
    net.module_.linear.weight.register_hook(lambda gradient: factor * gradient)
    return net


def tied(is_tied):
    net = made(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 1)))
    if is_tied:
        net.module_[1].weight = net.module_[0].weight
    return net


# Ways to make two nets whose results differ, by a pair of functions.
NETS = {
    "forward hook": [
        lambda: hooked("register_forward_hook", lambda m, a, out: 2 * out),
        lambda: hooked("register_forward_hook", lambda m, a, out: 3 * out),
        made,
    ],
    "forward pre-hook": [
        lambda: hooked("register_forward_pre_hook", lambda m, a: (2 * a[0],)),
        lambda: hooked("register_forward_pre_hook", lambda m, a: (3 * a[0],)),
        made,
    ],
    "backward hook": [
        lambda: hooked("register_full_backward_hook", lambda m, i, o: (2 * i[0],)),
        lambda: hooked("register_full_backward_hook", lambda m, i, o: (3 * i[0],)),
        made,
    ],
    "hook of a tensor": [lambda: with_tensor_hook(2.0), lambda: with_tensor_hook(3.0), made],
    "forward of an instance": [
        lambda: patched("forward", lambda self, x: 2 * self.linear(x)),
        lambda: patched("forward", lambda self, x: 3 * self.linear(x)),
        made,
    ],
    "forward of a class of one name": [
        lambda: made(class_with(lambda self, x: 2 * self.linear(x))()),
        lambda: made(class_with(lambda self, x: 3 * self.linear(x))()),
    ],
    "attribute of a skorch subclass": [lambda: with_scale(1.0), lambda: with_scale(2.0)],
    "argument of a skorch subclass": [
        lambda: made(net_class=Scaled, scale=1.0),
        lambda: made(net_class=Scaled, scale=2.0),
    ],
    "setting that a skorch subclass reads": [
        lambda: made(net_class=Annealed, max_epochs=1),
        lambda: made(net_class=Annealed, max_epochs=2),
    ],
    "infer of a skorch subclass": [
        lambda: made(net_class=net_class_with(2.0)),
        lambda: made(net_class=net_class_with(3.0)),
    ],
    "pruning": [lambda: pruned(1), lambda: pruned(2), made],
    "parametrization": [
        lambda: parametrized(
            lambda m: parametrize.register_parametrization(m, "weight", Doubled())
        ),
        lambda: parametrized(
            lambda m: parametrize.register_parametrization(m, "weight", Tripled())
        ),
        lambda: parametrized(parametrizations.weight_norm),
        made,
    ],
    "buffer": [lambda: with_buffer([1.0], True), lambda: with_buffer([2.0], True), made],
    "buffer that is not saved": [
        lambda: with_buffer([1.0], False),
        lambda: with_buffer([2.0], False),
    ],
    "tied weights": [lambda: tied(True), lambda: tied(False)],
    "criterion": [lambda: made(criterion=nn.MSELoss), lambda: made(criterion=nn.L1Loss)],
    "setting of the criterion": [
        lambda: made(criterion=nn.HuberLoss, criterion__delta=1.0),
        lambda: made(criterion=nn.HuberLoss, criterion__delta=2.0),
    ],
    "collation of batches": [
        made,
        lambda: made(iterator_valid__collate_fn=lambda batch: batch),
    ],
}


@pytest.mark.parametrize("what", NETS)
def test_what_changes_results_changes_the_digest(what):
    ways = NETS[what]
    digests = [digest(make()) for make in ways]
    assert len(set(digests)) == len(ways)
    assert digests == [digest(make()) for make in ways]


def test_a_method_of_an_installed_class_that_is_changed_counts(monkeypatch):
    before = digest(made())
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: x @ self.weight.T)
    assert digest(made()) != before


def test_hooks_for_all_modules_count():
    before = digest(made())
    handle = nn.modules.module.register_module_forward_hook(lambda m, a, out: 2 * out)
    try:
        assert digest(made()) != before
    finally:
        handle.remove()
    assert digest(made()) == before


def test_a_global_that_a_method_reads_counts(monkeypatch):
    class Reading(Holder):
        def forward(self, x):
            return FACTOR * self.linear(x)

    before = digest(made(Reading()))
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    assert digest(made(Reading())) != before


def test_training_and_prediction_leave_no_mark():
    net = made(max_epochs=1).fit(X, Y)
    before = digest(net)
    net.predict(X)
    net.module_.train()
    net.set_params(lr=0.5, max_epochs=7)
    net.callbacks_ = []
    assert digest(net) == before
    assert digest(copy.deepcopy(net)) == before


def test_the_same_numbers_are_the_same_data():
    net = made()
    assert content_digest(net, X.tolist(), Y) != content_digest(net, X[:, ::-1], Y)
    assert content_digest(net, X, Y) == content_digest(net, torch.tensor(X), torch.tensor(Y))
    large = np.array([np.arange(2000), None], dtype=object)
    other = large.copy()
    other[0] = np.arange(2000) + (np.arange(2000) == 1000)
    assert content_digest(net, large, Y) != content_digest(net, other, Y)


def test_data_sets_that_draw_do_not_move_the_generators():
    class Drawing(torch.utils.data.Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return X[index] + torch.rand(4).numpy() + np.random.rand(), Y[index]  # noqa: NPY002

    net = made()
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    content_digest(net, Drawing())
    assert torch.equal(torch_state, torch.get_rng_state())
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002


def traced(function, *inputs):
    """Trace a function, which torch warns of since 2.15."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.trace(function, inputs)


UNSEEN = {
    "lock": threading.Lock,
    "iterator": lambda: iter([1, 2]),
    "running generator": lambda: (i for i in range(3)),
    "file": lambda: open(__file__),  # noqa: SIM115
    "traced function": lambda: traced(lambda x: 2 * x, torch.ones(1)),
}


def stream():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            yield from zip(X, Y)

    return Stream()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("what", UNSEEN)
def test_what_cannot_be_seen_is_refused_and_not_kept(what):
    held = UNSEEN[what]()
    net = made(Holder())
    net.module_.held = [held]
    with pytest.raises(NotDigestibleError, match=r"Expected .*, found .*held.* Keep plain values"):
        digest(net)
    if hasattr(held, "close"):
        held.close()


def test_what_has_no_digest_is_examined_each_time(tmp_path):
    net = made(Holder())
    net.module_.held = Handle()
    case = hd.NetworkCase(net, X, Y, name="unseen")
    before = network_state(case)
    with counted_examinations() as calls:
        spectra = hd.LayerSpectra(memory=str(tmp_path))
        first, second = spectra.transform([case, case])
        with torch.no_grad():
            net.module_.linear.weight += 1.0
        (third,) = spectra.transform([case])
    assert calls == ["unseen"] * 3
    assert first.digest is None
    assert first.context["loss"] == second.context["loss"] != third.context["loss"]
    with torch.no_grad():
        net.module_.linear.weight -= 1.0
    assert [c for c in state_changes(before, network_state(case)) if "weight" not in c] == []
    assert hd.examine(net, X, Y).digest is None


class Handle:
    """Holds what cannot be seen, and can be copied."""

    def __init__(self):
        self.lock = threading.Lock()

    def __deepcopy__(self, memo):
        return Handle()


def test_a_stream_has_no_digest():
    with pytest.raises(NotDigestibleError, match="Stream"):
        content_digest(made(), stream())


def test_loggers_weak_references_and_circles_are_no_obstacle():
    module = Holder()
    module.log = logging.getLogger("a")
    module.me = [module]
    assert digest(made(module)) == digest(made(module))
    assert len(digest(made(nn.Sequential(nn.GRU(4, 3))))) == 32


def test_another_networks_result_is_never_returned():
    """The kinds that were seen: a hook, a plain tensor, a closure, an attribute of the net."""
    nets = [made(Scaling(value)) for value in (1.0, 2.0)]
    nets += [made(Scaling(closure_over(value))) for value in (1.0, 2.0)]
    nets += [hooked("register_forward_hook", lambda m, a, out: 2 * out), with_scale(3.0)]
    cases = [hd.NetworkCase(net, X, Y, name="same") for net in nets]
    together = hd.LayerSpectra().transform(cases)
    alone = [hd.examine(net, X, Y, random_state=0) for net in nets]
    for one, other in zip(together, alone, strict=True):
        assert one.context["loss"] == pytest.approx(other.context["loss"])
        assert one.network.spectrum.trace == pytest.approx(other.network.spectrum.trace)


class Scaling(nn.Module):
    def __init__(self, by):
        super().__init__()
        self.linear = nn.Linear(4, 1)
        self.by = [by]

    def forward(self, x):
        out, by = self.linear(x), self.by[0]
        return by(out) if callable(by) else by * out


def test_settings_that_are_no_plain_values_are_digested():
    assert value_digest(lambda name: name == "0") != value_digest(lambda name: name == "1")
    assert value_digest(np.int64(3)) == value_digest(np.int64(3))


SCRIPT = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("content_here", sys.argv[1])
module = importlib.util.module_from_spec(spec)
sys.modules["content_here"] = module
spec.loader.exec_module(module)
for what in ("set of words", "closure over a closure", "frozenset of tuples", "partial"):
    print(module.holding(module.PAIRS[what][0]))
print(module.digest(module.made(module.nn.Sequential(module.nn.GRU(4, 3)))))
"""


@pytest.mark.slow
def test_digests_are_the_same_in_every_process():
    runs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT, __file__],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"},
        ).stdout.splitlines()
        for seed in ("1", "2")
    ]
    assert len(runs[0]) == 5
    assert runs[0] == runs[1]


def test_a_classifier_digests_as_before_and_after_fit():
    module, loss = nn.Linear(4, 3), nn.CrossEntropyLoss
    net = NeuralNetClassifier(module, criterion=loss, verbose=0, lr=0.0, train_split=None)
    y = np.arange(12) % 3
    before = content_digest(net.initialize(), X, y)
    assert content_digest(net.partial_fit(X, y), X, y) == before

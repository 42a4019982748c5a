"""Saved cases come back the same, hold no pickled object, and hostile folders are refused."""

import contextlib
import json
import pickletools
import re
import subprocess
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.nn.utils import parametrizations, prune

import hessdiag as hd
from hessdiag.case_files import untrusted_classes
from hessdiag.features import layer_table
from hessdiag.testing import make_case, network_state, state_changes, two_layer_linear

pytest.importorskip("safetensors")


@pytest.mark.parametrize("kind", ["classifier", "binary", "regressor"])
@pytest.mark.parametrize("depth", [0, 2])
def test_round_trip(kind, depth, tmp_path):
    case = make_case(kind, depth=depth, activation="tanh", name="mine")
    before = network_state(case)
    hd.save_case(case, tmp_path / "deep" / "folder")
    assert state_changes(before, network_state(case)) == []
    again = hd.load_case(tmp_path / "deep" / "folder")
    assert again.digest() == case.digest()
    assert again.name == "mine"
    np.testing.assert_array_equal(again.X, case.X)
    np.testing.assert_array_equal(again.net.predict(case.X), case.net.predict(case.X))
    left, right = (layer_table(x) for x in hd.LayerSpectra().transform([case, again]))
    assert left.to_json() == right.to_json()


def test_precision_and_frozen_layers_come_back(tmp_path):
    net, X, y, _ = two_layer_linear()
    net.module_.first.requires_grad_(False)
    case = hd.NetworkCase(net, X, y)
    hd.save_case(case, tmp_path)
    again = hd.load_case(tmp_path)
    assert again.digest() == case.digest()
    assert again.net.module_.second.weight.dtype == torch.float64
    assert list(hd.layer_spectra(again.net, again.X, again.y)) == ["second"]


def test_module_and_criterion_arguments_come_back(tmp_path):
    X = np.eye(4, dtype=np.float32)
    net = NeuralNetClassifier(
        torch.nn.Linear,
        module__in_features=4,
        module__out_features=2,
        module__bias=False,
        criterion=torch.nn.CrossEntropyLoss,
        criterion__label_smoothing=0.25,
        max_epochs=1,
        train_split=None,
        verbose=0,
    ).fit(X, np.array([0, 1, 0, 1]))
    case = hd.NetworkCase(net, X, np.array([0, 1, 0, 1]))
    hd.save_case(case, tmp_path)
    again = hd.load_case(tmp_path)
    assert again.net.module_.bias is None
    assert again.net.criterion_.label_smoothing == 0.25
    assert again.digest() == case.digest()
    assert again.name == tmp_path.name


def test_nothing_is_pickled(tmp_path):
    hd.save_case(make_case(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "case.json",
        "data.npz",
        "parameters.safetensors",
    ]
    with np.load(tmp_path / "data.npz", allow_pickle=False) as data:
        assert sorted(data) == ["X", "y"]
    contents = [path.read_bytes() for path in tmp_path.iterdir()]
    with zipfile.ZipFile(tmp_path / "data.npz") as archive:
        contents += [archive.read(name) for name in archive.namelist()]
    for content in contents:
        with pytest.raises(Exception):  # noqa: B017 - whatever pickletools makes of other bytes
            list(pickletools.genops(content))


def saved(tmp_path, **changes):
    """A saved case with changes to its description."""
    hd.save_case(make_case(name="mine"), tmp_path)
    path = tmp_path / "case.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return tmp_path


@pytest.mark.parametrize("missing", ["case.json", "data.npz", "parameters.safetensors"])
def test_missing_file_is_named(missing, tmp_path):
    folder = saved(tmp_path)
    (folder / missing).unlink()
    with pytest.raises(FileNotFoundError, match=rf"no {re.escape(missing)}.*save_case"):
        hd.load_case(folder)


def test_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="save_case"):
        hd.load_case(tmp_path / "nowhere")


@pytest.mark.parametrize("found", [0, 2, None, "1"])
def test_other_format(found, tmp_path):
    with pytest.raises(ValueError, match="format 1"):
        hd.load_case(saved(tmp_path, format=found))


@pytest.mark.parametrize(
    "path", ["no_such_package:Net", "hessdiag.zoo:Missing", "hessdiag.zoo", "", "a.b:c:d"]
)
def test_class_that_cannot_be_imported(path, tmp_path):
    with pytest.raises(ValueError, match=r"importable class|PYTHONPATH"):
        hd.load_case(saved(tmp_path, module=path))


@pytest.mark.parametrize("field", ["net", "module", "criterion"])
@pytest.mark.parametrize("path", ["os:system", "subprocess:Popen", "builtins:print", "os:path"])
def test_what_is_no_network_is_not_called(field, path, tmp_path, capfd):
    witness = tmp_path / "witness"
    folder = saved(tmp_path, **{field: path}, module_arguments={"command": f"touch {witness}"})
    with pytest.raises((ValueError, TypeError), match="xpected"):
        hd.load_case(folder)
    assert not witness.exists()
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("name", ["case.json", "data.npz", "parameters.safetensors"])
@pytest.mark.parametrize("content", [b"", b"junk", b"[]", b"{}", None])
def test_damaged_file(name, content, tmp_path):
    folder = saved(tmp_path)
    path = folder / name
    path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    with pytest.raises(ValueError, match=r"xpected|allow_pickle"):
        hd.load_case(folder)


def test_parameters_of_another_network(tmp_path):
    hd.save_case(make_case(width=5), tmp_path / "other")
    folder = saved(tmp_path / "mine")
    other = tmp_path / "other" / "parameters.safetensors"
    (folder / "parameters.safetensors").write_bytes(other.read_bytes())
    with pytest.raises(ValueError, match=r"(?s)saved case.*size mismatch"):
        hd.load_case(folder)


def test_pickled_data_is_refused(tmp_path):
    folder = saved(tmp_path)
    np.savez(folder / "data.npz", X=np.array([{"a": 1}], dtype=object), y=np.zeros(1))
    description = json.loads((folder / "case.json").read_text())
    with pytest.raises(ValueError, match=r"data\.npz.*save_case"):
        hd.load_case(folder)
    del description["files"]  # as of a case that says nothing of its files
    (folder / "case.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match="no archive of plain arrays"):
        hd.load_case(folder)


@pytest.mark.parametrize("make", ["from_function", "callable argument", "objects in X"])
def test_what_cannot_be_saved(make, tmp_path):
    X, y = np.eye(4, dtype=np.float32), np.ones((4, 1), dtype=np.float32)
    module, arguments, match = torch.nn.Linear, {}, "importable class"
    if make == "from_function":

        class Inner(torch.nn.Linear):
            pass

        module = Inner
    elif make == "callable argument":
        arguments, match = {"module__dtype": torch.float32}, "plain value.*module__dtype"
    arguments |= {"module__in_features": 4, "module__out_features": 1}
    net = NeuralNetRegressor(module, train_split=None, verbose=0, max_epochs=1, **arguments)
    net.fit(X, y)
    if make == "objects in X":
        case, match = hd.NetworkCase(net, {"input": X}, y), "plain numeric array"
    else:
        case = hd.NetworkCase(net, X, y)
    with pytest.raises(ValueError, match=match):
        hd.save_case(case, tmp_path / "case")


MAIN = """
import sys
import numpy as np, torch
from skorch import NeuralNetRegressor
import hessdiag as hd

class Mine(torch.nn.Linear):
    pass

X, y = np.eye(4, dtype="float32"), np.ones((4, 1), dtype="float32")
net = NeuralNetRegressor(Mine, module__in_features=4, module__out_features=1, verbose=0,
                         train_split=None, max_epochs=1).fit(X, y)
try:
    hd.save_case(hd.NetworkCase(net, X, y), sys.argv[1])
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
def test_class_of_a_script(tmp_path):
    command = [sys.executable, "-c", MAIN, str(tmp_path / "case")]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "file of its own" in run.stdout
    assert not (tmp_path / "case").exists()


class Named(torch.nn.Module):
    """A module of a file of its own, which keeps what it was made with."""

    def __init__(self, inner, scale=1.0, weights=None, table=None, kind=torch.nn.Tanh):
        super().__init__()
        self.inner, self.scale, self.kind = inner, scale, kind
        self.weights, self.table = weights, table
        self.act = kind()

    def forward(self, x):
        return self.scale * self.act(self.inner(x))


Named.__module__ = "nets_for_cases"
nets_for_cases = types.ModuleType("nets_for_cases")
nets_for_cases.Named = Named


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """Let `Named` be found by its name, as it would be in a file of its own."""
    monkeypatch.setitem(sys.modules, "nets_for_cases", nets_for_cases)


X, Y = np.eye(4, dtype=np.float32), np.ones((4, 1), dtype=np.float32)


def case_of(module, net_class=NeuralNetRegressor, y=Y, **settings):
    torch.manual_seed(0)
    settings = {"train_split": None, "verbose": 0} | settings
    return hd.NetworkCase(net_class(module, **settings).initialize(), X, y)


def tied():
    module = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Linear(4, 1))
    module[2].weight = module[0].weight
    return module


def repeated():
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(4, 1))


def doubled_with_buffer():
    module = nn.Sequential(nn.Linear(4, 1), nn.BatchNorm1d(1)).double()
    return module


class Transformer(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, x):
        return self.encoder(x[:, None, :])[:, 0, :1]


Transformer.__module__ = "nets_for_cases"
nets_for_cases.Transformer = Transformer

INSTANCES = {
    "linear": lambda: nn.Linear(4, 1, bias=False),
    "sequential": lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1)),
    "nested": lambda: nn.Sequential(nn.Sequential(nn.Linear(4, 2)), nn.Sequential(nn.Linear(2, 1))),
    "named": lambda: nn.Sequential(OrderedDict(first=nn.Linear(4, 2), last=nn.Linear(2, 1))),
    "normalized": lambda: nn.Sequential(
        nn.Linear(4, 4), nn.BatchNorm1d(4, eps=1e-3), nn.LayerNorm(4), nn.PReLU(4), nn.Linear(4, 1)
    ),
    "convolutional": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 2)),
        nn.Conv2d(1, 3, 2, padding=1, bias=False),
        nn.GroupNorm(3, 3),
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(3, 1),
    ),
    "float64": doubled_with_buffer,
    "layer that occurs twice": repeated,
    "tied weights": tied,
    "tensor as argument": lambda: Named(nn.Linear(4, 1), 2.0, torch.arange(3.0)),
    "array as argument": lambda: Named(nn.Linear(4, 1), 2.0, None, np.arange(3)),
    "class as argument": lambda: Named(nn.Linear(4, 1), kind=nn.GELU),
    "values as arguments": lambda: Named(
        nn.Linear(4, 1), 1.5, table={"a": (1, [2, None]), 3: np.float32(0.5), "$b": float("inf")}
    ),
    "attention": lambda: Transformer(
        nn.TransformerEncoder(
            nn.TransformerEncoderLayer(4, 2, 8, activation="gelu", batch_first=True),
            2,
            enable_nested_tensor=False,
        )
    ),
}


@pytest.mark.parametrize("what", INSTANCES)
def test_instances_come_back(what, tmp_path):
    module = INSTANCES[what]()
    dtype = next(module.parameters()).dtype
    case = case_of(module)
    if dtype == torch.float64:
        case = hd.NetworkCase(case.net, X.astype("float64"), Y.astype("float64"))
    state = torch.get_rng_state()
    hd.save_case(case, tmp_path)
    again = hd.load_case(tmp_path, trusted=["nets_for_cases"])
    assert torch.equal(state, torch.get_rng_state())
    assert again.digest() == case.digest()
    np.testing.assert_array_equal(again.net.predict(case.X), case.net.predict(case.X))


def test_cases_of_modules_come_back(tmp_path):
    module = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))
    case = hd.NetworkCase.from_module(module, X, np.arange(4) % 3, loss=loss, name="mine")
    vars(case).update(n_held_back=3, notes=("some were held back.",))
    hd.save_case(case, tmp_path)
    again = hd.load_case(tmp_path)
    assert again.digest() == case.digest()
    assert (again.n_held_back, again.notes) == (3, ("some were held back.",))


ARGUMENTS = {
    "class weights": {
        "criterion": nn.CrossEntropyLoss,
        "criterion__weight": torch.tensor([1.0, 2.0, 0.5]),
    },
    "loss as an instance": {"criterion": nn.CrossEntropyLoss(weight=torch.ones(3), ignore_index=2)},
    "module as an argument": {"module__inner": nn.Linear(4, 3), "module__scale": 2},
    "array as an argument": {"module__table": np.arange(6).reshape(2, 3)},
    "tuple as an argument": {"module__table": (1, 2, "a")},
    "number of numpy": {"module__scale": np.float64(1.5)},
}


@pytest.mark.parametrize("what", ARGUMENTS)
def test_tensors_arrays_and_modules_as_arguments_come_back(what, tmp_path):
    settings = {"module__inner": nn.Linear(4, 3), "criterion": nn.CrossEntropyLoss}
    case = case_of(Named, NeuralNetClassifier, np.arange(4) % 3, **settings | ARGUMENTS[what])
    hd.save_case(case, tmp_path)
    again = hd.load_case(tmp_path, trusted=[Named])
    assert again.digest() == case.digest()
    left, right = (hd.layer_spectra(one.net, one.X, one.y) for one in (case, again))
    for name in left:
        np.testing.assert_array_equal(left[name].eigenvalues(), right[name].eigenvalues())


class Scaled(NeuralNetRegressor):
    def __init__(self, *args, scale=1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.scale = scale

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return self.scale * self.max_epochs * super().get_loss(y_pred, y_true, *args, **kwargs)


Scaled.__module__ = "nets_for_cases"
nets_for_cases.Scaled = Scaled


def test_arguments_of_a_net_of_ones_own_come_back(tmp_path):
    case = case_of(nn.Linear(4, 1), Scaled, scale=3.0, max_epochs=2)
    hd.save_case(case, tmp_path)
    again = hd.load_case(tmp_path, trusted=["nets_for_cases.*"])
    assert (again.net.scale, again.net.max_epochs) == (3.0, 2)
    assert again.digest() == case.digest()


def spoiled(change):
    case = case_of(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1)))
    change(case.net)
    return case


UNLIKE = {
    "hook": lambda net: net.module_[0].register_forward_hook(lambda m, a, out: 2 * out),
    "pruning": lambda net: prune.l1_unstructured(net.module_[0], "weight", 2),
    "parametrization": lambda net: parametrizations.weight_norm(net.module_[0]),
    "forward": lambda net: setattr(net.module_, "forward", lambda x: x[:, :1]),
    "value on a module": lambda net: setattr(net.module_[1], "inplaced", 3),
    "loss": lambda net: setattr(net.criterion_, "reduction", "sum"),
    "attribute of the net": lambda net: setattr(net, "get_loss", lambda *a, **k: None),
}


@pytest.mark.parametrize("what", UNLIKE)
def test_what_would_not_come_back_is_refused(what, tmp_path):
    case = spoiled(UNLIKE[what])
    with pytest.raises(ValueError, match=r"(?s)Expected .* found .*\. [A-Z]"):
        hd.save_case(case, tmp_path / "case")
    assert not (tmp_path / "case").exists()


def test_what_modules_keep_of_the_last_samples_does_not_matter(tmp_path):
    class Keeping(nn.Linear):
        def forward(self, x):
            self.kept = super().forward(x)
            return self.kept

    Keeping.__module__, Keeping.__qualname__ = "nets_for_cases", "Keeping"
    nets_for_cases.Keeping = Keeping
    case = case_of(Keeping, module__in_features=4, module__out_features=1)
    case.net.predict(X)
    hd.save_case(case, tmp_path)
    again = hd.load_case(tmp_path, trusted=["nets_for_cases.Keeping"])
    np.testing.assert_array_equal(again.net.predict(X), case.net.predict(X))


def test_data_that_arrays_do_not_keep_are_refused(tmp_path):
    pandas = pytest.importorskip("pandas")
    net = case_of(nn.Linear(4, 1)).net
    for data in (pandas.DataFrame(X), [X, X], {"input": X}):
        case = hd.NetworkCase(net, data, Y) if not isinstance(data, list) else None
        case = case or hd.NetworkCase(net, data, np.ones((len(data[0]), 1), dtype="float32"))
        with pytest.raises(ValueError, match="plain numeric array"):
            hd.save_case(case, tmp_path / "case")
    assert not (tmp_path / "case").exists()


def loaded(folder):
    return hd.load_case(folder).digest()


STEPS = ("mkdir", "write_bytes", "replace")


@pytest.mark.parametrize("number", range(9))
def test_saving_over_a_case_leaves_the_old_or_the_new_one(number, tmp_path, monkeypatch):
    """Broken off before each step that touches the disk, as by a kill: nothing is put right."""
    old, new = make_case(width=3, name="old"), make_case(width=5, name="new", random_state=1)
    folder = tmp_path / "case"
    hd.save_case(old, folder)
    left = number

    class Killed(BaseException):
        pass

    def counting(step):
        real = getattr(Path, step)

        def counted(self, *args, **kwargs):
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return real(self, *args, **kwargs)

        return counted

    with monkeypatch.context() as patch:
        for step in STEPS:
            patch.setattr(Path, step, counting(step))
        # What tidies up after an error does nothing after a kill.
        patch.setattr(Path, "unlink", lambda *args, **kwargs: None)
        with contextlib.suppress(Killed):
            hd.save_case(new, folder)
    found = hd.load_case(folder)
    assert found.digest() == {"old": old, "new": new}[found.name].digest()
    hd.save_case(new, folder)
    assert loaded(folder) == new.digest()
    assert sorted(p.name for p in folder.iterdir() if not p.name.endswith(".part")) == [
        "case.json",
        "data.npz",
        "parameters.safetensors",
    ]


def test_a_failure_in_mid_saving_leaves_the_old_case(tmp_path, monkeypatch):
    old = make_case(width=3)
    hd.save_case(old, tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())

    def full(self, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        hd.save_case(make_case(width=4), tmp_path)
    with pytest.raises(OSError, match="No space"):
        hd.save_case(make_case(width=4), tmp_path / "new")
    monkeypatch.undo()
    assert loaded(tmp_path) == old.digest()
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.parametrize("name", ["data.npz", "parameters.safetensors"])
def test_files_of_two_saves_are_not_mixed(name, tmp_path):
    """Also where they would fit together."""
    for number in (0, 1):
        hd.save_case(make_case(random_state=number), tmp_path / str(number))
    (tmp_path / "0" / name).write_bytes((tmp_path / "1" / name).read_bytes())
    with pytest.raises(ValueError, match=f"files of one saved case.*of {name}"):
        hd.load_case(tmp_path / "0")


def test_cases_of_the_release_before_are_read(tmp_path):
    case = make_case(name="mine")
    hd.save_case(case, tmp_path)
    path = tmp_path / "case.json"
    content = json.loads(path.read_text())
    del content["files"]
    path.write_text(json.dumps(content))
    assert loaded(tmp_path) == case.digest()


def test_nothing_is_imported_before_it_is_trusted(tmp_path, monkeypatch):
    folder = saved(tmp_path / "case", module="never_seen.nets:Net")
    (tmp_path / "never_seen").mkdir()
    (tmp_path / "never_seen" / "__init__.py").write_text("")
    (tmp_path / "never_seen" / "nets.py").write_text("raise SystemExit(0)")
    monkeypatch.syspath_prepend(tmp_path)
    assert untrusted_classes(folder) == ["never_seen.nets.Net"]
    for trusted in (None, [], ["never_seen"], ["never"], ["never_seen.nets.Other"], ["nets.*"]):
        with pytest.raises(ValueError, match=r"trusted=\['never_seen.nets.Net'\]"):
            hd.load_case(folder, trusted=trusted)
    assert not [name for name in sys.modules if name.startswith("never_seen")]
    for trusted in (["never_seen.nets"], ["never_seen.*"], ["never_seen.nets.Net"]):
        with pytest.raises(ValueError, match="ends the process"):
            hd.load_case(folder, trusted=trusted)


@pytest.mark.parametrize(
    "path",
    [
        "torch.nn.modules.linear:torch.hub.load",
        "torch.nn.modules.linear:math.sqrt",
        "torch.nn.modules.container:OrderedDict",
        "hessdiag.cases:check_net",
        "torch.nn:Linear",
        "torch.hub:load",
        "torch.fx.graph_module:GraphModule",
        "torch.distributed.nn.api.remote_module:RemoteModule",
        "skorch.hf:AccelerateMixin",
        "hessdiagnosis:Net",
        "torch.nn.modulesx:Net",
    ],
)
def test_trusted_modules_do_not_open_others(path, tmp_path):
    folder = saved(tmp_path, module=path)
    with pytest.raises(ValueError, match=r"Expected (an )?importable class|Expected a subclass"):
        hd.load_case(folder)


def test_words_among_arguments_are_no_classes(tmp_path):
    inner = {"net": "os:system", "class": "a.b:C", "module": "subprocess:Popen"}
    case = case_of(Named(nn.Linear(4, 1), table=inner))
    hd.save_case(case, tmp_path)
    assert untrusted_classes(tmp_path) == ["nets_for_cases.Named"]
    assert hd.load_case(tmp_path, trusted=[Named]).net.module_.table == inner


@pytest.mark.parametrize("trusted", ["nets", 3, [3], ["a b"], ["*"], [""], [None]])
def test_what_trusted_may_be(trusted, tmp_path):
    hd.save_case(make_case(), tmp_path)
    with pytest.raises((TypeError, ValueError), match=r"Expected .*trusted"):
        hd.load_case(tmp_path, trusted=trusted)


def test_hidden_classes_in_arguments_are_seen(tmp_path):
    for argument in (
        {"$class": "os:system"},
        [{"$module": {"class": "os:system", "arguments": {}}}],
        {"a": {"$tuple": [{"$class": "os:system"}]}},
        {"$dict": [[{"$class": "os:system"}, 1]]},
    ):
        folder = saved(tmp_path, module_arguments={"activation": argument})
        assert untrusted_classes(folder) == ["os.system"]
        with pytest.raises(ValueError, match=r"os\.system"):
            hd.load_case(folder)
    for smuggled in ({"callbacks": "x"}, {"device": "cpu"}, {"module__x": 1}, {"_modules": []}):
        with pytest.raises(ValueError, match="own class"):
            hd.load_case(saved(tmp_path, net_arguments=smuggled))

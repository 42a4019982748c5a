"""Saved cases come back the same, hold no pickled object, and hostile folders are refused."""

import json
import pickletools
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier, NeuralNetRegressor

import hessdiag as hd
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
    with pytest.raises(ValueError, match="allow_pickle"):
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

"""Cases that cannot be written or read again: each is refused before anything is written."""

import json
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from bad_inputs import Bad
from skorch import NeuralNetRegressor
from torch import nn
from torch.nn.utils import parametrizations, prune

import hessdiag as hd
from hessdiag.testing import make_case

CASE = make_case(n_samples=12, width=2)
X, Y = np.eye(4, dtype="float32"), np.ones((4, 1), dtype="float32")


class OwnLayer(nn.Module):
    """Its module cannot be imported by its name, as one of a notebook."""

    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, 1)

    def forward(self, x):
        return self.linear(x)


OwnLayer.__module__ = "__main__"


def net_of(module, **settings):
    settings = {"train_split": None, "verbose": 0} | settings
    return NeuralNetRegressor(module, **settings).initialize()


def save(make):
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "case"
        with torch.random.fork_rng(devices=[]):
            thing = make()
        try:
            hd.save_case(thing, target)
        finally:
            assert not target.exists(), "something was written"


def changed(change):
    net = net_of(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1)))
    change(net)
    return hd.NetworkCase(net, X, Y)


def of_module(module, loss):
    return hd.NetworkCase.from_module(module, X, Y, loss=loss)


def saving(words, make):
    return Bad(partial(save, make), (ValueError, TypeError), words)


def load(changes, **keywords):
    with tempfile.TemporaryDirectory() as folder:
        hd.save_case(CASE, folder)
        path = Path(folder) / "case.json"
        content = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({k: v for k, v in content.items() if v is not ...}))
        hd.load_case(folder, **keywords)


def loading(words, changes, **keywords):
    return Bad(
        partial(load, changes, **keywords), (ValueError, TypeError), words, lambda: [CASE.net]
    )


def save_where_a_file_is():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_text("")
        hd.save_case(CASE, path)


def load_parts_of_two():
    with tempfile.TemporaryDirectory() as folder:
        one, other = Path(folder) / "one", Path(folder) / "other"
        hd.save_case(CASE, one)
        hd.save_case(make_case(n_samples=12, width=2, random_state=1), other)
        (one / "data.npz").write_bytes((other / "data.npz").read_bytes())
        hd.load_case(one)


BAD = {
    "save: class of a notebook": saving(
        ("importable class", "file of its own"),
        lambda: hd.NetworkCase(net_of(OwnLayer, module__width=4), X, Y),
    ),
    "save: instance of a class of a notebook": saving(
        ("importable class",), lambda: hd.NetworkCase(net_of(OwnLayer(4)), X, Y)
    ),
    "save: function as a loss": saving(
        ("function", "plain value"),
        lambda: of_module(nn.Linear(4, 1), lambda output, y: (output - y).square().mean()),
    ),
    "save: type as an argument": saving(
        ("module__dtype", "plain"),
        lambda: hd.NetworkCase(
            net_of(
                nn.Linear,
                module__in_features=4,
                module__out_features=1,
                module__dtype=torch.float32,
            ),
            X,
            Y,
        ),
    ),
    "save: hook": saving(
        ("hooks",), lambda: changed(lambda net: net.module_[0].register_forward_hook(print))
    ),
    "save: pruned layer": saving(
        ("prune",), lambda: changed(lambda net: prune.l1_unstructured(net.module_[0], "bias", 1))
    ),
    "save: parametrized layer": saving(
        ("importable class", "parametrized"),
        lambda: changed(lambda net: parametrizations.weight_norm(net.module_[0])),
    ),
    "save: value that was put on a module": saving(
        ("hooks and values",), lambda: changed(lambda net: setattr(net.module_[1], "slope", 2))
    ),
    "save: loss that was changed": saving(
        ("differs",), lambda: changed(lambda net: setattr(net.criterion_, "reduction", "sum"))
    ),
    "save: method that was replaced": saving(
        ("differs",), lambda: changed(lambda net: setattr(net, "get_loss", make_case))
    ),
    "save: dict as X": saving(
        ("plain numeric array", "X"),
        lambda: hd.NetworkCase(net_of(nn.Linear(4, 1)), {"input": X}, Y),
    ),
    "save: no case": saving(("NetworkCase", "Linear"), lambda: nn.Linear(4, 1)),
    "save: file in the way": Bad(save_where_a_file_is, ValueError, ("folder", "file")),
    "load: parts of two cases": Bad(load_parts_of_two, ValueError, ("data.npz",)),
    "load: class that is not trusted": loading(
        ("trusted=['mine.Net']", "--trust mine.Net"), {"module": "mine:Net"}
    ),
    "load: class that cannot be imported": loading(
        ("PYTHONPATH",), {"module": "not_there_at_all:Net"}, trusted=["not_there_at_all"]
    ),
    "load: function instead of a class": loading(
        ("subclass",), {"module": "torch.nn.functional:relu"}, trusted=["torch.nn.functional"]
    ),
    "load: net instead of a module": loading(("subclass",), {"module": "skorch.net:NeuralNet"}),
    "load: another format": loading(("format 1",), {"format": 7}),
    "load: no criterion": loading(("damaged",), {"criterion": ...}),
    "load: parameters of another shape": loading(
        ("size mismatch",), {"module_arguments": {"n_inputs": 7, "n_outputs": 3}}
    ),
    "load: trusted as a word": loading(("trusted", "list"), {}, trusted="mine"),
    "load: trusted with a number": loading(("trusted", "3"), {}, trusted=[3]),
    "load: everything trusted": loading(("trusted", "'*'"), {}, trusted=["*"]),
    "load: no folder": Bad(
        lambda: hd.load_case("no-such-folder"), FileNotFoundError, ("no-such-folder", "save_case")
    ),
}

"""Bad input, as a table: each error says what was expected, what was found, and what to do."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from skorch import NeuralNetClassifier

import hessdiag as hd
from hessdiag.diagnosis import TableClassifier
from hessdiag.features import counted_examinations
from hessdiag.testing import make_case, network_state, state_changes, surroundings_state
from hessdiag.zoo import MLP


def sound(kind="classifier", **changes):
    """A sound network and its data, with something changed."""
    case = make_case(kind, n_samples=20, width=3)
    parts = SimpleNamespace(net=case.net, X=case.X.copy(), y=case.y.copy(), settings={})
    vars(parts).update(changes)
    return parts


def unfitted():
    net = NeuralNetClassifier(MLP, module__n_inputs=4, module__n_outputs=3)
    return sound(net=net)


def with_parameter(value):
    parts = sound()
    with torch.no_grad():
        parts.net.module_.hidden_0.weight[1, 2] = value
    return parts


def with_entry(name, value, kind="classifier"):
    parts = sound(kind)
    getattr(parts, name)[3] = value
    return parts


def frozen():
    parts = sound()
    parts.net.module_.requires_grad_(False)
    return parts


def unreduced():
    parts = sound()
    parts.net.criterion_ = torch.nn.CrossEntropyLoss(reduction="none")
    return parts


def bare_module():
    return sound(net=MLP(4, 3))


BAD = {
    # what is wrong: how to make it, the error, words of the message
    "unfitted net": (unfitted, NotFittedError, ["fit"]),
    "module instead of a net": (bare_module, TypeError, ["skorch", "MLP"]),
    "NaN parameter": (lambda: with_parameter(np.nan), ValueError, ["hidden_0.weight", "finite"]),
    "infinite parameter": (lambda: with_parameter(np.inf), ValueError, ["hidden_0.weight"]),
    "NaN in X": (lambda: with_entry("X", np.nan), ValueError, ["finite data", "X"]),
    "infinity in X": (lambda: with_entry("X", -np.inf), ValueError, ["finite data", "X"]),
    "NaN in y": (lambda: with_entry("y", np.nan, "regressor"), ValueError, ["finite data", "y"]),
    "y shorter than X": (lambda: sound(y=sound().y[:-1]), ValueError, ["20", "19"]),
    "no y": (lambda: sound(y=None), ValueError, ["None"]),
    "no samples": (lambda: sound(X=sound().X[:0], y=sound().y[:0]), ValueError, ["sample"]),
    "nothing to train": (frozen, ValueError, ["trainable", "requires_grad"]),
    "pattern without a match": (
        lambda: sound(settings={"layers": ["conv*"]}),
        ValueError,
        ["conv*", "hidden_0"],
    ),
    "loss that is not one number": (unreduced, ValueError, ["reduction"]),
    "class that the net does not have": (lambda: with_entry("y", 7), ValueError, ["y"]),
    "targets of another type": (
        lambda: sound(y=sound().y.astype(np.float32)),
        ValueError,
        ["y"],
    ),
    "targets of words": (lambda: sound(y=np.array(["cat"] * 20)), (ValueError, TypeError), ["y"]),
    "features of another number": (lambda: sound(X=sound().X[:, :3]), ValueError, ["X"]),
}

GOOD_NEIGHBOURS = [make_case(n_samples=12, width=2, name=name) for name in ("one", "two")]


def by_layer_spectra(parts):
    hd.layer_spectra(parts.net, parts.X, parts.y, **parts.settings)


def by_transformer(parts):
    case = hd.NetworkCase(parts.net, parts.X, parts.y)
    hd.LayerSpectra(**parts.settings).fit_transform([*GOOD_NEIGHBOURS, case])


def by_diagnoser(parts):
    case = hd.NetworkCase(parts.net, parts.X, parts.y)
    diagnoser = hd.FitDiagnoser(TableClassifier(5), spectra=hd.LayerSpectra(**parts.settings))
    diagnoser.fit([*GOOD_NEIGHBOURS, case], ["overfitting", "well-fit", "well-fit"])


def by_explanation(parts):
    table = hd.LayerSpectra().transform(GOOD_NEIGHBOURS)
    diagnoser = hd.FitDiagnoser(TableClassifier(5), spectra=hd.LayerSpectra(**parts.settings))
    diagnoser.fit(table, ["overfitting", "well-fit"])
    diagnoser.explain(hd.NetworkCase(parts.net, parts.X, parts.y))


DOORS = [by_layer_spectra, by_transformer, by_diagnoser, by_explanation]


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
@pytest.mark.parametrize("what", BAD)
def test_bad_input(what, door):
    make, error, words = BAD[what]
    parts = make()
    watched = hasattr(parts.net, "module_")
    case = SimpleNamespace(net=parts.net, X=parts.X, y=parts.y)
    before = network_state(case) if watched else None
    surroundings = surroundings_state(numpy_generator=False)
    hd.LayerSpectra().transform(GOOD_NEIGHBOURS)
    with pytest.raises(error) as caught:
        door(parts)
    message = str(caught.value)
    assert "xpected" in message, f"does not say what was expected: {message}"
    assert "found" in message, f"does not say what was found: {message}"
    sentences = [s for s in message.replace(".\n", ". ").split(". ") if s.strip()]
    assert len(sentences) >= 2, f"does not say what to do: {message}"
    for word in words:
        assert word in message, f"{word!r} is not in: {message}"
    if watched:
        assert state_changes(before, network_state(case)) == []
    assert state_changes(surroundings, surroundings_state(numpy_generator=False)) == []


@pytest.mark.parametrize("what", BAD)
def test_found_before_long_work(what):
    parts = BAD[what][0]()
    with counted_examinations() as calls, pytest.raises((ValueError, TypeError)):
        by_transformer(parts)
    assert calls == []


@pytest.mark.parametrize(
    ("X", "error", "words"),
    [
        (GOOD_NEIGHBOURS[0], TypeError, ["list", "NetworkCase"]),
        (GOOD_NEIGHBOURS[0].net, TypeError, ["list", "NeuralNetClassifier", "NetworkCase(net"]),
        ([], ValueError, ["empty list"]),
        ([GOOD_NEIGHBOURS[0].net], TypeError, ["NeuralNetClassifier", "index 0"]),
        (np.zeros((3, 2)), TypeError, ["list", "ndarray"]),
    ],
)
@pytest.mark.parametrize("estimator", [hd.LayerSpectra(), hd.FitDiagnoser()])
def test_not_a_list_of_cases(estimator, X, error, words):
    with pytest.raises(error) as caught:
        estimator.fit(X, ["well-fit"])
    for word in ["xpected", "found", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "explain", "diagnose_tables"])
def test_unfitted_diagnoser(method):
    diagnoser = hd.FitDiagnoser()
    argument = GOOD_NEIGHBOURS[0] if method == "explain" else GOOD_NEIGHBOURS
    with pytest.raises(NotFittedError, match="fit"):
        getattr(diagnoser, method)(argument)


@pytest.mark.parametrize("scalar", [lambda output, y: output, lambda output, y: 1.0])
def test_scalar_that_is_none(scalar):
    case = GOOD_NEIGHBOURS[0]
    before = network_state(case)
    with pytest.raises((ValueError, TypeError), match="xpected"):
        hd.layer_spectra(case.net, case.X, case.y, scalar=scalar)
    assert state_changes(before, network_state(case)) == []


def test_targets_that_would_be_broadcast():
    # y of shape (n,) against outputs (n, 1) would silently give an (n, n) loss.
    parts = sound("regressor")
    with pytest.raises(ValueError, match="y"):
        hd.layer_spectra(parts.net, parts.X, parts.y[:, 0])


def test_one_sick_network_of_a_list_is_named():
    sick = copy.deepcopy(GOOD_NEIGHBOURS[0])
    with torch.no_grad():
        sick.net.module_.head.bias[0] = np.nan
    sick = hd.NetworkCase(sick.net, sick.X, sick.y, name="the sick one")
    with pytest.raises(ValueError, match=r"head\.bias") as caught:
        hd.LayerSpectra().transform([*GOOD_NEIGHBOURS, sick])
    assert "Case 2 (the sick one)" in caught.value.__notes__[0]

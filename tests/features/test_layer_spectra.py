"""Examinations are computed once, kept by content, on disk if asked, and in parallel."""

import copy
import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from skorch import NeuralNet, NeuralNetClassifier
from torch import nn

import hessdiag as hd
from hessdiag.features import (
    SkippedCase,
    SkippedCaseWarning,
    _kept_examinations,
    _layer_spectra,
    counted_examinations,
    forget_examinations,
    layer_table,
)
from hessdiag.testing import make_case


@pytest.mark.slow
def test_grid_search_examines_each_network_once(nine_cases):
    cases, y = nine_cases
    pipeline = make_pipeline(
        hd.LayerSpectra(),
        hd.SpectralFeatures(families=("shape", "context")),
        ExtraTreesClassifier(n_estimators=5, random_state=0),
    )
    grid = {
        "spectralfeatures__pooling": [("max",), ("first", "last")],
        "spectralfeatures__include_network": [True, False],
        "extratreesclassifier__min_samples_leaf": [1, 3],
    }
    search = GridSearchCV(pipeline, grid, cv=StratifiedKFold(3), error_score="raise")
    with counted_examinations() as calls:
        search.fit(cases, y)
    assert len(search.cv_results_["params"]) == 8
    assert sorted(calls) == sorted(case.name for case in cases)


def test_settings_of_the_spectra_are_part_of_the_key():
    case = make_case(n_samples=20, width=3)
    with counted_examinations() as calls:
        for curvature in ("hessian", "ggn", "hessian", "ggn"):
            hd.LayerSpectra(curvature=curvature).transform([case])
        hd.LayerSpectra(layers=["head"]).transform([case])
        hd.LayerSpectra(n_jobs=1, verbose=0, on_error="warn").transform([case])
    assert len(calls) == 3


def test_equal_content_in_two_objects_is_examined_once():
    case = make_case(n_samples=20, width=3)
    twin = copy.deepcopy(case)
    twin.net.predict(twin.X)
    with counted_examinations() as calls:
        left, right = hd.LayerSpectra().transform([case, twin])
    assert len(calls) == 1
    assert left is right


def test_what_counts_and_what_does_not():
    case = make_case(n_samples=20, width=3)
    digest = case.digest()
    case.net.module_.train()
    case.net.predict(case.X)
    case.net.set_params(max_epochs=77, verbose=0)
    assert case.digest() == digest
    assert hd.NetworkCase(case.net, case.X[:-1], case.y[:-1]).digest() != digest
    other = copy.deepcopy(case)
    other.net.criterion_ = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    assert other.digest() != digest


def test_names_are_not_mixed_up():
    case = make_case(n_samples=20, width=3)
    named = [hd.NetworkCase(case.net, case.X, case.y, name=name) for name in ("a", "b")]
    assert [e.name for e in hd.LayerSpectra().transform(named)] == ["a", "b"]


SCRIPT = """
import sys
import hessdiag as hd
from hessdiag.testing import make_case
from hessdiag.features import counted_examinations

with counted_examinations() as calls:
    case = make_case(n_samples=20, width=3)
    examination = hd.LayerSpectra(memory=sys.argv[1]).transform([case])[0]
print(len(calls), repr(examination.network.spectrum.trace))
"""


@pytest.mark.slow
def test_memory_is_shared_by_processes(tmp_path):
    outputs = []
    for _ in range(2):
        command = [sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path / "memory")]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        outputs.append(run.stdout.split())
    assert outputs[0][0] == "1"
    assert outputs[1][0] == "0"
    assert outputs[0][1] == outputs[1][1]


@pytest.mark.slow
def test_workers_give_the_same(nine_cases):
    cases, _ = nine_cases
    forget_examinations()
    serial = hd.LayerSpectra().transform(cases[:3])
    forget_examinations()
    parallel = hd.LayerSpectra(n_jobs=2).transform(cases[:3])
    for left, right in zip(serial, parallel, strict=True):
        left, right = layer_table(left), layer_table(right)
        for name in left.measures:
            np.testing.assert_allclose(right.measures[name], left.measures[name], 1e-6, 1e-9)


def sick(case):
    """The same network with a NaN in it."""
    case = copy.deepcopy(case)
    with torch.no_grad():
        case.net.module_.head.bias[0] = float("nan")
    return case


@pytest.mark.slow
def test_sick_network_among_a_hundred():
    # One network under many names: examined by name, so that a hundred are cheap.
    healthy = make_case(n_samples=12, width=2)
    cases = [
        hd.NetworkCase(healthy.net, healthy.X, healthy.y, name=f"n{index % 5}")
        for index in range(99)
    ]
    cases.insert(40, sick(healthy))
    with pytest.warns(SkippedCaseWarning, match="Case 40 was skipped.*NaN"):
        table = make_pipeline(
            hd.LayerSpectra(on_error="warn"), hd.SpectralFeatures()
        ).fit_transform(cases)
    assert np.isnan(table[40]).all()
    others = np.delete(table, 40, axis=0)
    assert not np.isnan(others).all(axis=1).any()
    np.testing.assert_array_equal(others[:5], others[5:10])


def test_error_while_examining_keeps_the_others(monkeypatch, nine_cases):
    cases, _ = nine_cases
    forget_examinations()
    real = _layer_spectra.examine

    def fails_on_one(net, X, y, name=None, **settings):
        if name == "case-1":
            raise RuntimeError("out of memory")
        return real(net, X, y, name=name, **settings)

    monkeypatch.setattr(_layer_spectra, "examine", fails_on_one)
    with pytest.warns(SkippedCaseWarning, match=r"Case 1 \(case-1\).*out of memory"):
        found = hd.LayerSpectra(on_error="warn").transform(cases[:3])
    assert isinstance(found[1], SkippedCase)
    assert found[1] == SkippedCase("case-1", "RuntimeError: out of memory")
    with pytest.raises(RuntimeError, match="out of memory") as caught:
        hd.LayerSpectra().transform(cases[:3])
    assert "case-1" in caught.value.__notes__[0]
    with counted_examinations():
        pass


def test_skipped_and_examined_pass_through():
    examination = hd.LayerSpectra().transform([make_case(n_samples=12, width=2)])[0]
    blank = SkippedCase("x", "why")
    assert hd.LayerSpectra().transform([examination, blank]) == [examination, blank]


@pytest.fixture
def checked(monkeypatch):
    """Names of the cases that are checked before long work starts."""
    names, real = [], _layer_spectra.check_case

    def counting(case, **settings):
        names.append(case.name)
        return real(case, **settings)

    monkeypatch.setattr(_layer_spectra, "check_case", counting)
    forget_examinations()
    return names


def test_repeated_case_is_checked_once_and_a_kept_one_not_again(checked):
    case = make_case(n_samples=12, width=2, name="a")
    twins = [case, copy.deepcopy(case), hd.NetworkCase(case.net, case.X, case.y, name="b"), case]
    found = hd.LayerSpectra().transform(twins)
    assert checked == ["a", "b"]
    assert found[0] is found[1] is found[3] is not found[2]
    hd.LayerSpectra().transform(twins)
    assert checked == ["a", "b"]


def test_repeated_case_that_fails_the_check_is_skipped_at_every_place(checked):
    case = make_case(n_samples=12, width=2, name="a")
    bad = sick(case)
    with pytest.warns(SkippedCaseWarning) as warned:
        found = hd.LayerSpectra(on_error="warn").transform([bad, case, bad])
    assert [str(w.message).split(" was")[0] for w in warned] == ["Case 0 (a)", "Case 2 (a)"]
    assert [isinstance(item, SkippedCase) for item in found] == [True, False, True]
    assert checked == ["a", "a"]


def test_all_cases_are_checked_before_the_first_is_examined(checked):
    case = make_case(n_samples=12, width=2)
    with (
        counted_examinations() as calls,
        pytest.raises(ValueError, match="NaN"),
    ):
        hd.LayerSpectra().transform([case, sick(case)])
    assert not calls
    assert len(checked) == 2


def test_case_is_digested_once(monkeypatch, checked):
    case, digested = make_case(n_samples=12, width=2, name="a"), []
    real = hd.NetworkCase.digest

    def counting(case):
        digested.append(case.name)
        return real(case)

    monkeypatch.setattr(hd.NetworkCase, "digest", counting)
    examination = hd.LayerSpectra().transform([case])[0]
    assert digested == ["a"]
    assert examination.digest == real(case)


def test_case_without_a_digest_is_explained_by_the_check(monkeypatch, checked):
    def unreadable(case):
        raise OSError("unreadable")

    case = make_case(n_samples=12, width=2)
    monkeypatch.setattr(hd.NetworkCase, "digest", unreadable)
    with pytest.raises(ValueError, match="NaN"):
        hd.LayerSpectra().transform([sick(case)])
    with pytest.raises(OSError, match="unreadable") as caught:
        hd.LayerSpectra().transform([case])
    assert "on_error='warn' would skip it" in caught.value.__notes__[0]
    assert len(checked) == 2


GIVEN = {"batch_size": 5, "tolerance": 0.1, "max_memory": 1e9}


@pytest.fixture
def keywords(monkeypatch):
    """Keywords of every examination; none is made."""
    given = []

    def note(net, X, y, **settings):
        given.append(settings)
        return f"examination {len(given)}"

    forget_examinations()
    monkeypatch.setattr(_layer_spectra, "examine", note)
    yield given
    forget_examinations()


@pytest.mark.parametrize("name", GIVEN)
def test_bounds_are_passed_on_where_they_are_given(name, keywords):
    case = make_case(n_samples=12, width=2)
    hd.LayerSpectra().transform([case])
    hd.LayerSpectra(**{name: GIVEN[name]}).transform([case])
    hd.LayerSpectra(**{name: 2 * GIVEN[name]}).transform([case])
    assert [settings.get(name) for settings in keywords] == [None, GIVEN[name], 2 * GIVEN[name]]
    assert not {*GIVEN} & {*keywords[0]}
    assert {*keywords[1]} == {*keywords[0], name}


@pytest.mark.parametrize("name", GIVEN)
def test_examination_within_bounds_is_the_same(name):
    case = make_case(n_samples=30, width=3)
    forget_examinations()
    free = hd.LayerSpectra().transform([case])[0]
    bounded = hd.LayerSpectra(**{name: GIVEN[name]}).transform([case])[0]
    assert bounded is not free
    assert bounded.settings[name] == GIVEN[name]
    left, right = layer_table(free), layer_table(bounded)
    for measure, values in left.measures.items():
        np.testing.assert_allclose(right.measures[measure], values, 1e-6, 1e-9, err_msg=measure)


@pytest.mark.parametrize("name", GIVEN)
def test_bounds_are_checked(name):
    case = make_case(n_samples=12, width=2)
    for value in (0, -1, "1"):
        with pytest.raises(ValueError, match=name):
            hd.LayerSpectra(**{name: value}).fit([case])


def test_bounds_hold_for_the_check_of_a_case(monkeypatch, keywords):
    cases, given = [make_case(n_samples=n, width=2) for n in (12, 13, 14)], []
    monkeypatch.setattr(_layer_spectra, "check_case", lambda case, **s: given.append(s))
    transformer = hd.LayerSpectra(layers=["head"], **GIVEN)
    transformer.transform(cases[:2])
    assert given == 2 * [{"layers": ["head"], "batch_size": 5, "max_memory": 1e9}]
    # One alone is checked where it is examined, and not twice.
    transformer.transform(cases[2:])
    assert len(given) == 2


def test_keys_of_kept_examinations_stay_as_they_were():
    case = make_case(n_samples=12, width=2, name="a")
    settings = {
        "layers": None,
        "curvature": "hessian",
        "method": "auto",
        "n_lanczos_steps": 30,
        "n_probes": 3,
        "max_samples": None,
        "max_gram_size": 1000,
        "dtype": "float64",
        "device": None,
        "random_state": 0,
    }
    text = case.digest() + json.dumps(["a", settings], sort_keys=True)
    expected = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    forget_examinations()
    hd.LayerSpectra().transform([case])
    assert list(_kept_examinations._KEPT) == [expected]


@pytest.mark.slow
def test_networks_of_all_kinds_of_sickness_stand_in_one_list(reference_diagnoser):
    def case_of(n_outputs, y, criterion, net_class=NeuralNet, n_samples=None, ending=None):
        torch.manual_seed(0)
        parts = [nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, n_outputs)]
        module = nn.Sequential(*parts, *([] if ending is None else [ending]))
        net = net_class(module, criterion=criterion, train_split=None, verbose=0).initialize()
        X = np.random.default_rng(0).normal(size=(len(y), 3)).astype("float32")
        return hd.NetworkCase(net, X[:n_samples], y[:n_samples])

    numbers = np.random.default_rng(1).normal(size=(12, 1)).astype("float32")
    classes = np.arange(12) % 3
    sound = [
        case_of(1, np.ones_like(numbers), nn.MSELoss),
        case_of(3, np.zeros(12, dtype=int), nn.CrossEntropyLoss),
        case_of(1, numbers, nn.MSELoss, n_samples=1),
        case_of(3, classes, nn.CrossEntropyLoss, n_samples=1),
        case_of(3, classes, nn.CrossEntropyLoss),
    ]
    sick = [
        case_of(3, classes, nn.NLLLoss, NeuralNetClassifier, ending=nn.LogSoftmax(1)),
        case_of(3, classes + 1, nn.CrossEntropyLoss),
        case_of(1, numbers.ravel(), nn.MSELoss),
        case_of(1, np.sign(numbers), nn.BCEWithLogitsLoss),
    ]
    diagnoser = copy.copy(reference_diagnoser)
    diagnoser.spectra_ = clone(diagnoser.spectra_).set_params(on_error="warn")
    with np.errstate(all="raise"), pytest.warns(SkippedCaseWarning, match="was skipped"):
        answers = diagnoser.predict([*sound, *sick])
    assert set(answers[len(sound) :]) == {"not examined"}
    assert answers[: len(sound) - 1].tolist() == ["undecided"] * (len(sound) - 1)
    assert answers[len(sound) - 1] in diagnoser.classes_


def test_settings_at_their_ends():
    case = make_case(n_samples=12, width=2)
    (bounded,), (endless,) = (
        hd.LayerSpectra(max_time=seconds).transform([case]) for seconds in (60.0, float("inf"))
    )
    assert endless.network.spectrum.trace == bounded.network.spectrum.trace
    assert hd.examine(case.net, case.X, case.y, max_time=float("inf")).settings["max_time"] > 60
    for setting in ({"max_time": 0.0}, {"max_time": float("nan")}, {"n_jobs": 0}):
        (name,) = setting
        with pytest.raises(ValueError, match=name):
            hd.LayerSpectra(**setting).transform([case])

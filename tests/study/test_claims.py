"""Claims: their verdicts follow from the tables, and flip with them."""

import numpy as np
import pandas as pd
import pytest

from hessdiag.study import STATEMENTS
from hessdiag.study._claims import weigh_claims

WORDS = {
    "overfitting": "go with overfitting",
    "underparameterization": "go with underparameterization",
    "evolution": "evolve during training",
    "expressivity": "how expressive",
    "correlation": "correlate with generalization",
    "diagnosis": "guide the diagnosis",
    "advice": "improve architectures",
}


def regularities(**verdicts):
    """All statements, open but for those of a claim that are given as (holds, fails)."""
    rows = []
    for claim in dict.fromkeys(statement.claim for statement in STATEMENTS):
        keys = [statement.key for statement in STATEMENTS if statement.claim == claim]
        n_holds, n_fails = verdicts.get(claim, (0, 0))
        told = ["holds"] * n_holds + ["fails"] * n_fails
        told += ["open"] * (len(keys) - len(told))
        rows += [
            {"key": key, "claim": claim, "verdict": verdict, "n_held": 3, "n_data_sets": 5}
            for key, verdict in zip(keys, told, strict=True)
        ]
    return pd.DataFrame(rows)


def expressivity(**best):
    """A strong measure of a layer; what is stronger is of another family, or of the whole net."""
    strong = {"rho": 0.8, "low": 0.6, "high": 0.9, "p_adjusted": 0.001, "n_teachers": 8}
    rows = [
        {"measure": "stable_rank", "family": "shape", "place": "last", "saturation_ratio": 2.0}
        | (strong | best),
        {"measure": "trace", "family": "rival", "place": "network", "saturation_ratio": 1.0}
        | (strong | {"rho": 0.99, "low": 0.98, "high": 1.0}),
        {"measure": "leverage_mean", "family": "loo", "place": "last", "saturation_ratio": 1.0}
        | (strong | {"rho": 0.99, "low": 0.98, "high": 1.0}),
    ]
    return pd.DataFrame(rows)


def correlations(plain=(), partial=()):
    """A spectral measure with and without the training loss, beside rivals and distractions."""
    base = {"scope": "within", "time": 1.0, "target": "held_out_loss", "place": "middle"}
    strong = {"rho": -0.5, "low": -0.7, "high": -0.3, "p_adjusted": 0.01}
    strongest = {"rho": 0.9, "low": 0.8, "high": 0.95, "p_adjusted": 1e-9}
    rows = []
    for given, numbers in (("nothing", dict(plain)), ("train_loss", dict(partial))):
        mine = base | {"measure": "log_trace", "family": "scale", "given": given}
        rows += [
            mine | strong | numbers,
            mine | {"measure": "alo_gap_1", "family": "loo"} | strongest,
            mine | {"time": 0.1} | strongest,
            mine | {"scope": "across"} | strongest,
            mine | {"target": "gap"} | strongest,
            mine
            | {"measure": "log_stable_rank", "family": "shape", "place": "network"}
            | strongest,
            mine | {"measure": "sharpness", "family": "rival", "place": "network"} | strong,
        ]
    return pd.DataFrame(rows)


def experiments(n_right, n_wrong, n_unsure=2):
    answers = {"starved": "underparameterized", "sound": "well-fit", "lavish": "overfitting"}
    names = list(answers)
    rows = [
        {"regime": names[i % 3], "diagnosis_unseen": answers[names[(i + (i >= n_right)) % 3]]}
        for i in range(n_right + n_wrong)
    ]
    sure = [row | {"regime_sure": True} for row in rows]
    unsure = [
        {"regime": "sound", "diagnosis_unseen": "overfitting", "regime_sure": False}
    ] * n_unsure
    return pd.DataFrame([*sure, *unsure])


def weigh(claim, **tables):
    given = {
        "experiments": experiments(20, 10),
        "regularities": regularities(),
        "correlations": correlations(),
        "expressivity": expressivity(),
    }
    found = weigh_claims(**given | tables)
    assert set(found["verdict"]) <= {"supported", "not supported", "open"}
    assert len(found) == 7
    (row,) = found[found["claim"].str.contains(WORDS[claim])].to_dict("records")
    assert row["evidence"].endswith(".")
    return row["verdict"], row["evidence"]


@pytest.mark.parametrize(
    ("claim", "given", "verdict"),
    [
        # Statements on overfitting: four.
        ("overfitting", {"overfitting": (2, 0)}, "supported"),
        ("overfitting", {"overfitting": (2, 1)}, "supported"),
        ("overfitting", {"overfitting": (1, 0)}, "open"),
        ("overfitting", {"overfitting": (1, 1)}, "open"),
        ("overfitting", {"overfitting": (2, 2)}, "open"),
        ("overfitting", {"overfitting": (1, 2)}, "not supported"),
        ("overfitting", {"overfitting": (0, 1)}, "not supported"),
        ("overfitting", {"evolution": (5, 0)}, "open"),
        ("underparameterization", {"underparameterization": (1, 0)}, "supported"),
        ("underparameterization", {"underparameterization": (0, 2)}, "not supported"),
        # Those on evolution and on layers together: seven and four.
        ("evolution", {"evolution": (7, 0)}, "supported"),
        ("evolution", {"evolution": (2, 0), "layers": (4, 0)}, "supported"),
        ("evolution", {"evolution": (5, 0)}, "open"),
        ("evolution", {"evolution": (1, 0), "layers": (0, 4)}, "not supported"),
    ],
)
def test_claims_that_statements_speak_for(claim, given, verdict):
    table = regularities(**given)
    found, evidence = weigh(claim, regularities=table)
    assert found == verdict
    kinds = ("evolution", "layers") if claim == "evolution" else (claim,)
    for row in table.itertuples():
        mentioned = f"{row.key} ({row.verdict}, 3 of 5)" in evidence
        assert mentioned == (row.claim in kinds)


@pytest.mark.parametrize(
    ("best", "verdict"),
    [
        ({}, "supported"),
        ({"rho": -0.8, "low": -0.9, "high": -0.1}, "supported"),
        ({"low": -0.1}, "open"),
        ({"p_adjusted": 0.06}, "open"),
    ],
)
def test_expressivity(best, verdict):
    found, evidence = weigh("expressivity", expressivity=expressivity(**best))
    assert found == verdict
    assert "stable_rank of the last layer" in evidence
    assert "saturates at 2 times" in evidence
    assert "0.99" not in evidence
    assert "1 of them saturate between half and twice" in evidence


def test_expressivity_without_numbers():
    never = expressivity(saturation_ratio=np.nan)
    assert "saturates" not in weigh("expressivity", expressivity=never)[1]
    nothing = expressivity().assign(rho=np.nan)
    assert weigh("expressivity", expressivity=nothing)[0] == "open"


@pytest.mark.parametrize(
    ("plain", "partial", "verdict"),
    [
        ({}, {}, "supported"),
        ({"low": -0.7, "high": 0.1}, {}, "supported"),
        ({}, {"high": 0.1}, "open"),
        ({}, {"p_adjusted": 0.06}, "open"),
    ],
)
def test_correlation_beyond_the_training_loss(plain, partial, verdict):
    found, evidence = weigh("correlation", correlations=correlations(plain, partial))
    assert found == verdict
    assert "log_trace of the middle layer" in evidence
    assert "strongest rival is sharpness" in evidence
    spectral, any_measure = evidence.split("the strongest of all measures is ")
    for other in ("alo_gap_1", "log_stable_rank", "0.9"):
        assert other not in spectral
    assert any_measure == "alo_gap_1 (middle, family loo), 0.90."
    n_clear = int(partial.get("p_adjusted", 0.01) < 0.05)
    assert f"given the training loss {n_clear} of 1 spectral measures" in evidence


def test_correlation_without_numbers():
    nothing = correlations().assign(rho=np.nan)
    assert weigh("correlation", correlations=nothing)[0] == "open"


@pytest.mark.parametrize(
    ("right", "wrong", "verdict"),
    [(25, 5, "supported"), (10, 20, "open"), (0, 30, "not supported"), (0, 0, "open")],
)
def test_diagnosis_of_networks_whose_regime_is_sure(right, wrong, verdict):
    found, evidence = weigh("diagnosis", experiments=experiments(right, wrong))
    assert found == verdict
    if right + wrong:
        assert f"{right} of the {right + wrong} networks" in evidence


def test_what_was_not_tried_is_open():
    assert weigh("advice")[0] == "open"

"""Tables of a study that never was: small, seeded, of the form of real ones."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from hessdiag.features import LAYER_MEASURES
from hessdiag.study._correlations import measure_families
from hessdiag.study._statements import STATEMENTS
from hessdiag.study.figures._write import draw_figures
from hessdiag.study.page._write import write_page
from hessdiag.study.statistics import holm, share_interval
from hessdiag.study.tables import PLACES, REGIMES, StudyTables

DATA_SETS = ("wine", "iris", "digits", "china & <co>", "boston")
STEPS = (0, 1, 2, 4, 8, 16, 64, 256, 1024)
TIMES = (0.1, 0.25, 0.5, 1.0)
RIVALS = ("train_loss", "gradient_norm", "weight_norm", "trace", "max_eigenvalue", "sharpness")
TEACHER_WIDTHS = (2, 4, 8)
FAMILY_OF = {
    name: family for name, family in measure_families("first").items() if name in LAYER_MEASURES
}

# Training loss, held-out loss and log10 of the largest eigenvalue at the end.
_ENDS = {"starved": (0.6, 0.65, 0.2), "sound": (0.08, 0.3, 0.8), "lavish": (0.002, 0.55, 1.4)}


def make_experiments(rng, data_sets):
    rows = []
    for dataset in data_sets:
        for regime in REGIMES:
            train, held_out, _ = _ENDS[regime]
            factor = np.exp(rng.normal(0, 0.25, 2))
            rows.append(
                {
                    "experiment": f"{dataset}-{regime}",
                    "dataset": dataset,
                    "task": dataset,
                    "kind": "regression" if dataset == "boston" else "classification",
                    "form": "image" if dataset == "digits" else "tabular",
                    "regime": regime,
                    "recipe": f"{rng.integers(2**63):016x}",
                    "family": "cnn2d" if dataset == "digits" else "mlp",
                    "activation": "tanh",
                    "width": {"starved": 1, "sound": 8, "lavish": 64}[regime],
                    "depth": 2,
                    "weight_decay": 0.0,
                    "learning_rate": 0.05,
                    "n_steps": STEPS[-1],
                    "batch_size": 64,
                    "seed": 0,
                    "n_train": 120,
                    "n_features": 13,
                    "n_outputs": 1 if dataset == "boston" else 3,
                    "n_params": int(rng.integers(50, 5000)),
                    "null_loss": 1.0986,
                    "train_loss": train * factor[0],
                    "train_error": 0.5 * train,
                    "held_out_loss": held_out * factor[1],
                    "held_out_error": 0.5 * held_out,
                    "best_held_out_loss": 0.9 * held_out * factor[1],
                    "best_step": 256,
                    "gap": held_out * factor[1] - train * factor[0],
                    "regime_contrast": 0.01 if regime == "sound" else rng.uniform(0.02, 0.4),
                }
            )
    frame = pd.DataFrame(rows)
    sure = (frame["regime_contrast"] >= 0.05) == (frame["regime"] != "sound")
    diagnoses = {"starved": "underparameterized", "sound": "well-fit", "lavish": "overfitting"}
    truth = frame["regime"].map(diagnoses)
    wrong = rng.random(len(frame)) < 0.3
    return frame.assign(
        regime_sure=sure,
        diagnosis=truth,
        p_overfitting=0.2,
        p_underparameterized=0.3,
        p_well_fit=0.5,
        diagnosis_unseen=np.where(wrong, "well-fit", truth),
    )


def make_evolution(rng, experiments):
    rows = []
    for run in experiments.to_dict("records"):
        size = _ENDS[run["regime"]][2]
        for step in STEPS:
            done = np.log2(step + 1) / np.log2(STEPS[-1] + 1)
            for place in PLACES:
                noise = rng.normal(0, 0.15, 12)
                row = {
                    **{name: run[name] for name in ("experiment", "dataset", "regime")},
                    "step": step,
                    "share": step / STEPS[-1],
                    "layer": f"net.{place}",
                    "place": place,
                    "exact": True,
                    "train_loss": run["train_loss"] ** done * 1.1,
                    "train_error": run["train_error"] ** done,
                    "held_out_loss": run["held_out_loss"] ** done * 1.1,
                    "held_out_error": run["held_out_error"] ** done,
                    "gradient_norm": 10 ** (-done + noise[0]),
                    "weight_norm": 3 + done,
                    "sharpness": 10 ** (size * done + noise[1]) if place == "network" else np.nan,
                    "trace": 10 ** (2 * size * done + noise[2]),
                    "max_eigenvalue": 10 ** (size * done + noise[3]),
                    "min_eigenvalue": -0.1,
                    "stable_rank": 2 + 10 ** noise[4],
                    "participation_ratio": 10 ** (1 - 0.5 * done + noise[5]),
                    "effective_rank": 5.0,
                    "rank_fraction": 0.9,
                    "n_outliers": 3.0,
                    "effective_dimension": 10 ** (1 + size * done / 2 + noise[6]),
                }
                row |= {name: rng.normal() for name in FAMILY_OF}
                row["gn_gap"] = 0.0 if place == "last" else 0.4 * (1 - done) + 0.02
                row["attainable_gap"] = 0.5 * done - 0.3 * size + 0.1 * noise[7]
                rows.append(row)
    return pd.DataFrame(rows)


def make_regularities(rng, n_data_sets):
    rows = []
    for place, statement in enumerate(STATEMENTS):
        n = 0 if place == 5 else max(0, n_data_sets - place % 3)
        held = int(rng.binomial(n, (0.95, 0.5, 0.05)[place % 3])) if n else 0
        share, low, high = share_interval(held, n)
        rows.append(
            {
                "key": statement.key,
                "statement": statement.text,
                "reference": statement.reference,
                "n_data_sets": n,
                "n_held": held,
                "share": share,
                "low": low,
                "high": high,
                "p_value": rng.uniform() if n else np.nan,
                "verdict": "holds" if low > 0.5 else "fails" if high < 0.5 else "open",
                "exceptions": "; ".join(DATA_SETS[: n - held]),
            }
        )
    frame = pd.DataFrame(rows)
    frame.insert(9, "p_adjusted", holm(frame["p_value"]))
    return frame


def make_correlations(rng, n_experiments, n_data_sets):
    rows = []
    everything = [(m, f, p) for m, f in FAMILY_OF.items() for p in PLACES]
    everything += [(rival, "rival", "network") for rival in RIVALS]
    for measure, family, place in everything:
        strength = rng.uniform(-0.9, 0.9)
        for time in TIMES:
            for target in ("held_out_loss", "gap"):
                for given in ("nothing", "train_loss"):
                    known = (measure, given) != ("train_loss", "train_loss")
                    rho = strength * (0.4 + 0.6 * time) * (1 if given == "nothing" else 0.7)
                    rho = np.clip(rho + rng.normal(0, 0.03), -1, 1) if known else np.nan
                    rows.append(
                        {
                            "measure": measure,
                            "family": family,
                            "place": place,
                            "time": time,
                            "target": target,
                            "given": given,
                            "n_experiments": n_experiments,
                            "n_data_sets": n_data_sets,
                            "rho": rho,
                            "low": max(-1.0, rho - 0.15) if known else np.nan,
                            "high": min(1.0, rho + 0.12) if known else np.nan,
                            "p_value": 0.5 * np.exp(-10 * abs(rho)) if known else np.nan,
                            "p_adjusted": np.exp(-10 * abs(rho)) if known else np.nan,
                        }
                    )
    return pd.DataFrame(rows)


def make_coupling(rng, experiments):
    layers = ("first", "middle", "last")
    rows = []
    for run in experiments.to_dict("records"):
        for step in (0, 64, STEPS[-1]):
            phi = rng.uniform(0.05, 0.5)
            for i, first in enumerate(layers):
                for j in range(i, 3):
                    rows.append(
                        {
                            **{name: run[name] for name in ("experiment", "dataset", "regime")},
                            "step": step,
                            "share": step / STEPS[-1],
                            "layer_a": f"net.{first}",
                            "layer_b": f"net.{layers[j]}",
                            "place_a": first,
                            "place_b": layers[j],
                            "distance": j - i,
                            "resonance": rng.uniform(0.1, 2.0),
                            "resonance_error": 0.0,
                            "coupling": 1.0 if i == j else rng.uniform(0.2, 0.8) / (j - i),
                            "phi": phi,
                            "method": "exact",
                        }
                    )
    return pd.DataFrame(rows)


def make_students(rng):
    rows = []
    for teacher_width in TEACHER_WIDTHS:
        for activation in ("relu", "tanh"):
            for width in (1, 2, 4, 8, 16, 32):
                for seed in (0, 1):
                    ratio = width / teacher_width
                    for place in PLACES:
                        filled = min(1.0, ratio) + rng.normal(0, 0.05)
                        row = {
                            "teacher": f"teacher-{teacher_width}-{activation}",
                            "teacher_width": teacher_width,
                            "width": width,
                            "ratio": ratio,
                            "seed": seed,
                            "place": place,
                            "train_loss": 1.0 / (1 + ratio),
                            "held_out_loss": 1.2 / (1 + ratio),
                        }
                        rows.append(row | {name: filled + rng.normal() / 9 for name in FAMILY_OF})
    return pd.DataFrame(rows)


def make_expressivity(rng, students):
    rows = []
    for measure, family in FAMILY_OF.items():
        for place in PLACES:
            rho = rng.uniform(-0.9, 0.9)
            rows.append(
                {
                    "measure": measure,
                    "place": place,
                    "family": family,
                    "n_students": len(students) // len(PLACES),
                    "n_teachers": students["teacher"].nunique(),
                    "rho": rho,
                    "low": max(-1.0, rho - 0.1),
                    "high": min(1.0, rho + 0.1),
                    "p_adjusted": 0.2 if abs(rho) < 0.2 else 1e-4,
                    "saturation_ratio": 1.0 if rho > 0 else np.nan,
                }
            )
    return pd.DataFrame(rows)


def make_claims():
    verdicts = ("supported", "not supported", "open")
    return pd.DataFrame(
        {
            "claim": [f"Claim number {place} of the paper." for place in range(3)],
            "verdict": verdicts,
            "evidence": [f"{place + 1} of 5 data sets (40 %)." for place in range(3)],
        }
    )


def make_tables(seed=0, data_sets=DATA_SETS):
    rng = np.random.default_rng(seed)
    experiments = make_experiments(rng, data_sets)
    students = make_students(rng)
    return StudyTables(
        experiments=experiments,
        evolution=make_evolution(rng, experiments),
        regularities=make_regularities(rng, len(data_sets)),
        correlations=make_correlations(rng, len(experiments), len(data_sets)),
        coupling=make_coupling(rng, experiments),
        students=students,
        expressivity=make_expressivity(rng, students),
        claims=make_claims(),
        about={
            "command": "hessdiag study --out study",
            "commit": "0123456789abcdef",
            "versions": {"hessdiag": "0.1", "torch": "2.13"},
            "seconds": 3725.0,
            "quick": False,
            "n_data_sets": len(data_sets),
            "n_experiments": len(experiments),
            "n_checkpoints": len(STEPS),
            "settings": {"Checkpoints": "Spaced evenly in log-steps.", "Optimizer": "SGD"},
        },
    )


@pytest.fixture(scope="session")
def study_tables():
    return make_tables()


@pytest.fixture(scope="session")
def study_factory():
    return SimpleNamespace(tables=make_tables, data_sets=DATA_SETS, times=TIMES, rivals=RIVALS)


def load_neighbour(path):
    """Load the helpers of another room's tests."""
    location = Path(__file__).parent.parent / path
    spec = spec_from_file_location(location.stem + "_of_neighbour", location)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def page_parser():
    return load_neighbour("reporting/test_html.py").Page


@pytest.fixture(scope="session")
def browser():
    return load_neighbour("reporting/test_browser.py")


@pytest.fixture(scope="session")
def study_figures(study_tables):
    return draw_figures(study_tables)


@pytest.fixture(scope="session")
def study_html(study_tables, study_figures, tmp_path_factory):
    path = write_page(study_tables, study_figures, tmp_path_factory.mktemp("page") / "index.html")
    return path.read_text(encoding="utf-8")

"""Label zoo networks by what interventions gained on held-out data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import recall_score

from hessdiag.labels import DELTA, is_unsure, label_gains
from hessdiag.optional import import_optional
from hessdiag.zoo._changes import NARROWING, STOP_SHARE, WIDENING
from hessdiag.zoo._training import CHECKPOINTS

if TYPE_CHECKING:
    import pandas as pd

#: Gains of each configuration, and standard errors of the two that decide its label.
GAIN_COLUMNS = (
    "gain_widening",
    "se_widening",
    "gain_constraining",
    "se_constraining",
    "gain_narrowing",
    "gain_decay",
    "gain_stopping",
    "gain_fourfold",
    "gain_longer",
    "se_longer",
)


def label_networks(records: pd.DataFrame, delta: float = DELTA) -> pd.DataFrame:
    """Measure both gains of each configuration, and name its diagnosis.

    With L the held-out loss averaged over the seeds of a configuration,

    - gain of widening = (L - lowest L among wider networks of the same grid, at any weight decay)
      / null loss;
    - gain of constraining = (L - lowest L among narrower ones at any weight decay, the same width
      with more weight decay, and earlier checkpoints of the same run) / null loss.

    The best network that can be had by widening thus stands against the best that can be had by
    constraining. The standard error of a gain is that of the paired difference over seeds: seed by
    seed, the networks of a grid meet the same data.

    What is gained by each change as it is advised is kept too: by the width nearest to four times
    its own, by the one nearest to a quarter, by the strongest weight decay, by stopping after a
    fifth of the run, all else being equal. None is the best of several, and so reads high.

    Where it was measured, so is the gain of training longer: (L - the lower of L after twice and
    after four times the steps) / null loss, with its error. It does not move the diagnosis; it
    tells a network that was not trained to the end from one that is too small.

    Parameters
    ----------
    records : pandas.DataFrame
        As from ``ZooStore.records_frame``: a row per network.
    delta : float, default=0.05
        Smallest gain that counts, in units of the null loss.

    Returns
    -------
    labelled : pandas.DataFrame
        The same rows with ``gain_widening``, ``gain_constraining``, their standard errors
        ``se_widening`` and ``se_constraining``, those of single changes ``gain_fourfold``
        (widening), ``gain_narrowing``, ``gain_decay`` and ``gain_stopping`` (NaN where there is no
        such network), ``gain_longer`` and ``se_longer`` (NaN where not measured), ``diagnosis``,
        ``unsure``, and ``n_seeds``. Networks without a wider sibling, of which widening is not
        known, and configurations with fewer than 2 finished seeds, or with a diverged one, have an
        empty diagnosis and no gains; nor do diverged ones count among the siblings.
    """
    parts = [_label_grid(grid, delta) for _, grid in records.groupby(["grid"], sort=False)]
    labels = _pandas().concat(parts, ignore_index=True)
    return records.merge(labels, on="config", how="left", validate="many_to_one")


def label_reliability(records: pd.DataFrame, delta: float = DELTA, random_state: int = 0) -> float:
    """Measure how far labels from disjoint seeds agree: the ceiling of every score.

    For each grid the seeds are divided into two halves at random (of unequal size where their
    number is odd); each half labels the configurations alone.

    Parameters
    ----------
    records : pandas.DataFrame
        As from ``ZooStore.records_frame``, with at least 4 seeds for two honest halves; with 3,
        one seed is set against two and the figure is a lower bound.
    delta : float, default=0.05
        Smallest gain that counts.
    random_state : int, default=0
        Seed of the division.

    Returns
    -------
    reliability : float
        Balanced accuracy of one half's labels against the other's.
    """
    rng = np.random.default_rng(random_state)
    firsts, seconds = [], []
    for _, grid in records.groupby("grid", sort=False):
        seeds = rng.permutation(np.unique(grid["seed"]))
        half = len(seeds) // 2
        halves = [
            _label_grid(grid[grid["seed"].isin(part)], delta, min_seeds=1)
            for part in (seeds[:half], seeds[half:])
        ]
        both = halves[0].merge(halves[1], on="config", suffixes=("_a", "_b"))
        both = both[(both["diagnosis_a"] != "") & (both["diagnosis_b"] != "")]
        firsts += both["diagnosis_a"].tolist()
        seconds += both["diagnosis_b"].tolist()
    # The mean recall is the balanced accuracy, without a warning where a half lacks a diagnosis.
    labels = np.unique(seconds)
    recalls = recall_score(seconds, firsts, labels=labels, average=None, zero_division=0)
    return float(recalls.mean())


def _label_grid(grid, delta, min_seeds=2):
    """Gains and labels of the configurations of one grid."""
    grid = grid.sort_values("seed")
    seeds = grid["seed"].nunique()
    null_loss = grid["null_loss"].iloc[0]
    cells = dict(iter(grid.groupby(["width", "weight_decay"])))
    curves = {
        key: np.array(rows["test_losses"].tolist(), dtype=float)
        for key, rows in cells.items()
        if (rows["status"] == "ok").all() and len(rows) == seeds
    }
    rows = []
    for (width, decay), members in cells.items():
        row = dict.fromkeys(GAIN_COLUMNS, np.nan)
        row |= {"config": members["config"].iloc[0], "n_seeds": seeds}
        row |= {"diagnosis": "", "unsure": True}
        rows.append(row)
        wider = [curve[:, -1] for (w, _), curve in curves.items() if w > width]
        if (width, decay) not in curves or seeds < min_seeds or not wider:
            continue
        own = curves[width, decay]
        narrower = [curve[:, -1] for (w, _), curve in curves.items() if w < width]
        stiffer = [c[:, -1] for (w, d), c in curves.items() if w == width and d > decay]
        constrained = [*narrower, *stiffer, *own[:, :-1].T]
        for name, changed in _as_advised(cells, curves, width, decay).items():
            row[name], _ = _gain(own[:, -1], [changed], null_loss)
        if "longer_losses" in members:
            row["gain_longer"], row["se_longer"] = longer_gain(list(members.itertuples()))
        widening, se_widening = _gain(own[:, -1], wider, null_loss)
        constraining, se_constraining = _gain(own[:, -1], constrained, null_loss)
        row |= {
            "gain_widening": widening,
            "se_widening": se_widening,
            "gain_constraining": constraining,
            "se_constraining": se_constraining,
            "diagnosis": str(label_gains(widening, constraining, delta)),
            "unsure": bool(is_unsure(widening, constraining, se_widening, se_constraining, delta)),
        }
    return _pandas().DataFrame(rows)


def longer_gain(records):
    """Measure what training longer gains, over the seeds of one configuration.

    Parameters
    ----------
    records : list of TrainingRecord
        Those of its seeds.

    Returns
    -------
    gain, error : float
        NaN where it was not measured for all seeds, or where all came to no finite loss.
    """
    n_measured = min(len(record.longer_losses) for record in records)
    later = np.array([record.longer_losses[:n_measured] for record in records], dtype=float).T
    later = [losses for losses in later if np.isfinite(losses).all()]
    if not later or any(record.status != "ok" for record in records):
        return np.nan, np.nan
    own = np.array([record.test_losses[-1] for record in records], dtype=float)
    return _gain(own, later, records[0].null_loss)


def _as_advised(cells, curves, width, decay):
    """Held-out losses after each change as it is advised, where it was tried."""
    changed = {"gain_stopping": curves[width, decay][:, CHECKPOINTS.index(STOP_SHARE)]}
    for name, factor in (("gain_narrowing", NARROWING), ("gain_fourfold", WIDENING)):
        there = [w for w, d in cells if d == decay and (w > width) == (factor > 1) and w != width]
        nearest = min(there, key=lambda w: abs(np.log(w / (factor * width))), default=None)
        if (nearest, decay) in curves:
            changed[name] = curves[nearest, decay][:, -1]
    strongest = max(d for w, d in cells if w == width)
    if strongest > decay and (width, strongest) in curves:
        changed["gain_decay"] = curves[width, strongest][:, -1]
    return changed


def _gain(own, others, null_loss):
    """Gain of the best of some interventions, and its standard error over seeds."""
    best = min(others, key=np.mean)
    difference = (own - best) / null_loss
    error = difference.std(ddof=1) / np.sqrt(len(own)) if len(own) > 1 else np.nan
    return float(difference.mean()), float(error)


def _pandas():
    """Return pandas."""
    return import_optional("pandas", "zoo", "Labelling a zoo")

"""What goes with leaving data sets out: ablation, learning curves, predicted gains, advice."""

from __future__ import annotations

import joblib
import numpy as np

from hessdiag.diagnosis import GAINS, LONGER, leading_columns
from hessdiag.evaluation._advice_of_four import has_longer, score_advice_of_four
from hessdiag.evaluation._gain_ceiling import gain_ceiling
from hessdiag.evaluation._left_out import THREE_GAINS, predict_left_out
from hessdiag.evaluation._rows import (
    evaluation_rows,
    leading_columns_of_rows,
    training_curve_row,
)
from hessdiag.evaluation._scores import balanced_accuracy, rank_correlation
from hessdiag.evaluation._search import (
    align_probabilities,
    default_candidates,
    fit_classifier,
    measured_gains,
)
from hessdiag.features import FAMILIES, SpectralFeatures
from hessdiag.labels import DIAGNOSES

#: Numbers of data sets to learn from.
DATASET_STEPS = (5, 10, 20, 40, 80, 160)

#: Shares of the networks to learn from, data sets being equal.
NETWORK_SHARES = (0.125, 0.25, 0.5)

STUDIED_ROWS = ("train_loss_sizes", "validation", "hessdiag")

#: Rows whose advice is scored, where the table says what training longer gains.
ADVISED_ROWS = (
    "train_loss_sizes",
    "validation",
    "curvature",
    "forecasts",
    "hessdiag",
    "hessdiag_validation",
)


def run_studies(zoo, target, splits, random_state=0, n_jobs=None, estimator=None):
    """Run all studies on the splits of ``leave_datasets_out``.

    They take the first classifier of the search, without searching: they compare inputs, and what
    is compared should differ in nothing else.

    Parameters
    ----------
    zoo : Bunch
        As from `load_reference_zoo`.
    target : ndarray of str of shape (n_networks,)
        Diagnoses.
    splits : list of (ndarray, ndarray)
        Networks to learn from and to ask about.
    random_state : int, default=0
        Seed.
    n_jobs : int or None, default=None
        Worker processes, as in joblib.
    estimator : sklearn classifier or None, default=None
        The classifier; None takes the first candidate of the search.

    Returns
    -------
    studies : dict
        ``ablation`` (balanced accuracy with each family of features alone, and with all but it;
        of single layers alone, and of the whole net alone), ``learning_curve`` (``n_datasets`` and
        ``n_networks``: pairs of the mean number to learn from and the balanced accuracy, by row),
        ``gains`` (as from `gain_figures`, by row), ``advice`` (as from `score_advice_of_four`) and
        ``gain_ceiling`` (as from `gain_ceiling`).
        None stands where a split has too little to learn from.
    """
    if estimator is None:
        estimator = next(iter(default_candidates(random_state).values()))
    tables = evaluation_rows(zoo)
    leading = leading_columns_of_rows(tables)
    tasks = {}  # key -> (table, splits, leading columns)
    for name, (table, lead) in _ablated_tables(zoo).items():
        tasks["ablation", name, None] = (table, splits, lead)
    curves = _thinned_splits(zoo.groups, splits, random_state)
    for row in STUDIED_ROWS:
        for (what, step), thinned in curves.items():
            tasks[what, row, step] = (tables[row], thinned, leading.get(row))
    gains_known = measured_gains(zoo.columns)
    workers = joblib.Parallel(n_jobs=n_jobs, max_nbytes=None)
    scores = workers(
        joblib.delayed(_score)(estimator, table, target, zoo.groups, gains_known, some, lead)
        for table, some, lead in tasks.values()
    )
    found = dict(zip(tasks, scores, strict=True))
    curve = {
        what: {
            row: [
                [_mean_size(zoo.groups, curves[what, step], what), found[what, row, step]]
                for kind, step in curves
                if kind == what
            ]
            for row in STUDIED_ROWS
        }
        for what in ("n_datasets", "n_networks")
    }
    advised = ADVISED_ROWS if has_longer(zoo.columns) else STUDIED_ROWS
    curve_row = training_curve_row(zoo)
    if has_longer(zoo.columns) and curve_row is not None:
        tables["training_curve"] = curve_row
        advised = ("training_curve", *advised)
    predicted = {}
    if _learnable(target, zoo.groups, splits):
        answers = workers(
            joblib.delayed(predict_left_out)(
                tables[row], zoo.columns, target, zoo.groups, splits, leading.get(row)
            )
            for row in advised
        )
        predicted = dict(zip(advised, answers, strict=True))
    unknown = {name: {"spearman": None, "coverage": None} for name in GAINS}
    return {
        "ablation": {name: value for (what, name, _), value in found.items() if what == "ablation"},
        "learning_curve": curve,
        "gains": {
            row: gain_figures(predicted[row], zoo.columns) if row in predicted else unknown
            for row in STUDIED_ROWS
        },
        "advice": score_advice_of_four(zoo, predicted, splits, random_state=random_state),
        "gain_ceiling": gain_ceiling(zoo, splits, random_state),
    }


def gain_figures(left_out, columns):
    """Compare predicted with measured gains.

    Parameters
    ----------
    left_out : LeftOut
        Predictions for networks of unseen data sets.
    columns : dict of str to ndarray of shape (n_networks,)
        With the measured gains.

    Returns
    -------
    figures : dict of str to dict
        For each of `GAINS`, and for `LONGER` where it was measured, the ``spearman`` between
        predicted and measured gains, and the ``coverage`` of the 90 % interval; None where there is
        nothing to compare.
    """
    figures = {}
    for k, name in enumerate(THREE_GAINS):
        measured = columns.get(name, np.array([np.nan]))
        if name == LONGER and not np.isfinite(measured).any():
            continue
        predicted, (low, high) = left_out.gains[:, k], left_out.intervals[:, k].T
        asked = np.isfinite(predicted) & np.isfinite(measured)
        held = (low <= measured) & (measured <= high)
        figures[name] = {"spearman": None, "coverage": None}
        if asked.any():
            figures[name] = {
                "spearman": rank_correlation(predicted[asked], measured[asked]),
                "coverage": float(held[asked].mean()),
            }
    return figures


def _learnable(target, groups, splits):
    """Whether each split has two diagnoses, and two data sets, to learn from."""
    return all(
        min(len(np.unique(target[train])), len(np.unique(groups[train]))) > 1 for train, _ in splits
    )


def _ablated_tables(zoo):
    """Features with families left out, or alone; of layers or the net alone; and what leads."""
    variants = {"all": {}}
    for family in FAMILIES:
        variants[f"only {family}"] = {"families": (family,)}
        rest = tuple(name for name in FAMILIES if name != family)
        variants[f"without {family}"] = {"families": rest}
    variants["single layers, no whole net"] = {"include_network": False}
    variants["whole net, no single layers"] = {"pooling": ()}
    found = {}
    for name, settings in variants.items():
        features = SpectralFeatures(**settings)
        found[name] = (features.fit(zoo.tables).transform(zoo.tables), leading_columns(features))
    return found


def _thinned_splits(groups, splits, random_state):
    """The splits with fewer data sets, or fewer networks of each, to learn from."""
    curves = {}
    most = min(len(np.unique(groups[train])) for train, _ in splits)
    for step in [*(step for step in DATASET_STEPS if step < most), None]:
        rng = np.random.default_rng(random_state)
        curves["n_datasets", step] = [
            (_some_groups(train, groups, step, rng), test) for train, test in splits
        ]
    for share in (*NETWORK_SHARES, 1.0):
        rng = np.random.default_rng(random_state)
        curves["n_networks", share] = [
            (rng.permutation(train)[: max(2, round(share * len(train)))], test)
            for train, test in splits
        ]
    return curves


def _some_groups(train, groups, number, rng):
    """The networks of some data sets drawn at random."""
    kept = rng.permutation(np.unique(groups[train]))[:number]
    return train[np.isin(groups[train], kept)]


def _mean_size(groups, splits, what):
    """Mean number of data sets, or of networks, to learn from."""
    if what == "n_networks":
        return float(np.mean([len(train) for train, _ in splits]))
    return float(np.mean([len(np.unique(groups[train])) for train, _ in splits]))


def _score(estimator, table, target, groups, gains, splits, leading):
    """Balanced accuracy of one classifier on one table; None where there is too little."""
    if not _learnable(target, groups, splits):
        return None
    classes = np.array(DIAGNOSES)
    predicted = np.empty(len(target), dtype=classes.dtype)
    for train, test in splits:
        known = measured_gains(gains, train)
        fitted = fit_classifier(
            estimator, table[train], target[train], groups[train], known, leading
        )
        answers = align_probabilities(fitted, table[test], classes)
        predicted[test] = classes[answers.argmax(axis=1)]
    asked = np.concatenate([test for _, test in splits])
    return balanced_accuracy(target[asked], predicted[asked])

"""Evaluate the diagnosis on data sets that it has never seen, beside what people use today."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.metrics import (
    confusion_matrix,
    f1_score,
    log_loss,
    recall_score,
)
from sklearn.model_selection import StratifiedGroupKFold

from hessdiag.diagnosis import TableClassifier
from hessdiag.features import SpectralFeatures

N_FOLDS = 7
N_BOOTSTRAP = 1000

ROW_TITLES = {
    "dummy": "dummy (most frequent)",
    "train_loss_sizes": "training loss + sizes",
    "validation": "validation set + training loss + sizes",
    "hessdiag": "hessdiag",
    "hessdiag_validation": "hessdiag + validation set",
}


def evaluation_rows(zoo):
    """Make the table of each row of the evaluation.

    Parameters
    ----------
    zoo : Bunch
        As from `load_reference_zoo`.

    Returns
    -------
    tables : dict of str to ndarray of shape (n_networks, n_columns)
        What each row may know of a network. No row but those named after it holds anything of the
        validation set, and none anything of the test set.
    """
    columns = zoo.columns
    context = SpectralFeatures(families=("context",)).fit(zoo.tables).transform(zoo.tables)
    train_loss = columns["train_loss"] / columns["null_loss"]
    valid_loss = columns["valid_loss"] / columns["null_loss"]
    validation = np.column_stack(
        [
            valid_loss,
            columns["valid_error"],
            valid_loss - train_loss,
            columns["valid_error"] - columns["train_error"],
        ]
    )
    return {
        "dummy": np.zeros((len(context), 1)),
        "train_loss_sizes": context,
        "validation": np.column_stack([context, validation]),
        "hessdiag": zoo.data,
        "hessdiag_validation": np.column_stack([zoo.data, validation]),
    }


def evaluate_zoo(zoo, estimator=None, n_folds=N_FOLDS, random_state=0):
    """Cross-validate every row with whole data sets left out.

    Parameters
    ----------
    zoo : Bunch
        As from `load_reference_zoo`.
    estimator : sklearn classifier or None, default=None
        The classifier of every row but the dummy; None takes a `TableClassifier`.
    n_folds : int, default=7
        Folds; no data set is in two of them.
    random_state : int, default=0
        Seed of folds, classifier and bootstrap.

    Returns
    -------
    result : dict
        JSON: ``protocols`` -> ``leave_datasets_out`` -> ``rows`` -> figures of each row, with
        ``n_networks``, ``n_datasets``, ``label_reliability`` and the table's provenance.

    Raises
    ------
    ValueError
        If there are fewer data sets than folds.
    """
    n_datasets = len(np.unique(zoo.groups))
    if not 2 <= n_folds <= n_datasets:
        raise ValueError(
            f"Expected between 2 folds and as many as there are data sets ({n_datasets}), found "
            f"{n_folds}. Ask for fewer folds, or build a zoo on more data sets."
        )
    if estimator is None:
        estimator = TableClassifier(n_jobs=-1, random_state=random_state)
    target = np.asarray(zoo.target).astype(str)
    classes = np.unique(target)
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=random_state)
    splits = list(folds.split(target, target, zoo.groups))
    rows = {}
    for name, table in evaluation_rows(zoo).items():
        model = DummyClassifier(strategy="prior") if name == "dummy" else estimator
        probabilities = np.zeros((len(target), len(classes)))
        for train, test in splits:
            fitted = clone(model).fit(table[train], target[train])
            # In a small zoo a diagnosis may be missing from the training part of a fold.
            columns = np.searchsorted(classes, fitted.classes_)
            probabilities[np.ix_(test, columns)] = fitted.predict_proba(table[test])
        rows[name] = score_row(target, probabilities, classes, zoo.groups, random_state)
    return {
        "protocols": {"leave_datasets_out": {"n_folds": n_folds, "rows": rows}},
        "label_reliability": zoo.provenance.get("label_reliability"),
        "n_networks": len(target),
        "n_datasets": n_datasets,
        "provenance": zoo.provenance,
    }


def score_row(target, probabilities, classes, groups, random_state=0):
    """Score one row's out-of-fold probabilities.

    Parameters
    ----------
    target : ndarray of str of shape (n_networks,)
        Diagnoses.
    probabilities : ndarray of shape (n_networks, n_classes)
        Out-of-fold probabilities.
    classes : ndarray of str of shape (n_classes,)
        Classes of the columns.
    groups : ndarray of shape (n_networks,)
        Data sets, the unit of the bootstrap.
    random_state : int, default=0
        Seed of the bootstrap.

    Returns
    -------
    scores : dict
        ``balanced_accuracy`` with a 95 % bootstrap ``interval`` over data sets, ``macro_f1``,
        ``log_loss``, ``ece``, ``recall`` by class, ``surer_half`` (balanced accuracy on the half
        of the networks with the highest confidence), ``confusion``.
    """
    predicted = classes[probabilities.argmax(axis=1)]
    confidence = probabilities.max(axis=1)
    surer = confidence >= np.median(confidence)
    recall = recall_score(target, predicted, labels=classes, average=None, zero_division=0)
    return {
        "balanced_accuracy": balanced_accuracy(target, predicted),
        "interval": bootstrap_interval(target, predicted, groups, random_state),
        "macro_f1": float(f1_score(target, predicted, average="macro", zero_division=0)),
        "log_loss": float(log_loss(target, probabilities, labels=classes)),
        "ece": expected_calibration_error(target == predicted, confidence),
        "recall": {str(c): float(value) for c, value in zip(classes, recall, strict=True)},
        "surer_half": balanced_accuracy(target[surer], predicted[surer]),
        "confusion": confusion_matrix(target, predicted, labels=classes).tolist(),
    }


def balanced_accuracy(target, predicted):
    """Mean recall of the classes in `target`, without a warning where others were predicted.

    Parameters
    ----------
    target, predicted : ndarray of str of shape (n_networks,)
        Diagnoses.

    Returns
    -------
    score : float
        Between 0 and 1.
    """
    labels = np.unique(target)
    recalls = recall_score(target, predicted, labels=labels, average=None, zero_division=0)
    return float(recalls.mean())


def bootstrap_interval(target, predicted, groups, random_state=0, n_bootstrap=N_BOOTSTRAP):
    """95 % interval of the balanced accuracy, resampling whole data sets.

    Parameters
    ----------
    target, predicted : ndarray of str of shape (n_networks,)
        Diagnoses.
    groups : ndarray of shape (n_networks,)
        Data sets.
    random_state : int, default=0
        Seed.
    n_bootstrap : int, default=1000
        Resamples.

    Returns
    -------
    interval : list of float
        Lower and upper end.
    """
    rng = np.random.default_rng(random_state)
    classes = np.unique(target)
    names, index = np.unique(groups, return_inverse=True)
    # Per data set and class: how many there are, and how many were right; resamples are sums.
    shape = (len(names), len(classes))
    total, right = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (index, np.searchsorted(classes, target)), 1)
    np.add.at(right, (index, np.searchsorted(classes, target)), target == predicted)
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=n_bootstrap)
    totals = draws @ total
    recalls = (draws @ right)[(totals > 0).all(1)] / totals[(totals > 0).all(1)]
    return np.quantile(recalls.mean(axis=1), [0.025, 0.975]).tolist()


def expected_calibration_error(right, confidence, n_bins=10):
    """Mean distance of confidence from the share of right answers, over bins of confidence.

    ECE = sum_b (n_b / n) |mean confidence in bin b - share of right answers in bin b| [1]_.

    Parameters
    ----------
    right : ndarray of bool of shape (n_networks,)
        Whether the answer was right.
    confidence : ndarray of shape (n_networks,)
        Probability of the answer.
    n_bins : int, default=10
        Bins of equal width.

    Returns
    -------
    ece : float
        Between 0 and 1.

    References
    ----------
    .. [1] Guo et al. (2017). On calibration of modern neural networks. ICML.
    """
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=n_bins)
    return float(np.abs(gaps).sum() / len(confidence))


def format_evaluation(result):
    """Write an evaluation as a plain-text table.

    Parameters
    ----------
    result : dict
        As from `evaluate_zoo`.

    Returns
    -------
    text : str
        The table.
    """
    rows = result["protocols"]["leave_datasets_out"]["rows"]
    classes = list(next(iter(rows.values()))["recall"])
    lines = [
        f"Leave data sets out: {result['n_networks']} networks, {result['n_datasets']} data sets, "
        f"{result['protocols']['leave_datasets_out']['n_folds']} folds",
        f"{'':38s} {'balanced':>8s} {'95 % interval':>15s} {'macro':>6s} {'log':>6s} "
        f"{'':>5s} {'surer':>6s}  recall",
        f"{'row':38s} {'accuracy':>8s} {'over data sets':>15s} {'F1':>6s} {'loss':>6s} "
        f"{'ECE':>5s} {'half':>6s}  " + " / ".join(classes),
    ]
    for name, scores in rows.items():
        low, high = scores["interval"]
        recall = " / ".join(f"{scores['recall'][c]:.2f}" for c in classes)
        lines.append(
            f"{ROW_TITLES[name]:38s} {scores['balanced_accuracy']:8.3f} "
            f"{f'{low:.3f} - {high:.3f}':>15s} {scores['macro_f1']:6.3f} "
            f"{scores['log_loss']:6.3f} {scores['ece']:5.3f} {scores['surer_half']:6.3f}  {recall}"
        )
    reliability = result["label_reliability"]
    if reliability is not None:
        lines.append(
            f"Label reliability (labels from disjoint halves of the seeds): {reliability:.3f}"
        )
    return "\n".join(lines)

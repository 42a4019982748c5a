"""Figures of one row of the evaluation."""

from __future__ import annotations

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import confusion_matrix, f1_score, log_loss, recall_score, roc_auc_score

from hessdiag.diagnosis import coverage_accuracy_curve

N_BOOTSTRAP = 1000


def score_row(target, probabilities, classes, groups, random_state=0, sure=None):
    """Score one row's out-of-fold probabilities.

    Parameters
    ----------
    target : ndarray of str of shape (n_networks,)
        Diagnoses.
    probabilities : ndarray of shape (n_networks, n_classes)
        Out-of-fold probabilities.
    classes : ndarray of str of shape (n_classes,)
        Classes of the columns, sorted.
    groups : ndarray of shape (n_networks,)
        Data sets, the unit of the bootstrap.
    random_state : int, default=0
        Seed of the bootstrap.
    sure : ndarray of bool of shape (n_networks,) or None, default=None
        Whose label is certain; None leaves out the figure for them.

    Returns
    -------
    scores : dict
        ``balanced_accuracy`` with a 95 % bootstrap ``interval`` over data sets, ``macro_f1``,
        ``log_loss``, ``ece``, ``recall`` by class (None where the class does not occur),
        ``coverage`` (balanced accuracy on the surest 10, 20, ... 100 %: the fewest networks of the
        highest confidence that make up the share), ``surer_half`` (that at 50 %), ``sure_labels``
        (balanced accuracy where the label is certain), ``confusion``, ``n_networks``.
    """
    predicted = classes[probabilities.argmax(axis=1)]
    confidence = probabilities.max(axis=1)
    recall = recall_score(target, predicted, labels=classes, average=None, zero_division=np.nan)
    surest = accuracy_of_surest(target, probabilities, classes)
    scores = {
        "balanced_accuracy": balanced_accuracy(target, predicted),
        "interval": bootstrap_interval(target, predicted, groups, random_state),
        "macro_f1": float(f1_score(target, predicted, average="macro", zero_division=0)),
        "log_loss": float(log_loss(target, probabilities, labels=classes)),
        "ece": expected_calibration_error(target == predicted, confidence),
        "recall": {
            str(name): None if np.isnan(value) else float(value)
            for name, value in zip(classes, recall, strict=True)
        },
        "surer_half": surest["0.5"],
        "coverage": surest,
    }
    if sure is not None:
        found = balanced_accuracy(target[sure], predicted[sure]) if sure.any() else None
        scores["sure_labels"] = found
    return scores | {
        "confusion": confusion_matrix(target, predicted, labels=classes).tolist(),
        "n_networks": len(target),
    }


def accuracy_of_surest(target, probabilities, classes, confidence=None):
    """Balanced accuracy on the surest 10, 20, ... 100 %.

    Parameters
    ----------
    target : ndarray of str of shape (n_networks,)
        Diagnoses.
    probabilities : ndarray of shape (n_networks, n_classes)
        Out-of-fold probabilities.
    classes : ndarray of str of shape (n_classes,)
        Classes of the columns, sorted.
    confidence : ndarray of shape (n_networks,) or None, default=None
        As for `coverage_accuracy_curve`.

    Returns
    -------
    surest : dict of str to float
        By share: that of the fewest networks of the highest confidence that make it up.
    """
    coverage, accuracy, _ = coverage_accuracy_curve(target, probabilities, classes, confidence)
    return {
        f"{share:.1f}": float(accuracy[np.searchsorted(coverage, share - 1e-9)])
        for share in np.arange(1, 11) / 10
    }


def rank_errors(target, probabilities, classes, domain):
    """Say how well doubt tells wrong answers from right ones.

    Parameters
    ----------
    target : ndarray of str of shape (n_networks,)
        Diagnoses.
    probabilities : ndarray of shape (n_networks, n_classes)
        Out-of-fold probabilities.
    classes : ndarray of str of shape (n_classes,)
        Classes of the columns, sorted.
    domain : ndarray of shape (n_networks,)
        Domain scores; NaN where there is none, of which nothing is said then.

    Returns
    -------
    figures : dict
        ``n_networks``, ``wrong`` (share of wrong answers), ``doubt`` (what the probabilities say
        that it is), ``outside`` (share with a domain score above 1); by ``probability`` (1 less
        that of the answer) and by ``domain`` each the ``auroc``, the probability that a wrong
        answer is doubted more than a right one (None where all are right or all wrong), and the
        ``coverage``, as from `accuracy_of_surest`.
    """
    doubt = 1 - probabilities.max(axis=1)
    wrong = classes[probabilities.argmax(axis=1)] != target
    known = bool(np.isfinite(domain).all())
    figures = {
        "n_networks": len(target),
        "wrong": float(wrong.mean()),
        "doubt": float(doubt.mean()),
        "outside": float((domain > 1).mean()) if known else None,
        "domain": {"auroc": None, "coverage": None},
    }
    for name, own in (("probability", doubt), *([("domain", domain)] if known else ())):
        figures[name] = {
            "auroc": float(roc_auc_score(wrong, own)) if 0 < wrong.sum() < len(wrong) else None,
            "coverage": accuracy_of_surest(target, probabilities, classes, -own),
        }
    return figures


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

    A resample that lacks a class counts the classes that it has.

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
    recalls = np.divide(draws @ right, totals, out=np.zeros_like(totals), where=totals > 0)
    scores = recalls.sum(axis=1) / (totals > 0).sum(axis=1)
    return np.quantile(scores, [0.025, 0.975]).tolist()


def bootstrap_mean(values, groups, random_state=0, n_bootstrap=N_BOOTSTRAP):
    """95 % interval of a mean, resampling whole data sets.

    Parameters
    ----------
    values : ndarray of float of shape (n_networks,)
        What is averaged; finite.
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
    names, index = np.unique(groups, return_inverse=True)
    sums = np.bincount(index, weights=values, minlength=len(names))
    counts = np.bincount(index, minlength=len(names))
    rng = np.random.default_rng(random_state)
    draws = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=n_bootstrap)
    return np.quantile(draws @ sums / (draws @ counts), [0.025, 0.975]).tolist()


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


def rank_correlation(predicted, measured):
    """Spearman correlation; None where one side is constant.

    Parameters
    ----------
    predicted, measured : ndarray of float of shape (n_networks,)
        What is compared.

    Returns
    -------
    correlation : float or None
        Between -1 and 1.
    """
    if min(np.ptp(predicted), np.ptp(measured)) == 0:
        return None
    return float(spearmanr(predicted, measured).statistic)

"""What abstention buys: accuracy against the share of networks that get an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_consistent_length

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def coverage_accuracy_curve(
    y_true: ArrayLike,
    probabilities: ArrayLike,
    classes: ArrayLike,
    confidence: ArrayLike | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Balanced accuracy of the answers above a confidence, for every confidence.

    Parameters
    ----------
    y_true : array-like of shape (n_networks,)
        True diagnoses.
    probabilities : array-like of shape (n_networks, n_classes)
        Probabilities; the most probable class is the answer, its probability the confidence.
    classes : array-like of shape (n_classes,)
        Classes of the columns.
    confidence : array-like of shape (n_networks,) or None, default=None
        How sure each answer is by something else, as ``-diagnoser.domain_score(cases)``; None takes
        the probability of the answer.

    Returns
    -------
    coverage : ndarray of shape (n_thresholds,)
        Share of networks whose confidence is at least the threshold, increasing to 1.
    balanced_accuracy : ndarray of shape (n_thresholds,)
        Mean recall among those, over the classes that are present among them.
    threshold : ndarray of shape (n_thresholds,)
        Distinct confidences, decreasing: candidates for `FitDiagnoser`'s `min_confidence`.

    Raises
    ------
    ValueError
        If shapes do not fit, if there are no networks, or a confidence is NaN.

    References
    ----------
    .. [1] El-Yaniv, Wiener (2010). On the foundations of noise-free selective classification.
       JMLR 11.

    Examples
    --------
    >>> from hessdiag.diagnosis import coverage_accuracy_curve
    >>> probabilities = [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]
    >>> curve = coverage_accuracy_curve(["a", "a", "b"], probabilities, ["a", "b"])
    >>> [part.round(2).tolist() for part in curve]
    [[0.33, 0.67, 1.0], [1.0, 1.0, 0.75], [0.9, 0.8, 0.6]]
    """
    y_true, classes = np.asarray(y_true), np.asarray(classes)
    probabilities = np.asarray(probabilities, dtype=float)
    check_consistent_length(y_true, probabilities)
    if len(y_true) == 0 or probabilities.shape != (len(y_true), len(classes)):
        raise ValueError(
            f"Expected probabilities of shape ({len(y_true)}, {len(classes)}), a row for each of "
            f"one or more networks and a column for each class, found {probabilities.shape}. "
            "Pass them as from predict_proba, with its classes_."
        )
    if confidence is None:
        confidence = probabilities.max(axis=1)
    confidence = np.asarray(confidence, dtype=float)
    if confidence.shape != y_true.shape or np.isnan(confidence).any():
        raise ValueError(
            f"Expected a confidence for each of {len(y_true)} networks, found shape "
            f"{confidence.shape} with {int(np.isnan(confidence).sum())} NaN. Leave out networks "
            "that were not examined."
        )
    right = classes[probabilities.argmax(axis=1)] == y_true
    order = np.argsort(-confidence, kind="stable")
    labels = np.unique(y_true)
    members = y_true[order, None] == labels
    total = members.cumsum(axis=0)
    hits = (members & right[order, None]).cumsum(axis=0)
    recall = np.where(total > 0, hits / np.maximum(total, 1), np.nan)
    accuracy = np.nanmean(recall, axis=1)
    # Networks of equal confidence are answered together.
    last = np.flatnonzero(np.append(np.diff(confidence[order]) != 0, True))
    return (last + 1) / len(y_true), accuracy[last], confidence[order][last]

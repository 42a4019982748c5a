"""How common each diagnosis is where a diagnoser is used, and what that makes of probabilities.

With probabilities p_k that hold where class k has the share b_k, those that hold where it has the
share q_k are ``p_k q_k / b_k`` over their sum [1]_: what is seen of a network of class k does not
depend on how common the class is.

References
----------
.. [1] Saerens, Latinne, Decaestecker (2002). Adjusting the outputs of a classifier to new a priori
   probabilities: a simple procedure. Neural Computation 14.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_class_weight


def check_class_prior(class_prior: Mapping[str, float], classes: np.ndarray) -> np.ndarray:
    """Check the shares of diagnoses that a user expects.

    Parameters
    ----------
    class_prior : mapping of str to float
        A positive number for each class; their sum does not matter.
    classes : ndarray of str of shape (n_classes,)
        The classes.

    Returns
    -------
    shares : ndarray of shape (n_classes,)
        In the order of the classes, with sum 1.

    Raises
    ------
    ValueError
        If a class is missing or unknown, or a number is not positive and finite.
    """
    names = [str(name) for name in classes]
    if set(class_prior) != set(names):
        raise ValueError(
            f"Expected a share for each of {names} in class_prior, found {sorted(class_prior)}. "
            "Name each of them once."
        )
    shares = [class_prior[name] for name in names]
    for name, share in zip(names, shares, strict=True):
        number = isinstance(share, Real) and not isinstance(share, bool)
        if not (number and np.isfinite(share) and share > 0):
            raise ValueError(
                f"Expected positive numbers in class_prior, found {share!r} for {name!r}. What is "
                "never met is best given a small one."
            )
    found = np.array(shares, dtype=float)
    return found / found.sum()


def prior_of_fit(estimator: Any, y: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return the shares of classes at which a classifier's probabilities hold.

    Parameters
    ----------
    estimator : sklearn classifier
        Its ``class_weight``, where it has one, says how much the networks of each class weigh.
    y : ndarray of shape (n_networks,)
        What it was fitted on.
    classes : ndarray of shape (n_classes,)
        The classes.

    Returns
    -------
    shares : ndarray of shape (n_classes,)
        Their frequencies in `y` times their weights, with sum 1.
    """
    counts = np.array([(y == name).sum() for name in classes], dtype=float)
    weights = getattr(estimator, "class_weight", None)
    shares = counts * compute_class_weight(weights, classes=classes, y=y)
    return shares / shares.sum()


def at_prior(probabilities: np.ndarray, shares: np.ndarray, of_fit: np.ndarray) -> np.ndarray:
    """Turn probabilities at some shares of classes into those at others.

    Parameters
    ----------
    probabilities : ndarray of shape (n, n_classes)
        Those at `of_fit`.
    shares, of_fit : ndarray of shape (n_classes,)
        Shares of the classes.

    Returns
    -------
    probabilities : ndarray of shape (n, n_classes)
        Those at `shares`.
    """
    raised = probabilities * (shares / of_fit)
    return raised / raised.sum(axis=1, keepdims=True)


def note_of_prior(shares: np.ndarray, classes: np.ndarray, before: np.ndarray) -> str:
    """Say what probabilities rest on.

    Parameters
    ----------
    shares : ndarray of shape (n_classes,)
        Shares of the classes that were expected.
    classes : ndarray of str of shape (n_classes,)
        The classes.
    before : ndarray of shape (n_classes,)
        Probabilities of a network by the reference alone.

    Returns
    -------
    note : str
        A sentence.
    """

    def listed(values):
        return ", ".join(f"{name} {value:.0%}" for name, value in zip(classes, values, strict=True))

    return (
        f"Probabilities are for networks among which class_prior expects {listed(shares)}; by the "
        f"reference alone they are {listed(before)}."
    )

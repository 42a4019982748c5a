"""The rule that turns measured gains into a diagnosis: the single place where it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import ndtr, ndtri

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

#: Constraining the network lowers its held-out loss.
OVERFITTING = "overfitting"
#: Widening the network does.
UNDERPARAMETERIZED = "underparameterized"
#: Neither does by enough.
WELL_FIT = "well-fit"

#: The diagnoses, in the alphabetical order that classifiers use.
DIAGNOSES = (OVERFITTING, UNDERPARAMETERIZED, WELL_FIT)

#: A change that lowers held-out loss by less than this share of the null loss is not worth making.
DELTA = 0.05

# Nodes for the probability of one diagnosis: 32 give it to 0.01.
_N_NODES = 32


def label_gains(
    gain_widening: ArrayLike, gain_constraining: ArrayLike, delta: float = DELTA
) -> np.ndarray:
    """Name the diagnosis that measured gains stand for.

    A network is well-fit if neither intervention gains at least `delta`; otherwise the larger gain
    names it: `underparameterized` if widening gains more, `overfitting` if constraining does.

    Parameters
    ----------
    gain_widening : array-like of shape (n_networks,)
        Fall of the held-out loss through widening, in units of the task's null loss.
    gain_constraining : array-like of shape (n_networks,)
        The same for constraining (narrower, more weight decay, or an earlier checkpoint).
    delta : float, default=0.05
        Smallest gain that counts.

    Returns
    -------
    diagnoses : ndarray of str of shape (n_networks,)
        The diagnosis of each network.

    Raises
    ------
    ValueError
        If a gain is NaN or infinite.

    Examples
    --------
    >>> from hessdiag.labels import label_gains
    >>> label_gains([0.3, 0.0, 0.01], [0.1, 0.2, -0.02]).tolist()
    ['underparameterized', 'overfitting', 'well-fit']
    """
    widening = np.asarray(gain_widening, dtype=float)
    constraining = np.asarray(gain_constraining, dtype=float)
    n_missing = int((~np.isfinite(widening)).sum() + (~np.isfinite(constraining)).sum())
    if n_missing:
        raise ValueError(
            f"Expected finite gains, found {n_missing} that are NaN or infinite. "
            "Leave out networks whose gains were not measured."
        )
    unhealthy = np.where(widening > constraining, UNDERPARAMETERIZED, OVERFITTING)
    return np.where(np.maximum(widening, constraining) < delta, WELL_FIT, unhealthy)


def is_unsure(
    gain_widening: ArrayLike,
    gain_constraining: ArrayLike,
    error_widening: ArrayLike,
    error_constraining: ArrayLike,
    delta: float = DELTA,
) -> np.ndarray:
    """Say which labels could change within one standard error of the gains.

    Parameters
    ----------
    gain_widening, gain_constraining : array-like of shape (n_networks,)
        Measured gains.
    error_widening, error_constraining : array-like of shape (n_networks,)
        Their standard errors.
    delta : float, default=0.05
        Smallest gain that counts.

    Returns
    -------
    unsure : ndarray of bool of shape (n_networks,)
        True where moving either gain by its standard error gives another diagnosis.
    """
    widening, constraining = np.asarray(gain_widening), np.asarray(gain_constraining)
    error_w = np.nan_to_num(np.asarray(error_widening))
    error_c = np.nan_to_num(np.asarray(error_constraining))
    label = label_gains(widening, constraining, delta)
    unsure = np.zeros(label.shape, dtype=bool)
    for sign_w in (-1, 1):
        for sign_c in (-1, 1):
            moved = label_gains(widening + sign_w * error_w, constraining + sign_c * error_c, delta)
            unsure |= moved != label
    return unsure


def label_probabilities(gains: ArrayLike, errors: ArrayLike, delta: float = DELTA) -> np.ndarray:
    """Give the probability of each diagnosis, where gains were measured with errors.

    True gains are taken to be normally distributed about the measured ones, independently, with
    the standard errors as standard deviations; the probability of a diagnosis is that of the
    region where `label_gains` names it.

    Parameters
    ----------
    gains : array-like of shape (n_networks, 2)
        Measured gains of widening and of constraining.
    errors : array-like of shape (n_networks, 2)
        Their standard errors; NaN where one is not known, which counts as 0.
    delta : float, default=0.05
        Smallest gain that counts.

    Returns
    -------
    probabilities : ndarray of shape (n_networks, 3)
        Columns in the order of `DIAGNOSES`; rows sum to 1.

    Examples
    --------
    >>> from hessdiag.labels import label_probabilities
    >>> label_probabilities([[0.0, 0.05]], [[0.0, 0.1]]).round(3).tolist()
    [[0.5, 0.0, 0.5]]
    """
    widening, constraining = np.asarray(gains, dtype=float).T[:, :, None]
    # An error of 0 is a step, which a slope too steep to see stands for.
    error_w, error_c = np.maximum(np.nan_to_num(np.asarray(errors, dtype=float)), 1e-9).T[..., None]
    nodes, weights = np.polynomial.legendre.leggauss(_N_NODES)

    def larger(own, error, other, other_error):
        """Probability that one gain is at least delta, and the other is below it."""
        start = ndtr((delta - own) / error)
        level = start + (1 - start) * (nodes + 1) / 2
        value = own + error * ndtri(np.clip(level, 1e-300, 1 - 1e-16))
        return ((1 - start) * ndtr((value - other) / other_error) @ (weights / 2)[:, None])[:, 0]

    well = ndtr((delta - widening) / error_w) * ndtr((delta - constraining) / error_c)
    over = larger(constraining, error_c, widening, error_w)
    under = larger(widening, error_w, constraining, error_c)
    # Up to the error of the quadrature they sum to 1; ties go to overfitting, as in the rule.
    probabilities = np.column_stack([over, under, well[:, 0]])
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def nearest_gains(gains: ArrayLike, diagnoses: ArrayLike, delta: float = DELTA) -> np.ndarray:
    """Move gains as little as it takes for the rule to give them the diagnosis that is named.

    The gains that carry a diagnosis are a convex region of the plane; this is the projection on
    it. Where the rule names the diagnosis already, nothing moves.

    Parameters
    ----------
    gains : array-like of shape (n_networks, 2)
        Gains of widening and of constraining.
    diagnoses : array-like of str of shape (n_networks,)
        Diagnoses to agree with.
    delta : float, default=0.05
        Smallest gain that counts.

    Returns
    -------
    gains : ndarray of shape (n_networks, 2)
        ``label_gains(*gains.T, delta)`` is `diagnoses`.

    Examples
    --------
    >>> from hessdiag.labels import nearest_gains
    >>> nearest_gains([[0.02, -0.01], [0.3, 0.1]], ["overfitting", "overfitting"]).round(3).tolist()
    [[0.02, 0.05], [0.2, 0.2]]
    """
    gains = np.array(gains, dtype=float).reshape(-1, 2)
    moved = gains.copy()
    named = np.asarray(diagnoses)
    wrong = label_gains(gains[:, 0], gains[:, 1], delta) != named
    well = wrong & (named == WELL_FIT)
    moved[well] = np.minimum(gains[well], np.nextafter(delta, -np.inf))
    for name, own, other in ((UNDERPARAMETERIZED, 0, 1), (OVERFITTING, 1, 0)):
        rows = wrong & (named == name)
        larger, smaller = gains[rows, own], gains[rows, other]
        # Beyond the diagonal the nearest point lies on it, half way; else only delta is missing.
        middle = np.maximum(delta, (larger + smaller) / 2)
        crossed = smaller > np.maximum(larger, delta)
        moved[rows, own] = np.where(crossed, middle, np.maximum(larger, delta))
        moved[rows, other] = np.minimum(smaller, moved[rows, own])
    # A tie counts as overfitting, so that widening must gain more by a hair.
    tied = wrong & (named == UNDERPARAMETERIZED) & (moved[:, 0] <= moved[:, 1])
    moved[tied, 1] = np.nextafter(moved[tied, 0], -np.inf)
    return moved

"""The rule that turns measured gains into a diagnosis: the single place where it is written."""

from __future__ import annotations

import numpy as np

OVERFITTING = "overfitting"
UNDERPARAMETERIZED = "underparameterized"
WELL_FIT = "well-fit"

#: The diagnoses, in the alphabetical order that classifiers use.
DIAGNOSES = (OVERFITTING, UNDERPARAMETERIZED, WELL_FIT)

#: A change that lowers held-out loss by less than this share of the null loss is not worth making.
DELTA = 0.05


def label_gains(gain_widening, gain_constraining, delta=DELTA):
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
    >>> from hessdiag.diagnosis import label_gains
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


def is_unsure(gain_widening, gain_constraining, error_widening, error_constraining, delta=DELTA):
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

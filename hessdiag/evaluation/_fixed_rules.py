"""Fixed rules in the manner of skore: a diagnosis from training and validation scores alone."""

from __future__ import annotations

import numpy as np

from hessdiag.labels import DIAGNOSES, OVERFITTING, UNDERPARAMETERIZED, WELL_FIT


def apply_fixed_rules(columns):
    """Diagnose networks by skore's automatic checks, which learn nothing.

    The thresholds are those of skore 0.28 [1]_: its check SKD001 (overfitting) fires when training
    scores exceed validation scores by at least max(0.03, 10 % of the latter), SKD002
    (underfitting) when neither training nor validation scores beat those of a dummy by at least
    max(0.01, 5 % of the latter), each in the strict majority of the metrics. The metrics are the
    two that the zoo keeps: log loss and accuracy for classification, mean squared error and R2 for
    regression; the dummy answers uniformly, or with the mean. Like skore, the rules look at the
    validation set.

    Parameters
    ----------
    columns : dict of str to ndarray of shape (n_networks,)
        Columns of the reference table.

    Returns
    -------
    probabilities : ndarray of shape (n_networks, 3)
        In the order of `DIAGNOSES`; certainty, as a rule knows no doubt.

    References
    ----------
    .. [1] skore: automatic diagnostics. https://docs.skore.probabl.ai
    """
    # The error of a regression is the share of variance left unexplained: 1 - R2.
    train, valid = [
        (-columns[f"{part}_loss"], 1 - columns[f"{part}_error"]) for part in ("train", "valid")
    ]
    # ln C is the uniform guess's loss: its accuracy is 1 / C.
    is_regression = columns["kind"] == "regression"
    null_loss = columns["null_loss"]
    dummy = (-null_loss, np.where(is_regression, 0.0, np.exp(-null_loss)))

    # Of two metrics the strict majority is both.
    overfitting = np.all(
        [_exceeds(own, other, 0.03, 0.10) for own, other in zip(train, valid)], axis=0
    )
    underfitting = np.all(
        [
            ~_exceeds(own, baseline, 0.01, 0.05) & ~_exceeds(other, baseline, 0.01, 0.05)
            for own, other, baseline in zip(train, valid, dummy)
        ],
        axis=0,
    )
    named = np.where(underfitting, UNDERPARAMETERIZED, WELL_FIT)
    named = np.where(overfitting, OVERFITTING, named)
    return (named[:, None] == np.array(DIAGNOSES)).astype(float)


def _exceeds(score, baseline, floor, fraction):
    """Whether a score beats a baseline by more than a margin that grows with the baseline."""
    return score - baseline >= np.maximum(floor, fraction * np.abs(baseline))

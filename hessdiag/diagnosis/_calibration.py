"""From what a regression predicts for data sets left out to probabilities, kernel by kernel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from hessdiag.diagnosis._kernel_regression import Regression
from hessdiag.labels import DIAGNOSES, label_gains, label_probabilities


class Candidate(NamedTuple):
    """One kernel: its regression, and the calibration of what that left out."""

    gamma: float
    share: float | None
    nearest: np.ndarray
    solved: Regression
    scale: np.ndarray
    calibration: LogisticRegression
    loss: float


def column_scale(leading, share):
    """Factors that make the mean squared difference ``share`` that of the leading columns."""
    if leading is None:
        return 1.0
    n, n_leading = len(leading), leading.sum()
    return np.sqrt(np.where(leading, share * n / n_leading, (1.0 - share) * n / (n - n_leading)))


def named(classes, indices, gains, errors):
    """Diagnoses as numbers: probabilities where errors of the gains are known, else indicators."""
    indicators = np.eye(len(classes))[indices]
    if errors is None or not np.array_equal(label_gains(*gains.T), classes[indices]):
        return indicators
    shares = label_probabilities(gains, errors)[:, np.isin(DIAGNOSES, classes)]
    return shares / shares.sum(axis=1, keepdims=True)


def calibrate(solved, n_used, y, weight, gamma, share, kernel):
    """Turn left-out predictions into probabilities, and score them."""
    left_out = solved.left_out[:, :n_used]
    scale = left_out.std(axis=0) + 1e-12
    calibration = LogisticRegression(max_iter=1000)
    calibration.fit(left_out / scale, y, sample_weight=weight)
    probabilities = calibration.predict_proba(left_out / scale)
    loss = log_loss(y, probabilities, sample_weight=weight, labels=calibration.classes_)
    nearest = kernel.nearest_left_out_
    return Candidate(gamma, share, nearest, solved, scale, calibration, loss)

"""Fixed rules, case by case from the published thresholds."""

import numpy as np
import pytest

from hessdiag.evaluation._fixed_rules import apply_fixed_rules
from hessdiag.labels import DIAGNOSES

LN2 = np.log(2)


@pytest.mark.parametrize(
    ("kind", "null_loss", "train", "valid", "expected"),
    [
        # (loss, error) in training and validation; a dummy has accuracy 1/2.
        ("classification", LN2, (0.10, 0.02), (0.60, 0.20), "overfitting"),
        ("classification", LN2, (0.30, 0.10), (0.31, 0.11), "well-fit"),
        ("classification", LN2, (0.69, 0.49), (0.70, 0.50), "underparameterized"),
        # A gap in loss alone, or in accuracy alone, is no majority.
        ("classification", LN2, (0.10, 0.10), (0.60, 0.11), "well-fit"),
        ("classification", LN2, (0.30, 0.02), (0.31, 0.20), "well-fit"),
        # A gap below a tenth of a poor score does not count, above the floor though it is.
        ("classification", 2.3, (1.90, 0.50), (2.05, 0.52), "well-fit"),
        # Training clearly better than a dummy, validation not: overfitting, not underfitting.
        ("classification", LN2, (0.30, 0.10), (0.80, 0.50), "overfitting"),
        # Regression: error is the share of variance left unexplained, a dummy's is 1.
        ("regression", 1.0, (0.05, 0.05), (0.60, 0.60), "overfitting"),
        ("regression", 1.0, (0.99, 0.995), (1.00, 1.00), "underparameterized"),
        ("regression", 1.0, (0.30, 0.30), (0.31, 0.31), "well-fit"),
    ],
)
def test_rules(kind, null_loss, train, valid, expected):
    columns = {
        "kind": np.array([kind]),
        "null_loss": np.array([null_loss]),
        "train_loss": np.array([train[0]]),
        "train_error": np.array([train[1]]),
        "valid_loss": np.array([valid[0]]),
        "valid_error": np.array([valid[1]]),
    }
    probabilities = apply_fixed_rules(columns)
    assert probabilities.shape == (1, 3)
    assert probabilities[0, DIAGNOSES.index(expected)] == 1
    assert probabilities.sum() == 1

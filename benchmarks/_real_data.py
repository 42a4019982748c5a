"""Data that are generated, or made of scikit-learn's digits: nothing is downloaded."""

from __future__ import annotations

import numpy as np
from _networks import digits

__all__ = ["many_classes", "noisy_digits", "series", "shapes", "texts"]


def series(n_samples, length, n_channels=3):
    """Draw waves of three forms, at random frequencies and phases, in noise: (N, T, channels)."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=n_samples)
    frequency = rng.uniform(2, 5, (n_samples, 1, n_channels))
    phase = rng.uniform(0, 1, (n_samples, 1, n_channels))
    turns = frequency * np.linspace(0, 1, length)[None, :, None] + phase
    forms = np.stack(
        [np.sin(2 * np.pi * turns), np.sign(np.sin(2 * np.pi * turns)), 2 * (turns % 1) - 1]
    )
    X = forms[y, np.arange(n_samples)] + 0.5 * rng.standard_normal(turns.shape)
    return X.astype(np.float32), y.astype(np.int64)


def texts(n_samples, length, vocabulary, n_classes=4):
    """Draw texts of a subject each, of unequal lengths, as a tokenizer pads and masks them."""
    rng = np.random.default_rng(0)
    y = rng.integers(n_classes, size=n_samples)
    words = 1 + rng.integers(vocabulary - 1, size=(n_samples, length))
    subjects = 1 + rng.integers(vocabulary - 1, size=(n_classes, max(2, vocabulary // 40)))
    chosen = subjects[y[:, None], rng.integers(subjects.shape[1], size=words.shape)]
    words = np.where(rng.random(words.shape) < 0.3, chosen, words)
    ends = rng.integers(length // 2, length + 1, size=n_samples)
    mask = (np.arange(length) < ends[:, None]).astype(np.int64)
    return {"input_ids": words * mask, "attention_mask": mask}, y.astype(np.int64)


def shapes(n_samples, side):
    """Draw a disc and a square into noise; targets say of each pixel which it belongs to."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    X = 0.3 * rng.standard_normal((n_samples, 1, side, side))
    y = np.zeros((n_samples, side, side), dtype=np.int64)
    for image, target in zip(X, y, strict=True):
        for kind in (1, 2):
            centre, radius = rng.uniform(0.2, 0.8, 2) * side, rng.uniform(0.1, 0.25) * side
            away = np.abs(np.stack([rows - centre[0], columns - centre[1]]))
            distance = np.hypot(*away) if kind == 1 else away.max(axis=0)
            target[distance <= radius] = kind
        image[0] += target > 0
    return X.astype(np.float32), y


def noisy_digits(n_samples, side):
    """Return digits in noise, and the digits themselves."""
    clean, _ = digits(n_samples, side)
    noise = np.random.default_rng(0).standard_normal(clean.shape)
    return (clean + 0.3 * noise).astype(np.float32), clean.astype(np.float32)


def many_classes(n_samples, n_classes, n_inputs):
    """Draw points about as many centres as there are classes."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((n_classes, n_inputs))
    y = np.arange(n_samples) % n_classes
    X = centres[y] + 0.5 * rng.standard_normal((n_samples, n_inputs))
    return X.astype(np.float32), y.astype(np.int64)

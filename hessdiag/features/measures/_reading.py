"""Functions of measures: how they read an examination, and on which scale."""

from __future__ import annotations

import numpy as np

FLOOR = 1e-12


def log10(value):
    """log10 of a quantity that cannot be negative, with a floor far below any that matters."""
    return np.log10(max(value, FLOOR)) if np.isfinite(value) else np.nan


def signed_log(value):
    """Logarithmic in both directions and linear near zero, for gains and gaps in loss units."""
    return np.arcsinh(value / 0.05) * 0.05


def bounded(value):
    """Losses between samples have no bound; this one is far above any that matters."""
    return float(np.clip(value, -1e3, 1e3))


def known(layer, name):
    """A statistic; NaN where the layer has none, as where the loss couples samples."""
    return layer.statistics.get(name, np.nan)


def in_units(value, unit):
    """A value in units of another; NaN where there is none, as of a null loss of zero."""
    return value / unit if unit else np.nan


def statistic(name, transform=float, per=None):
    """Function that reads one statistic, in units of a context entry if given, transformed."""

    def read(layer, context):
        value = known(layer, name)
        if per is not None:
            value = in_units(value, context[per])
        return transform(value)

    return read


def ggn(layer):
    """Spectrum of the local GGN; of the Hessian where the loss has no GGN."""
    return layer.spectrum if layer.ggn_spectrum is None else layer.ggn_spectrum


def rank_bound(layer, context):
    """Largest possible rank of the local GGN, or of what random columns show of it."""
    seen = "n_output_columns" if "n_output_columns" in context else "n_outputs"
    return max(1, min(layer.n_params, context["n_samples_examined"] * context[seen]))

"""What computing the spectra of a net will take: per layer the way, time and memory."""

from __future__ import annotations


def plan_spectra(net, X, y):
    """Plan."""
    raise NotImplementedError

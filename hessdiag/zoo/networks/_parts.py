"""Activations and normalizations that the zoo's networks share."""

from __future__ import annotations

import math

from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}

_BATCH_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm1d, 3: nn.BatchNorm2d}


def make_activation(name):
    """Return the module of an activation's name."""
    check_name("activation", name, ACTIVATIONS)
    return ACTIVATIONS[name]()


def make_normalization(name, n_channels, n_axes=1):
    """Return a normalization, or None for "none".

    ``n_axes`` counts the axes of one sample: 1 for vectors, 2 for series of channels, 3 for images.
    Over channels, "layer" normalizes all of a sample at once, as a group norm with one group.
    """
    check_name("normalization", name, ("none", "layer", "batch"))
    if name == "none":
        return None
    if name == "batch":
        return _BATCH_NORMS[n_axes](n_channels)
    return nn.LayerNorm(n_channels) if n_axes == 1 else nn.GroupNorm(1, n_channels)


def check_shape(n_inputs, input_shape, n_axes=None):
    """Raise unless a sample's shape has as many values as the network has inputs."""
    shape = tuple(input_shape or ())
    if (n_axes is not None and len(shape) != n_axes) or math.prod(shape) != n_inputs:
        axes = "" if n_axes is None else f"of {n_axes} axes "
        raise ValueError(
            f"Expected input_shape {axes}with {n_inputs} values in all, found {input_shape}. "
            "Give the shape of one sample before it was flattened, channels first."
        )
    return shape


def holds_tokens(n_inputs, input_shape):
    """Say whether a shape is (vocabulary, length) of token ids, one for each input.

    A series of (channels, length) has as many inputs as values, so that the two are told apart.
    """
    shape = tuple(input_shape or ())
    return len(shape) == 2 and shape[0] > 1 and shape[1] == n_inputs


def refuse_unless(what, name, known, why):
    """Raise if a network has no use for a choice that others have."""
    if name not in known:
        raise ValueError(
            f"Expected {what} {' or '.join(map(repr, known))}, found {name!r}: {why}. "
            "Pass one that it has."
        )


def check_name(what, name, known):
    """Raise if a name is not known."""
    if name not in known:
        raise ValueError(
            f"Expected {what} among {', '.join(known)}, found {name!r}. Pass one of these."
        )

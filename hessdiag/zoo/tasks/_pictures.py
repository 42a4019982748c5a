"""Tasks of photographs and reliefs: those of recipes of practice."""

from __future__ import annotations

import numpy as np

from hessdiag.zoo.sources import read_colors, read_disparity, read_faces, read_picture
from hessdiag.zoo.tasks._dataset import Task, make_classification_dataset, make_regression_dataset
from hessdiag.zoo.tasks._patches import (
    cut_patches,
    make_ahead,
    make_bands,
    make_beside,
    make_blurred,
    make_described,
    make_enlarged,
    make_hidden,
    make_negative,
    make_turned,
    make_which,
)

SURFACES = ("brick", "grass", "gravel")


def _saturation(picture):
    """Return how far the largest of the colors lies above the least."""
    colors = read_colors(picture)
    return colors.max(axis=2) - colors.min(axis=2)


def _redness(picture):
    """Return red less blue."""
    colors = read_colors(picture)
    return colors[:, :, 0] - colors[:, :, 2]


def make_disparity(name, parent, side):
    """Return the same place in two pictures, and by how many pixels things in it lie apart."""
    both = [read_picture("motorcycle_left"), read_picture("motorcycle_right")]
    patches = np.stack([cut_patches(picture, side) for picture in both], axis=1)
    values = cut_patches(read_disparity(), side).mean(axis=(1, 2))
    known = np.isfinite(values)
    return make_regression_dataset(
        name,
        parent,
        patches[known].reshape(known.sum(), -1),
        values[known],
        shape=(2, side, side),
    )


def make_faces(name, parent, quadrants):
    """Return faces, and whether they are; or quarters of faces, and which they are."""
    pictures = read_faces()[:, :24, :24]
    if quadrants:
        parts = pictures[:100].reshape(100, 2, 12, 2, 12).transpose(0, 1, 3, 2, 4).reshape(400, -1)
        labels = np.tile(np.arange(4), 100)
    else:
        parts = pictures.reshape(200, 12, 2, 12, 2).mean(axis=(2, 4)).reshape(200, -1)
        labels = np.repeat([1, 0], 100)
    return make_classification_dataset(name, parent, parts, labels, shape=(1, 12, 12))


def _task(make, parent, **arguments):
    """Return a task of recipes of practice."""
    return Task(parent, make, arguments, plain=False)


def _of(make, parent, **arguments):
    """Return a task of one picture, which bears the parent's name."""
    return _task(make, parent, pictures=(parent,), **arguments)


PICTURE_TASKS = {
    "surfaces": _task(make_which, "surfaces", pictures=SURFACES, side=8),
    "surfaces-distance": _task(
        make_enlarged, "surfaces", pictures=SURFACES, side=10, factors=(1, 2, 3)
    ),
    "surfaces-blurred": _task(
        make_blurred, "surfaces", pictures=SURFACES, side=10, widths=(0.3, 0.8, 1.3, 2.0)
    ),
    "surfaces-brick-turned": _task(
        make_turned, "surfaces", pictures=("brick",), side=14, quarters=(0, 1)
    ),
    "surfaces-grass-turned": _task(
        make_turned, "surfaces", pictures=("grass",), side=12, quarters=(0, 1, 2, 3)
    ),
    "surfaces-gravel-hidden": _task(
        make_hidden, "surfaces", pictures=("gravel",), side=12, hole=4
    ),
    "surfaces-gravel-turned": _task(
        make_turned, "surfaces", pictures=("gravel",), side=12, quarters=(0, 1, 2, 3)
    ),
}
for _name in ("camera", "chelsea", "astronaut", "coffee", "rocket", "ascent", "aero", "grace_hopper", "moon", "coins", "hubble_deep_field", "retina", "ihc", "cell", "page", "text", "china", "flower", "jacksboro"):
    PICTURE_TASKS |= {
    f"{_name}-turned": _of(make_turned, _name, side=12),
    f"{_name}-bands4": _of(make_bands, _name, side=10),
    f"{_name}-distance": _of(make_enlarged, _name, side=8, factors=(1, 2, 3)),
    f"{_name}-blurred": _of(make_blurred, _name, side=10, widths=(0.3, 0.8, 1.3, 2.0)),
    }
PICTURE_TASKS |= {
    "motorcycle": _task(make_disparity, "motorcycle", side=12),
    "faces": _task(make_faces, "faces", quadrants=False),
    "faces-quarters": _task(make_faces, "faces", quadrants=True),
}

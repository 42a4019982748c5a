"""Tasks of photographs and reliefs: those of recipes of practice."""

from __future__ import annotations

import numpy as np

from hessdiag.zoo.sources import read_colors, read_disparity, read_faces, read_picture
from hessdiag.zoo.tasks._dataset import make_image_dataset, practice_task
from hessdiag.zoo.tasks._patches import (
    cut_patches,
    make_ahead,
    make_bands,
    make_beside,
    make_blurred,
    make_described,
    make_enlarged,
    make_hidden,
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
    return make_image_dataset(name, parent, patches[known], values[known], classes=False)


def make_faces(name, parent, quadrants):
    """Return faces, and whether they are; or quarters of faces, and which they are."""
    pictures = read_faces()[:, :24, :24]
    if quadrants:
        parts = pictures[:100].reshape(100, 2, 12, 2, 12).transpose(0, 1, 3, 2, 4)
        parts = parts.reshape(400, 12, 12)
        labels = np.tile(np.arange(4), 100)
    else:
        parts = pictures.reshape(200, 12, 2, 12, 2).mean(axis=(2, 4))
        labels = np.repeat([1, 0], 100)
    return make_image_dataset(name, parent, parts, labels)


def _of(make, parent, **arguments):
    """Return a task of one picture, which bears the parent's name."""
    return practice_task(make, parent, pictures=(parent,), **arguments)


def _beside(parent, measure, side):
    """Return a task of how one picture's patches in grey are colored."""
    return practice_task(make_described, parent, picture=parent, measure=measure, side=side)


#: Standard deviations of the Gaussians that blur, in pixels.
BLURS = (0.3, 0.8, 1.3, 2.0)

PICTURE_TASKS = {
    "surfaces": practice_task(make_which, "surfaces", pictures=SURFACES, side=8),
    "surfaces-distance": practice_task(
        make_enlarged, "surfaces", pictures=SURFACES, side=10, factors=(1, 2, 3)
    ),
    "surfaces-blurred": practice_task(
        make_blurred, "surfaces", pictures=SURFACES, side=10, widths=BLURS
    ),
    "surfaces-brick-turned": practice_task(
        make_turned, "surfaces", pictures=("brick",), side=14, quarters=(0, 1)
    ),
    "surfaces-grass-turned": practice_task(make_turned, "surfaces", pictures=("grass",), side=12),
    "surfaces-gravel-hidden": practice_task(
        make_hidden, "surfaces", pictures=("gravel",), side=12, hole=4
    ),
    "camera": _of(make_ahead, "camera", side=10, distance=3),
    "camera-beside": _of(make_beside, "camera", side=10),
    "camera-bands": _of(make_bands, "camera", side=10),
    "chelsea": _of(make_hidden, "chelsea", side=12, hole=4),
    "chelsea-redness": _beside("chelsea", _redness, side=10),
    "astronaut": _beside("astronaut", _saturation, side=10),
    "astronaut-beside": _of(make_beside, "astronaut", side=10),
    "coffee": _of(make_beside, "coffee", side=10),
    "coffee-bands": _of(make_bands, "coffee", side=10),
    "coffee-redness": _beside("coffee", _redness, side=8),
    "rocket": _of(make_bands, "rocket", side=10),
    "rocket-saturation": _beside("rocket", _saturation, side=10),
    "aero": _of(make_blurred, "aero", side=10, widths=BLURS),
    "aero-ahead": _of(make_ahead, "aero", side=10, distance=3),
    "ascent": _of(make_blurred, "ascent", side=10, widths=BLURS),
    "grace_hopper": _of(make_bands, "grace_hopper", side=10),
    "grace_hopper-blurred": _of(make_blurred, "grace_hopper", side=10, widths=BLURS),
    "moon": _of(make_blurred, "moon", side=10, widths=BLURS),
    "moon-turned": _of(make_turned, "moon", side=12),
    "moon-hidden": _of(make_hidden, "moon", side=12, hole=4),
    "coins": _of(make_blurred, "coins", side=10, widths=BLURS),
    "coins-bands": _of(make_bands, "coins", side=10),
    "hubble_deep_field": _of(make_blurred, "hubble_deep_field", side=10, widths=BLURS),
    "hubble_deep_field-distance": _of(
        make_enlarged, "hubble_deep_field", side=8, factors=(1, 2, 3)
    ),
    "hubble_deep_field-redness": _beside("hubble_deep_field", _redness, side=10),
    "retina": _of(make_blurred, "retina", side=10, widths=BLURS),
    "ihc": _beside("ihc", _redness, side=8),
    "ihc-blurred": _of(make_blurred, "ihc", side=10, widths=BLURS),
    "cell": _of(make_enlarged, "cell", side=8, factors=(1, 2, 3)),
    "cell-blurred": _of(make_blurred, "cell", side=10, widths=BLURS),
    "page": _of(make_blurred, "page", side=10, widths=BLURS),
    "page-turned": _of(make_turned, "page", side=12),
    "page-ahead": _of(make_ahead, "page", side=8, distance=2),
    "text": _of(make_turned, "text", side=12),
    "china-blurred": _of(make_blurred, "china", side=10, widths=BLURS),
    "china-beside": _of(make_beside, "china", side=10),
    "flower-blurred": _of(make_blurred, "flower", side=10, widths=BLURS),
    "jacksboro": _of(make_ahead, "jacksboro", side=8, distance=3),
    "motorcycle": practice_task(make_disparity, "motorcycle", side=12),
    "faces": practice_task(make_faces, "faces", quadrants=False),
    "faces-quarters": practice_task(make_faces, "faces", quadrants=True),
}

"""Questions about square patches of pictures: whence, which way up, how sharp, what is hidden."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from hessdiag.zoo.sources import read_picture
from hessdiag.zoo.tasks._dataset import make_image_dataset, task_seed


def cut_patches(picture, side):
    """Return the square patches (n_patches, side, side) of a picture, which do not overlap."""
    rows, columns = picture.shape[0] // side, picture.shape[1] // side
    cut = picture[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return cut.transpose(0, 2, 1, 3).reshape(-1, side, side)


def make_which(name, parent, pictures, side):
    """Return patches of several pictures: of which one a patch is."""
    of_picture = [cut_patches(picture, side) for picture in map(read_picture, pictures)]
    labels = np.repeat(np.arange(len(of_picture)), [len(patches) for patches in of_picture])
    return make_image_dataset(name, parent, np.concatenate(of_picture), labels)


def make_turned(name, parent, pictures, side, quarters=(0, 1, 2, 3)):
    """Return patches, each turned by one of some quarters of a circle: by which one."""
    patches, rng = _patches(pictures, side), np.random.default_rng(task_seed(name))
    labels = rng.integers(0, len(quarters), len(patches))
    turned = [np.rot90(patch, quarters[label]) for patch, label in zip(patches, labels)]
    return make_image_dataset(name, parent, _same_contrast(np.stack(turned)), labels)


def make_enlarged(name, parent, pictures, side, factors):
    """Return patches of a picture seen from as many distances as factors: from which one."""
    rng = np.random.default_rng(task_seed(name))
    blocks = _patches(pictures, side * max(factors))
    labels = rng.integers(0, len(factors), len(blocks))
    seen = []
    for block, label in zip(blocks, labels):
        size = side * factors[label]
        row, column = rng.integers(0, len(block) - size + 1, 2)
        part = block[row : row + size, column : column + size]
        seen.append(part.reshape(side, factors[label], side, factors[label]).mean(axis=(1, 3)))
    return make_image_dataset(name, parent, _same_contrast(np.stack(seen)), labels)


def make_blurred(name, parent, pictures, side, widths):
    """Return patches of a picture, blurred by Gaussians of several widths: by which one."""
    rng = np.random.default_rng(task_seed(name))
    blurred = np.stack(
        [
            np.concatenate(
                [cut_patches(gaussian_filter(p, width), side) for p in map(read_picture, pictures)]
            )
            for width in widths
        ]
    )
    labels = rng.integers(0, len(widths), blurred.shape[1])
    chosen = blurred[labels, np.arange(len(labels))]
    return make_image_dataset(name, parent, _same_contrast(chosen), labels)


def make_beside(name, parent, pictures, side):
    """Return pairs of patches: whether the second lies right of the first, or anywhere else."""
    rng = np.random.default_rng(task_seed(name))
    blocks = np.concatenate([_pairs(picture, side) for picture in map(read_picture, pictures)])
    labels = rng.integers(0, 2, len(blocks))
    # Those that do not belong together change places among themselves, one after the other.
    apart = rng.permutation(np.flatnonzero(labels == 0))
    blocks[apart, 1] = blocks[np.roll(apart, 1), 1]
    return make_image_dataset(name, parent, blocks, labels)


def make_bands(name, parent, pictures, side, n_bands=4):
    """Return patches of a picture: from which of its bands, from top to bottom, they are."""
    patches = _patches(pictures, side)
    return make_image_dataset(
        name, parent, patches, n_bands * np.arange(len(patches)) // len(patches)
    )


def make_hidden(name, parent, pictures, side, hole):
    """Return patches with a square hole, filled with the mean of the rest: its mean without it.

    As a difference from the mean of the rest, in units of the rest's standard deviation.
    """
    patches, values = _patches(pictures, side), []
    start = (side - hole) // 2
    inside = np.zeros((side, side), dtype=bool)
    inside[start : start + hole, start : start + hole] = True
    filled = patches.copy()
    for patch, full in zip(filled, patches):
        around = full[~inside]
        values.append((full[inside].mean() - around.mean()) / (around.std() + 1))
        patch[inside] = around.mean()
    return make_image_dataset(name, parent, filled, values, classes=False)


def make_ahead(name, parent, pictures, side, distance):
    """Return patches, and how much the picture changes from each to a place right of it.

    The place is ``distance`` pixels from the edge, at half the patch's height.
    """
    blocks = _patches(pictures, side + distance)
    start = distance // 2
    patches = blocks[:, start : start + side, :side]
    line = blocks[:, (side + distance) // 2]
    last = line[:, side - 1]
    return make_image_dataset(
        name, parent, patches - last[:, None, None], line[:, -1] - last, classes=False
    )


def make_described(name, parent, picture, measure, side):
    """Return patches of a picture in grey, and the mean over each of what its colors measure."""
    values = cut_patches(measure(picture), side).mean(axis=(1, 2))
    return make_image_dataset(name, parent, _patches((picture,), side), values, classes=False)


def _patches(pictures, side):
    """Return the patches of all pictures."""
    return np.concatenate(
        [cut_patches(picture, side) for picture in map(read_picture, pictures)]
    ).astype(np.float64)


def _same_contrast(patches):
    """Return patches of mean zero, and of variance one if they are not all of one grey."""
    patches = patches - patches.mean(axis=(1, 2), keepdims=True)
    return patches / (patches.std(axis=(1, 2), keepdims=True) + 1)


def _pairs(picture, side):
    """Return pairs (n_pairs, 2, side, side) of patches side by side, no patch in two of them."""
    rows, columns = picture.shape[0] // side, picture.shape[1] // (2 * side)
    cut = picture[: rows * side, : columns * 2 * side].reshape(rows, side, columns, 2, side)
    return cut.transpose(0, 2, 3, 1, 4).reshape(-1, 2, side, side).astype(np.float64)

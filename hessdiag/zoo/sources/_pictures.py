"""Pictures and reliefs that packages bring along, as arrays of one channel."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hessdiag.optional import import_optional
from hessdiag.zoo.sources._files import packaged_file

_SKIMAGE = {
    name: ("skimage", f"data/{name}.{ending}")
    for ending, names in {
        "png": "astronaut brick camera cell chelsea coffee coins grass gravel "
        "ihc moon motorcycle_left motorcycle_right page text",
        "jpg": "hubble_deep_field retina rocket",
    }.items()
    for name in names.split()
}

#: Package and file of each picture.
PICTURES = {
    **_SKIMAGE,
    "aero": ("pywt", "data/aero.npz"),
    "ascent": ("pywt", "data/ascent.npz"),
    "grace_hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "jacksboro": ("matplotlib", "mpl-data/sample_data/jacksboro_fault_dem.npz"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
}

#: What a file of several arrays calls the picture.
_ARRAYS = {"aero": "data", "ascent": "data", "jacksboro": "elevation"}


@lru_cache(maxsize=32)
def read_picture(name: str) -> np.ndarray:
    """Read a photograph in grey, or a relief.

    Parameters
    ----------
    name : str
        One of `PICTURES`.

    Returns
    -------
    picture : ndarray of float64 of shape (height, width)
        The mean of red, green and blue, from 0 to 255, or heights in metres (of "jacksboro").
    """
    package, file = PICTURES[name]
    path = packaged_file(package, file)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return arrays[_ARRAYS[name]].astype(np.float64)
    return read_colors(name).mean(axis=2)


@lru_cache(maxsize=8)
def read_colors(name: str) -> np.ndarray:
    """Read a photograph in its colors.

    Parameters
    ----------
    name : str
        One of `PICTURES`, no relief.

    Returns
    -------
    colors : ndarray of float64 of shape (height, width, 3)
        Red, green and blue, from 0 to 255; the same three times where the file has grey.
    """
    image = import_optional("PIL.Image", "zoo", "Reading a photograph")
    with image.open(packaged_file(*PICTURES[name])) as file:
        return np.asarray(file.convert("RGB"), dtype=np.float64)


def read_disparity() -> np.ndarray:
    """Read how far things lie apart in the two pictures of a motorcycle.

    Returns
    -------
    disparity : ndarray of float64 of shape (500, 741)
        In pixels of the left picture; infinite where it is not known.
    """
    with np.load(packaged_file("skimage", "data/motorcycle_disp.npz")) as arrays:
        return arrays["arr_0"].astype(np.float64)


def read_faces() -> np.ndarray:
    """Read a hundred faces, and a hundred pictures of other things.

    Returns
    -------
    pictures : ndarray of float64 of shape (200, 25, 25)
        In grey, from 0 to 1; the first hundred are faces.
    """
    return np.load(packaged_file("skimage", "data/lfw_subset.npy")).astype(np.float64)

"""Ways to alter the samples of a batch in training, as practitioners do; labels stay."""

from __future__ import annotations

from collections.abc import Callable

import torch

#: Standard deviation of the noise of "jitter", in units of that of a feature.
JITTER = 0.2
#: Share of the tokens of a sample that "swap" replaces.
SWAPPED = 0.1

#: The augmentations that suit each form of samples.
AUGMENTATIONS = {
    "tabular": ("jitter",),
    "series": ("jitter", "shift"),
    "image": ("jitter", "shift", "flip"),
    "tokens": ("swap",),
}


def make_augmentation(
    name: str, form: str, shape: tuple | None
) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Return the function that alters a batch.

    Parameters
    ----------
    name : str
        Augmentation of a recipe; "none" for none.
    form : {"tabular", "series", "image", "tokens"}
        Form of the samples.
    shape : tuple of int or None
        Shape of a sample; of tokens, the number of ids and how many a sample has.

    Returns
    -------
    augment : callable or None
        Takes and returns a batch of shape (n_samples, n_features); draws from torch's global
        generator.

    Raises
    ------
    ValueError
        If the augmentation is not known, or does not suit the form.
    """
    if name == "none":
        return None
    suited = AUGMENTATIONS[form]
    if name not in suited:
        raise ValueError(
            f"Expected augmentation among none, {', '.join(suited)} for samples of form {form!r}, "
            f"found {name!r}. Change the recipe."
        )
    # The shape of tokens tells how many ids there are; a row of them is as it is.
    return _Augmentation(_ALTERATIONS[name], None if form == "tokens" else shape)


class _Augmentation:
    """An alteration of samples in their own shape, for batches of flat rows."""

    def __init__(self, alter, shape):
        self.alter = alter
        self.shape = shape

    def __call__(self, X):
        if self.shape is None:
            return self.alter(X)
        return self.alter(X.reshape(len(X), *self.shape)).reshape(X.shape)


def _jitter(X):
    """Add noise to every value; features have unit variance."""
    return X + JITTER * torch.randn_like(X)


def _shift(X):
    """Move each sample by up to an eighth of its size along each axis, and repeat its edge."""
    for axis in range(2, X.dim()):
        size = X.shape[axis]
        furthest = max(1, size // 8)
        offset = torch.randint(-furthest, furthest + 1, (len(X), 1))
        source = (torch.arange(size) + offset).clamp(0, size - 1)
        view = [len(X)] + [1] * (X.dim() - 1)
        view[axis] = size
        X = X.gather(axis, source.reshape(view).expand(X.shape))
    return X


def _flip(X):
    """Mirror half of the images, left to right."""
    mirrored = torch.rand(len(X)) < 0.5
    return torch.where(mirrored.reshape(-1, *[1] * (X.dim() - 1)), X.flip(-1), X)


def _swap(X):
    """Put into a tenth of the places a token of another place of the same sample."""
    flat = X.flatten(1)
    others = flat.gather(1, torch.randint(0, flat.shape[1], flat.shape))
    return torch.where(torch.rand(flat.shape) < SWAPPED, others, flat).reshape(X.shape)


_ALTERATIONS = {"jitter": _jitter, "shift": _shift, "flip": _flip, "swap": _swap}

"""Data sets that are read as a stream, and those that change from draw to draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import torch
from skorch.dataset import Dataset as SkorchDataset
from torch.utils.data import ConcatDataset, DataLoader, Subset, TensorDataset, default_collate

from hessdiag.curvature.containers._fingerprint import fingerprint

#: Samples after which a stream counts as one without an end.
LONGEST_STREAM = 1_000_000


class ListedSamples(torch.utils.data.Dataset):
    """Samples that were drawn once, as a data set.

    Parameters
    ----------
    samples : list
        The samples, as the stream sent them.
    """

    def __init__(self, samples: Sequence[Any]) -> None:
        self.samples = samples

    def __len__(self):
        """Count the samples."""
        return len(self.samples)

    def __getitem__(self, index):
        """Return one sample."""
        return self.samples[index]


def listed(stream: Iterable[Any]) -> ListedSamples:
    """Draw all samples of a stream, which is to end, and to send the same again.

    Parameters
    ----------
    stream : torch.utils.data.IterableDataset
        The stream; the order of its samples does not matter.

    Returns
    -------
    ListedSamples
        Its samples.

    Raises
    ------
    DrawError
        If there are too many of them, or others when they are drawn again.
    """
    name = type(stream).__name__
    with drawing(name):
        samples = list(islice(iter(stream), LONGEST_STREAM + 1))
    if len(samples) > LONGEST_STREAM:
        raise DrawError(
            f"Expected a stream of samples that ends, found more than {LONGEST_STREAM:,} in "
            f"{name}. Pass a part of it: a list of samples as a Dataset."
        )
    again = Counter(fingerprint(sample) for sample in islice(iter(stream), len(samples) + 1))
    # What can be read once only is what it is.
    if again and again != Counter(fingerprint(sample) for sample in samples):
        raise DrawError(varying(name))
    return ListedSamples(samples)


class DrawError(ValueError):
    """Raise where samples cannot be drawn, or are others when they are drawn again."""


@contextmanager
def drawing(name: str) -> Iterator[None]:
    """Say whose samples could not be drawn, where that fails.

    Parameters
    ----------
    name : str
        What sends them.

    Yields
    ------
    None
        While they are drawn.

    Raises
    ------
    DrawError
        With the error of the data set or of what joins its samples.
    """
    try:
        yield
    except DrawError:
        raise
    except Exception as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise DrawError(
            f"Expected samples that can be drawn and joined to batches, found that {name} fails: "
            f"{type(error).__name__}: {reason}. Draw a batch of it by a DataLoader, and mend what "
            "fails there."
        ) from error


def varying(name: str) -> str:
    """Say that samples change from draw to draw.

    Parameters
    ----------
    name : str
        What sends them.

    Returns
    -------
    str
        The message.
    """
    return (
        f"Expected the same samples whenever they are drawn, found that {name} sends others the "
        "second time: it transforms, or chooses, them at random. Pass the data without random "
        "transforms (augmentation is for training), or one draw of them as tensors."
    )


def may_vary(dataset: Any, iterator: Any) -> bool:
    """Say whether there is code between the data and the batches that could change them.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        What is drawn from.
    iterator : iterable
        What makes the batches.

    Returns
    -------
    bool
        False for arrays and tensors that are joined in the ordinary way.
    """
    if type(iterator) is not DataLoader or iterator.collate_fn is not default_collate:
        return True
    if isinstance(dataset, Subset):
        return may_vary(dataset.dataset, iterator)
    if type(dataset) is ConcatDataset:
        return any(may_vary(part, iterator) for part in dataset.datasets)
    return type(dataset) not in (SkorchDataset, TensorDataset, ListedSamples)


def check_same_draw(batches: Iterable[Any], iterator: Iterable[Any], name: str) -> None:
    """Draw batches a second time, and compare.

    Parameters
    ----------
    batches : list
        What the iterator sent.
    iterator : iterable
        It is read again; one that can be read once only is not compared.
    name : str
        What to call the data set.

    Raises
    ------
    DrawError
        If a batch is another one.
    """
    for before, now in zip(batches, iterator):
        if fingerprint(before) != fingerprint(now):
            raise DrawError(varying(name))

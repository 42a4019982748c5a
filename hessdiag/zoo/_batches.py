"""TensorBatches: batches of in-memory arrays that cost next to nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from skorch.dataset import Dataset


class TensorBatches:
    """Batches of in-memory arrays, without the per-sample collation of a `DataLoader`.

    A drop-in for skorch's ``iterator_train`` and ``iterator_valid``.

    Parameters
    ----------
    dataset : skorch.dataset.Dataset
        Data set whose ``X`` and ``y`` are arrays or tensors.
    batch_size : int, default=128
        Samples of each batch; -1 takes all in one. A single sample left over joins the batch
        before it, because batch normalization cannot train on one.
    shuffle : bool, default=False
        Whether to draw a new order for each pass, from torch's global generator.
    augment : callable or None, default=None
        Alters the samples of each batch, as from `make_augmentation`.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 128,
        shuffle: bool = False,
        augment: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        self.dataset = dataset
        self.X = torch.as_tensor(dataset.X)
        # skorch feeds a 0 for each sample where there is no y, as its own data loader does.
        missing = dataset.y is None
        self.y = torch.zeros(len(self.X)) if missing else torch.as_tensor(dataset.y)
        self.batch_size = len(self.X) if batch_size == -1 else batch_size
        self.shuffle = shuffle
        self.augment = augment

    def __len__(self):
        """Return the number of batches."""
        return count_batches(len(self.X), self.batch_size)

    def __iter__(self):
        """Yield (X, y) batches."""
        n_samples = len(self.X)
        order = torch.randperm(n_samples) if self.shuffle else torch.arange(n_samples)
        starts = [self.batch_size * index for index in range(len(self))]
        for start, end in zip(starts, [*starts[1:], n_samples], strict=True):
            index = order[start:end]
            X = self.X[index]
            yield X if self.augment is None else self.augment(X), self.y[index]


def count_batches(n_samples, batch_size):
    """Number of batches of one pass over the samples."""
    n_batches, left_over = divmod(n_samples, batch_size)
    return n_batches + (left_over > 1 or n_batches == 0)

"""The data of a skorch net's training part, read so that training does not notice."""

from __future__ import annotations

import copy

import numpy as np
import skorch.dataset
from torch.utils.data import Subset

from hessdiag.cases import rows_of


def training_data(dataset):
    """Return what a net is trained on, without its validation part.

    Parameters
    ----------
    dataset : Dataset
        What skorch draws batches for training from.

    Returns
    -------
    X, y : as the net's ``fit`` takes them
        Arrays where skorch holds arrays. A data set of the user's own is copied, as reading it may
        move a generator within it; y is None then.
    """
    places, inner = None, dataset
    while isinstance(inner, Subset):
        here = np.asarray(inner.indices)
        places = here if places is None else here[places]
        inner = inner.dataset
    if type(inner) is not skorch.dataset.Dataset:
        return copy.deepcopy(dataset), None
    if places is None:
        return inner.X, inner.y
    return rows_of(inner.X, places), rows_of(inner.y, places)

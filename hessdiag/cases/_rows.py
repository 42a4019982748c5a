"""Some samples of data in any container that skorch takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from skorch.utils import is_dataset
from torch.utils.data import Subset


def rows_of(data: Any, places: np.ndarray) -> Any:
    """Take some samples of data in any container that skorch takes.

    Parameters
    ----------
    data : array-like, dict, DataFrame, tensor, Dataset or None
        Inputs or targets.
    places : ndarray of int of shape (n_taken,)
        Which samples.

    Returns
    -------
    object
        A container of the same kind; None of None.

    Examples
    --------
    >>> import numpy as np
    >>> from hessdiag.cases import rows_of
    >>> rows_of({"a": np.arange(4), "b": np.arange(8).reshape(4, 2)}, np.array([0, 3]))
    {'a': array([0, 3]), 'b': array([[0, 1],
           [6, 7]])}
    """
    if data is None:
        return None
    if is_dataset(data):
        return Subset(data, places.tolist())
    if hasattr(data, "iloc"):
        return data.iloc[places]
    if hasattr(data, "shape"):
        return data[places]
    if isinstance(data, Mapping):
        return {key: rows_of(value, places) for key, value in data.items()}
    if hasattr(data[0], "shape") and len(data[0].shape):
        return type(data)(rows_of(item, places) for item in data)
    return type(data)(data[place] for place in places)

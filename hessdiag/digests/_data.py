"""Data of any form that skorch takes, by what the net is given of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from skorch.utils import is_dataset

from hessdiag.digests._code import name_of


def feed_data(digester, data):
    """Take in data; arrays, tensors and lists of the same numbers are the same.

    Parameters
    ----------
    digester : Digester
        What takes them in.
    data : object
        Inputs or targets.
    """
    if data is None:
        digester.put("None")
    elif isinstance(data, torch.Tensor):
        _feed_tensor(digester, data)
    elif isinstance(data, Mapping):
        digester.put("mapping", str(len(data)))
        for key in sorted(data, key=str):
            digester.put("key", str(key))
            feed_data(digester, data[key])
    elif is_dataset(data):
        _feed_dataset(digester, data)
    elif hasattr(data, "tocsr") and hasattr(data, "indptr"):
        digester.put("sparse", f"{data.format} {data.shape}")
        for part in (data.data, data.indices, data.indptr):
            feed_data(digester, part)
    elif hasattr(data, "columns") and hasattr(data, "iloc"):
        digester.put("columns", str(len(data.columns)))
        for column in data.columns:
            digester.put("column", str(column))
            feed_data(digester, np.asarray(data[column]))
    elif isinstance(data, (list, tuple)) and any(
        isinstance(item, (list, tuple, Mapping, np.ndarray, torch.Tensor)) for item in data
    ):
        digester.put("sequence", str(len(data)))
        for item in data:
            feed_data(digester, item)
    else:
        _feed_array(digester, data)


def _feed_tensor(digester, tensor):
    """Take in a tensor as the array of the same numbers."""
    if tensor.is_quantized or tensor.is_nested or tensor.is_meta:
        digester.refuse(tensor)
    tensor = tensor.detach().cpu()
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    tensor = tensor.resolve_conj().resolve_neg()
    try:
        array = tensor.numpy()
    except TypeError:  # of a precision that numpy does not have
        digester.put("tensor", f"{tensor.dtype} {tuple(tensor.shape)}")
        digester.put_numbers(tensor)
    else:
        _feed_array(digester, array)


def _feed_array(digester, data):
    """Take in an array, or what becomes one."""
    array = np.asarray(data)
    if array.dtype.hasobject and array.ndim == 0:
        digester.feed(data)
        return
    digester.put("array", f"{array.dtype.str} {array.shape}")
    if array.dtype.hasobject:
        for entry in array.ravel().tolist():
            digester.feed(entry)
    else:
        digester.put("numbers", np.ascontiguousarray(array).tobytes())
    if isinstance(data, np.ma.MaskedArray):
        digester.put("mask", np.ma.getmaskarray(data).tobytes())


def _feed_dataset(digester, dataset):
    """Take in a data set sample by sample; one without a length can be read once only."""
    try:
        n_samples = len(dataset)
    except TypeError:
        digester.refuse(dataset)
    digester.put("dataset", f"{name_of(type(dataset))} {n_samples}")
    for index in range(n_samples):
        feed_data(digester, dataset[index])

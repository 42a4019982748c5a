"""Data in containers that skorch reads as people mean them; what it would misread is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np
import torch
from scipy import sparse
from skorch.utils import is_dataset
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import DataLoader, IterableDataset

from hessdiag.curvature.containers._streams import listed


def plain_containers(X: Any, y: Any) -> tuple[Any, Any]:
    """Bring data into containers that skorch indexes by sample; most stay what they are.

    Lists of rows become arrays, other mappings dicts, sparse matrices those of compressed rows,
    frames of other libraries arrays, targets in frames and series arrays, and streams lists.

    Parameters
    ----------
    X, y : object
        Data, as people have them.

    Returns
    -------
    X, y : object
        The same data; the same objects where nothing is to be done.

    Raises
    ------
    ValueError, TypeError
        If they hold what is no number, or what skorch would read in another way than meant.
    """
    return _plain(X, "X"), _plain(y, "y")


def _plain(data, what):
    """Bring inputs or targets, or an entry of them, into a plain container."""
    if data is None or isinstance(data, PackedSequence):
        return data
    if isinstance(data, DataLoader):
        raise TypeError(
            f"Expected data, found a DataLoader as {what}. Pass loader.dataset, or make the case "
            "by hessdiag.NetworkCase.from_loader(module, loader, loss=...)."
        )
    if is_dataset(data):
        return listed(data) if isinstance(data, IterableDataset) else data
    if isinstance(data, torch.Tensor):
        if data.is_nested or data.is_meta:
            kind = "nested tensor" if data.is_nested else "tensor of the meta device"
            raise ValueError(
                f"Expected {what} as numbers in rows of one length, found a {kind}. Pass a padded "
                "tensor on the processor or the net's device."
            )
        data = data if data.layout is torch.strided else data.to_dense()
        data = data.detach() if data.requires_grad else data
        return data.clone() if data.is_inference() else data
    if sparse.issparse(data):
        return _rows_of_sparse(data, what)
    if hasattr(data, "iloc"):
        return _plain_frame(data, what)
    if isinstance(data, np.ndarray):
        return _plain_array(data, what)
    if isinstance(data, Mapping):
        return _plain_mapping(data, what)
    if isinstance(data, (list, tuple)):
        return _plain_list(data, what)
    if hasattr(data, "to_numpy"):
        return _plain_array(np.asarray(data.to_numpy()), what)
    if hasattr(data, "__array__"):
        return _plain_array(np.asarray(data), what)
    if isinstance(data, (str, bytes, Iterator, Set)) or not hasattr(data, "__len__"):
        raise TypeError(
            f"Expected {what} as an array with one row per sample, found an object of type "
            f"{type(data).__name__}. Pass an array, a tensor, a list of rows or a Dataset."
        )
    return data


def _rows_of_sparse(data, what):
    """Return sparse inputs in compressed rows, which skorch takes one by one; others dense."""
    if what != "X":
        return data.toarray()
    return data if type(data) is sparse.csr_matrix else sparse.csr_matrix(data)


def _plain_array(data, what):
    """Return an array of numbers in a form that torch takes."""
    if isinstance(data, np.ma.MaskedArray):
        if np.ma.getmaskarray(data).any():
            raise ValueError(
                f"Expected {what} without gaps, found a masked array with "
                f"{int(np.ma.getmaskarray(data).sum())} masked entries. Impute them, or drop these "
                "samples."
            )
        data = np.asarray(data)
    if isinstance(data, np.matrix):
        data = np.asarray(data)
    if data.dtype.names is not None:
        raise ValueError(
            f"Expected {what} as an array of numbers, found one of records with the fields "
            f"{', '.join(map(repr, data.dtype.names))}. Pass a dict of arrays, or "
            "numpy.lib.recfunctions.structured_to_unstructured of it."
        )
    if data.dtype.hasobject:
        data = _numbers_of(data, what)
    if data.dtype.kind in "mM" or (data.dtype.kind in "SU" and what != "y"):
        raise ValueError(
            f"Expected numbers in {what}, found entries of type {data.dtype}. Encode them as the "
            "net's data in training."
        )
    if data.dtype.kind == "f" and data.dtype.itemsize > 8:
        data = data.astype(np.float64)
    if data.dtype.kind == "c" and data.dtype.itemsize > 16:
        data = data.astype(np.complex128)
    if not data.dtype.isnative:
        data = data.astype(data.dtype.newbyteorder("="))
    if any(stride < 0 for stride in data.strides):
        data = np.ascontiguousarray(data)
    return data


def _numbers_of(data, what):
    """Turn an array of objects into one of numbers; targets of words are explained later."""
    try:
        found = np.array(data.tolist())
    except ValueError:
        found = data
    if found.dtype.kind in "biufc" or (what == "y" and found.dtype.kind in "SU"):
        return found
    first = next((item for item in data.reshape(-1) if not isinstance(item, (int, float))), None)
    raise ValueError(
        f"Expected numbers in {what}, found an array of objects such as {first!r} "
        f"({type(first).__name__}). Pass rows of one length and numbers alone: pad what is of "
        "different lengths, encode words, and impute what is missing."
    )


def _plain_frame(data, what):
    """Leave a frame of numbers to skorch, column by column; targets and series become arrays."""
    if not hasattr(data, "columns"):
        return _plain_array(_values_of(data), what)
    columns = [data.iloc[:, place] for place in range(len(data.columns))]
    values = [_values_of(column) for column in columns]
    names = [str(name) for name in data.columns]
    if what != "X" or not names:
        joined = np.column_stack(values) if values else np.empty((len(data), 0))
        return _plain_array(joined, what)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"Expected columns of different names in X, found {', '.join(map(repr, twice))} more "
            "than once. Rename them, or pass X.to_numpy()."
        )
    for name, own in zip(names, values):
        if own.dtype.kind not in "biufc":
            raise ValueError(
                f"Expected columns of numbers in X, found {name!r} of type {own.dtype}. Encode it "
                "as for the net's own fit, or pass the whole pipeline with the step that does."
            )
    if all(isinstance(column.dtype, np.dtype) for column in columns):
        return data
    return data.astype(dict(zip(data.columns, (own.dtype for own in values))))


def _values_of(series):
    """Return the numbers of a series, whatever keeps them: categories, nullable or sparse ones."""
    if isinstance(series.dtype, np.dtype):
        return np.asarray(series)
    values = np.asarray(series)
    if values.dtype.hasobject:
        try:
            return series.to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError):
            return values
    return values


def _plain_mapping(data, what):
    """Return a dict of arrays; series in it are read by place, and not by label."""
    entries = {}
    for key, value in data.items():
        if hasattr(value, "iloc") and not hasattr(value, "columns"):
            index = np.asarray(value.index)
            if not np.array_equal(index, np.arange(len(value))):
                raise ValueError(
                    f"Expected arrays in the mapping {what}, found a Series {key!r} whose labels "
                    "are not 0, 1, 2, ...: skorch looks samples up by label there. Pass "
                    f"{what}[{key!r}].to_numpy(), in the net's fit too."
                )
        entries[key] = _plain(value, f"{what}[{key!r}]")
    unchanged = isinstance(data, dict) and all(entries[key] is data[key] for key in entries)
    return data if unchanged else entries


def _plain_list(data, what):
    """Tell lists of rows, of numbers, and of several inputs apart."""
    if not data:
        return data
    first = data[0]
    if isinstance(first, Mapping):
        raise TypeError(
            f"Expected {what} as arrays, found a list of {len(data)} dicts. Pass a dict of arrays, "
            "with one row per sample in each."
        )
    if isinstance(first, str) and what != "y":
        raise ValueError(
            f"Expected numbers in {what}, found words such as {first!r}. Encode them as the net's "
            "data in training, for example by its tokenizer."
        )
    if all(isinstance(item, torch.Tensor) and item.ndim == 0 for item in data):
        return torch.stack(list(data))
    if all(isinstance(item, (list, tuple)) and _holds_numbers(item) for item in data):
        return _array_of_rows(data, what)
    if any(hasattr(item, "dtype") and getattr(item, "ndim", 0) for item in data):
        entries = [_plain(item, f"{what}[{place}]") for place, item in enumerate(data)]
        if all(entry is item for entry, item in zip(entries, data)):
            return data
        return entries if isinstance(data, list) else tuple(entries)
    if what == "y" and all(isinstance(item, (int, float, np.generic)) for item in data):
        return np.asarray(data)
    return list(data) if isinstance(data, tuple) else data


def _holds_numbers(row):
    """Say whether a list is made of numbers, at whatever depth, rather than of arrays."""
    if isinstance(row, (list, tuple)):
        return all(_holds_numbers(item) for item in row)
    return not (hasattr(row, "dtype") and getattr(row, "ndim", 0)) and not isinstance(row, Mapping)


def _array_of_rows(data, what):
    """Turn a list of rows into an array."""
    try:
        rows = np.array(data)
    except ValueError:
        lengths = sorted({len(row) for row in data})
        raise ValueError(
            f"Expected rows of one length in {what}, found a list of {len(data)} rows of lengths "
            f"from {lengths[0]} to {lengths[-1]}. Pad them (a tokenizer's padding=True), or pass a "
            "Dataset with a collate function that does."
        ) from None
    if what == "X" and rows.ndim >= 2 and rows.shape[0] == rows.shape[1]:
        raise ValueError(
            f"Expected X as an array, found a list of {len(data)} lists of {len(data)} numbers, of "
            "which skorch takes the inner ones as columns. Pass numpy.array(X), in the net's fit "
            "too."
        )
    return _plain_array(rows, what)

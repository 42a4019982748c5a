"""The data as the net itself loads them: through skorch's dataset and validation iterator."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from skorch.dataset import unpack_data
from skorch.utils import to_tensor
from torch.nn.utils.rnn import PackedSequence
from torch.utils.data import RandomSampler, SequentialSampler, Subset, WeightedRandomSampler

from hessdiag.curvature.containers import check_same_draw, drawing, may_vary
from hessdiag.curvature.network._checks import check_finite_data, tensors_of
from hessdiag.curvature.network._precision import in_precision

if TYPE_CHECKING:
    from hessdiag.curvature.network._working_copy import WorkingCopy


class Chunk:
    """Some samples in a row.

    Parameters
    ----------
    X : Tensor, or dict, list or tuple of Tensor
        Inputs.
    y : Tensor, or dict, list or tuple of Tensor
        Targets.
    n_samples : int
        How many there are.
    """

    def __init__(self, X: Any, y: Any, n_samples: int) -> None:
        self.X = X
        self.y = y
        self.n_samples = n_samples


def sample_indices(
    n_samples: int, max_samples: int | None, random_state: int | np.random.RandomState | None
) -> np.ndarray | None:
    """Choose the samples to examine, in their order; None where all are taken.

    Parameters
    ----------
    n_samples : int
        Samples that there are.
    max_samples : int or None
        Samples to take; None takes all.
    random_state : int, RandomState or None
        Seed of the draw; None stands for 0.

    Returns
    -------
    ndarray of int of shape (max_samples,) or None
        Sorted places of the samples.
    """
    if max_samples is None or max_samples >= n_samples:
        return None
    if random_state is None:
        random_state = 0
    if isinstance(random_state, np.random.RandomState):
        random_state = random_state.randint(2**31 - 1)
    rng = np.random.default_rng(random_state)
    return np.sort(rng.choice(n_samples, size=max_samples, replace=False))


def load_chunks(
    working_copy: WorkingCopy,
    X: Any,
    y: Any,
    indices: Iterable[int] | None = None,
    batch_size: int | None = None,
) -> list[Chunk]:
    """Load X and y through the net's own dataset and iterator into chunks of tensors.

    Parameters
    ----------
    working_copy : WorkingCopy
        The net; tensors come to its device, floating ones to its precision.
    X, y : as the net's ``fit`` takes them
        Data.
    indices : ndarray of int or None, default=None
        Places of the samples to take; None takes all.
    batch_size : int or None, default=None
        Samples of a chunk; None takes all in one.

    Returns
    -------
    list of Chunk
        The samples, in their order.

    Raises
    ------
    ValueError
        If there is no sample, an entry is NaN or infinite, the iterator shuffles, or a second draw
        is another one.
    """
    net = working_copy.net
    dataset = net.get_dataset(X, y)
    if indices is not None:
        dataset = Subset(dataset, [int(i) for i in indices])
    settings = net.__dict__
    before = settings.get("iterator_valid__batch_size", None)
    settings["iterator_valid__batch_size"] = len(dataset) if batch_size is None else batch_size
    try:
        iterator = net.get_iterator(dataset, training=False)
    finally:
        if before is None:
            settings.pop("iterator_valid__batch_size")
        else:
            settings["iterator_valid__batch_size"] = before
    if isinstance(getattr(iterator, "sampler", None), RandomSampler | WeightedRandomSampler):
        raise ValueError(
            "Expected a validation iterator that keeps the order of the samples, found one that "
            f"shuffles ({type(iterator.sampler).__name__}). Set iterator_valid__shuffle=False."
        )
    _check_all_drawn(iterator, len(dataset))
    chunks = []
    with warnings.catch_warnings():
        # Memory-mapped arrays, as worker processes get them, are read-only; nothing writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        with drawing(type(dataset).__name__):
            drawn = list(iterator)
        if may_vary(dataset, iterator):
            check_same_draw(drawn, iterator, type(dataset).__name__)
    for inputs, targets in (_pair(batch, dataset) for batch in drawn):
        inputs = _moved(inputs, working_copy, "X")
        targets = _moved(targets, working_copy, "y")
        check_finite_data(inputs, "X")
        check_finite_data(targets, "y")
        chunks.append(Chunk(inputs, targets, _count(inputs, targets)))
    if len(chunks) > 1:
        _check_rows(chunks)
    if not chunks:
        raise ValueError(
            "Expected at least one sample, found an iterator that yields no batch. "
            "Pass data, and a validation iterator with drop_last=False."
        )
    return chunks


def _check_rows(chunks):
    """Refuse to join batches whose parts do not have one row per sample, as offsets do not."""
    for chunk in chunks:
        trees = [*tensors_of(chunk.X), *tensors_of(chunk.y)]
        if any(isinstance(part, PackedSequence) for part in (chunk.X, chunk.y)):
            continue
        sizes = [len(tensor) if tensor.ndim else 1 for tensor in trees]
        if len(set(sizes)) > 1:
            raise ValueError(
                "Expected batches with one row per sample in every part, found one whose parts "
                f"have {', '.join(map(str, sizes))} rows (offsets of bags?), and cannot be joined "
                "with others. Pass padded indices (padding_idx=...), or batch_size=None."
            )


def _check_all_drawn(iterator, n_samples):
    """Refuse a validation iterator that goes through a part of the samples alone."""
    sampler = getattr(iterator, "sampler", None)
    if sampler is None or getattr(iterator, "batch_sampler", None) is None:
        return
    if not isinstance(sampler, SequentialSampler):
        places = list(sampler)
        if sorted(places) != list(range(n_samples)):
            raise ValueError(
                f"Expected a validation iterator that goes through all {n_samples} samples, found "
                f"one whose {type(sampler).__name__} draws {len(places)}. Leave out "
                "iterator_valid__sampler, and pass as X, y what is to be looked at."
            )
    if getattr(iterator, "drop_last", False) and n_samples % (iterator.batch_size or 1):
        raise ValueError(
            "Expected a validation iterator that goes through all samples, found one that drops "
            "the last of them. Set iterator_valid__drop_last=False."
        )


def concatenate(trees: Sequence[Any]) -> Any:
    """Join trees of tensors along the first axis; None where their shapes do not allow it.

    Parameters
    ----------
    trees : sequence
        Trees of tensors of the same structure: dicts, lists and tuples.

    Returns
    -------
    object or None
        One tree of that structure.
    """
    first = trees[0]
    if len(trees) == 1:
        return first
    if isinstance(first, torch.Tensor):
        if first.ndim == 0 or any(t.shape[1:] != first.shape[1:] for t in trees):
            return None
        return torch.cat(trees)
    if isinstance(first, dict):
        joined = {key: concatenate([tree[key] for tree in trees]) for key in first}
        return None if any(value is None for value in joined.values()) else joined
    if isinstance(first, (list, tuple)) and not isinstance(first, PackedSequence):
        joined = [concatenate([tree[i] for tree in trees]) for i in range(len(first))]
        return None if any(value is None for value in joined) else _like(first, joined)
    return None


def take(tree: Any, index: int | slice | torch.Tensor | None) -> Any:
    """Index all tensors of a tree along the first axis.

    Parameters
    ----------
    tree : Tensor, or dict, list or tuple of Tensor
        Samples along the first axis.
    index : int, slice, Tensor or None
        What to take, as in indexing; None adds an axis in front.

    Returns
    -------
    Tensor, or dict, list or tuple of Tensor
        A tree of the same structure.

    Raises
    ------
    TypeError
        If something in the tree cannot be indexed by sample.
    """
    if isinstance(tree, torch.Tensor):
        return tree[index]
    if isinstance(tree, dict):
        return {key: take(value, index) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)) and not isinstance(tree, PackedSequence):
        return _like(tree, [take(value, index) for value in tree])
    raise TypeError(
        "Expected a batch of tensors, dicts, lists and tuples, found one of type "
        f"{type(tree).__name__}, which cannot be indexed by sample. Pass padded tensors."
    )


def _pair(batch, dataset):
    """Tell inputs and targets of a batch apart; what has no two parts would be cut anywhere."""
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return unpack_data(batch)
    found = f"batches of type {type(batch).__name__}"
    if isinstance(batch, Mapping):
        found += f" with {', '.join(map(repr, batch))}"
    elif isinstance(batch, (tuple, list)):
        found += f" with {len(batch)} parts"
    raise ValueError(
        f"Expected a Dataset that sends (X, y) for each sample, found {found} from "
        f"{type(dataset).__name__}. Pass one that sends pairs, several inputs being a dict by the "
        "names of forward's arguments; NetworkCase.from_loader takes other batches."
    )


def _moved(tree, working_copy, what):
    """Bring inputs or targets to the device; say so where they are no numbers."""
    try:
        return _move(tree, working_copy)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Expected numbers in {what}, found what torch cannot take as a tensor: {error}. "
            "Encode it as in training, in the Dataset or before."
        ) from error


def _move(tree, working_copy):
    """Bring all tensors of a tree to the device, floating ones to the dtype."""
    if isinstance(tree, Mapping):
        return {key: _move(value, working_copy) for key, value in tree.items()}
    if isinstance(tree, PackedSequence):
        dtype = in_precision(tree.data[:0], working_copy.dtype).dtype
        return tree.to(working_copy.device, dtype)
    if isinstance(tree, (list, tuple)):
        return _like(tree, [_move(value, working_copy) for value in tree])
    tensor = to_tensor(tree, device=working_copy.device)
    return in_precision(tensor, working_copy.dtype) if torch.is_tensor(tensor) else tensor


def _like(tree, values):
    """Put values into a list, a tuple or a named tuple as the tree's own."""
    return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)


def _count(inputs, targets):
    """Count the samples of a batch by its first tensor, or by its targets where inputs differ."""
    if isinstance(inputs, PackedSequence):
        return int(inputs.batch_sizes[0])
    rows = {len(tensor) for tensor in tensors_of(inputs) if tensor.ndim}
    if len(rows) > 1:
        inputs = targets if any(t.ndim and len(t) in rows for t in tensors_of(targets)) else inputs
    for tree in (inputs, targets):
        for tensor in tensors_of(tree):
            if tensor.ndim:
                return len(tensor)
    return 1

"""All samples of a loader, each once, in one piece."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain, islice

import numpy as np
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    WeightedRandomSampler,
)

from hessdiag.cases._module_net import inputs_of, names_of_inputs
from hessdiag.curvature.containers import DrawError, drawing, fingerprint, varying
from hessdiag.curvature.network import (
    concatenate,
    tensors_of,
    untouched_surroundings,
)

#: What targets are called in batches that are dicts, where forward does not tell.
NAMES_OF_TARGETS = ("labels", "label", "targets", "target", "y")

#: Batches after which a loader counts as one without an end.
MOST_BATCHES = 1_000_000


def collected(module, loader, unpack=None):
    """Draw all samples that a loader goes through, each once.

    Parameters
    ----------
    module : torch.nn.Module
        The module that takes its batches.
    loader : DataLoader or iterable of batches
        The order of its samples, and a last batch that it drops, do not matter.
    unpack : callable or None, default=None
        Function of a batch that returns (X, y).

    Returns
    -------
    X, y : tensor, or dict or list of tensors
        The samples.
    notes : tuple of str
        What to say of them.

    Raises
    ------
    TypeError
        If `loader` is no loader.
    ValueError
        If it has no batches, its batches are of another form, cannot be joined, or are others when
        they are drawn again.
    """
    if isinstance(loader, torch.utils.data.Dataset) or not isinstance(loader, Iterable):
        remedy = "Pass a DataLoader, or a list of batches (X, y)."
        if isinstance(loader, torch.utils.data.Dataset):
            remedy = "Pass torch.utils.data.DataLoader(dataset, batch_size=...)."
        raise TypeError(
            f"Expected a loader of batches, found an object of type {type(loader).__name__}. "
            f"{remedy}"
        )
    if isinstance(loader, (str, bytes, Mapping, np.ndarray, torch.Tensor)):
        raise TypeError(
            f"Expected a loader of batches, found an object of type {type(loader).__name__}. Pass "
            "arrays to NetworkCase.from_module(module, X, y, loss=...)."
        )
    with untouched_surroundings(None), drawing(type(getattr(loader, "dataset", loader)).__name__):
        batches, notes = _batches(loader)
    if not batches:
        raise ValueError(
            f"Expected a loader with at least one batch, found none in {type(loader).__name__}. "
            "Pass a fresh one: a generator that was read to its end has no more."
        )
    pairs = [_unpacked(module, batch, unpack) for batch in batches]
    if any(y is None for _, y in pairs):
        raise _unclear("targets None")
    _check_sizes(pairs)
    X, y = concatenate([X for X, _ in pairs]), concatenate([y for _, y in pairs])
    if X is None or y is None:
        raise ValueError(
            "Expected batches that can be joined, found samples of different shapes from batch to "
            "batch. Pad all samples to one length in the data set or the collate function."
        )
    return X, y, notes


def _batches(loader):
    """Draw batches of all samples; what is known of a DataLoader is made use of."""
    if not isinstance(loader, DataLoader):
        return _drawn_twice(loader), ()
    if isinstance(loader.dataset, IterableDataset):
        return _drawn_of_iterable(loader), ()
    if loader.batch_sampler is None:  # no batches are made: each item is one already
        return _drawn_twice(loader), ()
    places, notes = _places(loader)
    dataset, join = loader.dataset, loader.collate_fn
    size = loader.batch_size or 128

    def batch(part):
        if hasattr(dataset, "__getitems__"):
            return join(dataset.__getitems__(part))
        return join([dataset[place] for place in part])

    parts = [places[start : start + size] for start in range(0, len(places), size)]
    batches = [batch(part) for part in parts]
    others = _other_parts(len(places), size)
    again = [batch([places[i] for i in part]) for part in others]
    pads = len({_shapes(drawn) for drawn in batches + again}) > 1
    if not _same_samples(batches, again, others):
        for part, before in zip(parts, batches):
            if fingerprint(batch(part)) != fingerprint(before):
                raise DrawError(varying(type(dataset).__name__))
        # Samples may come in another order, and padded to other lengths.
        whole = [[batch(places)], [batch(places[::-1])]]
        if not pads or _samples_of(whole[0]) != _samples_of(whole[1]):
            raise DrawError(_mixing(join))
    if pads:
        # A collate function that pads does so to the longest sample of what it gets.
        batches = [batch(places)]
    return batches, notes


def _other_parts(n_samples, size):
    """Deal out places among samples anew: in batches of as many, or in two where one holds all."""
    order = np.random.default_rng(0).permutation(n_samples)
    if n_samples <= size:
        size = max(1, -(-n_samples // 2))
    return [order[start : start + size].tolist() for start in range(0, n_samples, size)]


def _same_samples(batches, again, others):
    """Say whether samples are the same, up to rounding, in batches of others beside them.

    Batches that do not have one row per sample cannot be compared, nor joined.
    """
    if _samples_of(batches) == _samples_of(again):
        return True
    if not all(_rows(batch) for batch in batches + again):
        return True
    rows = [row for batch in batches for row in _rows(batch)]
    drawn = [row for batch in again for row in _rows(batch)]
    order = [place for part in others for place in part]
    if not len(rows) == len(drawn) == len(order):
        return False
    return all(_agree(rows[place], row) for place, row in zip(order, drawn))


def _rows(batch):
    """List the samples of a batch, each a list of tensors; none where it has no rows."""
    parts = [tensor for tensor in tensors_of(_tensors(batch)) if tensor.ndim]
    if len({len(part) for part in parts}) != 1:
        return []
    return [[part[place] for part in parts] for place in range(len(parts[0]))]


def _agree(first, second):
    """Compare two samples up to rounding, as far as both reach where they are padded."""
    for one, other in zip(first, second, strict=True):
        both = tuple(slice(min(sizes)) for sizes in zip(one.shape, other.shape))
        one, other = one[both], other[both]
        if one.is_floating_point() and other.is_floating_point():
            rounding = 1e-5 * float(one.abs().nan_to_num(0.0, 0.0, 0.0).max()) if len(both) else 0.0
            same = torch.allclose(one, other, rtol=1e-5, atol=rounding, equal_nan=True)
        else:
            same = torch.equal(one, other)
        if not same:
            return False
    return True


def _mixing(join):
    """Say that a collate function lets samples depend on those beside them."""
    name = getattr(join, "__name__", type(join).__name__)
    return (
        "Expected samples that are what they are whatever batch they are in, found others in other "
        f"batches: {name} mixes samples, or takes of each what is common to the batch (mixup, "
        "means). Pass a loader without it, and what belongs to the net as a part of the module."
    )


def _shapes(batch):
    """Return the shapes of a batch's tensors but for the number of samples."""
    tree = list(batch.values()) if isinstance(batch, Mapping) else batch
    return tuple(tuple(tensor.shape[1:]) for tensor in tensors_of(tree))


def _places(loader):
    """Find which samples of its data set a DataLoader goes through, each once."""
    batch_sampler = loader.batch_sampler
    sampler = batch_sampler.sampler if type(batch_sampler) is BatchSampler else None
    if isinstance(sampler, WeightedRandomSampler):
        drawn = np.flatnonzero(np.asarray(sampler.weights) > 0).tolist()
        note = "The loader draws samples by weights; each is examined once."
        if len(drawn) < len(sampler.weights):
            note = (
                f"The loader draws samples by weights; {len(drawn)} of {len(sampler.weights)} have "
                "some, and each of these is examined once."
            )
        return drawn, (note,)
    if type(sampler) in (SequentialSampler, RandomSampler):
        # Whether a last, short batch is dropped is of no interest here.
        n_samples = len(sampler.data_source)
        notes = ()
        if getattr(sampler, "replacement", False) or (
            getattr(sampler, "num_samples", n_samples) != n_samples
        ):
            notes = ("The loader draws some samples at random; each of all is examined once.",)
        elif n_samples < len(loader.dataset):
            notes = (
                f"The loader goes through {n_samples} of {len(loader.dataset)} samples, which are "
                "examined.",
            )
        return list(range(n_samples)), notes
    first, again = (_drawn_places(batch_sampler, sampler, len(loader.dataset)) for _ in range(2))
    if again and first != again:
        name = type(batch_sampler if sampler is None else sampler).__name__
        raise DrawError(
            f"Expected a loader that goes through the same samples each time, found that {name} "
            "chooses others the second time. Pass DataLoader(dataset, batch_size=...) without it, "
            "or with a Subset of the data set."
        )
    name, n_samples = type(batch_sampler if sampler is None else sampler).__name__, len(first)
    notes = ()
    if n_samples < len(loader.dataset):
        notes = (
            f"The loader's {name} goes through {n_samples} of {len(loader.dataset)} samples, which "
            "are examined; in another epoch or process it may take others.",
        )
    return first, notes


def _drawn_places(batch_sampler, sampler, n_samples):
    """List the places that a sampler draws, each once, in order."""
    drawn = iter(sampler) if sampler is not None else chain.from_iterable(batch_sampler)
    # A sampler without an end goes on after that.
    places = list(dict.fromkeys(islice(drawn, 10 * n_samples)))
    return (
        sorted(places) if all(isinstance(place, (int, np.integer)) for place in places) else places
    )


def _drawn_twice(loader):
    """Draw all batches, and compare their samples with those of a second time, in any order."""
    first = list(islice(iter(loader), MOST_BATCHES + 1))
    name = type(getattr(loader, "dataset", loader)).__name__
    if len(first) > MOST_BATCHES:
        raise DrawError(
            f"Expected a loader that ends, found more than {MOST_BATCHES:,} batches in {name}. "
            "Pass a part of them, list(itertools.islice(loader, n))."
        )
    again = list(islice(iter(loader), len(first) + 1))
    if again and _samples_of(again) != _samples_of(first):
        raise DrawError(varying(name))
    return first


def _drawn_of_iterable(loader):
    """Draw all batches of a data set without places, and its items in other batches."""
    first = _drawn_twice(loader)
    if loader.batch_size is None or loader.num_workers or not first:
        return first
    items = list(islice(iter(loader.dataset), len(first) * loader.batch_size + 1))
    parts = _other_parts(len(items), loader.batch_size)
    again = [loader.collate_fn([items[place] for place in part]) for part in parts]
    pads = len({_shapes(drawn) for drawn in first + again}) > 1
    whole = not loader.drop_last or len(items) % loader.batch_size == 0
    if whole and not pads and not _same_samples(first, again, parts):
        raise DrawError(_mixing(loader.collate_fn))
    return first


def _samples_of(batches):
    """Count samples by what they hold, whatever the batch that they are in."""
    counts = Counter()
    for batch in batches:
        parts = [tensor for tensor in tensors_of(_tensors(batch)) if tensor.ndim]
        sizes = {len(part) for part in parts}
        if len(sizes) != 1:
            counts[fingerprint(batch)] += 1
            continue
        for place in range(sizes.pop()):
            counts[fingerprint([part[place] for part in parts])] += 1
    return counts


def _unpacked(module, batch, unpack):
    """Tell inputs and targets of a batch apart."""
    if unpack is not None:
        pair = unpack(batch)
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ValueError(
                f"Expected unpack to return (X, y), found an object of type {type(pair).__name__}. "
                "Return a pair."
            )
        X, y = pair
        return _tensors(X), _tensors(y)
    if isinstance(batch, Mapping):
        return _unpacked_dict(module, batch)
    names, _, _ = names_of_inputs(module)
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        length = f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
        raise _unclear(f"objects of type {type(batch).__name__}{length}")
    *inputs, y = batch
    if len(inputs) == 1:
        X = inputs[0]
    elif len(inputs) <= len(names):
        X = dict(zip(names, inputs))
    else:
        raise _unclear(f"{len(batch)} parts, where forward takes {', '.join(names)}")
    X = _tensors(X)
    return inputs_of(module, X) if isinstance(X, (list, tuple)) else X, _tensors(y)


def _unpacked_dict(module, batch):
    """Tell the inputs and the targets of a batch by name apart."""
    names, _, any_name = names_of_inputs(module)
    targets = [key for key in batch if key not in names]
    if len(targets) != 1:
        # Some modules take their targets as an input, too, and some any input at all.
        targets = [key for key in batch if key in NAMES_OF_TARGETS]
    inputs = {key: value for key, value in batch.items() if key not in targets}
    strange = [key for key in inputs if key not in names]
    if len(targets) != 1 or not inputs or (strange and not any_name and len(inputs) > 1):
        raise _unclear(f"dicts of {', '.join(map(repr, batch))}, of which forward takes {names}")
    X = _tensors(inputs)
    # One input is that of forward, whatever it is called.
    return next(iter(X.values())) if strange and not any_name else X, _tensors(batch[targets[0]])


def _unclear(found):
    """Say that a batch is not of a form that tells inputs and targets apart."""
    return ValueError(
        f"Expected batches (X, y), found {found}. Pass unpack=lambda batch: (X, y) with the "
        "inputs, or a dict of them by name, and the targets of a batch."
    )


def _tensors(tree):
    """Turn arrays in a tree into tensors."""
    if isinstance(tree, Mapping):
        return {key: _tensors(value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        if tree and all(isinstance(item, (int, float)) for item in tree):
            return torch.as_tensor(tree)
        return [_tensors(item) for item in tree]
    if isinstance(tree, (np.ndarray, np.generic)):
        return torch.as_tensor(tree)
    return tree


def _check_sizes(pairs):
    """Refuse batches whose parts do not have one row per sample, which cannot be joined rightly."""
    for X, y in pairs:
        sizes = [len(t) if t.ndim else None for t in [*tensors_of(X), *tensors_of(y)]]
        if len(set(sizes)) > 1 or not sizes:
            raise ValueError(
                "Expected batches with one row per sample in every part, found parts with "
                f"{', '.join(map(str, sizes)) or 'no'} rows. Pass padded indices instead of "
                "offsets of bags, and targets of all samples."
            )

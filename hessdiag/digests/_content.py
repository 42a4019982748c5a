"""Digests of what an examination depends on: a fitted net with its data, or any value."""

from __future__ import annotations

import contextlib
from typing import Any

import skorch
import torch

from hessdiag.curvature.network import module_attributes, untouched_surroundings
from hessdiag.digests._code import name_of, names_in, own_functions
from hessdiag.digests._data import feed_data
from hessdiag.digests._digester import Digester, NotDigestibleError
from hessdiag.digests._origins import forget_files
from hessdiag.digests._patches import feed_patches_of_all

# How a net is trained, and what training and prediction leave behind: it counts where the code of
# a class of one's own speaks of it.
_OF_TRAINING = {
    "module",
    "criterion",
    "optimizer",
    "lr",
    "max_epochs",
    "batch_size",
    "iterator_train",
    "train_split",
    "callbacks",
    "predict_nonlinearity",
    "warm_start",
    "verbose",
    "device",
    "compile",
    "use_caching",
    "torch_load_kwargs",
    "classes",
    "classes_inferred_",
    "history_",
    "optimizer_",
    "callbacks_",
}
_ARGUMENTS_OF_TRAINING = (
    "module__",
    "criterion__",
    "optimizer__",
    "iterator_train__",
    "callbacks__",
    "compile__",
)
# Skorch's own book-keeping, whoever speaks of it.
_BOOKS = {
    "initialized_",
    "virtual_params_",
    "prefixes_",
    "cuda_dependent_attributes_",
    "init_context_",
    "_params_to_validate",
    "_modules",
    "_criteria",
    "_optimizers",
    "_kwargs",
}
# Methods that fitting, saving and loading call, and examining does not.
_METHODS_OF_TRAINING = {
    "fit",
    "partial_fit",
    "fit_loop",
    "run_single_epoch",
    "train_step",
    "train_step_single",
    "initialize",
    "initialize_optimizer",
    "initialize_callbacks",
    "save_params",
    "load_params",
    "get_train_step_accumulator",
    "get_split_datasets",
}
# How batches are fetched, not what is in them.
_OF_FETCHING = {
    "iterator_valid__batch_size",
    "iterator_valid__num_workers",
    "iterator_valid__pin_memory",
    "iterator_valid__persistent_workers",
    "iterator_valid__prefetch_factor",
    "iterator_valid__timeout",
}


def content_digest(
    net: skorch.NeuralNet, X: Any, y: Any = None, output: str | int | None = None
) -> str:
    """Return a digest of everything that an examination of a net on some data depends on.

    Parameters
    ----------
    net : skorch.NeuralNet
        Fitted net.
    X, y : as the net's ``fit`` takes them
        Data.
    output : str, int or None, default=None
        Name of the tensor that the loss is taken of, where one is given.

    Returns
    -------
    str
        32 hexadecimal digits (BLAKE2b), the same in every process.

    Raises
    ------
    NotDigestibleError
        If something may hold what cannot be seen.

    Examples
    --------
    >>> from hessdiag.digests import content_digest
    >>> from hessdiag.testing import make_case
    >>> case = make_case()
    >>> content_digest(case.net, case.X, case.y) == case.digest()
    True
    """
    forget_files()
    digester = Digester()
    with _read_to_its_end("a network"):
        _feed_net(digester, net)
        _feed_global_hooks(digester)
        feed_patches_of_all(digester)
    data = Digester()
    with untouched_surroundings():  # data sets may draw random numbers
        for part in (X, y):
            feed_data(data, part)
    digester.put("data", data.hexdigest())
    if output is not None:
        digester.put("output", repr(output))
    return digester.hexdigest()


def value_digest(value: Any) -> str:
    """Return a digest of any value by its content.

    Parameters
    ----------
    value : object
        Numbers, words, functions, arrays, tensors, modules, and what holds them.

    Returns
    -------
    str
        32 hexadecimal digits.

    Raises
    ------
    NotDigestibleError
        If something may hold what cannot be seen.

    Examples
    --------
    >>> from hessdiag.digests import value_digest
    >>> value_digest({"layers": ["0"]}) == value_digest({"layers": ["0"]})
    True
    """
    forget_files()
    digester = Digester()
    with _read_to_its_end("a value"):
        digester.feed(value)
    return digester.hexdigest()


@contextlib.contextmanager
def _read_to_its_end(what):
    """Say of whatever goes wrong in reading something that it has no digest."""
    try:
        yield
    except NotDigestibleError:
        raise
    except Exception as error:
        raise NotDigestibleError(
            f"Expected {what} whose content can be digested, found one that cannot be read to "
            f"its end ({type(error).__name__}: {error}). Keep plain values on it; until then "
            "nothing that is found out about it is kept for the next time."
        ) from error


def _feed_net(digester, net):
    """Take in a fitted net: modules, criteria, how it is run, and what its class says of that."""
    kind = type(net)
    digester.put("net", name_of(kind))
    training = [name for name in dir(kind) if name.startswith("on_")]
    digester.feed_class_of(net, {*_METHODS_OF_TRAINING, *training, "__init__", "__repr__"})
    modules, criteria = module_attributes(net)
    for name in modules + criteria:
        part = getattr(net, name)
        digester.put("part", name)
        digester.feed(getattr(part, "_orig_mod", part), name)
    functions = own_functions(kind)
    spoken_of = set()
    for name, function in functions.items():
        if name not in _METHODS_OF_TRAINING and not name.startswith("on_"):
            spoken_of |= names_in(function.__code__)
    digester.feed_pairs(
        (name, value)
        for name, value in sorted(vars(net).items())
        if name not in modules + criteria and _counts(kind, name, spoken_of, bool(functions))
    )


def _counts(kind, name, spoken_of, is_own):
    """Say whether an attribute of a net may change what is found out about it."""
    if name in ("dataset", "iterator_valid") or name.startswith("dataset__"):
        return True
    if name.startswith("iterator_valid__"):
        return name not in _OF_FETCHING
    if name in _BOOKS:
        return False
    if name in _OF_TRAINING or name.startswith(_ARGUMENTS_OF_TRAINING):
        return name in spoken_of or name.removesuffix("_") in spoken_of - {"optimizer", "callbacks"}
    return is_own or callable(getattr(kind, name, None))


def _feed_global_hooks(digester):
    """Take in what holds for every module there is."""
    digester.feed(torch.get_default_dtype())
    place = torch.nn.modules.module
    for name in ("_global_forward_pre_hooks", "_global_forward_hooks", "_global_backward_hooks"):
        digester.feed(list(getattr(place, name, {}).values()), name)

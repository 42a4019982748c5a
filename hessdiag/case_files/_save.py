"""save_case: write what makes the same case again, and see that it does."""

from __future__ import annotations

import io
import os

import numpy as np
import torch

from hessdiag.case_files._folder import folder_of_case, write_folder
from hessdiag.case_files._nets import build_net, describe_net, state_of
from hessdiag.case_files._trust import import_class
from hessdiag.case_files._values import Describer
from hessdiag.cases import NetworkCase
from hessdiag.curvature.network import WorkingCopy, load_chunks, untouched_surroundings
from hessdiag.digests import NotDigestibleError, content_digest
from hessdiag.optional import import_optional

FORMAT = 1

_FEW = 8


def save_case(case: NetworkCase, folder: str | os.PathLike[str]) -> None:
    """Write a case to a folder that `hessdiag diagnose` can read.

    No object is pickled: classes are written as import paths and their keyword arguments as JSON,
    parameters as safetensors, data as NumPy arrays. Before anything is written, the network is made
    again from that and compared with the original.

    Parameters
    ----------
    case : NetworkCase
        A fitted skorch net whose module and criterion are importable classes with plain arguments,
        arrays, tensors or modules, or instances that keep the arguments they were made with, such
        as a ``Sequential`` of layers of torch; and its data as arrays.
    folder : str or path-like
        Where to write; made if it is missing. A case that is there is replaced in one step:
        whatever stops the process, the folder holds the old case or the new one.

    Raises
    ------
    ValueError
        If a class lives in ``__main__``, an argument is not plain, or the case made again would
        not be the same: by hooks, for example, or values put on a module after it was made.

    See Also
    --------
    load_case : Reads it.

    Examples
    --------
    >>> import tempfile
    >>> import hessdiag as hd
    >>> from hessdiag.testing import make_case
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     hd.save_case(make_case(name="mine"), folder)
    ...     hd.load_case(folder).name
    'mine'
    """
    torch_files = import_optional("safetensors.torch", "zoo", "Saving a case")
    if not isinstance(case, NetworkCase):
        raise TypeError(
            f"Expected a NetworkCase, found an object of type {type(case).__name__}. "
            "Wrap the net with its data: NetworkCase(net, X, y)."
        )
    if not (case.name is None or isinstance(case.name, str)):
        raise TypeError(
            f"Expected a word or None as the name of the case, found {case.name!r}. Name it by "
            "a word."
        )
    path = folder_of_case(folder)
    X, y = _array(case.X, "X"), _array(case.y, "y")
    description, tensors, arrays = _described(case, X, y)
    description = {"format": FORMAT, "name": case.name, "output": case.output} | description
    description["history"] = {"n_held_back": case.n_held_back, "notes": list(case.notes)}
    stream = io.BytesIO()
    np.savez_compressed(stream, X=X, y=y, **arrays)
    contents = {
        "parameters.safetensors": torch_files.save(tensors),
        "data.npz": stream.getvalue(),
    }
    write_folder(path, description, contents)


def _described(case, X, y):
    """Describe a net in a way that makes it again: by its class, or else by the modules it has."""
    refusal = None
    for as_made in (False, True):
        describer = Describer()
        try:
            description = describe_net(case.net, describer, as_made)
            tensors = state_of(case.net) | describer.tensors
        except ValueError as error:
            raise (refusal or error) from None
        refusal = _difference(case, X, y, description, tensors, describer.arrays)
        if refusal is None:
            return description, tensors, describer.arrays
        if not isinstance(description["module"], str):
            break
    raise refusal


def _difference(case, X, y, description, tensors, arrays):
    """Make the case again, and return what is to be said where it is another one."""
    try:
        net = build_net(description, tensors, arrays, import_class)
    except Exception as error:
        return _refusal(f"making it again fails: {type(error).__name__}: {_line(error)}")
    try:
        expected = content_digest(case.net, X, y)
        if content_digest(net, X, y) != expected and not _is_same_after_a_pass(case.net, net, X, y):
            return _refusal("a network made by its class and arguments differs from it")
        if expected != content_digest(case.net, case.X, case.y):
            return ValueError(
                f"Expected X and y as plain numeric arrays, found data that arrays do not keep as "
                f"they are ({type(case.X).__name__}, {type(case.y).__name__}). Convert X and y to "
                "NumPy arrays first."
            )
    except NotDigestibleError as error:
        return _refusal(f"it cannot be compared with one made again: {_line(error)}")
    return None


def _refusal(reason):
    """What to say of a network that would not come back the same."""
    return ValueError(
        f"Expected a network that its class and plain arguments make again, found that {reason}. "
        "Remove hooks and values that were put on it after it was made (as torch.nn.utils."
        "prune.remove does), or write a class for it that does all of that by its arguments."
    )


def _is_same_after_a_pass(net, other, X, y):
    """Compare two nets after the same few samples: some keep what has passed through them."""
    digests = []
    try:
        with untouched_surroundings(), torch.no_grad():
            for one in (net, other):
                copy = WorkingCopy(one, device="cpu")
                indices = np.arange(min(_FEW, len(X)))
                copy(load_chunks(copy, X, y, indices, None)[0].X)
                digests.append(content_digest(copy.net, X, y))
    except NotDigestibleError:
        raise
    except Exception:
        return False
    return digests[0] == digests[1]


def _array(values, name):
    """An array that needs no pickle."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"Expected {name} as a plain numeric array, found {type(values).__name__} "
            f"({_line(error)}). Convert {name} to a NumPy array first."
        ) from error
    if array.dtype.hasobject:
        raise ValueError(
            f"Expected {name} as a plain numeric array, found objects ({type(values).__name__}). "
            f"Convert {name} to a NumPy array first."
        )
    return array


def _line(error):
    """First line of a message, without its full stop."""
    return (str(error).splitlines() or [""])[0].rstrip(".")

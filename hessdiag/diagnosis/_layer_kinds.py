"""Kinds of layers that no network of a reference has: distances between measures do not tell them.

On 276 networks by recipes of practice, diagnosed by the reference of MLPs, CNNs and attention nets
with their data sets left out, 39 % of the diagnoses were wrong where layers were of kinds that it
had not met (recurrent nets, transformers), and 24 % elsewhere; by measures none of the former was
far from it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

# What torch puts before the class name of a layer whose parameters are parametrized.
_PARAMETRIZED = "Parametrized"

# Classes that are another one in all but their name.
_ALIASES = {"NonDynamicallyQuantizableLinear": "Linear"}


def kinds_of(kinds: Sequence[Sequence[str]]) -> frozenset[str]:
    """Collect the kinds of layers of some networks.

    Parameters
    ----------
    kinds : list of sequence of str
        Kinds of the layers of each network, as in `LayerTable`.

    Returns
    -------
    kinds : frozenset of str
        Class names of modules.
    """
    return frozenset(_plain(kind) for own in kinds for kind in own)


def unfamiliar_kinds(kinds: Sequence[str], known: Collection[str]) -> tuple[list[str], float]:
    """Find the layers of a network whose kind is not known.

    Parameters
    ----------
    kinds : sequence of str
        Kind of each layer.
    known : collection of str
        As from `kinds_of`.

    Returns
    -------
    unfamiliar : list of str
        The kinds that are not known, each once, in forward order.
    share : float
        Share of the layers.
    """
    plain = [_plain(kind) for kind in kinds]
    unfamiliar = [kind for kind in plain if kind not in known]
    return list(dict.fromkeys(unfamiliar)), len(unfamiliar) / len(plain)


def with_unfamiliar_kinds(
    scores: np.ndarray, kinds: Sequence[Sequence[str]], known: Collection[str]
) -> np.ndarray:
    """Put networks with layers of unfamiliar kinds outside, whatever their measures are.

    Parameters
    ----------
    scores : ndarray of shape (n_networks,)
        Distances from the reference, as from `TableDiagnoser.domain_score`.
    kinds : list of sequence of str
        Kinds of the layers of each network.
    known : collection of str
        As from `kinds_of`.

    Returns
    -------
    scores : ndarray of shape (n_networks,)
        At least 1 and the share of layers of unfamiliar kinds, where there are such.

    Examples
    --------
    >>> from hessdiag.diagnosis import with_unfamiliar_kinds
    >>> with_unfamiliar_kinds([0.7, 0.7], [["GRU", "Linear"], ["Linear"]], {"Linear"}).tolist()
    [1.5, 0.7]
    """
    shares = np.array([unfamiliar_kinds(own, known)[1] for own in kinds])
    return np.where(shares > 0, np.maximum(scores, 1 + shares), scores)


def note_of_kinds(kinds: Sequence[str], known: Collection[str]) -> tuple[str, ...]:
    """Caution about layers of unfamiliar kinds.

    Parameters
    ----------
    kinds : sequence of str
        Kind of each layer of a network.
    known : collection of str
        As from `kinds_of`.

    Returns
    -------
    notes : tuple of str
        One note, or none.
    """
    unfamiliar, share = unfamiliar_kinds(kinds, known)
    if not unfamiliar:
        return ()
    return (
        "This network lies outside the reference: none of its networks has layers of the "
        f"kind{'s' * (len(unfamiliar) > 1)} {', '.join(unfamiliar)}, as "
        f"{round(share * len(kinds))} of {len(kinds)} here are. Take the diagnosis with care.",
    )


def _plain(kind):
    """Class name of a layer without what torch adds to it."""
    kind = kind.removeprefix(_PARAMETRIZED)
    return _ALIASES.get(kind, kind)

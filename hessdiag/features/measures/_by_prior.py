"""Records that come once for each strength of the prior."""

from __future__ import annotations

from hessdiag.features.measures._measure import Measure
from hessdiag.features.measures._reading import statistic

#: Multiples of the prior's precision p / |w|^2 that the examination evaluates.
MULTIPLES = ("0.01", "0.1", "1", "10", "100")


def by_prior(name, formula, family, reference, read=None, transform=float, per=None):
    """Make the records of one statistic, one for each strength of the prior.

    Parameters
    ----------
    name : str
        Name without the multiple.
    formula : str
        As in `Measure`, without the multiple; ``alpha`` in it is the prior's precision.
    family, reference : str
        As in `Measure`.
    read : str or None, default=None
        The statistic it reads, without the multiple; None reads the one called `name`.
    transform : callable, default=float
        Applied to the statistic.
    per : str or None, default=None
        Entry of the context that the statistic is divided by.

    Returns
    -------
    records : tuple of Measure
        In the order of `MULTIPLES`.
    """
    return tuple(
        Measure(
            name=f"{name}_{multiple}",
            family=family,
            formula=f"{formula}; alpha = {multiple} p / |w|^2",
            function=statistic(f"{read or name}_{multiple}", transform, per),
            reference=reference,
        )
        for multiple in MULTIPLES
    )

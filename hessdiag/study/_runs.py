"""Runs: the three runs of one data set, as statements ask for them."""

from __future__ import annotations

import numpy as np

from hessdiag.study.tables import REGIMES


class Runs:
    """The starved, the sound and the lavish run of one data set.

    Values that are missing anywhere, or not finite, make an answer None: a statement about them
    does not apply.

    Parameters
    ----------
    experiments : pandas.DataFrame
        Rows of one data set of the table of experiments.
    evolution : pandas.DataFrame
        Rows of the same data set of the table of evolution.
    coupling : pandas.DataFrame
        Rows of the same data set of the table of couplings.
    momentum : float, default=0.9
        Momentum of the optimizer.
    """

    def __init__(self, experiments, evolution, coupling, momentum=0.9):
        first = experiments.iloc[0]
        self.dataset, self.kind = first["dataset"], first["kind"]
        self.n_outputs, self.activation = int(first["n_outputs"]), first["activation"]
        self.learning_rate, self.momentum = float(first["learning_rate"]), momentum
        self._coupling = coupling
        self._curves = {
            key: group.sort_values("step")
            for key, group in evolution.groupby(["regime", "place"], sort=False)
        }

    def shares(self, regime):
        """Return the shares of training of all checkpoints, ascending."""
        return self._curves[regime, "network"]["share"].to_numpy(dtype=float)

    def curve(self, regime, place, measure):
        """Return a measure at all checkpoints, or None."""
        if (regime, place) not in self._curves:
            return None
        values = self._curves[regime, place][measure].to_numpy(dtype=float)
        return values if len(values) and np.isfinite(values).all() else None

    def value(self, regime, place, measure, share=1.0):
        """Return a measure at the checkpoint nearest, in log-steps, to a share of training."""
        rows = self._curves.get((regime, place))
        if rows is None:
            return None
        values = rows[measure].to_numpy(dtype=float)
        value = values[nearest_checkpoint(rows["share"].to_numpy(dtype=float), share)]
        return float(value) if np.isfinite(value) else None

    def ends(self, regime, place, measure):
        """Return a measure before and after training, or None."""
        start, end = (self.value(regime, place, measure, share) for share in (0.0, 1.0))
        return None if start is None or end is None else (start, end)

    def compare(self, place, measure, regime, other, below=False):
        """Say whether a measure ends higher (or lower) in one regime than in another."""
        a, b = (self.value(name, place, measure) for name in (regime, other))
        if a is None or b is None:
            return None
        return a < b if below else a > b

    def phi(self, regime):
        """Return the share of the Hessian's squared norm outside of the layers' blocks, or None."""
        values = self._last_coupling(regime)["phi"].to_numpy(dtype=float)
        return float(values[0]) if len(values) and np.isfinite(values[0]) else None

    def coupling(self, regime, distance):
        """Return the mean coupling of layers that are so far apart, or None."""
        rows = self._last_coupling(regime)
        values = rows.loc[rows["distance"] == distance, "coupling"].to_numpy(dtype=float)
        return float(values.mean()) if len(values) and np.isfinite(values).all() else None

    def _last_coupling(self, regime):
        """Rows of a regime's couplings at the last checkpoint; none if the run had blown up."""
        end = self._curves[regime, "network"]["step"].max()
        return self._coupling[
            (self._coupling["regime"] == regime) & (self._coupling["step"] == end)
        ]


def nearest_checkpoint(shares, share):
    """Return the index of the checkpoint nearest to a share of training, in log-steps.

    Parameters
    ----------
    shares : ndarray of shape (n_checkpoints,)
        Shares of training, ascending.
    share : float
        The share that is asked for; 0 is the initial state alone.

    Returns
    -------
    index : int
        Its index; of two as near, the earlier.
    """
    if share == 0:
        return int(np.argmin(shares))
    with np.errstate(divide="ignore"):
        return int(np.argmin(np.abs(np.log(shares) - np.log(share))))


def each_data_set(experiments, evolution, coupling):
    """Yield the runs of every data set that has all three regimes.

    Parameters
    ----------
    experiments, evolution, coupling : pandas.DataFrame
        The tables.

    Yields
    ------
    runs : Runs
        In the order of the table of experiments.
    """
    curves = dict(list(evolution.groupby("dataset", sort=False)))
    pairs = dict(list(coupling.groupby("dataset", sort=False)))
    for name, group in experiments.groupby("dataset", sort=False):
        if set(group["regime"]) == set(REGIMES) and name in curves:
            yield Runs(group, curves[name], pairs.get(name, coupling.iloc[:0]))

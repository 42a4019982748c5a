"""LongerGain: what training longer gains, which is known of some networks of a reference only."""

from __future__ import annotations

import numpy as np

from hessdiag.diagnosis._gain_intervals import GainIntervals


class LongerGain:
    """Intervals of the gain of training longer, from the networks of which it was measured.

    As for the other gains (`GainIntervals`): networks are alike whose predictions are, of that
    gain and of all else. Those of which it was not measured stand for nothing here.
    """

    def fit(self, left_out, measured, alike, groups):
        """Keep the networks that were measured, and calibrate the levels.

        Parameters
        ----------
        left_out : ndarray of shape (n_networks,)
            Predictions of the gain with each network's group left out, on the learning scale.
        measured : ndarray of shape (n_networks,)
            The gain; NaN where it was not measured, finite in two groups at least.
        alike : ndarray of shape (n_networks, n_predictions)
            What else is predicted, scaled.
        groups : ndarray of shape (n_networks,)
            Data sets.

        Returns
        -------
        self : LongerGain
            The fitted intervals.
        """
        known = np.isfinite(measured)
        self.scale_ = left_out[known].std() + 1e-12
        rows = self._alike(left_out[known], alike[known])
        self.intervals_ = GainIntervals().fit(rows, measured[known, None], groups[known])
        return self

    def predict(self, predicted, alike, coverage):
        """Give intervals.

        Parameters
        ----------
        predicted : ndarray of shape (n_new,)
            Predictions of the gain, on the learning scale.
        alike : ndarray of shape (n_new, n_predictions)
            What else is predicted, scaled likewise.
        coverage : float
            Share of networks on data sets never seen whose gain lies within.

        Returns
        -------
        intervals : ndarray of shape (n_new, 1, 2)
            Lower and upper end.
        """
        return self.intervals_.predict(self._alike(predicted, alike), coverage)

    def _alike(self, predicted, alike):
        """By what networks are alike: this gain in standard deviations, and all else."""
        return np.column_stack([predicted / self.scale_, alike])

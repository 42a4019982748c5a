"""GainIntervals: what networks gained that were predicted alike while their data set was unseen."""

from __future__ import annotations

import numpy as np

# Smoothing over predictions, in their standard deviations: 0.3 to 0.5 give intervals of one width.
_BANDWIDTH = 0.5

# Weight of every network, so that a prediction unlike all others gets the range of them all.
_LEAST_WEIGHT = 1e-6

_CHUNK = 200


class GainIntervals:
    """Intervals of gains by weighted quantiles over networks that were predicted alike.

    A network with prediction z gives every reference network i the weight
    ``w_i = exp(-||z - z_i||^2 / (2 h^2))``, z_i its prediction with its own group left out, and
    the weighted quantiles of the measured gains are its predictive distribution [1]_. The levels
    of the quantiles are calibrated: the measured gain of each reference network has the
    nonconformity ``|2 F - 1|``, F its place in the distribution that the other groups give, and
    an interval spans the quantiles ``(1 -+ q) / 2`` with q the quantile of those at the coverage
    that is wanted (distributional conformal prediction [2]_).

    References
    ----------
    .. [1] Meinshausen (2006). Quantile regression forests. JMLR 7.
    .. [2] Chernozhukov, Wuethrich, Zhu (2021). Distributional conformal prediction. PNAS 118.
    """

    def fit(self, predictions, gains, groups):
        """Keep the reference networks and calibrate the levels.

        Parameters
        ----------
        predictions : ndarray of shape (n_networks, n_predictions)
            Predictions with each network's group left out, scaled.
        gains : ndarray of shape (n_networks, 2)
            Measured gains.
        groups : ndarray of shape (n_networks,)
            Data sets.

        Returns
        -------
        self : GainIntervals
            The fitted intervals.
        """
        self.predictions_ = predictions
        self.gains_ = gains
        places = np.empty(gains.shape)
        for start in range(0, len(gains), _CHUNK):
            rows = slice(start, start + _CHUNK)
            weights = self.weights(predictions[rows]) * (groups[rows, None] != groups)
            weights /= weights.sum(axis=1, keepdims=True)
            for column in range(gains.shape[1]):
                own, others = gains[rows, column, None], gains[:, column]
                below = (weights * (others < own)).sum(axis=1)
                equal = (weights * (others == own)).sum(axis=1)
                places[rows, column] = below + equal / 2
        self.nonconformity_ = np.sort(np.abs(2 * places - 1), axis=0)
        return self

    def weights(self, predictions):
        """Weights of the reference networks.

        Parameters
        ----------
        predictions : ndarray of shape (n_new, n_predictions)
            Predictions for new networks.

        Returns
        -------
        weights : ndarray of shape (n_new, n_networks)
            Rows sum to 1.
        """
        squared = ((predictions[:, None] - self.predictions_) ** 2).sum(axis=2)
        weights = np.exp(-squared / (2 * _BANDWIDTH**2)) + _LEAST_WEIGHT
        return weights / weights.sum(axis=1, keepdims=True)

    def predict(self, predictions, coverage):
        """Give intervals.

        Parameters
        ----------
        predictions : ndarray of shape (n_new, n_predictions)
            Predictions for new networks, scaled likewise.
        coverage : float
            Share of networks on data sets never seen whose gain lies within.

        Returns
        -------
        intervals : ndarray of shape (n_new, 2, 2)
            Lower and upper end for each gain.
        """
        n, n_gains = self.gains_.shape
        # The quantile that holds one further network with probability `coverage`.
        place = min(n, int(np.ceil((n + 1) * coverage))) - 1
        intervals = np.empty((len(predictions), n_gains, 2))
        for start in range(0, len(predictions), _CHUNK):
            rows = slice(start, start + _CHUNK)
            weights = self.weights(predictions[rows])
            for column in range(n_gains):
                level = self.nonconformity_[place, column]
                levels = ((1 - level) / 2, (1 + level) / 2)
                intervals[rows, column] = weighted_quantiles(
                    self.gains_[:, column], weights, levels
                )
        return intervals


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


def weighted_quantiles(values, weights, levels):
    """Quantiles of values under each row of weights: the smallest value that reaches the level.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        Values.
    weights : ndarray of shape (n_rows, n_values)
        Weights; rows sum to 1.
    levels : sequence of float
        Between 0 and 1.

    Returns
    -------
    quantiles : ndarray of shape (n_rows, n_levels)
        Elements of `values`.
    """
    order = np.argsort(values)
    ordered = values[order]
    # The last sum is 1 up to rounding.
    reached = np.cumsum(weights[:, order], axis=1)
    reached /= reached[:, -1:]
    places = [np.minimum((reached < level).sum(axis=1), len(values) - 1) for level in levels]
    return np.stack([ordered[place] for place in places], axis=1)

"""TableDiagnoser: diagnoses, gains and distance from the reference, by one kernel regression."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import compute_sample_weight
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from hessdiag.diagnosis._calibration import calibrate, column_scale, named
from hessdiag.diagnosis._gain_intervals import GainIntervals, LongerGain
from hessdiag.diagnosis._gains import GAINS, LONGER, check_gains, from_learning_scale
from hessdiag.diagnosis._gaps import (
    ReferenceGaps,
    differences_beside,
    mean_by_owner,
    widest_by_owner,
)
from hessdiag.diagnosis._kernel_regression import (
    KernelRegression,
    kernel_predict,
    mean_squared_differences,
)
from hessdiag.diagnosis._normal_scores import NormalScores
from hessdiag.diagnosis._table_checks import check_groups, check_leading, one_or_several
from hessdiag.labels import DIAGNOSES, nearest_gains

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

# Networks further from the reference than all but this share of its own networks lie outside.
DOMAIN_QUANTILE = 0.99


class TableDiagnoser(ClassifierMixin, BaseEstimator):
    """Diagnose networks, and estimate gains, from a table of features by kernel regression.

    Every column is mapped to normal scores of its ranks, so that measures that span decades need
    no care. One Gaussian-kernel ridge regression then learns the diagnoses and the gains together.
    Where standard errors of the gains are given, a network's diagnosis is learned as the
    probabilities that `label_probabilities` makes of them, so that a label that could as well be
    another counts less; elsewhere as an indicator. One factorization gives the exact predictions
    for every data set by the regression without it [1]_. From those come, without refitting, what
    has to hold on data sets never seen:

    - the scale of the kernel and the share of leading columns, where several are given: those
      whose probabilities have the lowest log loss;
    - probabilities: multinomial logistic regression on the left-out predictions, of gains too;
    - intervals of the gains: quantiles of what those networks gained that were predicted alike
      while their data set was left out, at levels that are calibrated (distributional conformal
      prediction [2]_);
    - the threshold of `domain_score`.

    Diagnosis and gains agree: where the rule `label_gains` would name the expected gains
    otherwise than `predict` does, they are moved to the nearest gains that it names so. The gain
    of training longer is learned beside them, where it was measured; it moves no diagnosis.

    Parameters
    ----------
    gamma : float or tuple of float, default=0.2
        Inverse scale of the kernel ``exp(-gamma * d^2)``, d^2 the mean squared difference of two
        networks' normal scores, whose columns have variance 1. Of several the one that does best
        on the groups left out is chosen in `fit`. On the reference zoo that choice, among 0.2, 0.5
        and 1, gains nothing on data sets left out, and loses up to 0.07 of balanced accuracy where
        a kind of task is left out: the default is one wide kernel.
    ridge : float, default=0.5
        Regularization: variance of the labels' noise in units of the signal's. 0.1 to 1 differ by
        0.01 in balanced accuracy likewise.
    leading_share : float or tuple of float, default=(0.5, 0.75)
        Share of d^2 that the leading columns make up, where `fit` is given some: a few
        informative columns count for little beside hundreds of others. Of several the one that does
        best on the groups left out is chosen in `fit`.
    class_weight : dict, "balanced" or None, default="balanced"
        Weights of the classes, as in sklearn. ``"balanced"`` gives the probabilities that hold
        where all diagnoses are equally common; None those at the frequencies of the reference.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Classes met in `fit`.
    n_features_in_ : int
        Number of columns met in `fit`.
    gamma_ : float
        The inverse scale that was chosen.
    leading_share_ : float or None
        The share that was chosen; None where no columns lead.
    n_gains_ : int
        0 if `fit` was given no gains, 2, or 5 with those of each way of constraining.
    gain_names_ : tuple of str
        Columns of `predict_gains`: ``"gain_widening"`` and ``"gain_constraining"``, then
        ``"gain_longer"`` if `fit` was given that of networks of two groups at least; empty if it
        was given no gains.
    left_out_probabilities_ : ndarray of shape (n_networks, n_classes)
        Probabilities of the networks of `fit`, from predictions with their group left out.
    left_out_gains_ : ndarray of shape (n_networks, n_gain_names) or None
        Expected gains of the networks of `fit` with their group left out, in the order of
        `gain_names_`; before they are moved to agree with a diagnosis.
    left_out_constraints_ : ndarray of shape (n_networks, 3) or None
        The same for each way of constraining; None where their gains were not given.
    domain_threshold_ : float
        99 % quantile of the distances between a network of `fit` and the nearest one of other
        groups; the unit of `domain_score`.

    See Also
    --------
    TableClassifier : Trees; diagnoses only.

    References
    ----------
    .. [1] Rasmussen, Williams (2006). Gaussian processes for machine learning. MIT Press.
    .. [2] Chernozhukov, Wuethrich, Zhu (2021). Distributional conformal prediction. PNAS 118.

    Examples
    --------
    >>> import hessdiag as hd
    >>> from hessdiag.diagnosis import TableDiagnoser
    >>> zoo = hd.load_reference_zoo()
    >>> gains = {name: zoo.columns[name] for name in ("gain_widening", "gain_constraining")}
    >>> model = TableDiagnoser().fit(zoo.data, zoo.target, gains=gains, groups=zoo.groups)
    >>> model.predict_gains(zoo.data[:3]).shape
    (3, 2)
    """

    _parameter_constraints = {  # noqa: RUF012
        "gamma": [Interval(Real, 0, None, closed="neither"), tuple, list],
        "ridge": [Interval(Real, 0, None, closed="neither")],
        "leading_share": [Interval(Real, 0, 1, closed="neither"), tuple, list],
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    def __init__(
        self,
        gamma: float | tuple[float, ...] = 0.2,
        ridge: float = 0.5,
        leading_share: float | tuple[float, ...] = (0.5, 0.75),
        class_weight: dict[str, float] | Literal["balanced"] | None = "balanced",
    ) -> None:
        self.gamma = gamma
        self.ridge = ridge
        self.leading_share = leading_share
        self.class_weight = class_weight

    def __sklearn_tags__(self):
        """Declare that gaps in the table are accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    @np.errstate(all="ignore")
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        gains: ArrayLike | Mapping[str, Any] | pd.DataFrame | None = None,
        groups: ArrayLike | None = None,
        leading: ArrayLike | None = None,
    ) -> Self:
        """Learn from networks whose diagnosis, and at best gains, are known.

        Parameters
        ----------
        X : array-like of shape (n_networks, n_features)
            The table; NaN where a measure does not apply.
        y : array-like of shape (n_networks,)
            Classes.
        gains : array-like of shape (n_networks, 2) or (n_networks, 5), dict, DataFrame or None
            Measured gains of widening and of constraining, in units of the null loss, finite;
            then, where known, of narrowing, of more weight decay and of stopping earlier, NaN
            where there is none. A dict or frame has them as ``gain_widening``,
            ``gain_constraining``, ``gain_narrowing``, ``gain_decay``, ``gain_stopping``, and may
            have the standard errors of the first two as ``se_widening`` and ``se_constraining``;
            they count where `y` is what `label_gains` makes of the gains. It may have the gain of
            training longer as ``gain_longer``, NaN where it was not measured.
        groups : array-like of shape (n_networks,) or None, default=None
            Data set of each network. Probabilities and intervals are made for data sets never
            seen by leaving whole groups out; None leaves out single networks.
        leading : array-like of bool of shape (n_features,) or None, default=None
            Columns that make up `leading_share` of the squared distance; None counts all columns
            alike.

        Returns
        -------
        self : TableDiagnoser
            The fitted diagnoser.

        Raises
        ------
        ValueError
            If `gamma` holds nothing or other than positive numbers, or `leading_share` other than
            numbers between 0 and 1; if there are fewer than two classes or groups, if gains or
            `leading` do not fit `X`, if gains are not finite, or if they come with classes that
            are not diagnoses.
        """
        self._validate_params()
        gammas = one_or_several("gamma", self.gamma, "a positive number")
        X, y = validate_data(self, X, y, ensure_all_finite="allow-nan", ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, indices = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"Expected at least two classes, found one class: {self.classes_[0]!r}. "
                "Add networks of another diagnosis."
            )
        groups = check_groups(groups, X)
        leading = check_leading(leading, X)
        shares = [None]
        if leading is not None:
            wanted = "a number between 0 and 1"
            shares = one_or_several("leading_share", self.leading_share, wanted, 1)
        measured = None if gains is None else check_gains(gains, len(X)).of_groups(groups)
        gains, parts, errors, longer = (None,) * 4 if measured is None else measured
        if gains is not None and not set(self.classes_.tolist()) <= set(DIAGNOSES):
            raise ValueError(
                f"Expected diagnoses among {DIAGNOSES} where gains are given, so that both can "
                f"agree, found {self.classes_.tolist()}. Make them with label_gains."
            )
        n_classes = len(self.classes_)
        self.n_gains_ = 0 if gains is None else 2 if parts is None else 5
        self.gain_names_ = () if gains is None else GAINS if longer is None else (*GAINS, LONGER)
        targets = [named(self.classes_, indices, gains, errors)]
        targets = np.hstack(targets + ([] if measured is None else measured.targets()))

        weight = compute_sample_weight(self.class_weight, y)
        self.gaps_ = ReferenceGaps(X, groups)
        self.scores_ = NormalScores().fit(X)
        self.reference_ = self.scores_.transform(X)
        # A class may weigh nothing at all.
        floor = np.finfo(float).eps * weight.max()
        n_used = n_classes + (0 if gains is None else 2)
        best = None
        for share in shares:
            rows = self.reference_ * column_scale(leading, share)
            squared = mean_squared_differences(rows, rows)
            for gamma in gammas:
                kernel = KernelRegression(gamma, self.ridge)
                kernel.fit(rows, np.maximum(weight, floor), groups, squared)
                solved = kernel.solve(targets)
                candidate = calibrate(solved, n_used, y, weight, gamma, share, kernel)
                if best is None or candidate.loss < best.loss:
                    best = candidate
                del kernel  # before the next one takes as much again
            del squared
        assert best is not None  # one share and one gamma at least were tried
        solved, self.gamma_, self.leading_share_ = best.solved, best.gamma, best.share
        self.left_out_scale_, self.calibration_ = best.scale, best.calibration
        self.column_scale_ = column_scale(leading, best.share)
        self.reference_ = self.reference_ * self.column_scale_
        scaled = solved.left_out[:, :n_used] / self.left_out_scale_
        self.left_out_probabilities_ = self.calibration_.predict_proba(scaled)
        self.left_out_gains_ = self.left_out_constraints_ = None
        if gains is not None:
            expected = from_learning_scale(solved.left_out[:, n_classes:])
            self.left_out_gains_ = self._gains_of(expected)
            self.left_out_constraints_ = expected[:, 2:5] if self.n_gains_ > 2 else None
            alike = self._alike(scaled, self.left_out_probabilities_)
            self.intervals_ = GainIntervals().fit(alike, gains, groups)
            if longer is not None:
                self.longer_ = LongerGain().fit(solved.left_out[:, -1], longer, alike, groups)
        self.mean_, self.coefficients_ = solved.mean, solved.coefficients
        self.domain_threshold_ = float(np.quantile(best.nearest, DOMAIN_QUANTILE)) or 1.0
        return self

    @np.errstate(all="ignore")
    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Give the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_networks, n_features)
            The table.

        Returns
        -------
        probabilities : ndarray of shape (n_networks, n_classes)
            Columns in the order of `classes_`.
        """
        answers, owners, n = self._answers(X)
        return mean_by_owner(self._probabilities(answers), owners, n)

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Name the class of each row.

        Parameters
        ----------
        X : array-like of shape (n_networks, n_features)
            The table.

        Returns
        -------
        classes : ndarray of shape (n_networks,)
            The most probable class.
        """
        probabilities = self.predict_proba(X)
        return self.classes_[np.argmax(probabilities, axis=1)]

    @np.errstate(all="ignore")
    def predict_gains(
        self,
        X: ArrayLike,
        return_interval: bool = False,
        coverage: float = 0.9,
        diagnoses: ArrayLike | None = None,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Estimate how far each intervention would lower held-out loss.

        Parameters
        ----------
        X : array-like of shape (n_networks, n_features)
            The table.
        return_interval : bool, default=False
            Whether to return intervals too.
        coverage : float, default=0.9
            Share of networks on data sets never seen whose gain lies within its interval.
        diagnoses : array-like of str of shape (n_networks,) or None, default=None
            Diagnoses that the gains shall agree with; None takes those of `predict`.

        Returns
        -------
        gains : ndarray of shape (n_networks, n_gain_names)
            Expected gain of widening, of constraining and, where `fit` was given it, of training
            longer, in units of the null loss; `gain_names_` says which.
        intervals : ndarray of shape (n_networks, n_gain_names, 2)
            Lower and upper ends of each; only if `return_interval` is true. That of training
            longer holds for networks like those of which it was measured.

        Raises
        ------
        ValueError
            If `fit` was given no gains, or `coverage` is not between 0 and 1.
        """
        self._check_known(2, "gains of shape (n_networks, 2)")
        if not 0 < coverage < 1:
            raise ValueError(f"Expected a coverage between 0 and 1, found {coverage!r}. Try 0.9.")
        answers, owners, n = self._answers(X)
        probabilities = self._probabilities(answers)
        if diagnoses is None:
            diagnoses = self.classes_[mean_by_owner(probabilities, owners, n).argmax(axis=1)]
        start = len(self.classes_)
        gains = mean_by_owner(self._gains_of(from_learning_scale(answers[:, start:])), owners, n)
        gains[:, :2] = nearest_gains(gains[:, :2], diagnoses)
        if not return_interval:
            return gains
        alike = self._alike(answers[:, : start + 2] / self.left_out_scale_, probabilities)
        intervals = self.intervals_.predict(alike, coverage)
        if LONGER in self.gain_names_:
            longer = self.longer_.predict(answers[:, -1], alike, coverage)
            intervals = np.concatenate([intervals, longer], axis=1)
        # What was not measured may be anything that alike networks have there.
        intervals = widest_by_owner(intervals, owners, n)
        intervals[:, :, 0] = np.minimum(intervals[:, :, 0], gains)
        intervals[:, :, 1] = np.maximum(intervals[:, :, 1], gains)
        return gains, intervals

    @np.errstate(all="ignore")
    def predict_constraints(self, X: ArrayLike) -> np.ndarray:
        """Estimate how far each way of constraining would lower held-out loss.

        Parameters
        ----------
        X : array-like of shape (n_networks, n_features)
            The table.

        Returns
        -------
        gains : ndarray of shape (n_networks, 3)
            Expected gain of narrowing, of more weight decay, and of stopping earlier, in units of
            the null loss.

        Raises
        ------
        ValueError
            If `fit` was not given these gains.
        """
        self._check_known(5, "gains with gain_narrowing, gain_decay and gain_stopping")
        answers, owners, n = self._answers(X)
        start = len(self.classes_) + 2
        return mean_by_owner(from_learning_scale(answers[:, start : start + 3]), owners, n)

    @np.errstate(all="ignore")
    def domain_score(self, X: ArrayLike) -> np.ndarray:
        """Measure how far outside the reference each network lies.

        Parameters
        ----------
        X : array-like of shape (n_networks, n_features)
            The table.

        Returns
        -------
        scores : ndarray of shape (n_networks,)
            Distance from the nearest network of `fit` (root mean squared difference of the normal
            scores) in units of `domain_threshold_`: above 1, it is further from the reference
            than 99 % of the reference's own networks are from those of other groups. A number that
            was not measured counts as one drawn from the reference at random.
        """
        X = self._check_table(X)
        U, gaps = self._scores_of(X), self.gaps_.of(X)
        _, distances = kernel_predict(
            U, self.reference_, self.gamma_, self.mean_, self.coefficients_
        )
        # Scores have variance 1 in the reference.
        unknown = (gaps * np.square(self.column_scale_)).mean(axis=1)
        distances = np.where(unknown > 0, np.sqrt(distances**2 + unknown), distances)
        return distances / self.domain_threshold_

    def missing_share(self, X: ArrayLike) -> np.ndarray:
        """Say how much of what a diagnosis weighs was not measured.

        Parameters
        ----------
        X : array-like of shape (n_networks, n_features)
            The table.

        Returns
        -------
        shares : ndarray of shape (n_networks,)
            Share of the columns, each with its weight in distances, that are missing though
            networks of the reference with gaps alike have them; 0 for every network of `fit`.
        """
        gaps = self.gaps_.of(self._check_table(X))
        weights = np.broadcast_to(np.square(self.column_scale_), gaps.shape[1:])
        return gaps @ weights / weights.sum()

    @np.errstate(all="ignore")
    def filled(self, X: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Fill what was not measured by what networks of the reference have there.

        Parameters
        ----------
        X : array-like of shape (n_networks, n_features)
            The table.

        Returns
        -------
        rows : ndarray of shape (n_rows, n_features)
            The table; in place of a network with gaps that those of the reference do not have there
            is a row for each of several networks of the reference, of different groups, that are
            most alike in the rest.
        owners : ndarray of int of shape (n_rows,)
            Place in `X` of the network that each row is of.
        """
        X = self._check_table(X)
        return self._fill(X, self._scores_of(X), X, self.gaps_.values)

    def _scores_of(self, X):
        """Scores of a table, in the scale of distances."""
        return self.scores_.transform(X) * self.column_scale_

    def _fill(self, X, U, table, values):
        """Fill a table of the networks with scores `U`, by the `values` of those most alike."""
        gaps = self.gaps_.of(X)
        with_gaps = gaps.any(axis=1)
        if not with_gaps.any():
            return table, np.arange(len(X))
        squared = differences_beside(gaps[with_gaps], U[with_gaps], self.reference_)
        return self.gaps_.fill(table, gaps, squared, values)

    def _gains_of(self, expected):
        """Take from the gains that are learned those of `gain_names_`."""
        return expected[:, [0, 1, -1][: len(self.gain_names_)]]

    def _check_known(self, n_gains, wanted):
        """Refuse to estimate gains that `fit` was not given."""
        check_is_fitted(self)
        if self.n_gains_ < n_gains:
            raise ValueError(
                f"Expected a {type(self).__name__} that was fitted with gains, found one that "
                f"{'knows only two' if self.n_gains_ else 'was fitted without'}. "
                f"Pass {wanted} to fit."
            )

    def _check_table(self, X):
        """Check a table against the one of `fit`."""
        check_is_fitted(self)
        return validate_data(self, X, reset=False, ensure_all_finite="allow-nan")

    def _answers(self, X):
        """Predictions of all targets, one row or several for each network; whose rows; how many."""
        X = self._check_table(X)
        known = self._scores_of(X)
        # The scores of what fills gaps are known, too.
        U, owners = self._fill(X, known, known, self.reference_)
        answers, _ = kernel_predict(U, self.reference_, self.gamma_, self.mean_, self.coefficients_)
        return answers, owners, len(X)

    def _probabilities(self, answers):
        """Calibrated probabilities of the regression's predictions."""
        scaled = answers[:, : len(self.left_out_scale_)] / self.left_out_scale_
        return self.calibration_.predict_proba(scaled)

    def _alike(self, scaled, probabilities):
        """Predictions by which networks are alike: gains in standard deviations, probabilities."""
        return np.hstack([scaled[:, len(self.classes_) :], 2 * probabilities])

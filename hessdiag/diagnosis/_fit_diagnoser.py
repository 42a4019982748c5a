"""FitDiagnoser: the classifier that takes networks and names their diagnosis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from hessdiag.diagnosis._class_prior import at_prior, check_class_prior, prior_of_fit
from hessdiag.diagnosis._evidence import ReferenceRanges, explain_table
from hessdiag.diagnosis._gains import check_gains
from hessdiag.diagnosis._gaps import MOST_MISSING, mean_by_owner
from hessdiag.diagnosis._layer_kinds import kinds_of, with_unfamiliar_kinds
from hessdiag.diagnosis._leading_columns import leading_columns
from hessdiag.diagnosis._report import UNDECIDED
from hessdiag.diagnosis._table_diagnoser import TableDiagnoser
from hessdiag.features import LayerSpectra, LayerTable, SkippedCase, SpectralFeatures, layer_table
from hessdiag.labels import DIAGNOSES

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from hessdiag.cases import NetworkCase
    from hessdiag.diagnosis._report import DiagnosisReport
    from hessdiag.examination import Examination

#: What `predict` answers for a case that could not be examined.
NOT_EXAMINED = "not examined"


def _gives_probabilities(diagnoser):
    """Whether the classifier of a diagnoser has probabilities."""
    estimator = getattr(diagnoser, "estimator_", diagnoser.estimator)
    return estimator is None or hasattr(estimator, "predict_proba")


class FitDiagnoser(ClassifierMixin, BaseEstimator):
    """Diagnose trained networks from their training data and local curvature.

    Chains `LayerSpectra`, `SpectralFeatures` and a classifier. ``X`` is a list of `NetworkCase`
    throughout; examinations and layer tables, which earlier stages make of cases, are accepted in
    their place.

    Parameters
    ----------
    estimator : sklearn classifier or None, default=None
        Classifier on the numeric table; None takes a `TableDiagnoser`. With another classifier a
        `TableDiagnoser` beside it estimates gains and distance from the reference.
    spectra : LayerSpectra or None, default=None
        First stage; None takes the defaults. Its `max_samples`, `batch_size`, `tolerance` and
        `max_memory` bound what an examination takes, as in
        ``FitDiagnoser(spectra=LayerSpectra(max_memory=2e9))``, or of a fitted diagnoser
        ``diagnoser.spectra_.set_params(max_memory=2e9)``.
    features : SpectralFeatures or None, default=None
        Second stage; None takes the defaults.
    min_confidence : float or None, default=None
        `predict` answers ``"undecided"`` where the probability of the most probable diagnosis is
        below; None always names a diagnosis. `coverage_accuracy_curve` shows what a value buys.
        Probabilities and gains are not affected.
    class_prior : dict of str to float or None, default=None
        How common each diagnosis is among the networks that are asked about, as in
        ``{"overfitting": 0.1, "underparameterized": 0.2, "well-fit": 0.7}``: probabilities, and
        what follows from them, are for such networks. None leaves them as the classifier gives
        them, which by default is for diagnoses that are equally common.

    Attributes
    ----------
    classes_ : ndarray of str
        Diagnoses met in `fit`, sorted.
    spectra_, features_, estimator_ : estimators
        The fitted stages.
    table_diagnoser_ : TableDiagnoser
        What estimates gains and distance from the reference; `estimator_` itself where it can.
    gain_names_ : tuple of str
        Columns of `predict_gains`: ``"gain_widening"``, ``"gain_constraining"`` and, where `fit`
        was given it, ``"gain_longer"``; empty if it was given no gains.
    fitted_class_prior_ : ndarray of shape (n_classes,)
        Shares of the diagnoses at which the classifier's own probabilities hold.
    feature_names_ : ndarray of str
        Columns of the table.
    known_kinds_ : frozenset of str
        Kinds of layers (classes of their modules) met in `fit`.
    reference_ : ReferenceRanges
        Ranges of every measure among the networks of `fit`, for explanations.

    See Also
    --------
    hessdiag.load_reference_diagnoser : One that is fitted on the reference zoo.

    Examples
    --------
    >>> import hessdiag as hd
    >>> from hessdiag.testing import make_case
    >>> diagnoser = hd.load_reference_diagnoser()
    >>> report = diagnoser.explain(make_case())
    >>> report.diagnosis in diagnoser.classes_
    True
    """

    _parameter_constraints = {  # noqa: RUF012
        "estimator": [HasMethods(["fit", "predict"]), None],
        "spectra": [HasMethods(["fit", "transform"]), None],
        "features": [HasMethods(["fit", "transform"]), None],
        "min_confidence": [Interval(Real, 0, 1, closed="both"), None],
        "class_prior": [Mapping, None],
    }

    def __init__(
        self,
        estimator: BaseEstimator | None = None,
        spectra: LayerSpectra | None = None,
        features: SpectralFeatures | None = None,
        min_confidence: float | None = None,
        class_prior: Mapping[str, float] | None = None,
    ) -> None:
        self.estimator = estimator
        self.spectra = spectra
        self.features = features
        self.min_confidence = min_confidence
        self.class_prior = class_prior

    def __sklearn_tags__(self):
        """Declare that the input is a list of objects."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags

    @np.errstate(all="ignore")
    def fit(
        self,
        X: Sequence[NetworkCase | Examination | LayerTable | SkippedCase],
        y: ArrayLike,
        gains: ArrayLike | Mapping[str, Any] | pd.DataFrame | None = None,
        groups: ArrayLike | None = None,
    ) -> Self:
        """Learn from networks whose diagnosis, and at best gains, are known.

        Parameters
        ----------
        X : list of NetworkCase
            The networks, or what `LayerSpectra` made of them.
        y : array-like of str of shape (n_networks,)
            Their diagnoses.
        gains : array-like of shape (n_networks, 2) or (n_networks, 5), dict, DataFrame or None
            Measured gains of widening and of constraining, in units of the null loss; then, where
            known, those of narrowing, of more weight decay and of stopping earlier, with NaN
            where there is none. A dict or frame has them as ``gain_widening``,
            ``gain_constraining``, ``gain_narrowing``, ``gain_decay``, ``gain_stopping``, and may
            have the standard errors of the first two as ``se_widening`` and ``se_constraining``,
            and the gain of training longer as ``gain_longer``, NaN where it was not measured.
        groups : array-like of shape (n_networks,) or None, default=None
            Data set of each network, so that probabilities and intervals are made for data sets
            never seen; None treats each network as its own.

        Returns
        -------
        self : FitDiagnoser
            The fitted diagnoser.

        Raises
        ------
        ValueError
            If `y`, `gains` or `groups` has another length than `X`; if there are words other than
            the three diagnoses, or only one of them; if gains are not finite; if `class_prior`
            does not fit the diagnoses; if that or `min_confidence` is given and the classifier
            has no probabilities.
        """
        self._validate_params()
        for name in ("min_confidence", "class_prior"):
            if getattr(self, name) is not None and not _gives_probabilities(self):
                raise ValueError(
                    f"Expected a classifier with predict_proba where {name} is given, found "
                    f"{type(self.estimator).__name__}. Wrap it in "
                    f"sklearn.calibration.CalibratedClassifierCV, or leave {name} at None."
                )
        spectra = clone(LayerSpectra() if self.spectra is None else self.spectra).fit(X)
        y = self._check_diagnoses(X, y)
        checked = None if gains is None else check_gains(gains, len(X))
        if groups is not None:
            groups = np.asarray(groups)
            check_consistent_length(X, groups)
        self.spectra_ = spectra
        tables, examined = self._tables(X)
        if not examined.any():
            raise ValueError(
                f"Expected networks that can be examined, found none among {len(X)}. Mend what the "
                "warnings above name for each."
            )
        y = y[examined]
        known = {
            "gains": None if checked is None else checked.as_columns(examined),
            "groups": None if groups is None else groups[examined],
        }
        features = SpectralFeatures() if self.features is None else self.features
        self.features_ = clone(features).fit(tables)
        self.feature_names_ = np.asarray(self.features_.get_feature_names_out())
        columns = self._columns(tables)
        known["leading"] = leading_columns(self.features_)
        estimator = TableDiagnoser() if self.estimator is None else self.estimator
        taken = {name: known[name] for name in known if has_fit_parameter(estimator, name)}
        self.estimator_ = clone(estimator).fit(columns, y, **taken)
        self.classes_ = self.estimator_.classes_
        self.fitted_class_prior_ = prior_of_fit(self.estimator_, y, self.classes_)
        self._class_prior()
        if isinstance(self.estimator_, TableDiagnoser):
            self.table_diagnoser_ = self.estimator_
        else:
            self.table_diagnoser_ = TableDiagnoser().fit(columns, y, **known)
        self.gain_names_ = self.table_diagnoser_.gain_names_
        self.known_kinds_ = kinds_of([table.kinds for table in tables])
        self.reference_ = ReferenceRanges.from_tables(tables, y)
        return self

    def predict(self, X: Sequence[NetworkCase]) -> np.ndarray:
        """Name the diagnosis of each network.

        Parameters
        ----------
        X : list of NetworkCase
            The networks.

        Returns
        -------
        diagnoses : ndarray of str of shape (n_networks,)
            One of `classes_`; ``"undecided"`` where the confidence is below `min_confidence`, or
            where more than half of what a diagnosis weighs was not measured, as where the loss is
            no function of each sample's outputs; ``"not examined"`` for a case that was skipped.
        """
        return self._answer(X, self._diagnoses, np.array(NOT_EXAMINED, dtype=object))

    @available_if(_gives_probabilities)
    def predict_proba(self, X):
        """Give the probability of each diagnosis.

        Parameters
        ----------
        X : list of NetworkCase
            The networks.

        Returns
        -------
        probabilities : ndarray of shape (n_networks, n_classes)
            Columns in the order of `classes_`; a row of NaN for a case that was skipped. Where
            something was not measured that networks of the reference have, they are means over
            what those have there that are most alike in the rest.
        """
        check_is_fitted(self)
        blank = np.full(len(self.classes_), np.nan)
        return self._answer(X, self._probabilities, blank)

    def predict_gains(
        self, X: Sequence[NetworkCase], return_interval: bool = False, coverage: float = 0.9
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Estimate how far each intervention would lower held-out loss.

        Parameters
        ----------
        X : list of NetworkCase
            The networks.
        return_interval : bool, default=False
            Whether to return intervals too.
        coverage : float, default=0.9
            Share of networks on data sets never seen whose gain lies within its interval; it
            holds for networks like those of `fit`, with `groups` as there.

        Returns
        -------
        gains : ndarray of shape (n_networks, n_gain_names)
            Expected gain of widening and of constraining, in units of the null loss; the rule
            `label_gains` names them as the most probable diagnosis. Then that of training longer,
            where `fit` was given it, which no diagnosis follows from: `gain_names_` says whether
            there are two columns or three. A row of NaN for a case that was skipped, and where too
            little was measured for a diagnosis.
        intervals : ndarray of shape (n_networks, n_gain_names, 2)
            Lower and upper ends of each; only if `return_interval` is true.

        Raises
        ------
        ValueError
            If `fit` was given no gains, or `coverage` is not between 0 and 1.
        """

        def estimate(columns):
            gains, intervals = self.table_diagnoser_.predict_gains(
                columns, True, coverage, diagnoses=self._most_probable(columns)
            )
            found = np.concatenate([gains[:, :, None], intervals], axis=2)
            found[self.table_diagnoser_.missing_share(columns) > MOST_MISSING] = np.nan
            return found

        blank = np.full((len(self.gain_names_), 3), np.nan)
        answer = self._answer(X, estimate, blank)
        gains, intervals = answer[:, :, 0], answer[:, :, 1:]
        return (gains, intervals) if return_interval else gains

    def domain_score(self, X: Sequence[NetworkCase]) -> np.ndarray:
        """Measure how far outside the reference each network lies.

        Parameters
        ----------
        X : list of NetworkCase
            The networks.

        Returns
        -------
        scores : ndarray of shape (n_networks,)
            Above 1, a network is further from the reference than 99 % of the reference's networks
            are from those of other groups, see `TableDiagnoser`, or has layers of a kind that none
            of these has: then it is at least 1 and the share of such layers. NaN for a case that
            was skipped.
        """
        check_is_fitted(self)
        return self._answer(X, self._domain_scores, np.array(np.nan), of_tables=True)

    @np.errstate(all="ignore")
    def explain(self, case: NetworkCase) -> DiagnosisReport:
        """Diagnose one network and explain the diagnosis.

        Parameters
        ----------
        case : NetworkCase
            The network, or its `Examination`.

        Returns
        -------
        report : DiagnosisReport
            Diagnosis, probabilities, the layers and measures that carry it, and what to try.

        Raises
        ------
        ValueError
            If the case cannot be examined.
        TypeError
            If it is a list of cases.
        AttributeError
            If the classifier gives no probabilities, on which explanations rest.
        """
        check_is_fitted(self)
        if not hasattr(self, "predict_proba"):
            raise AttributeError(
                "Expected a classifier with predict_proba, on which explanations rest, found "
                f"{type(self.estimator_).__name__}. Wrap it in "
                "sklearn.calibration.CalibratedClassifierCV, or only use predict."
            )
        if isinstance(case, (list, tuple)):
            raise TypeError(
                f"Expected one case, found a {type(case).__name__} of {len(case)}. Explain one "
                "after the other, or name the diagnoses of all with predict."
            )
        examination = self.spectra_.transform([case])[0]
        if isinstance(examination, SkippedCase):
            raise ValueError(
                "Expected a case that can be examined, found one that was skipped. Mend what was "
                f"wrong with it: {examination.reason}"
            )
        report = explain_table(self, layer_table(examination), examination)
        notes = getattr(case, "notes", ())
        return replace(report, notes=(*notes, *report.notes)) if notes else report

    @np.errstate(all="ignore")
    def diagnose_tables(self, tables: Sequence[LayerTable]) -> np.ndarray:
        """Give the probability of each diagnosis for networks that are measured already.

        Parameters
        ----------
        tables : list of LayerTable
            Measures of the networks.

        Returns
        -------
        probabilities : ndarray of shape (n_networks, n_classes)
            Columns in the order of `classes_`.
        """
        check_is_fitted(self)
        return self._probabilities(self._columns(tables))

    @np.errstate(all="ignore")
    def _answer(self, X, function, blank, of_tables=False):
        """Apply a function to the columns of what could be examined; the others get `blank`."""
        check_is_fitted(self)
        tables, examined = self._tables(X)
        answer = function(tables if of_tables else self._columns(tables)) if tables else None
        if examined.all():
            return answer
        result = np.empty((len(X), *blank.shape), dtype=blank.dtype)
        result[:] = blank
        if tables:
            result[examined] = answer
        return result

    def _domain_scores(self, tables):
        """Distances from the reference, by measures and by kinds of layers."""
        scores = self.table_diagnoser_.domain_score(self._columns(tables))
        return with_unfamiliar_kinds(scores, [table.kinds for table in tables], self.known_kinds_)

    def _class_prior(self):
        """Shares of the diagnoses that are expected; None where nobody said."""
        if self.class_prior is None:
            return None
        return check_class_prior(self.class_prior, self.classes_)

    def _probabilities(self, columns):
        """Probabilities of rows, averaged over what was not measured, at the prior expected."""
        found, shares = self._fitted_probabilities(columns), self._class_prior()
        return found if shares is None else at_prior(found, shares, self.fitted_class_prior_)

    def _fitted_probabilities(self, columns):
        """The same by what the classifier was fitted on."""
        if self.estimator_ is self.table_diagnoser_:
            return self.estimator_.predict_proba(columns)
        rows, owners = self.table_diagnoser_.filled(columns)
        return mean_by_owner(self.estimator_.predict_proba(rows), owners, len(columns))

    def _most_probable(self, columns):
        """Diagnoses of rows; of several ways to fill the gaps of a row, on average."""
        rows, _ = self.table_diagnoser_.filled(columns)
        plain = len(rows) == len(columns) and self.class_prior is None
        if plain or not _gives_probabilities(self):
            return self.estimator_.predict(columns)
        return self.classes_[np.argmax(self._probabilities(columns), axis=1)]

    def _diagnoses(self, columns):
        """Diagnoses of rows, undecided where too little was measured or confidence is too low."""
        diagnoses = self._most_probable(columns)
        undecided = self.table_diagnoser_.missing_share(columns) > MOST_MISSING
        if self.min_confidence is not None:
            undecided |= self._probabilities(columns).max(axis=1) < self.min_confidence
        return np.where(undecided, UNDECIDED, diagnoses) if undecided.any() else diagnoses

    def _tables(self, X):
        """Layer tables of the cases that could be examined, and which those are."""
        examinations = self.spectra_.transform(X)
        examined = np.array([not isinstance(item, SkippedCase) for item in examinations])
        tables = [
            item if isinstance(item, LayerTable) else layer_table(item)
            for item in examinations
            if not isinstance(item, SkippedCase)
        ]
        return tables, examined

    def _columns(self, tables):
        """The numeric table."""
        return np.asarray(self.features_.transform(tables), dtype=float)

    def _check_diagnoses(self, X, y):
        """Check the labels against the cases and the three words."""
        if y is None:
            raise ValueError(
                "Expected diagnoses y, found none: FitDiagnoser requires y to be passed, but the "
                "target y is None. Give the diagnosis of each network."
            )
        if len(X) != len(y):
            raise ValueError(
                f"Expected a diagnosis for each of the {len(X)} networks, found {len(y)} "
                "diagnoses. Give both lists the same length."
            )
        y = np.asarray(y).astype(str)
        unknown = sorted(set(y) - set(DIAGNOSES))
        if unknown:
            raise ValueError(
                f"Expected diagnoses among {DIAGNOSES}, found {unknown}. "
                "hessdiag.labels.label_gains makes them from measured gains."
            )
        if len(set(y)) < 2:
            raise ValueError(
                f"Expected at least two different diagnoses, found only {sorted(set(y))}. "
                "Add networks of another kind."
            )
        return y

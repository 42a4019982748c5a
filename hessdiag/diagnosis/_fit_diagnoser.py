"""FitDiagnoser: the classifier that takes networks and names their diagnosis."""

from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from hessdiag.diagnosis._classifier import TableClassifier
from hessdiag.diagnosis._evidence import ReferenceRanges, explain_table
from hessdiag.diagnosis._labels import DIAGNOSES
from hessdiag.features import LayerSpectra, LayerTable, SkippedCase, SpectralFeatures, layer_table

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
        Classifier on the numeric table; None takes a `TableClassifier`.
    spectra : LayerSpectra or None, default=None
        First stage; None takes the defaults.
    features : SpectralFeatures or None, default=None
        Second stage; None takes the defaults.

    Attributes
    ----------
    classes_ : ndarray of str
        Diagnoses met in `fit`, sorted.
    spectra_, features_, estimator_ : estimators
        The fitted stages.
    feature_names_ : ndarray of str
        Columns of the table.
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
    }

    def __init__(self, estimator=None, spectra=None, features=None):
        self.estimator = estimator
        self.spectra = spectra
        self.features = features

    def __sklearn_tags__(self):
        """Declare that the input is a list of objects."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags

    def fit(self, X, y):
        """Learn from networks whose diagnosis is known.

        Parameters
        ----------
        X : list of NetworkCase
            The networks, or what `LayerSpectra` made of them.
        y : array-like of str of shape (n_networks,)
            Their diagnoses.

        Returns
        -------
        self : FitDiagnoser
            The fitted diagnoser.

        Raises
        ------
        ValueError
            If `y` has another length than `X`, words other than the three diagnoses, or only one
            of them.
        """
        self._validate_params()
        spectra = clone(LayerSpectra() if self.spectra is None else self.spectra).fit(X)
        y = self._check_diagnoses(X, y)
        self.spectra_ = spectra
        tables, examined = self._tables(X)
        if not examined.any():
            raise ValueError(
                "None of the networks could be examined, so that there is nothing to learn from. "
                "The warnings above name the reason for each."
            )
        y = y[examined]
        features = SpectralFeatures() if self.features is None else self.features
        self.features_ = clone(features).fit(tables)
        self.feature_names_ = np.asarray(self.features_.get_feature_names_out())
        estimator = TableClassifier() if self.estimator is None else self.estimator
        self.estimator_ = clone(estimator).fit(self._columns(tables), y)
        self.classes_ = self.estimator_.classes_
        self.reference_ = ReferenceRanges.from_tables(tables, y)
        return self

    def predict(self, X):
        """Name the diagnosis of each network.

        Parameters
        ----------
        X : list of NetworkCase
            The networks.

        Returns
        -------
        diagnoses : ndarray of str of shape (n_networks,)
            One of `classes_`, or ``"not examined"`` for a case that was skipped.
        """
        return self._answer(X, "predict", np.array(NOT_EXAMINED, dtype=object))

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
            Columns in the order of `classes_`; a row of NaN for a case that was skipped.
        """
        return self._answer(X, "predict_proba", np.full(self._n_classes(), np.nan))

    def explain(self, case):
        """Diagnose one network and say why.

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
        examination = self.spectra_.transform([case])[0]
        if isinstance(examination, SkippedCase):
            raise ValueError(
                f"This case could not be examined, so that there is nothing to explain: "
                f"{examination.reason}"
            )
        return explain_table(self, layer_table(examination), examination)

    def diagnose_tables(self, tables):
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
        return self.estimator_.predict_proba(self._columns(tables))

    def _answer(self, X, method, blank):
        """Ask the classifier about the cases that could be examined; the others get `blank`."""
        check_is_fitted(self)
        tables, examined = self._tables(X)
        answer = getattr(self.estimator_, method)(self._columns(tables)) if tables else None
        if examined.all():
            return answer
        result = np.empty((len(X), *blank.shape), dtype=blank.dtype)
        result[:] = blank
        if tables:
            result[examined] = answer
        return result

    def _n_classes(self):
        """Number of diagnoses, once fitted."""
        check_is_fitted(self)
        return len(self.classes_)

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
                "FitDiagnoser requires y to be passed, but the target y is None. "
                "Give the diagnosis of each network."
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
                "hessdiag.diagnosis.label_gains makes them from measured gains."
            )
        if len(set(y)) < 2:
            raise ValueError(
                f"Expected at least two different diagnoses, found only {sorted(set(y))}. "
                "Add networks of another kind."
            )
        return y

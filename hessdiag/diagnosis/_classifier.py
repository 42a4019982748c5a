"""TableClassifier: the default classifier on the numeric table of features."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.utils._param_validation import Interval
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class TableClassifier(ClassifierMixin, BaseEstimator):
    """Extremely randomized trees with balanced classes, for tables that may have gaps.

    Trees are invariant under monotone transformations of a column, so that measures that span
    decades need no care, and averages of many of them give usable probabilities.

    Parameters
    ----------
    n_estimators : int, default=300
        Number of trees; more change nothing but the time.
    min_samples_leaf : int, default=3
        Smallest leaf. Three networks of a configuration differ by their seed alone.
    max_features : float or "sqrt", default="sqrt"
        Columns that each split may choose from: columns are many and alike, so that few suffice.
    n_jobs : int or None, default=None
        Threads, as in sklearn.
    random_state : int, RandomState or None, default=None
        Seed of the trees.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Classes met in `fit`.
    n_features_in_ : int
        Number of columns met in `fit`.
    trees_ : ExtraTreesClassifier
        The fitted trees.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from hessdiag.diagnosis import TableClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> bool(TableClassifier(random_state=0).fit(X, y).score(X, y) > 0.9)
    True
    """

    _parameter_constraints = {  # noqa: RUF012
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "min_samples_leaf": ExtraTreesClassifier._parameter_constraints["min_samples_leaf"],
        "max_features": ExtraTreesClassifier._parameter_constraints["max_features"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_estimators: int = 300,
        min_samples_leaf: int = 3,
        max_features: float | Literal["sqrt"] = "sqrt",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.n_jobs = n_jobs
        self.random_state = random_state

    def __sklearn_tags__(self):
        """Declare that gaps in the table are accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Grow the trees.

        Parameters
        ----------
        X : array-like of shape (n_networks, n_features)
            The table; NaN where a measure does not apply.
        y : array-like of shape (n_networks,)
            Classes.

        Returns
        -------
        self : TableClassifier
            The fitted classifier.
        """
        self._validate_params()
        X, y = validate_data(self, X, y, ensure_all_finite="allow-nan")
        check_classification_targets(y)
        self.trees_ = ExtraTreesClassifier(
            n_estimators=self.n_estimators,
            min_samples_leaf=self.min_samples_leaf,
            max_features=self.max_features,
            class_weight="balanced",
            n_jobs=self.n_jobs,
            random_state=self.random_state,
        ).fit(X, y)
        self.classes_ = self.trees_.classes_
        return self

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
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, ensure_all_finite="allow-nan")
        return self.trees_.predict_proba(X)

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

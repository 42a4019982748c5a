"""The net within estimators of scikit-learn, with the data as it got them."""

from __future__ import annotations

from functools import partial

import numpy as np
import skorch
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import (
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import LabelEncoder
from sklearn.utils.validation import check_array

from hessdiag.cases._nets_within import explain_several, nets_within
from hessdiag.curvature import UnfittedNetworkError
from hessdiag.curvature.containers import fingerprint
from hessdiag.curvature.network import untouched_surroundings

# Steps that change training data in another way than data that come later.
CROSS_FITTED = {"TargetEncoder", "LeaveOneOutEncoder", "CatBoostEncoder"}


def taken_apart(estimator, X, y):
    """Find the net within an estimator, and the data that it was fitted on.

    Parameters
    ----------
    estimator : object
        A fitted pipeline, search or other estimator; a net is what it is, and so is anything that
        is no estimator.
    X, y : array-like
        What the estimator was fitted on.

    Returns
    -------
    net, X, y : object
        The net, and what it got from the steps before it.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    ValueError
        If it holds several nets, or none that can be reached, or what its net got cannot be had.
    """
    while isinstance(estimator, BaseEstimator) and not isinstance(estimator, skorch.NeuralNet):
        inner = _opened(estimator, X, y)
        if inner is None:
            break
        estimator, X, y = inner
    return estimator, X, y


def _encoded(name, encode, y):
    """Encode or transform targets as an estimator did; say whose they are where that fails."""
    try:
        if y is None:
            raise ValueError("y is None")
        return encode(y)
    except ValueError as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ValueError(
            f"Expected y as the {name}'s own fit takes them, found others: {reason}. Pass the "
            "targets that it was fitted on."
        ) from error


def _opened(estimator, X, y):
    """Open the outermost of nested estimators; None where no net is in it."""
    name = type(estimator).__name__
    fitted = nets_within(estimator)
    if not fitted:
        if nets_within(estimator, fitted=False):
            raise UnfittedNetworkError(
                f"Expected a fitted {name}, found one whose net is not fitted. Call fit(X, y) "
                "first; a search also needs refit=True."
            )
        return None
    if isinstance(estimator, Pipeline):
        return _through_pipeline(estimator, X, y)
    if hasattr(estimator, "best_estimator_"):
        return estimator.best_estimator_, X, y
    if isinstance(estimator, TransformedTargetRegressor):
        return estimator.regressor_, X, _encoded(name, partial(_transformed, estimator), y)
    if name == "FrozenEstimator":
        return estimator.estimator, X, y
    if name == "FixedThresholdClassifier" or (
        name == "TunedThresholdClassifierCV" and estimator.refit
    ):
        return estimator.estimator_, X, y
    if len(fitted) == 1 and getattr(estimator, "cv", None) != "prefit":
        ((path, net),) = fitted.items()
        if path.startswith("estimators_["):
            if isinstance(estimator, VotingRegressor | StackingRegressor):
                return net, X, y
            if isinstance(estimator, VotingClassifier):
                return net, X, _encoded(name, estimator.le_.transform, y)
            if isinstance(estimator, StackingClassifier) and np.ndim(y) == 1:
                encoder = LabelEncoder().fit(estimator.classes_)
                return net, X, _encoded(name, encoder.transform, y)
    raise ValueError(explain_several(estimator, fitted))


def _through_pipeline(pipeline, X, y):
    """Take X through the steps before the last one."""
    before = [
        (label, step) for label, step in pipeline.steps[:-1] if step not in (None, "passthrough")
    ]
    if not nets_within(pipeline.steps[-1][1]) and not isinstance(
        pipeline.steps[-1][1], skorch.NeuralNet
    ):
        raise ValueError(explain_several(pipeline, nets_within(pipeline)))
    for label, step in before:
        if hasattr(step, "fit_resample"):
            raise ValueError(
                f"Expected steps before the net that keep the samples, found {label!r} "
                f"({type(step).__name__}), which draws others for training. Make the case of the "
                "net itself and of what fit_resample gave it."
            )
        crossed = sorted(_kinds_within(step) & CROSS_FITTED)
        if crossed:
            raise ValueError(
                "Expected steps before the net that give it in training what they give later, "
                f"found {crossed[0]} in {label!r}, which fits across folds in training. Make the "
                "case of the net itself and of what fit_transform gave it."
            )
    if not before:
        return pipeline.steps[-1][1], X, y
    if X is None:
        raise ValueError("Expected X, found None. Pass what the pipeline was fitted on.")
    try:
        with untouched_surroundings(None):
            transformed, again = (pipeline[:-1].transform(X) for _ in range(2))
    except NotFittedError as error:
        raise UnfittedNetworkError(
            f"Expected a fitted Pipeline, found that {error} Call fit(X, y) of the pipeline first."
        ) from error
    except Exception as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ValueError(
            f"Expected X that the steps before the net can transform, found that they fail: "
            f"{type(error).__name__}: {reason}. Pass X as to the pipeline's own fit."
        ) from error
    if fingerprint(transformed) != fingerprint(again):
        raise ValueError(
            f"Expected steps before the net that transform the same X in the same way, found that "
            f"one of {', '.join(repr(label) for label, _ in before)} draws at random. Make the "
            "case of the net itself and of what it was trained on."
        )
    return pipeline.steps[-1][1], transformed, y


def _kinds_within(estimator):
    """Name the classes of an estimator and of those in it."""
    found = {type(estimator).__name__}
    if hasattr(estimator, "get_params"):
        found |= {type(value).__name__ for value in estimator.get_params(deep=True).values()}
    return found


def _transformed(estimator, y):
    """Transform targets as the estimator did before it fitted its regressor."""
    y = check_array(
        y, input_name="y", ensure_2d=False, ensure_all_finite=True, dtype="numeric", allow_nd=True
    )
    transformed = estimator.transformer_.transform(y.reshape(-1, 1) if y.ndim == 1 else y)
    if transformed.ndim == 2 and transformed.shape[1] == 1 and y.ndim == 1:
        transformed = transformed.squeeze(axis=1)
    return transformed

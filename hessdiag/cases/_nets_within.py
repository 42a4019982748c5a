"""Where in an estimator nets are, and how to reach each of several."""

from __future__ import annotations

import numpy as np
import skorch
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline

#: How the nets of an estimator got their data, for a case of each.
DATA_OF = {
    "VotingClassifier": "X and model.le_.transform(y)",
    "StackingClassifier": "X and sklearn.preprocessing.LabelEncoder().fit_transform(y)",
    "VotingRegressor": "X and y",
    "StackingRegressor": "X and y",
    "BaggingClassifier": (
        "samples = model.estimators_samples_[i], features = model.estimators_features_[i]: "
        "X[samples][:, features] and numpy.unique(y, return_inverse=True)[1][samples]"
    ),
    "BaggingRegressor": (
        "samples = model.estimators_samples_[i], features = model.estimators_features_[i]: "
        "X[samples][:, features] and y[samples]"
    ),
    "CalibratedClassifierCV": "the training part of fold i of its cv",
    "TunedThresholdClassifierCV": "the training part of its cv",
    "MultiOutputClassifier": "X and y[:, i]",
    "MultiOutputRegressor": "X and y[:, i]",
    "OneVsRestClassifier": "X and model.label_binarizer_.transform(y).toarray()[:, i]",
    "OneVsOneClassifier": "the samples of the i-th pair of classes, the second of which is 1",
    "ClassifierChain": "X with the earlier targets of the chain appended, and the i-th target",
    "RegressorChain": "X with the earlier targets of the chain appended, and the i-th target",
}

#: How many nets are listed.
MOST_LISTED = 4


def nets_within(estimator, fitted=True):
    """Find the nets in an estimator.

    Parameters
    ----------
    estimator : object
        The estimator.
    fitted : bool, default=True
        Whether to look at what it fitted; at its parameters otherwise.

    Returns
    -------
    dict of str to object
        By the attributes that lead there: nets, and pipelines and searches with one inside.
    """
    found = {}
    _collect(estimator, "", fitted, found, set(), depth=0)
    return found


def _collect(thing, path, fitted, found, seen, depth):
    """Add what is in a thing to `found`."""
    if id(thing) in seen or depth > 8:
        return
    seen.add(id(thing))
    if isinstance(thing, (list, tuple)) or (
        isinstance(thing, np.ndarray) and thing.dtype == object
    ):
        for place, item in enumerate(np.ravel(thing) if isinstance(thing, np.ndarray) else thing):
            _collect(item, f"{path}[{place}]", fitted, found, seen, depth + 1)
    elif isinstance(thing, dict):
        for key, item in thing.items():
            _collect(item, f"{path}[{key!r}]", fitted, found, seen, depth + 1)
    elif isinstance(thing, skorch.NeuralNet):
        if path and (not fitted or hasattr(thing, "module_")):
            found[path] = thing
    elif isinstance(thing, BaseEstimator) or type(thing).__name__ == "_CalibratedClassifier":
        if path and fitted and _is_a_unit(thing) and nets_within(thing):
            found[path] = thing
            return
        for name, value in _inside(thing, fitted):
            _collect(value, f"{path}.{name}" if path else name, fitted, found, seen, depth + 1)


def _is_a_unit(estimator):
    """Say whether an estimator is one that leads to one net by itself."""
    return isinstance(estimator, Pipeline | TransformedTargetRegressor) or hasattr(
        estimator, "best_estimator_"
    )


def _inside(estimator, fitted):
    """List what may hold nets: what was fitted, or what is to be fitted."""
    if isinstance(estimator, Pipeline):
        return [("named_steps", dict(estimator.steps))]
    if not fitted:
        return (
            list(estimator.get_params(deep=False).items())
            if hasattr(estimator, "get_params")
            else []
        )
    own = {name: value for name, value in vars(estimator).items() if not name.startswith("_")}
    names = [name for name in own if name.endswith("_")]
    if not names or type(estimator).__name__ in ("_CalibratedClassifier", "FrozenEstimator"):
        names = [name for name in own if name.startswith("estimator")]
    # The parts of a stack come before what is fitted on their answers.
    return [(name, own[name]) for name in sorted(names)]


def explain_several(estimator, found):
    """Say that an estimator holds other than one net to take, and how to reach each.

    Parameters
    ----------
    estimator : object
        The estimator.
    found : dict of str to object
        What `nets_within` found in it.

    Returns
    -------
    str
        The message.
    """
    name = type(estimator).__name__
    paths = list(found)
    shown = ", ".join(f"model.{path}" for path in paths[:MOST_LISTED])
    if len(paths) > MOST_LISTED:
        shown += f" and {len(paths) - MOST_LISTED} more"
    count = f"{len(paths)} nets" if len(paths) > 1 else "a net that is not its last step"
    if len(paths) == 1 and not isinstance(estimator, Pipeline):
        count = "a net whose data it made itself"
    data = DATA_OF.get(name, "X and y as the estimator gave them to it")
    return (
        f"Expected an estimator with one net that was fitted on what is given, found {count} in a "
        f"{name}: {shown}. Make a case of each, hessdiag.NetworkCase(model.{paths[0]}, ...), with "
        f"the data that it was fitted on: {data}."
    )

"""The classifier search that every row of the evaluation gets."""

from __future__ import annotations

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from hessdiag.diagnosis import (
    CONSTRAINTS,
    ERRORS,
    GAINS,
    LONGER,
    TableClassifier,
    TableDiagnoser,
)
from hessdiag.evaluation._folds import split_by_groups
from hessdiag.evaluation._scores import balanced_accuracy

N_INNER_FOLDS = 3

#: What was measured of networks besides their diagnosis, for classifiers that learn from it.
GAIN_COLUMNS = (*GAINS, *CONSTRAINTS, *ERRORS, LONGER)


def default_candidates(random_state=0):
    """Return the classifiers that the search chooses from.

    Parameters
    ----------
    random_state : int, default=0
        Seed of the trees.

    Returns
    -------
    candidates : dict of str to sklearn classifier
        Kernel regression (`TableDiagnoser`) and trees (`TableClassifier`), with their defaults.
    """
    return {
        "kernel": TableDiagnoser(),
        "trees": TableClassifier(n_estimators=100, random_state=random_state),
    }


def measured_gains(columns, rows=slice(None)):
    """Take the measured gains, with their errors, of networks to learn from.

    Parameters
    ----------
    columns : dict of str to ndarray
        Columns of the reference table.
    rows : ndarray of int or slice
        The networks; all by default.

    Returns
    -------
    gains : dict of str to ndarray
        As `TableDiagnoser.fit` takes them.
    """
    return {name: columns[name][rows] for name in GAIN_COLUMNS if name in columns}


def search_classifier(candidates, table, target, groups, random_state=0, gains=None, leading=None):
    """Choose a classifier by cross-validation over data sets, and fit it on everything given.

    Parameters
    ----------
    candidates : dict of str to sklearn classifier
        To choose from; a single one is not tried first.
    table : ndarray of shape (n_networks, n_columns)
        What the row knows of the networks to learn from.
    target : ndarray of str of shape (n_networks,)
        Their diagnoses.
    groups : ndarray of shape (n_networks,)
        Their data sets, which the inner folds keep together.
    random_state : int, default=0
        Seed of the inner folds.
    gains : dict of str to ndarray or None, default=None
        Their `measured_gains`, for classifiers that ask for them.
    leading : ndarray of bool of shape (n_columns,) or None, default=None
        Columns that lead, for classifiers that ask for them.

    Returns
    -------
    fitted : sklearn classifier
        The candidate with the highest balanced accuracy, fitted.
    name : str
        Its name.
    """
    n_folds = min(N_INNER_FOLDS, len(np.unique(groups)))
    names = list(candidates)
    best = names[0]
    if len(names) > 1 and n_folds > 1:
        splits = [
            (train, test)
            for train, test in split_by_groups(n_folds, target, groups, random_state)
            if len(np.unique(target[train])) > 1 and len(test)
        ]
        scores = {
            name: _inner_score(candidates[name], table, target, groups, splits, gains, leading)
            if splits
            else 0.0
            for name in names
        }
        best = max(names, key=scores.get)  # the first of equals
    return fit_classifier(candidates[best], table, target, groups, gains, leading), best


def fit_classifier(classifier, table, target, groups, gains=None, leading=None):
    """Fit a copy of a classifier, which is told data sets, gains and more if it asks for them.

    Parameters
    ----------
    classifier : sklearn classifier
        Unfitted.
    table : ndarray of shape (n_networks, n_columns)
        What is known of the networks.
    target : ndarray of str of shape (n_networks,)
        Their diagnoses.
    groups : ndarray of shape (n_networks,)
        Their data sets.
    gains : dict of str to ndarray or None, default=None
        Their `measured_gains`.
    leading : ndarray of bool of shape (n_columns,) or None, default=None
        Columns that lead.

    Returns
    -------
    fitted : sklearn classifier
        The fitted copy.
    """
    known = {}
    # A single data set leaves nothing to leave out.
    if has_fit_parameter(classifier, "groups") and len(np.unique(groups)) > 1:
        known["groups"] = groups
    if has_fit_parameter(classifier, "gains") and gains is not None:
        known["gains"] = gains
    if has_fit_parameter(classifier, "leading") and leading is not None:
        known["leading"] = leading
    return clone(classifier).fit(table, target, **known)


def align_probabilities(fitted, table, classes):
    """Give probabilities in the columns of all classes, also of those never learned.

    Parameters
    ----------
    fitted : sklearn classifier
        A fitted classifier.
    table : ndarray of shape (n_networks, n_columns)
        The networks to ask about.
    classes : ndarray of str of shape (n_classes,)
        Sorted classes.

    Returns
    -------
    probabilities : ndarray of shape (n_networks, n_classes)
        Zero for classes that were not learned.
    """
    probabilities = np.zeros((len(table), len(classes)))
    probabilities[:, np.searchsorted(classes, fitted.classes_)] = fitted.predict_proba(table)
    return probabilities


def _inner_score(candidate, table, target, groups, splits, gains, leading):
    """Balanced accuracy of one candidate over the inner folds, taken together."""
    answers = []
    for train, test in splits:
        known = None if gains is None else measured_gains(gains, train)
        fitted = fit_classifier(
            candidate, table[train], target[train], groups[train], known, leading
        )
        answers.append(fitted.predict(table[test]))
    asked = np.concatenate([test for _, test in splits])
    return balanced_accuracy(target[asked], np.concatenate(answers))

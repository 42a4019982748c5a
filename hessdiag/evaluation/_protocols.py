"""Protocols of the evaluation: who is learned from, who is asked about, never of one data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hessdiag.evaluation._folds import split_by_groups
from hessdiag.zoo.tasks import has_rare_class

#: Folds of the protocols that also hold back a kind of network.
N_CONDITION_FOLDS = 3

#: Networks from this number of hidden layers on count as deep.
DEEP = 3

#: Runs of no more steps than this were cut short.
SHORT_RUN = 60

#: Architectures that are kin: who has seen one of them has seen something of the others.
KIN = {
    "MLPs": ("mlp", "residual_mlp"),
    "convolutions": (
        "cnn1d",
        "cnn2d",
        "cnn1d_global",
        "cnn2d_global",
        "resnet1d",
        "resnet",
        "textcnn",
    ),
    "recurrent": ("gru", "lstm"),
    "attention": ("attention", "transformer"),
}

#: Fewer networks than this to learn from, or to ask about, say nothing.
MIN_TRAIN = 50
MIN_TEST = 20


@dataclass(frozen=True, eq=False)
class Protocol:
    """One way to divide a zoo into networks to learn from and networks to ask about.

    Parameters
    ----------
    name : str
        Key in the evaluation.
    title : str
        What is left out, in words.
    splits : tuple of (ndarray of int, ndarray of int)
        Indices of the networks to learn from and of those to ask about. No parent is on both
        sides of a split, and no network is asked about twice.
    parts : tuple of str
        For each split, what it leaves out (a family, an activation); empty where there is one
        question only.
    reason : str or None
        Why the zoo at hand cannot answer; then there are no splits.
    answers : str or None
        Name of the protocol whose answers are scored here for some of its networks, as both learn
        from the same ones; None where this one has answers of its own.
    """

    name: str
    title: str
    splits: tuple
    parts: tuple = ()
    reason: str | None = None
    answers: str | None = None

    @property
    def n_folds(self):
        """int : Number of different sets of networks to learn from."""
        return len({train.tobytes() for train, _ in self.splits})


def make_protocols(columns, target, groups, n_folds, random_state=0):
    """Lay out all protocols on a zoo.

    Parameters
    ----------
    columns : dict of str to ndarray of shape (n_networks,)
        Columns of the reference table.
    target : ndarray of str of shape (n_networks,)
        Diagnoses.
    groups : ndarray of shape (n_networks,)
        Parents: the unit that no split divides.
    n_folds : int
        Folds of the first protocol, which leaves out data sets and nothing else.
    random_state : int, default=0
        Seed of the folds.

    Returns
    -------
    protocols : list of Protocol
        The first is ``leave_datasets_out``.
    """
    splits = split_by_groups(n_folds, target, groups, random_state)
    whole = Protocol("leave_datasets_out", "data sets never seen", tuple(splits))

    def divide(name, title, pairs):
        return _conditional(name, title, pairs, target, groups, random_state)

    family, activation = columns["family"], columns["activation"]
    deep, noisy = columns["depth"] >= DEEP, columns["label_noise"] > 0
    wide = _is_wide(columns["width"], family)
    tabular = columns["form"] == "tabular"
    regression = columns["kind"] == "regression"
    rare = np.array([has_rare_class(name) for name in columns["dataset"]])
    taught = columns["teacher_width"] > 0
    form, dense = columns["form"], np.isin(family, KIN["MLPs"])

    def within(name, title, asked, parts=None):
        return _part_of(whole, name, title, asked, parts, target)

    return [
        whole,
        within("mlps_on_tables", "of these: MLPs on tables", dense & tabular),
        within("other_families", "of these: all that are no MLPs", ~dense, family),
        within("images", "of these: on images", form == "image", family),
        within("series", "of these: on series", form == "series", family),
        within("tokens", "of these: on tokens", form == "tokens", family),
        within("sgd", "of these: trained by SGD", columns["optimizer"] == "sgd"),
        within(
            "undertrained",
            f"of these: stopped after {SHORT_RUN} steps or fewer",
            columns["n_steps"] <= SHORT_RUN,
        ),
        divide("leave_family_out", "architecture never seen", _each_value(family)),
        divide(
            "leave_kin_out",
            "neither architecture nor its kin seen",
            _each_value(_kin_of(family)),
        ),
        divide("leave_activation_out", "activation never seen", _each_value(activation)),
        divide("shallow_to_deep", "deeper than any seen", [("", ~deep, deep)]),
        divide("narrow_to_wide", "wider than any seen", [("", ~wide, wide)]),
        divide("clean_to_noisy", "noisy labels, never seen", [("", ~noisy, noisy)]),
        divide("tabular_to_image", "series and images, never seen", [("", tabular, ~tabular)]),
        divide(
            "classification_to_regression",
            "regression, never seen",
            [("", ~regression, regression)],
        ),
        divide("balanced_to_rare", "rare classes, never seen", [("", ~rare, rare)]),
        divide("teacher_student", "data from teachers of known width", [("", ~taught, taught)]),
    ]


def _part_of(whole, name, title, asked, parts, target):
    """Ask about some networks of a protocol only; learn as it does."""
    labels = np.full(len(asked), "") if parts is None else parts
    found = [
        (str(part), (train, test[asked[test] & (labels[test] == part)]))
        for part in np.unique(labels[asked])
        for train, test in whole.splits
    ]
    found = [(part, split) for part, split in found if len(split[1])]
    reason = _too_few([split for _, split in found], target)
    if reason:
        return Protocol(name, title, (), (), reason, whole.name)
    own = () if parts is None else tuple(part for part, _ in found)
    return Protocol(name, title, tuple(split for _, split in found), own, None, whole.name)


def _kin_of(family):
    """Name the kin of each network's architecture; what has none is named by itself."""
    kin = {member: name for name, members in KIN.items() for member in members}
    return np.array([kin.get(name, name) for name in family.tolist()])


def _each_value(values):
    """Learn from all other values, ask about one: for each value in turn."""
    return [(str(value), values != value, values == value) for value in np.unique(values)]


def _is_wide(width, family):
    """Whether a network is wider than the middle one of its family's widths."""
    wide = np.zeros(len(width), dtype=bool)
    for name in np.unique(family):
        own = family == name
        wide[own] = width[own] > np.median(np.unique(width[own]))
    return wide


def _conditional(name, title, pairs, target, groups, random_state):
    """Splits for each (part, may be learned from, may be asked about), with parents apart."""
    splits, parts, reasons = [], [], []
    for part, source, asked in pairs:
        found = _parents_apart(source, asked, target, groups, random_state)
        reason = _too_few(found, target)
        if reason:
            reasons.append(f"{part}: {reason}" if part else reason)
            continue
        splits += found
        parts += [part] * len(found)
    if splits:
        return Protocol(name, title, tuple(splits), tuple(parts) if parts[0] else ())
    return Protocol(name, title, (), (), "; ".join(reasons))


def _parents_apart(source, asked, target, groups, random_state):
    """Splits between two sets of networks, such that no parent is on both sides."""
    shared = np.isin(groups, np.unique(groups[asked]))
    apart = source & ~shared
    if apart.sum() >= source.sum() / 2:
        return [(np.flatnonzero(apart), np.flatnonzero(asked))]
    # Most parents are on both sides: fold them, so that enough is left to learn from.
    n_folds = min(N_CONDITION_FOLDS, len(np.unique(groups)))
    if n_folds < 2:
        return []
    splits = []
    for train, test in split_by_groups(n_folds, target, groups, random_state):
        train, test = train[source[train]], test[asked[test]]
        if len(train) and len(test):
            splits.append((train, test))
    return splits


def _too_few(splits, target):
    """Why splits cannot answer, or an empty string."""
    n_test = sum(len(test) for _, test in splits)
    if n_test < MIN_TEST:
        return f"{n_test} networks to ask about, fewer than {MIN_TEST}"
    n_train = min(len(train) for train, _ in splits)
    if n_train < MIN_TRAIN:
        return f"{n_train} networks to learn from, fewer than {MIN_TRAIN}"
    if min(len(np.unique(target[train])) for train, _ in splits) < 2:
        return "fewer than 2 diagnoses to learn from"
    if len(np.unique(np.concatenate([target[test] for _, test in splits]))) < 2:
        return "fewer than 2 diagnoses to ask about"
    return ""

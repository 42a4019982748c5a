"""Evaluate the diagnosis on data sets that it has never seen, beside what people use today."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from sklearn.dummy import DummyClassifier

from hessdiag.diagnosis import TableDiagnoser, kinds_of, with_unfamiliar_kinds
from hessdiag.evaluation._fixed_rules import apply_fixed_rules
from hessdiag.evaluation._protocols import make_protocols
from hessdiag.evaluation._rows import (
    NOT_LEARNED,
    ROW_TITLES,
    evaluation_rows,
    leading_columns_of_rows,
)
from hessdiag.evaluation._scores import balanced_accuracy, rank_errors, score_row
from hessdiag.evaluation._search import (
    align_probabilities,
    default_candidates,
    fit_classifier,
    measured_gains,
    search_classifier,
)
from hessdiag.evaluation._studies import run_studies
from hessdiag.labels import DIAGNOSES
from hessdiag.optional import import_optional

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.utils import Bunch

N_FOLDS = 7


def evaluate_zoo(
    zoo: Bunch,
    estimator: BaseEstimator | None = None,
    n_folds: int = N_FOLDS,
    random_state: int = 0,
    studies: bool = True,
    n_jobs: int | None = None,
    progress: bool = False,
    protocols: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Score every row under every protocol that the zoo supports.

    Within each split each row gets the same search: the candidates of
    `hessdiag.evaluation._search.default_candidates` are compared by cross-validation over the data
    sets of the training side, and the best is fitted to all of it; of the networks to learn from,
    all rows are told the diagnoses, the measured gains and the data sets alike. Nothing is learned,
    chosen or tuned on the networks that are asked about.

    Parameters
    ----------
    zoo : Bunch
        As from `load_reference_zoo`.
    estimator : sklearn classifier or None, default=None
        A classifier for every row in place of the search.
    n_folds : int, default=7
        Folds of ``leave_datasets_out``; no data set is in two of them.
    random_state : int, default=0
        Seed of folds, classifiers and bootstrap.
    studies : bool, default=True
        Whether to run the studies that go with the first protocol too: ablation, learning curves,
        gains.
    n_jobs : int or None, default=None
        Worker processes, as in joblib.
    progress : bool, default=False
        Whether to show a progress bar.
    protocols : list of str or None, default=None
        Names of the protocols to run; None runs all.

    Returns
    -------
    result : dict
        JSON: ``protocols`` -> name -> ``rows`` -> figures of each row as from `score_row`, with
        intervals over data sets (over tasks where one generator made all), and ``errors``: how well
        probabilities and domain scores of the row ``hessdiag`` tell its wrong answers, as from
        `rank_errors`, for each part that is left out (``"all"`` where there is one question only);
        where the zoo cannot answer, ``rows`` is None and ``reason`` says why. With ``n_networks``,
        ``n_datasets`` (parents), ``n_tasks``, ``label_reliability``, the table's ``provenance``
        and ``studies``.

    Raises
    ------
    ValueError
        If there are fewer data sets than folds, or a protocol is not known.
    """
    n_datasets = len(np.unique(zoo.groups))
    if not 2 <= n_folds <= n_datasets:
        raise ValueError(
            f"Expected between 2 folds and as many as there are data sets ({n_datasets}), found "
            f"{n_folds}. Ask for fewer folds, or build a zoo on more data sets."
        )
    target = np.asarray(zoo.target).astype(str)
    candidates = default_candidates(random_state) if estimator is None else {"given": estimator}
    known = make_protocols(zoo.columns, target, zoo.groups, n_folds, random_state)
    asked = [protocol for protocol in known if protocols is None or protocol.name in protocols]
    unknown = sorted(set(protocols or ()) - {protocol.name for protocol in known})
    if unknown:
        raise ValueError(
            f"Expected protocols among {', '.join(protocol.name for protocol in known)}, found "
            f"{', '.join(unknown)}. Leave them out."
        )
    tables, gains = evaluation_rows(zoo), measured_gains(zoo.columns)
    leading = leading_columns_of_rows(tables)
    # What scores a part of another protocol's answers needs no more than these.
    needed = {protocol.answers or protocol.name for protocol in asked if protocol.splits}
    jobs = [
        (protocol.name, row, split, tables[row], leading.get(row))
        for protocol in known
        if protocol.name in needed
        for row in tables
        for split in protocol.splits
    ]
    kinds = [table.kinds for table in zoo.tables]
    # Memory maps of the tables would outlive workers that are stopped.
    workers = joblib.Parallel(n_jobs=n_jobs, return_as="generator", max_nbytes=None)
    answers = workers(
        joblib.delayed(_answer)(
            table,
            target,
            zoo.groups,
            gains,
            split,
            candidates,
            random_state,
            lead,
            kinds if row == "hessdiag" else None,
        )
        for _, row, split, table, lead in jobs
    )
    found: dict[Any, Any] = {}
    chosen: dict[Any, Any] = {}
    domains: dict[Any, Any] = {}
    for (name, row, split, *_), (probabilities, classifier, domain) in zip(
        jobs, _with_bar(answers, len(jobs), progress), strict=True
    ):
        empty = np.full((len(target), len(DIAGNOSES)), np.nan)
        found.setdefault((name, row), empty)[split[1]] = probabilities
        chosen.setdefault((name, row), []).append(classifier)
        if row == "hessdiag":
            domains.setdefault(name, np.full(len(target), np.nan))[split[1]] = domain
    rules = apply_fixed_rules(zoo.columns)
    result = {
        "protocols": {
            protocol.name: _score_protocol(
                protocol, zoo, target, found, chosen, domains, rules, random_state
            )
            for protocol in asked
        },
        "label_reliability": zoo.provenance.get("label_reliability"),
        "n_networks": len(target),
        "n_datasets": n_datasets,
        "n_tasks": len(np.unique(zoo.columns["dataset"])),
        "provenance": zoo.provenance,
    }
    if studies:
        splits = known[0].splits
        result["studies"] = run_studies(zoo, target, splits, random_state, n_jobs, estimator)
    return result


def _answer(table, target, groups, gains, split, candidates, random_state, leading, kinds):
    """Search, fit and ask, for one row and one split; how far from home, if that is asked."""
    train, test = split
    known = measured_gains(gains, train)
    fitted, name = search_classifier(
        candidates, table[train], target[train], groups[train], random_state, known, leading
    )
    domain = None
    if kinds is not None and len(np.unique(target[train])) > 1:
        # As in a FitDiagnoser, whose distances are a TableDiagnoser's whatever names the diagnosis.
        beside = fitted
        if not isinstance(fitted, TableDiagnoser):
            beside = fit_classifier(
                TableDiagnoser(), table[train], target[train], groups[train], known, leading
            )
        met = kinds_of([kinds[i] for i in train])
        distances = beside.domain_score(table[test])
        domain = with_unfamiliar_kinds(distances, [kinds[i] for i in test], met)
    return align_probabilities(fitted, table[test], np.array(DIAGNOSES)), name, domain


def _score_protocol(protocol, zoo, target, found, chosen, domains, rules, random_state):
    """Figures of all rows under one protocol."""
    if not protocol.splits:
        return {"title": protocol.title, "rows": None, "reason": protocol.reason}
    classes = np.array(DIAGNOSES)
    asked = np.sort(np.concatenate([test for _, test in protocol.splits]))
    # The tasks of one generator are resampled where there is nothing else to resample.
    units = zoo.groups if len(np.unique(zoo.groups[asked])) > 1 else zoo.columns["dataset"]
    rows, source = {}, protocol.answers or protocol.name
    for row in ROW_TITLES:
        if row == "dummy":
            probabilities = _dummy(target, protocol.splits)
        elif row == "rules":
            probabilities = rules
        else:
            probabilities = found[source, row]
        rows[row] = score_row(
            target[asked],
            probabilities[asked],
            classes,
            units[asked],
            random_state,
            ~zoo.columns["unsure"][asked],
        )
        predicted = classes[probabilities.argmax(axis=1)]
        if row not in NOT_LEARNED:
            rows[row]["classifiers"] = chosen[source, row]
        if protocol.parts:
            rows[row]["parts"] = _score_parts(protocol, target, predicted)
        if protocol.name == "teacher_student":
            rows[row]["teacher"] = _against_teacher(zoo.columns, predicted, asked)
    by_part = _networks_by_part(protocol)
    scored = {
        "title": protocol.title,
        "n_folds": protocol.n_folds,
        "n_networks": len(asked),
        "n_datasets": len(np.unique(zoo.groups[asked])),
        "n_train": int(np.mean([len(train) for train, _ in protocol.splits])),
        "rows": rows,
        "errors": {
            part: rank_errors(
                target[own], found[source, "hessdiag"][own], classes, domains[source][own]
            )
            for part, own in by_part.items()
        },
    }
    if protocol.name == "teacher_student":
        scored["teacher_of_labels"] = _against_teacher(zoo.columns, target, asked)
    if protocol.reason:
        scored["reason"] = protocol.reason
    return scored


def _dummy(target, splits):
    """The shares of the diagnoses among the networks to learn from."""
    probabilities = np.full((len(target), len(DIAGNOSES)), np.nan)
    for train, test in splits:
        fitted = DummyClassifier(strategy="prior").fit(train[:, None], target[train])
        probabilities[test] = align_probabilities(fitted, test[:, None], np.array(DIAGNOSES))
    return probabilities


def _score_parts(protocol, target, predicted):
    """Balanced accuracy on each family or activation that was left out."""
    return {
        part: balanced_accuracy(target[own], predicted[own])
        for part, own in _networks_by_part(protocol).items()
    }


def _networks_by_part(protocol):
    """Who is asked about of each part; of all at once where there are none."""
    parts = protocol.parts or ("all",) * len(protocol.splits)
    return {
        part: np.concatenate(
            [test for (_, test), own in zip(protocol.splits, parts) if own == part]
        )
        for part in dict.fromkeys(parts)
    }


def _against_teacher(columns, named, asked):
    """How diagnoses stand to the width of the network that made the data."""
    narrower = columns["width"][asked] < columns["teacher_width"][asked]
    under = named[asked] == "underparameterized"
    return {
        "narrower_called_underparameterized": _share(under[narrower]),
        "others_not_called_so": _share(~under[~narrower]),
        "n_narrower": int(narrower.sum()),
        "n_others": int((~narrower).sum()),
    }


def _share(flags):
    """Mean of flags; None without any."""
    return float(flags.mean()) if len(flags) else None


def _with_bar(items, total, progress):
    """The items, with a progress bar if asked for."""
    if not progress:
        return items
    tqdm = import_optional("tqdm.auto", "zoo", "A progress bar").tqdm
    return tqdm(items, total=total, desc="evaluate", mininterval=1)

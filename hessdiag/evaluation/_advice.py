"""Advice tested by doing: networks called unhealthy are trained again as advised, and otherwise."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hessdiag.diagnosis import (
    CONSTRAINTS,
    LONGER,
    FitDiagnoser,
    LayerFinding,
    expected_gains,
    recommend,
)
from hessdiag.evaluation._advice_confidence import AdviceConfidence, confidence_for_advice
from hessdiag.evaluation._folds import split_by_groups
from hessdiag.evaluation._scores import bootstrap_mean
from hessdiag.evaluation._search import measured_gains
from hessdiag.labels import DELTA
from hessdiag.zoo import NARROWING, WIDENING, Recipe, change_recipe, train_zoo

if TYPE_CHECKING:
    from sklearn.utils import Bunch

N_FOLDS = 7

#: No data set gives more networks than this.
MAX_PER_DATASET = 3

#: Seeds of the new networks start here, far from those of any zoo.
FIRST_SEED = 1000

_WIDEN = {"width_factor": WIDENING}
_CONSTRAINTS = ({"weight_decay": "increase"}, {"stop_earlier": True}, {"width_factor": NARROWING})


@dataclass(frozen=True, eq=False)
class AdvisedNetwork:
    """A network of an unseen data set that was told to change something, and what was advised.

    Parameters
    ----------
    recipe : Recipe
        How the network was made.
    parent : str
        The data set that it comes from.
    diagnosis : str
        What it was called.
    confidence : float
        How sure the advice is, as from `AdviceConfidence`: the probability of the diagnosis, where
        the advice follows from it.
    floor : float
        The confidence that was asked for.
    label : str
        What the zoo measured.
    advised, opposite : dict
        The changes: ``width_factor``, ``weight_decay`` or ``stop_earlier``.
    """

    recipe: Recipe
    parent: str
    diagnosis: str
    confidence: float
    floor: float
    label: str
    advised: dict
    opposite: dict


def choose_advised(zoo, n_networks=60, min_confidence=None, n_folds=N_FOLDS, random_state=0):
    """Diagnose a zoo with data sets left out, and draw networks that are told to change.

    Parameters
    ----------
    zoo : Bunch
        As from `load_reference_zoo`.
    n_networks : int, default=60
        Networks to draw, at most 3 of a data set.
    min_confidence : float or None, default=None
        Advice that is less sure is not given; None takes `confidence_for_advice`
        of each fold's diagnoser, which knows only the networks that it learned from.
    n_folds : int, default=7
        Folds over data sets: no network is diagnosed by what has met its data set.
    random_state : int, default=0
        Seed of folds and draw.

    Returns
    -------
    advised : list of AdvisedNetwork
        Fewer than `n_networks` where the zoo has no more.
    answered : float
        Share of the networks told to change something whose advice is sure enough.

    Raises
    ------
    ValueError
        If no network is told to change anything.
    """
    target = np.asarray(zoo.target).astype(str)
    n_folds = min(n_folds, len(np.unique(zoo.groups)))
    splits = split_by_groups(n_folds, target, zoo.groups, random_state)
    diagnosers, fold_of = [], np.empty(len(target), dtype=int)
    named = np.empty(len(target), dtype=object)
    confidence, floor = np.zeros(len(target)), np.zeros(len(target))
    ways = np.column_stack([zoo.columns[name] for name in CONSTRAINTS])
    ratios = np.array([table.context["loss_over_null_loss"] for table in zoo.tables])
    actions = np.empty(len(target), dtype=object)
    for number, (train, test) in enumerate(splits):
        tables = [zoo.tables[i] for i in test]
        diagnoser = FitDiagnoser().fit(
            [zoo.tables[i] for i in train],
            target[train],
            gains=measured_gains(zoo.columns, train),
            groups=zoo.groups[train],
        )
        model = diagnoser.table_diagnoser_
        probabilities = diagnoser.diagnose_tables(tables)
        named[test] = diagnoser.classes_[probabilities.argmax(axis=1)]
        gains = diagnoser.predict_gains(tables)
        longer = zoo.columns[LONGER][train] if LONGER in model.gain_names_ else None
        actions[test], confidence[test] = AdviceConfidence(model, longer).advise(
            named[test], probabilities.max(axis=1), ratios[test], gains
        )
        floor[test] = min_confidence
        if min_confidence is None:
            known = {} if longer is None else {"longer": longer, "ratios": ratios[train]}
            floor[test] = confidence_for_advice(
                model,
                zoo.columns["gain_fourfold"][train],
                ways[train],
                zoo.groups[train],
                **known,
            )
        fold_of[test] = number
        diagnosers.append(diagnoser)
    rng = np.random.default_rng(random_state)
    taken, chosen = {}, []
    called = np.flatnonzero(actions != "keep")
    sure = confidence >= floor
    for index in rng.permutation(called):
        parent = str(zoo.groups[index])
        if not sure[index] or taken.get(parent, 0) == MAX_PER_DATASET:
            continue
        recipe = recipe_of(zoo.columns, index)
        advice = _advice_for(diagnosers[fold_of[index]], zoo.tables[index], named[index])
        # The opposite of constraining is widening; that of widening, and of training, is the other.
        widen = advice.action in ("widen", "train")
        constrain = _first_possible(recipe, () if widen else (advice.change,))
        taken[parent] = taken.get(parent, 0) + 1
        chosen.append(
            AdvisedNetwork(
                recipe=recipe,
                parent=parent,
                diagnosis=str(named[index]),
                confidence=float(confidence[index]),
                floor=float(floor[index]),
                label=str(target[index]),
                advised=dict(advice.change) if widen else constrain,
                opposite=constrain if widen else dict(_WIDEN),
            )
        )
        if len(chosen) == n_networks:
            break
    if not chosen:
        raise ValueError(
            "Expected networks that are told to change something with confidence "
            f"{floor.min():.2g}, found none. Lower the confidence, or build a larger zoo."
        )
    return chosen, float(sure[called].mean())


def recipe_of(columns, index):
    """Read the recipe of one row of a reference table.

    Parameters
    ----------
    columns : dict of str to ndarray
        Columns of the table.
    index : int
        The row.

    Returns
    -------
    recipe : Recipe
        How the network was made.
    """
    return Recipe(**{field.name: columns[field.name][index].item() for field in fields(Recipe)})


def try_advice(
    zoo: Bunch,
    folder: str | os.PathLike[str],
    n_networks: int = 60,
    n_seeds: int = 3,
    min_confidence: float | None = None,
    delta: float = DELTA,
    random_state: int = 0,
    n_jobs: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Train networks again as advised, as opposed, and at random, and compare held-out losses.

    Held-out loss before and after is averaged over the same new seeds, on the same division of the
    data.

    Parameters
    ----------
    zoo : Bunch
        As from `load_reference_zoo`.
    folder : str or path-like
        Where the new networks go; those that it holds are kept, so that a run resumes.
    n_networks : int, default=60
        Networks to draw.
    n_seeds : int, default=3
        New networks for each recipe.
    min_confidence : float or None, default=None
        As for `choose_advised`.
    delta : float, default=0.05
        Smallest fall of the held-out loss that counts, in null losses.
    random_state : int, default=0
        Seed of folds, draw, random advice and bootstrap.
    n_jobs : int or None, default=None
        Worker processes, as in joblib.
    progress : bool, default=True
        Whether to show a progress bar.

    Returns
    -------
    result : dict
        JSON: ``advice`` -> ``"advised" | "opposite" | "random"`` -> figures (``lowered``,
        ``lowered_by_delta``: shares; ``mean_fall`` in null losses with a 95 % bootstrap
        ``interval`` over data sets; ``n``; ``n_diverged``), also within ``by_action`` and for the
        ``surer_half``; ``networks``: what was done to each; ``answered``: the share of those told
        to change something whose advice was sure enough.
    """
    chosen, answered = choose_advised(zoo, n_networks, min_confidence, random_state=random_state)
    recipes = {}
    for network in chosen:
        for kind, recipe in _recipes_of(network).items():
            seeds = range(FIRST_SEED, FIRST_SEED + n_seeds)
            recipes[network, kind] = [replace(recipe, seed=seed) for seed in seeds]
    todo = list(dict.fromkeys(recipe for group in recipes.values() for recipe in group))
    store = train_zoo(todo, folder, n_jobs, progress)
    losses, null_losses = {}, {}
    for key, group in recipes.items():
        records = [store.load_record(recipe.id)[1] for recipe in group]
        # A network that diverged is no network: the advice that led to it failed.
        losses[key] = float(
            np.mean([r.test_losses[-1] if r.status == "ok" else np.inf for r in records])
        )
        null_losses[key[0]] = records[0].null_loss
    rows = []
    rng = np.random.default_rng([random_state, 1])
    for network in chosen:
        before = losses[network, "before"]
        falls = {
            kind: (before - losses[network, kind]) / null_losses[network]
            for kind in ("advised", "opposite")
        }
        falls["random"] = falls[str(rng.choice(["advised", "opposite"]))]
        rows.append((network, before / null_losses[network], falls))
    rows = [row for row in rows if np.isfinite(row[1])]
    return _summarize(rows, delta, n_seeds, random_state) | {"answered": answered}


def format_advice(result: dict[str, Any]) -> str:
    """Write what advice did as a plain-text table.

    Parameters
    ----------
    result : dict
        As from `try_advice`.

    Returns
    -------
    text : str
        The table.
    """
    delta = result["delta"]
    lines = [
        f"{result['n_networks']} networks of {result['n_datasets']} data sets never seen, told to "
        f"change; {result['n_seeds']} new networks each",
        f"({result['answered']:.0%} of those told to change are told so surely enough)",
        f"{'':36s} {'':>4s} {'held-out loss':>13s} {'lowered by':>10s} {'mean fall':>9s} "
        f"{'95 % interval':>16s}",
        f"{'':36s} {'n':>4s} {'lowered':>13s} {f'>= {delta:g}':>10s} {'(null loss)':>9s} "
        f"{'over data sets':>16s}",
    ]
    for kind, figures in result["advice"].items():
        lines.append(_line(kind, figures))
        lines.append(_line("  surer half", figures["surer_half"]))
        lines += [_line(f"  {name}", own) for name, own in figures["by_action"].items()]
    return "\n".join(lines)


def _line(title, figures):
    """One line of the table."""
    if figures["mean_fall"] is None:
        return f"{title:36s} {figures['n']:4d}   all diverged"
    low, high = figures["interval"]
    return (
        f"{title:36s} {figures['n']:4d} {figures['lowered']:13.3f} "
        f"{figures['lowered_by_delta']:10.3f} {figures['mean_fall']:9.3f} "
        f"{f'{low:.3f} - {high:.3f}':>16s}"
    )


def _advice_for(diagnoser, table, diagnosis):
    """The recommendation that a report would give, without its explanation."""
    columns = np.asarray(diagnoser.features_.transform([table]), dtype=float)
    gains = expected_gains(diagnoser.table_diagnoser_, columns, diagnosis)
    # Which layer to name first takes an explanation; which change to make does not.
    findings = [
        LayerFinding(name, kind, 0, 0.0, ())
        for name, kind in zip(table.layers, table.kinds, strict=True)
    ]
    return recommend(str(diagnosis), table, findings, gains.constraints, gains.values)


def _first_possible(recipe, preferred):
    """The first way of constraining that changes the recipe."""
    for change in (*preferred, *_CONSTRAINTS):
        if change_recipe(recipe, change) is not None:
            return dict(change)
    raise AssertionError("stopping earlier is always possible")


def _recipes_of(network):
    """The recipe of a network before, as advised, and as opposed."""
    return {
        "before": network.recipe,
        "advised": change_recipe(network.recipe, network.advised),
        "opposite": change_recipe(network.recipe, network.opposite),
    }


def _summarize(rows, delta, n_seeds, random_state):
    """Figures of each kind of advice, and what was done to each network."""
    confidence = np.array([network.confidence for network, _, _ in rows])
    surer = confidence >= np.median(confidence)
    advice = {}
    for kind in ("advised", "opposite", "random"):
        falls = np.array([own[kind] for _, _, own in rows])
        parents = np.array([network.parent for network, _, _ in rows])
        titles = np.array([_title(network, kind) for network, _, _ in rows])
        advice[kind] = _figures(falls, parents, delta, random_state)
        advice[kind]["surer_half"] = _figures(falls[surer], parents[surer], delta, random_state)
        advice[kind]["by_action"] = {
            str(title): _figures(falls[own], parents[own], delta, random_state)
            for title in np.unique(titles)
            for own in [titles == title]
            if kind != "random"
        }
    return {
        "n_networks": len(rows),
        "n_datasets": len({network.parent for network, _, _ in rows}),
        "n_seeds": n_seeds,
        "delta": delta,
        "advice": advice,
        "networks": [
            {
                "id": network.recipe.id,
                "parent": network.parent,
                "diagnosis": network.diagnosis,
                "confidence": network.confidence,
                "floor": network.floor,
                "label": network.label,
                "advised": network.advised,
                "opposite": network.opposite,
                "before": before,
                **{
                    f"fall_{kind}": fall if np.isfinite(fall) else None
                    for kind, fall in falls.items()
                },
            }
            for network, before, falls in rows
        ],
    }


def _title(network, kind):
    """A change in words."""
    change = network.opposite if kind == "opposite" else network.advised
    if "width_factor" in change:
        return f"width x {change['width_factor']:g}"
    if "train_longer" in change:
        return f"steps x {change['train_longer']:g}"
    return "more weight decay" if "weight_decay" in change else "stop earlier"


def _figures(falls, parents, delta, random_state):
    """Shares of networks helped, and the mean fall of their held-out loss."""
    finite = np.isfinite(falls)
    mean, interval = None, [None, None]
    if finite.any():
        mean = float(falls[finite].mean())
        interval = bootstrap_mean(falls[finite], parents[finite], random_state)
    return {
        "n": len(falls),
        "lowered": float((falls > 0).mean()),
        "lowered_by_delta": float((falls >= delta).mean()),
        "mean_fall": mean,
        "interval": interval,
        "n_diverged": int((~finite).sum()),
    }

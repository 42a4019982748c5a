"""How often advice is the best of four: widen, constrain, train longer, leave alone."""

from __future__ import annotations

import numpy as np

from hessdiag.evaluation._fixed_rules import apply_fixed_rules
from hessdiag.evaluation._left_out import THREE_GAINS, LeftOut, gains_as_advised
from hessdiag.evaluation._protocols import KIN, MIN_TEST
from hessdiag.evaluation._scores import bootstrap_mean
from hessdiag.labels import DELTA, DIAGNOSES

#: What may be advised, in the order of `THREE_GAINS`; the last where none of them counts.
ACTIONS = ("widen", "constrain", "train", "keep")

#: Rows of the table of advice alone.
SIMPLE_TITLES = {
    "chance": "chance",
    "most_common": "always the one that is best most often",
    "rules": "skore's rules (with validation set)",
    "training_curve": "training curve + training loss + sizes",
}


def best_of_four(gains, delta=DELTA):
    """Name the best of four interventions.

    Parameters
    ----------
    gains : ndarray of shape (n_networks, 3)
        Measured `THREE_GAINS`.
    delta : float, default=0.05
        Smallest gain that counts.

    Returns
    -------
    best : ndarray of str of shape (n_networks,)
        One of `ACTIONS`; ``"keep"`` where no gain is at least `delta`.
    """
    largest = np.where(gains.max(axis=1) < delta, len(THREE_GAINS), gains.argmax(axis=1))
    return np.array(ACTIONS)[largest]


def has_longer(columns):
    """Say whether a table tells of enough networks what training longer gained.

    Parameters
    ----------
    columns : dict of str to ndarray
        Columns of the reference table.

    Returns
    -------
    known : bool
        Whether it does.
    """
    return bool(np.isfinite(_measured(columns)).all(axis=1).sum() >= MIN_TEST)


def score_advice_of_four(zoo, left_out, splits, delta=DELTA, random_state=0):
    """Score advice by what the table measured of each of the four.

    Only networks count of which all three gains were measured. The best of four is named by the
    largest gain: of any wider network, of the best way of constraining, of training longer. What
    advice gains is what was measured of the change as it is advised: four times the width, one way
    of constraining, training longer; nothing where the network is left alone.

    Parameters
    ----------
    zoo : Bunch
        As from `load_reference_zoo`.
    left_out : dict of str to LeftOut
        Predictions by row.
    splits : list of (ndarray, ndarray)
        Networks to learn from and to ask about.
    delta : float, default=0.05
        Smallest gain that counts, in null losses.
    random_state : int, default=0
        Seed of the bootstrap.

    Returns
    -------
    scored : dict
        JSON: ``best`` (how many networks each is best for), ``possible`` (mean gain of always
        doing the best of what was tried), and ``rows`` with the figures of each row: ``named``
        (share of networks whose best is advised) with a 95 % bootstrap ``interval`` over data
        sets, ``balanced`` (mean over the four), ``recall`` of each, ``parts`` (named among MLPs and
        among other families), ``changed`` (share told to change something), and of those whose
        change was tried ``lowered``, ``lowered_by_delta`` (shares whose held-out loss fell) and
        ``surer_half`` (both, of the half of which most is expected); ``mean_gain`` over all
        networks; ``confusion`` (rows: best, columns: advised, in the order of `ACTIONS`). Where too
        few networks were trained longer, ``rows`` is None and ``reason`` says so.
    """
    columns = zoo.columns
    measured = _measured(columns)
    tried = np.isfinite(measured).all(axis=1)
    asked = np.zeros(len(tried), dtype=bool)
    asked[np.concatenate([test for _, test in splits])] = True
    asked &= tried
    if asked.sum() < MIN_TEST or not left_out:
        reason = (
            f"training longer was measured of {int(asked.sum())} networks that are asked about, "
            f"fewer than {MIN_TEST}; hessdiag zoo longer measures it"
            if asked.sum() < MIN_TEST
            else "too little to learn from"
        )
        return {"rows": None, "reason": reason}
    best = best_of_four(np.where(tried[:, None], measured, 0.0), delta)
    ratios = np.array([table.context["loss_over_null_loss"] for table in zoo.tables])
    given = {
        "chance": None,
        "most_common": (_most_common(best, tried, splits), None, None),
        "rules": (_by_rules(columns, ratios), None, None),
    }
    for name, own in left_out.items():
        given[name] = (own.actions(ratios), own.constraints, _expected(own))
    rows = {}
    for name, advice in given.items():
        if advice is None:
            rows[name] = _by_chance(columns, best, asked, delta, zoo.groups, random_state)
            continue
        actions, constraints, expected = advice
        if constraints is None:
            constraints = np.full(measured.shape, np.nan)
        gained = gains_as_advised(columns, actions, constraints)
        rows[name] = _figures(
            best[asked], actions[asked], gained[asked], zoo.groups[asked], delta, random_state
        )
        dense = np.isin(columns["family"][asked], KIN["MLPs"])
        right = best[asked] == actions[asked]
        rows[name]["parts"] = {"MLPs": _share(right[dense]), "others": _share(right[~dense])}
        if expected is not None:
            changed = asked & (actions != "keep") & np.isfinite(gained)
            rows[name]["surer_half"] = _of_surer_half(
                gained[changed], expected(actions)[changed], delta
            )
    return {
        "n_networks": int(asked.sum()),
        "n_datasets": len(np.unique(zoo.groups[asked])),
        "best": {name: int((best[asked] == name).sum()) for name in ACTIONS},
        "possible": float(_largest_tried(columns)[asked].mean()),
        "rows": rows,
    }


def advice_in_words(scored, titles):
    """Lay the figures of `score_advice_of_four` out as lines.

    Parameters
    ----------
    scored : dict
        The figures.
    titles : dict of str to str
        Titles of the rows.

    Returns
    -------
    lines : list of str
        A table.
    """
    heading = ["", "Advice of four, by what each was measured to gain (data sets never seen)"]
    if scored["rows"] is None:
        return [*heading, f"  not answered: {scored['reason']}"]
    best = ", ".join(f"{name} {number}" for name, number in scored["best"].items())
    lines = [
        *heading,
        f"  {scored['n_networks']} networks of {scored['n_datasets']} data sets; best for them: "
        f"{best}; the best of what was tried gains {scored['possible']:.3f}",
        f"  {'':42s} {'best':>5s} {'95 % interval':>15s} {'mean of':>7s} {'told to':>7s} "
        f"{'loss':>7s} {'by':>6s} {'surer half:':>13s} {'mean':>6s}",
        f"  {'row':42s} {'named':>5s} {'over data sets':>15s} {'four':>7s} {'change':>7s} "
        f"{'lowered':>7s} {'delta':>6s} {'lowered/delta':>13s} {'gain':>6s}  named: MLPs / others",
    ]
    for name, figures in scored["rows"].items():
        low, high = figures["interval"]
        surer = figures.get("surer_half") or {}
        both = "/".join(_number(surer.get(key)) for key in ("lowered", "lowered_by_delta"))
        parts = " / ".join(_number(value) for value in figures.get("parts", {}).values())
        lines.append(
            f"  {titles[name]:42s} {figures['named']:5.3f} {f'{low:.3f} - {high:.3f}':>15s} "
            f"{figures['balanced']:7.3f} {figures['changed']:7.3f} "
            f"{_number(figures['lowered']):>7s} {_number(figures['lowered_by_delta']):>6s} "
            f"{both:>13s} {figures['mean_gain']:6.3f}  {parts}".rstrip()
        )
    return lines


def _measured(columns):
    """The three gains, NaN where one was not measured."""
    blank = np.full(len(columns["null_loss"]), np.nan)
    return np.column_stack([columns.get(name, blank) for name in THREE_GAINS])


def _figures(best, actions, gained, groups, delta, random_state):
    """Figures of one row, of the networks that are asked about."""
    right = best == actions
    recall = {name: _share(right[best == name]) for name in ACTIONS}
    changed = actions != "keep"
    followed = gained[changed & np.isfinite(gained)]
    return {
        "named": float(right.mean()),
        "interval": bootstrap_mean(right.astype(float), groups, random_state),
        "balanced": float(np.mean([value for value in recall.values() if value is not None])),
        "recall": recall,
        "changed": float(changed.mean()),
        "n_followed": len(followed),
        "lowered": _share(followed > 0),
        "lowered_by_delta": _share(followed >= delta),
        "mean_gain": float(np.where(np.isfinite(gained), gained, 0.0).mean()),
        "confusion": [
            [int(((best == row) & (actions == column)).sum()) for column in ACTIONS]
            for row in ACTIONS
        ],
    }


def _by_chance(columns, best, asked, delta, groups, random_state):
    """What each of the four at random would do on average; a way of constraining likewise."""
    nowhere = np.full((len(best), 3), np.nan)
    every = [
        _figures(
            best[asked],
            np.full(asked.sum(), name),
            gains_as_advised(columns, np.full(len(best), name), nowhere)[asked],
            groups[asked],
            delta,
            random_state,
        )
        for name in ACTIONS
    ]
    counts = np.array([own["n_followed"] for own in every], dtype=float)

    def mean(key, weights=None):
        known = [own[key] is not None for own in every]
        values = [own[key] for own, there in zip(every, known, strict=True) if there]
        return float(np.average(values, weights=None if weights is None else weights[known]))

    return {
        "named": mean("named"),
        "interval": [mean("named")] * 2,
        "balanced": mean("balanced"),
        "recall": dict.fromkeys(ACTIONS, 0.25),
        "changed": mean("changed"),
        "n_followed": int(counts.sum()),
        "lowered": mean("lowered", counts),
        "lowered_by_delta": mean("lowered_by_delta", counts),
        "mean_gain": mean("mean_gain"),
    }


def _most_common(best, tried, splits):
    """The action that is best most often among the networks to learn from."""
    actions = np.full(len(best), "keep", dtype=best.dtype)
    for train, test in splits:
        counts = [(best[train][tried[train]] == name).sum() for name in ACTIONS]
        actions[test] = ACTIONS[int(np.argmax(counts))]
    return actions


def _by_rules(columns, ratios):
    """Advice of fixed rules, which know no third gain."""
    named = np.array(DIAGNOSES)[apply_fixed_rules(columns).argmax(axis=1)]
    unknown = np.full((len(named), 3), np.nan)
    nothing = np.full(len(named), np.nan)
    rules = LeftOut(named, nothing, unknown, unknown, unknown, nothing)
    return rules.actions(ratios)


def _expected(own):
    """What a row expects of each action."""

    def of(actions):
        places = np.array([ACTIONS.index(name) for name in actions.tolist()])
        padded = np.column_stack([np.nan_to_num(own.gains), np.zeros(len(actions))])
        return padded[np.arange(len(actions)), places]

    return of


def _of_surer_half(gained, expected, delta):
    """Shares of the half of which most is expected whose loss fell."""
    surer = gained[expected >= np.median(expected)] if len(gained) else gained
    return {"lowered": _share(surer > 0), "lowered_by_delta": _share(surer >= delta)}


def _largest_tried(columns):
    """The most that any change gained, as it is advised; 0 where all harm."""
    names = ("gain_fourfold", "gain_narrowing", "gain_decay", "gain_stopping", THREE_GAINS[2])
    return np.nan_to_num(np.column_stack([columns[name] for name in names])).max(axis=1, initial=0)


def _share(flags):
    """Mean of flags; None without any."""
    return float(flags.mean()) if len(flags) else None


def _number(value):
    """Two decimals, or a dash."""
    return "-" if value is None else f"{value:.2f}"

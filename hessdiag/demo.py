"""Three new networks on a data set that the reference has never met, diagnosed and mended."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path

from hessdiag.cases import NetworkCase
from hessdiag.diagnosis import DiagnosisReport
from hessdiag.zoo import (
    DEMO_DATASET,
    Recipe,
    change_recipe,
    load_reference_diagnoser,
    recipe_split,
    train_recipe,
)

_SOUND = Recipe(
    dataset=DEMO_DATASET,
    n_train=1500,
    label_noise=0.0,
    family="mlp",
    depth=2,
    activation="relu",
    width=48,
    weight_decay=0.3,
    n_steps=500,
    seed=7,
    split_seed=7,
)

#: The three networks of the demo. The data set, and so every one of them, is outside the zoo. The
#: unsound ones are so beyond doubt: what mends them gains more than a tenth of the null loss.
DEMO_RECIPES = {
    "too small": replace(_SOUND, width=2),
    "sound": _SOUND,
    "too big, noisy labels": replace(
        _SOUND, width=256, n_train=200, label_noise=0.3, weight_decay=0.0, n_steps=1500
    ),
}


@dataclass(frozen=True)
class Treatment:
    """What following the advice did to one network.

    Parameters
    ----------
    name : str
        Name of the network.
    action : str
        The advice that was followed: "widen" or "constrain".
    change : str
        What was changed in the network's recipe, such as "width 2 -> 8".
    before, after : float
        Held-out loss.
    """

    name: str
    action: str
    change: str
    before: float
    after: float


def run_demo(folder: str | os.PathLike[str]) -> tuple[list[DiagnosisReport], list[Treatment]]:
    """Train, diagnose, report, and train again as advised.

    Parameters
    ----------
    folder : str or path-like
        Where the report and the figures go.

    Returns
    -------
    reports : list of DiagnosisReport
        One for each network.
    treatments : list of Treatment
        One for each network whose recipe the recommendation changes.
    """
    from hessdiag.reporting import print_reports, write_figures, write_html

    folder = Path(folder)
    print(f"Training three networks on {DEMO_DATASET!r}, which is not in the reference zoo ...")
    cases = []
    held_out: dict[str | None, float] = {}
    for name, recipe in DEMO_RECIPES.items():
        net, record = train_recipe(recipe)
        split = recipe_split(recipe)
        cases.append(NetworkCase(net, split.X_train, split.y_train, name=name))
        held_out[name] = record.test_losses[-1]
    print("Diagnosing them from their training data alone ...\n")
    diagnoser = load_reference_diagnoser()
    reports = [diagnoser.explain(case) for case in cases]
    print_reports(reports)

    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "report.html"
    write_html(reports, page, title=f"Three networks on {DEMO_DATASET}")
    figures = write_figures(reports, folder)
    print("\nDoing what is advised, and looking at held-out data for the first time:")
    treatments = []
    for report in reports:
        before = held_out[report.name]
        treatment = _treat(report, before)
        if treatment is None:
            keeps = report.recommendation.action == "keep"
            done = "left alone" if keeps else "nothing left to change as advised"
            print(f"  {report.name:24s} {done:34s} held-out loss {before:.3f}")
            continue
        treatments.append(treatment)
        done = f"{treatment.action}: {treatment.change}"
        print(
            f"  {treatment.name:24s} {done:34s} "
            f"held-out loss {treatment.before:.3f} -> {treatment.after:.3f}"
        )
    print(f"\nReport:  {page.resolve()}")
    for figure in figures:
        print(f"Spectra: {Path(figure).resolve()}")
    return reports, treatments


def _treat(report, before):
    """Train again as the report advises; None where it advises to change nothing that can be."""
    recipe, advice = DEMO_RECIPES[report.name], report.recommendation
    changed = change_recipe(recipe, advice.change) if advice.change else None
    if changed is None:
        return None
    _, record = train_recipe(changed)
    change = _difference(recipe, changed)
    return Treatment(report.name, advice.action, change, before, record.test_losses[-1])


def _difference(recipe, changed):
    """Say which fields of a recipe were changed."""
    pairs = {
        field.name: (getattr(recipe, field.name), getattr(changed, field.name))
        for field in fields(Recipe)
    }
    return ", ".join(
        f"{name.removeprefix('n_').replace('_', ' ')} {old:g} -> {new:g}"
        for name, (old, new) in pairs.items()
        if old != new
    )

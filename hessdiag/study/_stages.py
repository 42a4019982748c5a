"""The long work of a study, in pieces that are saved as they are finished."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from hessdiag.cases import NetworkCase
from hessdiag.features import layer_table
from hessdiag.resumable import run_resumable, write_atomically
from hessdiag.spectra import layer_coupling
from hessdiag.study._checkpoints import measure_checkpoint, place_names
from hessdiag.study._regimes import choose_regimes
from hessdiag.study._runs import nearest_checkpoint
from hessdiag.study._trajectory import train_trajectory
from hessdiag.zoo import (
    REFERENCE_SPECTRA,
    Recipe,
    recipe_split,
    train_recipe,
)

#: Shares of training at which the coupling between layers is taken.
COUPLING_SHARES = (0.0, 0.1, 1.0)

#: Parameters up to which all columns of a Hessian are formed for its blocks' norms.
EXACT_COUPLING = 1500


def run_pilot(design, folder, n_jobs=None, progress=True):
    """Train the pilot's networks that are not there yet, and choose the regimes.

    Parameters
    ----------
    design : StudyDesign
        The design.
    folder : str or path-like
        The study's folder.
    n_jobs : int or None, default=None
        Worker processes, as in joblib.
    progress : bool, default=True
        Whether to show a progress bar.

    Returns
    -------
    experiments : list of Experiment
        Three for each data set.
    """
    recipes = {name: design.pilot(name) for name in design.data_sets}
    todo = [recipe for found in recipes.values() for recipe in found]
    _run(_train_pilot, todo, Path(folder), "pilot", "train the pilot", n_jobs, progress)
    experiments = []
    for name, found in recipes.items():
        curves = [_load(folder, "pilot", recipe.id)["curve"] for recipe in found]
        experiments += choose_regimes(name, found, np.array(curves, dtype=float))
    return experiments


def run_experiments(experiments, design, folder, n_jobs=None, progress=True):
    """Train and measure the experiments that are not there yet.

    Parameters
    ----------
    experiments : list of Experiment
        The experiments.
    design : StudyDesign
        The design.
    folder : str or path-like
        The study's folder.
    n_jobs : int or None, default=None
        Worker processes, as in joblib.
    progress : bool, default=True
        Whether to show a progress bar.

    Returns
    -------
    results : list of dict
        What was found, in the order of the experiments.
    """
    todo = [_Measured(experiment.recipe, design) for experiment in experiments]
    _run(_run_experiment, todo, Path(folder), "runs", "run the experiments", n_jobs, progress)
    return [_load(folder, "runs", experiment.recipe.id) for experiment in experiments]


def run_students(design, folder, n_jobs=None, progress=True):
    """Train and measure the students that are not there yet.

    Parameters
    ----------
    design : StudyDesign
        The design.
    folder : str or path-like
        The study's folder.
    n_jobs : int or None, default=None
        Worker processes, as in joblib.
    progress : bool, default=True
        Whether to show a progress bar.

    Returns
    -------
    results : list of dict
        What was found, in the order of `StudyDesign.students`.
    """
    todo = [_Measured(recipe, design) for recipe in design.students()]
    _run(_run_student, todo, Path(folder), "students", "train the students", n_jobs, progress)
    return [_load(folder, "students", item.recipe.id) for item in todo]


class _Measured:
    """A recipe with the settings of its examination; `id` is the recipe's."""

    def __init__(self, recipe, design):
        self.recipe, self.design, self.id = recipe, design, recipe.id


def _run(function, todo, folder, part, description, n_jobs, progress):
    """Apply a function to all items without a file yet; each appears whole or not at all."""
    done = {path.stem for path in (folder / part).glob("*.json")}
    rest = {item.id: item for item in todo if item.id not in done}
    run_resumable(function, list(rest.values()), folder, description, n_jobs, progress)


def _load(folder, part, name):
    """Read what a worker saved."""
    return json.loads((Path(folder) / part / f"{name}.json").read_text())


def _save(folder, part, name, content):
    """Save what a worker found."""
    write_atomically(Path(folder) / part / f"{name}.json", json.dumps(content).encode())


def _is_saved(folder, part, name):
    """Say whether a worker of another study in this folder has saved it since work was listed."""
    return (Path(folder) / part / f"{name}.json").exists()


def _train_pilot(recipe: Recipe, folder):
    """Train one network of the pilot in a worker; keep its held-out losses."""
    if _is_saved(folder, "pilot", recipe.id):
        return
    torch.set_num_threads(1)
    _, record = train_recipe(recipe)
    curve = [loss / record.null_loss for loss in record.test_losses]
    if record.status != "ok":
        curve = [None] * len(curve)
    _save(folder, "pilot", recipe.id, {"recipe": asdict(recipe), "curve": curve})


def _run_experiment(item, folder):
    """Train one network, and measure it at every checkpoint, in a worker."""
    if _is_saved(folder, "runs", item.recipe.id):
        return
    torch.set_num_threads(1)
    recipe, design = item.recipe, item.design
    steps = design.checkpoints
    net, split, states = train_trajectory(recipe, steps)
    shares = np.array(steps) / recipe.n_steps
    looks = {steps[nearest_checkpoint(shares, share)] for share in COUPLING_SHARES}
    evolution, coupling = [], []
    for step in steps:
        net.module_.load_state_dict(states[step])
        finite = all(value.isfinite().all() for value in states[step].values())
        if finite:
            rows = measure_checkpoint(net, split, design.max_gram_size, design.dense_limit)
        else:
            rows = [dict.fromkeys(row) | {k: row[k] for k in ("layer", "place")} for row in rows]
        evolution += [{"step": step, "share": step / recipe.n_steps} | row for row in rows]
        if step in looks and finite:
            rows_of_pairs = _measure_coupling(net, split, design.n_coupling_probes)
            coupling += [{"step": step, "share": step / recipe.n_steps} | r for r in rows_of_pairs]
    table = None
    if finite:
        case = NetworkCase(net, split.X_train, split.y_train, name=recipe.id)
        table = layer_table(REFERENCE_SPECTRA.transform([case])[0]).to_json()
    found = _describe(net, split) | {
        "evolution": evolution,
        "coupling": coupling,
        "reference_table": table,
    }
    _save(folder, "runs", recipe.id, found)


def _run_student(item, folder):
    """Train one student and measure it at the end, in a worker."""
    if _is_saved(folder, "students", item.recipe.id):
        return
    torch.set_num_threads(1)
    net, record = train_recipe(item.recipe)
    split = recipe_split(item.recipe)
    rows = measure_checkpoint(net, split, item.design.max_gram_size, item.design.dense_limit)
    found = _describe(net, split) | {"teacher_width": record.teacher_width, "rows": rows}
    _save(folder, "students", item.recipe.id, found)


def _describe(net, split):
    """Sizes of network and data."""
    return {
        "kind": split.kind,
        "form": split.form,
        "n_train": len(split.y_train),
        "n_features": split.X_train.shape[1],
        "n_outputs": split.n_outputs,
        "n_params": sum(p.numel() for p in net.module_.parameters()),
        "null_loss": split.null_loss,
    }


def _measure_coupling(net, split, n_probes):
    """Measure the norms of the Hessian's blocks: a row for each pair of layers."""
    n_params = sum(p.numel() for p in net.module_.parameters())
    found = layer_coupling(
        net,
        split.X_train,
        split.y_train,
        n_probes=None if n_params <= EXACT_COUPLING else n_probes,
        max_params=EXACT_COUPLING,
        random_state=0,
    )
    places = place_names(len(found.layer_names))
    rows = []
    for i, first in enumerate(found.layer_names):
        for j in range(i, len(found.layer_names)):
            numbers = {
                "resonance": found.resonance[i, j],
                "resonance_error": found.resonance_error[i, j],
                "coupling": found.coupling[i, j],
                "phi": found.phi,
            }
            rows.append(
                {
                    "layer_a": first,
                    "layer_b": found.layer_names[j],
                    "place_a": places[i],
                    "place_b": places[j],
                    "distance": j - i,
                    **{k: float(v) if np.isfinite(v) else None for k, v in numbers.items()},
                    "method": found.method,
                }
            )
    return rows

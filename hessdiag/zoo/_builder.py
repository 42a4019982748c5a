"""Train and examine the networks of a zoo: parallel, with progress, resumable at any moment."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from hessdiag.resumable import run_resumable, write_atomically
from hessdiag.zoo._store import ZooStore
from hessdiag.zoo._training import longer_multiples, train_recipe

if TYPE_CHECKING:
    from hessdiag.zoo._recipes import Recipe

# Machines round differently, and long runs magnify it: a fifth of the smallest gain that counts.
SAME_LOSS = 0.01


def train_zoo(
    recipes: Sequence[Recipe],
    folder: str | os.PathLike[str],
    n_jobs: int | None = None,
    progress: bool = True,
    longer: Collection[str] = (),
) -> ZooStore:
    """Train all recipes that are not on disk yet.

    Where training longer is to be measured, too, and a network on disk lacks it, that network is
    trained again; its parameters stay as they are, and so do its losses. What is measured counts
    only if the network that was trained again has the held-out loss of the one on disk.

    Parameters
    ----------
    recipes : list of Recipe
        What to train.
    folder : str or path-like
        The zoo's folder; made if it is missing. Networks that it already holds are kept.
    n_jobs : int or None, default=None
        Worker processes, as in joblib.
    progress : bool, default=True
        Whether to show a progress bar with the time left.
    longer : collection of str, default=()
        Ids of the recipes of which to measure what training longer does.

    Returns
    -------
    store : ZooStore
        The folder.
    """
    store = ZooStore(folder)
    finished, wanted = store.finished_ids(), set(longer)
    todo = [
        (recipe, longer_multiples(recipe) if recipe.id in wanted else ())
        for recipe in recipes
        if recipe.id not in finished
        or (recipe.id in wanted and _lacks_longer(store.load_record(recipe.id)[1]))
    ]
    run_resumable(_train_and_save, todo, store.folder, "train", n_jobs, progress)
    again = [recipe.id for recipe, _ in todo if recipe.id in finished]
    others = [name for name in again if _lacks_longer(store.load_record(name)[1])]
    if others:
        warnings.warn(
            f"Training again gave {len(others)} of {len(again)} networks another held-out loss "
            f"than the zoo in {store.folder} has for them (the first: {others[0]}): what training "
            "longer does to them stays unmeasured. Measure it on the machine that trained them.",
            stacklevel=2,
        )
    return store


def narrower_ids(recipes: Sequence[Recipe]) -> set[str]:
    """Return the ids of the recipes that are not the widest of their grid, whence labelled.

    Parameters
    ----------
    recipes : list of Recipe
        Whole grids.

    Returns
    -------
    ids : set of str
        Their ids.
    """
    widest: dict[str, int] = {}
    for recipe in recipes:
        widest[recipe.grid] = max(recipe.width, widest.get(recipe.grid, 0))
    return {recipe.id for recipe in recipes if recipe.width < widest[recipe.grid]}


def same_loss(found, recorded, null_loss):
    """Say whether a network trained again does what the one before did, but for rounding."""
    return abs(found - recorded) <= SAME_LOSS * null_loss


def _lacks_longer(record):
    """Say whether training longer could still be measured."""
    return record.status == "ok" and not record.longer_losses


def _train_and_save(item, folder):
    """Train one recipe in a worker."""
    torch.set_num_threads(1)
    recipe, longer = item
    store = ZooStore(folder)
    if not store.network_path(recipe.id).exists():
        net, record = train_recipe(recipe, longer)
        store.save_network(recipe, net, record)
        return
    record = store.load_record(recipe.id)[1]
    if not longer or not _lacks_longer(record):
        return  # by another builder, since the work was listed
    again = train_recipe(recipe, longer)[1]
    if same_loss(again.test_losses[-1], record.test_losses[-1], record.null_loss):
        store.replace_record(recipe.id, replace(record, longer_losses=again.longer_losses))


def save_settings(store, settings):
    """Keep the settings and versions of a build beside it.

    Parameters
    ----------
    store : ZooStore
        The zoo.
    settings : dict
        What determines it; JSON.
    """
    path = store.folder / "zoo.json"
    if path.exists() and (old := json.loads(path.read_text())) != settings:
        changed = sorted(key for key in settings if old.get(key) != settings[key])
        warnings.warn(
            f"The zoo in {store.folder} was begun with other settings ({', '.join(changed)} "
            "changed). What is on disk is kept; use another folder to start afresh.",
            stacklevel=2,
        )
    write_atomically(path, json.dumps(settings, indent=1).encode())

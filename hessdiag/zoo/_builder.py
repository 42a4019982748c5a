"""Train and examine the networks of a zoo: parallel, with progress, resumable at any moment."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from hessdiag.resumable import run_resumable, write_atomically
from hessdiag.zoo._store import ZooStore
from hessdiag.zoo._training import train_recipe

if TYPE_CHECKING:
    from hessdiag.zoo._recipes import Recipe


def train_zoo(
    recipes: Sequence[Recipe],
    folder: str | os.PathLike[str],
    n_jobs: int | None = None,
    progress: bool = True,
) -> ZooStore:
    """Train all recipes that are not on disk yet.

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

    Returns
    -------
    store : ZooStore
        The folder.
    """
    store = ZooStore(folder)
    finished = store.finished_ids()
    todo = [recipe for recipe in recipes if recipe.id not in finished]
    run_resumable(_train_and_save, todo, store.folder, "train", n_jobs, progress)
    return store


def _train_and_save(recipe, folder):
    """Train one recipe in a worker."""
    torch.set_num_threads(1)
    if ZooStore(folder).network_path(recipe.id).exists():
        return  # by another builder, since the work was listed
    net, record = train_recipe(recipe)
    ZooStore(folder).save_network(recipe, net, record)


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

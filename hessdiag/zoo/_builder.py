"""Train and examine the networks of a zoo: parallel, with progress, resumable at any moment."""

from __future__ import annotations

import json
import warnings

import joblib
import torch

from hessdiag.optional import import_optional
from hessdiag.zoo._store import ZooStore, write_atomically
from hessdiag.zoo._training import train_recipe


def train_zoo(recipes, folder, n_jobs=None, progress=True):
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
    run_resumable(_train_and_save, todo, store, "train", n_jobs, progress)
    return store


def run_resumable(function, todo, store, description, n_jobs, progress):
    """Apply a function that saves what it makes, in parallel, with a progress bar.

    Parameters
    ----------
    function : callable
        Called as ``function(item, folder)`` in a worker.
    todo : list
        The items.
    store : ZooStore
        The zoo.
    description : str
        Word before the bar.
    n_jobs : int or None
        Worker processes, as in joblib.
    progress : bool
        Whether to show the bar.
    """
    tqdm = import_optional("tqdm.auto", "zoo", "Building a zoo").tqdm
    workers = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1)
    calls = (joblib.delayed(function)(item, store.folder) for item in todo)
    for _ in tqdm(
        workers(calls), total=len(todo), desc=description, disable=not progress, mininterval=1
    ):
        pass


def _train_and_save(recipe, folder):
    """Train one recipe in a worker."""
    torch.set_num_threads(1)
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

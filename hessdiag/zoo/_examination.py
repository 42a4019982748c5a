"""Examine the labelled networks of a zoo, one seed of each configuration."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from hessdiag.features import LayerSpectra, LayerTable, layer_table
from hessdiag.resumable import run_resumable, write_atomically
from hessdiag.zoo._store import ZooStore
from hessdiag.zoo._weight_statistics import RIVAL_NAMES, weight_statistics

if TYPE_CHECKING:
    import pandas as pd

#: Settings of the shipped reference; `load_reference_diagnoser` examines new networks alike. More
#: samples, and dense Hessians beside exact Gauss-Newton spectra, cost several times the time. What
#: is learned from must not depend on how fast a machine is, so there is no bound on time.
REFERENCE_SPECTRA = LayerSpectra(
    max_samples=500, max_gram_size=1000, method="lanczos", max_time=None
)


def choose_networks(labelled: pd.DataFrame) -> pd.DataFrame:
    """Choose the networks that are worth examining: one seed of each labelled configuration.

    Configurations differ more than seeds do; the choice follows from the configuration's hash.

    Parameters
    ----------
    labelled : pandas.DataFrame
        As from `label_networks`.

    Returns
    -------
    chosen : pandas.DataFrame
        The rows of the networks to examine.
    """
    rows = labelled[labelled["diagnosis"] != ""]
    picks = []
    for config, group in rows.groupby("config", sort=False):
        seeds = np.sort(group["seed"].unique())
        digest = hashlib.blake2b(config.encode(), digest_size=4).digest()
        picks.append(group[group["seed"] == seeds[int.from_bytes(digest) % len(seeds)]].index[0])
    return rows.loc[picks]


def examine_zoo(
    recipe_ids: Sequence[str],
    folder: str | os.PathLike[str],
    spectra: LayerSpectra | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
) -> None:
    """Examine networks of a zoo on disk that are not examined yet.

    Parameters
    ----------
    recipe_ids : list of str
        Ids of the networks.
    folder : str or path-like
        The zoo.
    spectra : LayerSpectra or None, default=None
        Settings; None takes `REFERENCE_SPECTRA`.
    n_jobs : int or None, default=None
        Worker processes, as in joblib.
    progress : bool, default=True
        Whether to show a progress bar.
    """
    store = ZooStore(folder)
    settings = REFERENCE_SPECTRA if spectra is None else spectra
    done = store.examined_ids()
    todo = [(recipe_id, settings) for recipe_id in recipe_ids if recipe_id not in done]
    run_resumable(_examine_and_save, todo, store.folder, "examine", n_jobs, progress)


def load_layer_table(store: ZooStore, recipe_id: str) -> LayerTable:
    """Read the measures of one examined network.

    Parameters
    ----------
    store : ZooStore
        The zoo.
    recipe_id : str
        Id of the network.

    Returns
    -------
    table : LayerTable
        Its measures.
    """
    return LayerTable.from_json(store.examination_path(recipe_id).read_text())


def load_weight_statistics(store, recipe_id):
    """Read what the evaluation's rivals see of one examined network.

    Parameters
    ----------
    store : ZooStore
        The zoo.
    recipe_id : str
        Id of the network.

    Returns
    -------
    statistics : ndarray of shape (n_names,)
        As from `weight_statistics`.
    """
    path = _weights_path(store, recipe_id)
    if not path.exists():
        raise FileNotFoundError(
            f"Expected the weight statistics of network {recipe_id} in {path}, found no file. "
            "Remove its file from the folder `examinations` and build the zoo again."
        )
    found = json.loads(path.read_text())
    return np.array([found[name] for name in RIVAL_NAMES], dtype=float)


def _weights_path(store, recipe_id):
    """Path of one network's weight statistics."""
    return store.folder / "weights" / f"{recipe_id}.json"


def _examine_and_save(item, folder):
    """Examine one network in a worker."""
    torch.set_num_threads(1)
    recipe_id, settings = item
    store = ZooStore(folder)
    if store.examination_path(recipe_id).exists():
        return  # by another builder, since the work was listed
    case = store.load_case(recipe_id)
    values = weight_statistics(case.net.module_)
    found = {
        name: float(f"{value:.6g}") if np.isfinite(value) else None
        for name, value in zip(RIVAL_NAMES, values, strict=True)
    }
    # Before the examination, whose file says that the network is done.
    write_atomically(_weights_path(store, recipe_id), json.dumps(found).encode())
    store.save_examination(recipe_id, layer_table(settings.transform([case])[0]))

"""Measure what training longer does to the networks of a table that was made without."""

from __future__ import annotations

import io
import os
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from hessdiag.resumable import clear_partial_files, write_atomically
from hessdiag.zoo._builder import same_loss, train_zoo
from hessdiag.zoo._labels import longer_gain
from hessdiag.zoo._recipes import Recipe
from hessdiag.zoo._reference import REFERENCE_PATH, read_reference
from hessdiag.zoo._store import ZooStore


def measure_longer(
    folder: str | os.PathLike[str],
    written: str | os.PathLike[str],
    table: str | os.PathLike[str] = REFERENCE_PATH,
    n_seeds: int = 3,
    max_steps: int | None = None,
    n_jobs: int | None = None,
    progress: bool = True,
) -> str:
    """Train the networks of a table again, go on, and write the table with what that gained.

    For each network of the table all seeds of its configuration are trained. A gain is written
    where the network that was trained again has the held-out loss of the table, but for rounding;
    elsewhere it stays NaN. Nothing else of the table changes. Networks that the folder holds
    already are kept, so that the work can be stopped and begun again.

    Parameters
    ----------
    folder : str or path-like
        A zoo: where networks are kept.
    written : str or path-like
        Where the new table goes.
    table : str or path-like, default=REFERENCE_PATH
        The table to begin with.
    n_seeds : int, default=3
        Seeds of each configuration: 0, 1, ...
    max_steps : int or None, default=None
        Longest runs to measure; None measures all.
    n_jobs : int or None, default=None
        Worker processes, as in joblib.
    progress : bool, default=True
        Whether to show a progress bar.

    Returns
    -------
    summary : str
        How many were measured.
    """
    _, columns, _ = read_reference(table)
    bases = [recipe_of(columns, index) for index in range(len(columns["id"]))]
    wanted = [
        index
        for index, base in enumerate(bases)
        if (max_steps is None or base.n_steps <= max_steps)
        and not np.isfinite(columns["gain_longer"][index])
    ]
    recipes = [
        replace(bases[index], seed=seed)
        for index in wanted
        for seed in range(max(n_seeds, bases[index].seed + 1))
    ]
    store = ZooStore(folder)
    clear_partial_files(store.folder)
    train_zoo(recipes, folder, n_jobs, progress, {recipe.id for recipe in recipes})
    gains, errors = columns["gain_longer"].copy(), columns["se_longer"].copy()
    n_others = 0
    for index in wanted:
        base = bases[index]
        own = store.load_record(base.id)[1]
        if not same_loss(own.test_losses[-1], columns["test_loss"][index], own.null_loss):
            n_others += 1
            continue
        seeds = range(max(n_seeds, base.seed + 1))
        members = [store.load_record(replace(base, seed=seed).id)[1] for seed in seeds]
        gains[index], errors[index] = longer_gain(members)
    with np.load(table, allow_pickle=False) as archive:
        arrays = dict(archive.items())
    # Old tables lack what recipes have said since; they are read as ever.
    arrays |= {"column_gain_longer": gains, "column_se_longer": errors}
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    write_atomically(Path(written), stream.getvalue())
    return (
        f"Training longer is measured for {np.isfinite(gains).sum()} of {len(gains)} networks; "
        f"{n_others} that were trained again have another held-out loss than in the table.\n"
        f"Table: {written}"
    )


def recipe_of(columns, index):
    """Return the recipe of one row of a table."""
    return Recipe(**{field.name: columns[field.name][index].item() for field in fields(Recipe)})

"""From recipes to a table: train, label, examine, write; every step resumes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hessdiag.resumable import clear_partial_files, write_atomically
from hessdiag.zoo._builder import narrower_ids, save_settings, train_zoo
from hessdiag.zoo._examination import (
    REFERENCE_SPECTRA,
    choose_networks,
    examine_zoo,
    load_layer_table,
    load_weight_statistics,
)
from hessdiag.zoo._labels import label_networks, label_reliability
from hessdiag.zoo._reference import write_reference
from hessdiag.zoo._store import ZooStore
from hessdiag.zoo.tasks import list_tasks, load_dataset

if TYPE_CHECKING:
    from hessdiag.zoo._recipes import Recipe


def build_zoo(
    recipes: Sequence[Recipe],
    folder: str | os.PathLike[str],
    table: str | os.PathLike[str],
    provenance: dict[str, Any],
    n_jobs: int = -1,
    progress: bool = True,
    longer: bool = False,
) -> str:
    """Build a zoo and its table.

    Parameters
    ----------
    recipes : list of Recipe
        The networks.
    folder : str or path-like
        The zoo; what it already holds is kept.
    table : str or path-like
        Where the table goes.
    provenance : dict
        Command, commit and versions.
    n_jobs : int, default=-1
        Worker processes, as in joblib.
    progress : bool, default=True
        Whether to show progress bars.
    longer : bool, default=False
        Whether to measure what training longer does to the networks that are labelled, also of
        those that are trained already; takes about five times as long.

    Returns
    -------
    summary : str
        What was built.
    """
    for name in {recipe.dataset for recipe in recipes} - set(list_tasks(include_demo=True)):
        load_dataset(name)  # says which ones there are, before anything is written
    store = ZooStore(folder)
    ids = "".join(recipe.id for recipe in recipes)
    digest = hashlib.blake2b(ids.encode(), digest_size=8).hexdigest()
    settings = {"command": provenance.get("command"), "n_recipes": len(recipes), "recipes": digest}
    clear_partial_files(store.folder)
    save_settings(store, settings)
    measured = narrower_ids(recipes) if longer else ()
    train_zoo(recipes, folder, n_jobs, progress, measured)
    wanted = {recipe.id for recipe in recipes}
    records = store.records_frame()
    records = records[records["id"].isin(wanted)]
    labelled = label_networks(records)
    listed = labelled.drop(columns=["test_losses", "longer_losses"]).to_csv(
        index=False, lineterminator="\n"
    )
    write_atomically(store.folder / "networks.csv", listed.encode())
    chosen = choose_networks(labelled)
    examine_zoo(chosen["id"].tolist(), folder, n_jobs=n_jobs, progress=progress)
    reliability = label_reliability(records)
    provenance = provenance | {
        "label_reliability": reliability,
        "n_trained": len(records),
        "n_diverged": int((records["status"] != "ok").sum()),
        "spectra": {k: v for k, v in REFERENCE_SPECTRA.get_params().items() if v is not None},
    }
    tables = [load_layer_table(store, recipe_id) for recipe_id in chosen["id"]]
    rivals = [load_weight_statistics(store, recipe_id) for recipe_id in chosen["id"]]
    write_reference(chosen, tables, provenance, table, rivals)
    counts = chosen["diagnosis"].value_counts().to_dict()
    return (
        f"{len(records)} networks trained, {provenance['n_diverged']} diverged; {len(chosen)} "
        f"examined on {chosen['dataset'].nunique()} data sets: {counts}, "
        f"{chosen['unsure'].mean():.0%} unsure.\n"
        f"Label reliability (labels from disjoint halves of the seeds): {reliability:.3f}\n"
        f"Table: {table}"
    )

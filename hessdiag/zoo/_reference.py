"""The reference table that ships with the package: measures, labels and gains of zoo networks."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import Bunch

from hessdiag.diagnosis import FitDiagnoser
from hessdiag.features import (
    CONTEXT_MEASURES,
    LAYER_MEASURES,
    NETWORK_MEASURES,
    LayerSpectra,
    LayerTable,
    SpectralFeatures,
)
from hessdiag.moved import warn_of_old_name
from hessdiag.optional import import_optional
from hessdiag.resumable import write_atomically
from hessdiag.zoo._examination import REFERENCE_SPECTRA
from hessdiag.zoo._weight_statistics import RIVAL_NAMES
from hessdiag.zoo.tasks import load_dataset

if TYPE_CHECKING:
    import pandas as pd

_DATA = Path(str(files("hessdiag.zoo"))) / "data"

REFERENCE_PATH = _DATA / "reference_zoo.npz"

#: The tables that make up the reference: of plain recipes, and of recipes of practice.
REFERENCE_PATHS = tuple(
    path for path in (REFERENCE_PATH, _DATA / "practice_zoo.npz") if path.is_file()
)

#: One file, or several whose networks are put one after the other.
TablePaths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

#: What diagnoses need less of than the table was made with: on 130 networks of the reference, the
#: data sets of each left out, answers are the same for all, and no probability moves by more than
#: 0.005 in the mean (`benchmarks/examinations.py`).
ENOUGH = {"curvature": "auto", "dtype": None, "n_probes": 1, "n_lanczos_steps": 15}

#: Columns of the table besides measures; one value per network.
COLUMNS = (
    "id",
    "config",
    "grid",
    "dataset",
    "parent",
    "kind",
    "form",
    "teacher_width",
    "family",
    "activation",
    "normalization",
    "dropout",
    "optimizer",
    "width",
    "depth",
    "weight_decay",
    "label_noise",
    "n_train",
    "n_train_used",
    "n_steps",
    "seed",
    "split_seed",
    "learning_rate",
    "batch_size",
    "schedule",
    "augmentation",
    "pretraining",
    "diagnosis",
    "unsure",
    "gain_widening",
    "se_widening",
    "gain_constraining",
    "se_constraining",
    "gain_narrowing",
    "gain_decay",
    "gain_stopping",
    "gain_fourfold",
    "gain_longer",
    "se_longer",
    "null_loss",
    "train_loss",
    "train_error",
    "train_loss_earlier",
    "valid_loss",
    "valid_error",
    "test_loss",
)

#: Columns that older tables lack, and what holds for their networks.
_LATER_COLUMNS = {
    "schedule": "constant",
    "augmentation": "none",
    "pretraining": "none",
    "gain_longer": np.nan,
    "se_longer": np.nan,
    "train_loss_earlier": np.nan,
}

#: Measures of the whole net.
_OF_NETWORKS = (*LAYER_MEASURES, *NETWORK_MEASURES)

_NEW_KEYS = {"column_group": "column_grid"}

_TASK_COLUMNS = ("parent", "kind", "form", "teacher_width")


class _Columns(dict):
    """Columns by name; one of them by its old name too."""

    def __missing__(self, name):
        if name != "group":
            raise KeyError(name)
        warn_of_old_name("group", "grid", "column of the table")
        return self["grid"]


def write_reference(
    rows: pd.DataFrame,
    tables: Sequence[LayerTable],
    provenance: dict[str, Any],
    path: str | os.PathLike[str] = REFERENCE_PATH,
    rivals: Sequence[np.ndarray] | None = None,
) -> None:
    """Write a reference table.

    Parameters
    ----------
    rows : pandas.DataFrame
        Labelled, examined networks; the columns of `COLUMNS`. Those that tell of the task (parent,
        kind, form, teacher's width) are looked up where they are missing; a constant learning rate
        without augmentation is taken where nothing else is said, and the gain of training longer
        for not measured.
    tables : list of LayerTable
        Their measures, in the same order.
    provenance : dict
        Command, commit, versions and settings that made it.
    path : path-like, default=REFERENCE_PATH
        Where to write: a NumPy archive without pickled objects.
    rivals : list of ndarray or None, default=None
        The `weight_statistics` of each network, in the same order; None writes NaN.
    """
    rows = _with_task_columns(rows)
    for name in _LATER_COLUMNS.keys() - set(rows):
        rows[name] = _LATER_COLUMNS[name]
    arrays = {
        f"column_{name}": rows[name].to_numpy().astype(_plain_type(rows[name])) for name in COLUMNS
    }
    missing = np.full((len(tables), len(RIVAL_NAMES)), np.nan)
    arrays["rivals"] = np.array(missing if rivals is None else rivals, dtype=np.float32)
    arrays["rival_names"] = np.array(RIVAL_NAMES)
    arrays["n_layers"] = np.array([len(table.layers) for table in tables])
    arrays["layers"] = np.array([name for table in tables for name in table.layers])
    arrays["kinds"] = np.array([kind for table in tables for kind in table.kinds])
    arrays["measure_names"] = np.array(list(LAYER_MEASURES))
    arrays["network_names"] = np.array(_OF_NETWORKS)
    arrays["context_names"] = np.array(list(CONTEXT_MEASURES))
    arrays["measures"] = np.concatenate(
        [np.column_stack([table.measures[name] for name in LAYER_MEASURES]) for table in tables]
    ).astype(np.float32)
    arrays["network"] = np.array(
        [[table.network[name] for name in _OF_NETWORKS] for table in tables], dtype=np.float32
    )
    arrays["context"] = np.array(
        [[table.context[name] for name in CONTEXT_MEASURES] for table in tables], dtype=np.float32
    )
    arrays["provenance"] = np.array(json.dumps(provenance, sort_keys=True))
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    write_atomically(Path(path), stream.getvalue())


def read_reference(
    path: TablePaths = REFERENCE_PATHS,
) -> tuple[list[LayerTable], dict[str, np.ndarray], dict[str, Any]]:
    """Read a reference table.

    Parameters
    ----------
    path : path-like or list of path-like, default=REFERENCE_PATHS
        A file that `write_reference` wrote, or several: their networks come one after the other.

    Returns
    -------
    tables : list of LayerTable
        Measures of each network.
    columns : dict of str to ndarray
        The columns of `COLUMNS`. Tables from before training longer was measured have NaN there.
    provenance : dict
        How the table was made; of several files, ``"parts"`` lists it for each.

    Raises
    ------
    ValueError
        If the measures in the file are not those of this version, or two files hold the same
        network.
    """
    parts = [_read_one(one) for one in _listed(path)]
    if len(parts) == 1:
        return parts[0]
    ids, counts = np.unique(
        [name for _, columns, _ in parts for name in columns["id"]], return_counts=True
    )
    if (counts > 1).any():
        raise ValueError(
            f"Expected tables of different networks, found {(counts > 1).sum()} networks in two "
            f"of them, as {ids[counts > 1][0]}. Name each table once."
        )
    tables = [table for found, _, _ in parts for table in found]
    columns = {name: np.concatenate([c[name] for _, c, _ in parts]) for name in COLUMNS}
    provenances = [provenance for _, _, provenance in parts]
    shared = {
        name: "; ".join(dict.fromkeys(str(p.get(name)) for p in provenances))
        for name in ("command", "commit", "versions")
    }
    return tables, _Columns(columns), {**shared, "parts": provenances}


def _read_one(path):
    """Read the table in one file."""
    with np.load(path, allow_pickle=False) as archive:
        # Tables of the release before call a grid a group.
        arrays = {_NEW_KEYS.get(key, key): values for key, values in archive.items()}
    expected = {"measure": LAYER_MEASURES, "network": _OF_NETWORKS, "context": CONTEXT_MEASURES}
    for kind, known in expected.items():
        found = arrays.get(f"{kind}_names", np.array([])).tolist()
        if sorted(found) != sorted(known):
            raise ValueError(
                f"Expected the {len(known)} {kind} names of this version in {path}, found "
                f"{len(found)}, not the same. Write the table again with: hessdiag zoo build"
            )
    for name, value in _LATER_COLUMNS.items():
        arrays.setdefault(f"column_{name}", np.full(len(arrays["n_layers"]), value))
    missing = [name for name in COLUMNS if f"column_{name}" not in arrays]
    if missing:
        raise ValueError(
            f"Expected the columns of this version in {path}, found none called "
            f"{', '.join(missing)}. Write the table again with: hessdiag zoo build"
        )
    # The file's order is that of the version that wrote it.
    names, networks, context_names = (arrays[f"{kind}_names"].tolist() for kind in expected)
    columns = _Columns({name: arrays[f"column_{name}"] for name in COLUMNS})
    ends = np.cumsum(arrays["n_layers"])
    tables = []
    for index, (start, end) in enumerate(zip(ends - arrays["n_layers"], ends, strict=True)):
        values = arrays["measures"][start:end].astype(float)
        tables.append(
            LayerTable(
                name=str(columns["id"][index]),
                layers=tuple(arrays["layers"][start:end].tolist()),
                kinds=tuple(arrays["kinds"][start:end].tolist()),
                measures=dict(zip(names, values.T, strict=True)),
                network=_row(networks, arrays["network"][index]),
                context=_row(context_names, arrays["context"][index]),
            )
        )
    return tables, columns, json.loads(str(arrays["provenance"]))


def read_rivals(path=REFERENCE_PATHS):
    """Read what the evaluation's rivals see of the networks of a reference table.

    Parameters
    ----------
    path : path-like or list of path-like, default=REFERENCE_PATHS
        As for `read_reference`.

    Returns
    -------
    rivals : dict of str to ndarray of shape (n_networks,)
        The statistics of `weight_statistics` by name; NaN where one does not apply.
    """
    parts = []
    for one in _listed(path):
        with np.load(one, allow_pickle=False) as archive:
            names, values = archive["rival_names"].tolist(), archive["rivals"].astype(float)
        parts.append(dict(zip(names, values.T, strict=True)))
    return {name: np.concatenate([part[name] for part in parts]) for name in RIVAL_NAMES}


def _listed(path):
    """List one path, or several."""
    return [path] if isinstance(path, str | os.PathLike) else list(path)


def load_reference_zoo(
    return_X_y: bool = False, as_frame: bool = False, path: TablePaths | None = None
) -> Bunch | tuple[list[LayerTable], np.ndarray]:
    """Load the reference zoo: the table that ships with the package.

    Parameters
    ----------
    return_X_y : bool, default=False
        Whether to return only the table and the diagnoses.
    as_frame : bool, default=False
        Whether the table is a pandas data frame, and the diagnoses a series.
    path : path-like, list of path-like or None, default=None
        Other tables that ``hessdiag zoo build`` wrote; None takes the shipped ones.

    Returns
    -------
    data : sklearn.utils.Bunch
        With ``data`` (n_networks, n_features) as from `SpectralFeatures` with its defaults,
        ``target`` (the diagnoses), ``feature_names``, ``target_names``, ``groups`` (the real data
        set or generator that each network's task comes from: the unit that no fold may split),
        ``tables`` (the `LayerTable` of each network), ``columns`` (recipe, gains with standard
        errors, validation and held-out losses), ``rivals`` (`read_rivals`), ``frame``,
        ``provenance`` and ``DESCR``.
    (data, target) : tuple
        If `return_X_y` is true.

    Examples
    --------
    >>> import hessdiag as hd
    >>> zoo = hd.load_reference_zoo()
    >>> zoo.target_names
    ['overfitting', 'underparameterized', 'well-fit']
    """
    path = REFERENCE_PATHS if path is None else path
    tables, columns, provenance = read_reference(path)
    features = SpectralFeatures()
    names = features.get_feature_names_out().tolist()
    data = features.fit(tables).transform(tables)
    target = columns["diagnosis"].astype(object)
    frame = None
    if as_frame:
        pd = import_optional("pandas", "zoo", "as_frame=True")
        data = pd.DataFrame(data, columns=names)
        target = pd.Series(target, name="diagnosis")
        frame = pd.concat([data, target], axis=1)
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        frame=frame,
        feature_names=names,
        target_names=sorted(set(columns["diagnosis"].tolist())),
        groups=columns["parent"],
        tables=tables,
        columns=columns,
        rivals=read_rivals(path),
        provenance=provenance,
        DESCR=_describe(columns, provenance),
    )


def load_reference_diagnoser(without: Iterable[str] = ()) -> FitDiagnoser:
    """Return a `FitDiagnoser` that is fitted on the reference zoo.

    It is fitted here and now, in a few seconds, so that no pickled object is loaded and the
    result does not depend on the version that wrote it.

    Parameters
    ----------
    without : iterable of str, default=()
        Data sets and generators, as in ``load_reference_zoo().groups``, whose networks are left
        out: what is learned then has not seen the data set of the networks to be diagnosed.

    Returns
    -------
    diagnoser : FitDiagnoser
        Ready to diagnose networks.

    Raises
    ------
    ValueError
        If a name is not one of the reference, or nothing is left.

    Examples
    --------
    >>> import hessdiag as hd
    >>> hd.load_reference_diagnoser().classes_.tolist()
    ['overfitting', 'underparameterized', 'well-fit']

    A network that was trained on data which the reference knows, too, is judged by the others:

    >>> diagnoser = hd.load_reference_diagnoser(without=["wine"])
    """
    tables, columns, _ = read_reference()
    kept = _not_of(columns["parent"], without)
    tables = [table for table, keep in zip(tables, kept, strict=True) if keep]
    columns = {name: values[kept] for name, values in columns.items()}
    spectra = clone(REFERENCE_SPECTRA).set_params(**ENOUGH, max_time=LayerSpectra().max_time)
    diagnoser = FitDiagnoser(spectra=spectra)
    return diagnoser.fit(tables, columns["diagnosis"], gains=columns, groups=columns["parent"])


def _not_of(parents, without):
    """Say which networks are of none of some data sets."""
    without = [without] if isinstance(without, str) else list(without)
    unknown = sorted(set(without) - set(parents.tolist()))
    if unknown:
        raise ValueError(
            f"Expected data sets or generators of the reference zoo in without=, found {unknown}. "
            "load_reference_zoo().groups names them."
        )
    kept = ~np.isin(parents, without)
    if not kept.any():
        raise ValueError(
            "Expected networks to learn from, found that without= leaves no network. Leave out "
            "fewer data sets."
        )
    return kept


def _with_task_columns(rows):
    """The rows with what only their task knows, looked up where it is missing."""
    rows = rows.copy()
    missing = [name for name in _TASK_COLUMNS if name not in rows]
    if missing:
        found = {}
        for dataset in rows["dataset"].unique():
            task = load_dataset(dataset)
            found[dataset] = [getattr(task, name) for name in missing]
        rows[missing] = [found[dataset] for dataset in rows["dataset"]]
    # Most tasks have no teacher; -1 keeps the column one of integers.
    widths = rows["teacher_width"].to_numpy(dtype=float)
    rows["teacher_width"] = np.where(np.isnan(widths), -1, widths).astype(int)
    return rows


def _row(names, values):
    """A dict of floats."""
    return dict(zip(names, values.astype(float).tolist(), strict=True))


def _plain_type(series):
    """A NumPy type without objects."""
    return str if series.dtype == object else series.dtype


def _describe(columns, provenance):
    """Text about the table."""
    counts = {str(k): int(v) for k, v in zip(*np.unique(columns["diagnosis"], return_counts=True))}
    return (
        "Reference zoo of hessdiag\n\n"
        f"{len(columns['id'])} networks ({', '.join(sorted(set(columns['family'].tolist())))}) on "
        f"{len(set(columns['dataset'].tolist()))} tasks from "
        f"{len(set(columns['parent'].tolist()))} data sets and generators.\n"
        f"Diagnoses by measured interventions: {counts}.\n"
        f"Made by: {provenance.get('command')}\nCommit: {provenance.get('commit')}\n"
        f"Versions: {provenance.get('versions')}"
    )

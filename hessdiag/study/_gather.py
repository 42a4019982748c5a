"""From what the workers saved to the tables of experiments, evolution, coupling and students."""

from __future__ import annotations

import joblib
import numpy as np

from hessdiag.features import LayerTable
from hessdiag.optional import import_optional
from hessdiag.study._design import DATA_SETS
from hessdiag.zoo import load_reference_diagnoser
from hessdiag.zoo.tasks import TASKS

#: Fields of a recipe that the table of experiments shows.
RECIPE_FIELDS = (
    "family",
    "activation",
    "width",
    "depth",
    "weight_decay",
    "learning_rate",
    "n_steps",
    "batch_size",
    "seed",
)

SIZES = ("n_train", "n_features", "n_outputs", "n_params", "null_loss")


def experiments_table(experiments, results, n_jobs=None):
    """Return a row per experiment, with the diagnosis of its network.

    Parameters
    ----------
    experiments : list of Experiment
        The experiments.
    results : list of dict
        What was found, as from `run_experiments`.
    n_jobs : int or None, default=None
        Worker processes for the diagnosers that have not seen a data set, as in joblib.

    Returns
    -------
    table : pandas.DataFrame
        As in `StudyTables`.
    """
    rows = []
    for experiment, found in zip(experiments, results, strict=True):
        recipe = experiment.recipe
        curve = [row for row in found["evolution"] if row["place"] == "network"]
        held_out = np.array([row["held_out_loss"] for row in curve], dtype=float)
        best = int(np.nanargmin(held_out))
        last = curve[-1]
        train_loss = np.nan if last["train_loss"] is None else last["train_loss"]
        rows.append(
            {
                "experiment": experiment.name,
                "dataset": experiment.dataset,
                "task": recipe.dataset,
                "kind": found["kind"],
                "form": found["form"],
                "regime": experiment.regime,
                "recipe": recipe.id,
                **{name: getattr(recipe, name) for name in RECIPE_FIELDS},
                **{name: found[name] for name in SIZES},
                "train_loss": train_loss,
                "train_error": last["train_error"],
                "held_out_loss": held_out[-1],
                "held_out_error": last["held_out_error"],
                "best_held_out_loss": held_out[best],
                "best_step": curve[best]["step"],
                "gap": held_out[-1] - train_loss,
                "regime_contrast": experiment.contrast,
                "regime_sure": experiment.is_sure,
            }
        )
    frame = _frame(rows)
    sound = [index for index, found in enumerate(results) if found["reference_table"]]
    tables = [LayerTable.from_json(results[index]["reference_table"]) for index in sound]
    diagnoses = _diagnoses(tables, [experiments[index].dataset for index in sound], n_jobs)
    for name, values in diagnoses.items():
        # A network that blew up has no diagnosis.
        found = dict(zip(sound, values, strict=True))
        frame[name] = [found.get(index) for index in range(len(frame))]
    return frame


def evolution_table(experiments, results):
    """Return a row per experiment, checkpoint and layer.

    Parameters
    ----------
    experiments : list of Experiment
        The experiments.
    results : list of dict
        What was found.

    Returns
    -------
    table : pandas.DataFrame
        As in `StudyTables`.
    """
    return _frame(_labelled(experiments, results, "evolution"))


def coupling_table(experiments, results):
    """Return a row per experiment, checkpoint and pair of layers.

    Parameters
    ----------
    experiments : list of Experiment
        The experiments.
    results : list of dict
        What was found.

    Returns
    -------
    table : pandas.DataFrame
        As in `StudyTables`.
    """
    return _frame(_labelled(experiments, results, "coupling"))


def students_table(recipes, results):
    """Return a row per student and place.

    Parameters
    ----------
    recipes : list of Recipe
        The students.
    results : list of dict
        What was found, as from `run_students`.

    Returns
    -------
    table : pandas.DataFrame
        As in `StudyTables`.
    """
    rows = []
    for recipe, found in zip(recipes, results, strict=True):
        needed = found["teacher_width"]
        head = {
            "teacher": recipe.dataset,
            "teacher_width": needed,
            "width": recipe.width,
            "ratio": recipe.width / needed,
            "seed": recipe.seed,
        }
        rows += [head | _in_null_losses(row, found["null_loss"]) for row in found["rows"]]
    return _frame(rows)


def _labelled(experiments, results, part):
    """Rows of one part of the results, with the experiment that they belong to."""
    return [
        {"experiment": e.name, "dataset": e.dataset, "regime": e.regime}
        | _in_null_losses(row, found["null_loss"])
        for e, found in zip(experiments, results, strict=True)
        for row in found[part]
    ]


def _in_null_losses(row, null_loss):
    """The row with its gradient norm in null losses; a layer's is saved in units of the loss."""
    norm = row.get("gradient_norm")
    if norm is None or row["place"] == "network":
        return row
    return row | {"gradient_norm": norm / null_loss}


def _diagnoses(tables, names, n_jobs):
    """Diagnose by the shipped reference, and by what remains of it without the data set."""
    diagnoser = load_reference_diagnoser()
    probabilities = diagnoser.predict_proba(tables)
    classes = diagnoser.classes_.tolist()
    found = {"diagnosis": [classes[i] for i in probabilities.argmax(axis=1)]}
    for index, diagnosis in enumerate(classes):
        found["p_" + diagnosis.replace("-", "_")] = probabilities[:, index]
    rows = {name: np.flatnonzero(np.array(names) == name) for name in dict.fromkeys(names)}
    answers = joblib.Parallel(n_jobs=n_jobs)(
        joblib.delayed(_diagnose_without)(
            TASKS[DATA_SETS[name]].parent, [tables[i] for i in members]
        )
        for name, members in rows.items()
    )
    unseen = np.empty(len(names), dtype=object)
    for members, found_there in zip(rows.values(), answers, strict=True):
        unseen[members] = found_there
    return found | {"diagnosis_unseen": unseen.tolist()}


def _diagnose_without(parent, tables):
    """Diagnose by the reference networks of all other data sets."""
    return [str(answer) for answer in load_reference_diagnoser([parent]).predict(tables)]


def _frame(rows):
    """A table of rows; a column of nothing but missing numbers is one of numbers."""
    frame = import_optional("pandas", "zoo", "The study").DataFrame(rows)
    empty = [name for name in frame if frame[name].isna().all()]
    return frame.astype(dict.fromkeys(empty, float))

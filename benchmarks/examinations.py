"""What an examination can do without: cheaper ones of the same networks, and what is then right.

    python benchmarks/examinations.py --folder examinations --json benchmarks/examinations.json

Networks of the reference zoo are trained again from their recipes, and examined as the reference
was and in cheaper ways. Each is diagnosed by what is learned of networks on other
data sets, which were examined as the reference was: what is asked is whether cheaper numbers may
stand in for those of the reference. Measures are kept in the folder, so that a run resumes.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from _table import markdown
from sklearn.metrics import balanced_accuracy_score
from tqdm import tqdm

import hessdiag as hd
from hessdiag.features import LayerTable, layer_table
from hessdiag.zoo import Recipe, load_reference_zoo, recipe_split, train_recipe

N_FOLDS = 8
# As `hessdiag.zoo` examined the reference.
AS_REFERENCE = {"max_samples": 500, "max_gram_size": 1000, "method": "lanczos"}
AS_REFERENCE |= {"max_time": None, "random_state": 0}


#: The measures that ship.
SHIPPED = "as shipped"
#: Keywords that differ from the above.
WAYS = {
    "examined again": {},
    "1 probe of 30 steps": {"n_probes": 1},
    "3 probes of 15 steps": {"n_lanczos_steps": 15},
    "1 probe of 10 steps": {"n_probes": 1, "n_lanczos_steps": 10},
    "Gauss-Newton alone": {"curvature": "ggn"},
    "float32": {"dtype": "float32"},
    "Gauss-Newton alone, float32": {"curvature": "ggn", "dtype": "float32"},
    "half of the samples": {"max_samples": 250, "max_gram_size": 500},
    "half of the samples, Gauss-Newton alone, float32": {
        "max_samples": 250,
        "max_gram_size": 500,
        "curvature": "ggn",
        "dtype": "float32",
    },
    "a quarter of the samples": {"max_samples": 125, "max_gram_size": 250},
    "5 columns, 200 samples": {"max_samples": 200, "n_output_columns": 5},
    "2 columns, 200 samples": {"max_samples": 200, "n_output_columns": 2},
    "1 column, 200 samples": {"max_samples": 200, "n_output_columns": 1},
    "2 columns, 500 samples": {"max_samples": 500, "n_output_columns": 2},
}


def chosen_rows(zoo, n_networks):
    """Draw networks, as many of each data set as that gives."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(zoo.tables))
    turns, seen = np.empty(len(order)), {}
    for index in order:
        parent = zoo.groups[index]
        turns[index] = seen[parent] = seen.get(parent, -1) + 1
    return np.array(sorted(order, key=lambda index: turns[index])[:n_networks])


def examined(recipe, folder):
    """Train a network and examine it in all ways; {way: (table, seconds)}, read where known."""
    path = folder / f"{recipe.id}.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    missing = [way for way in WAYS if way not in known]
    if missing:
        net, _ = train_recipe(recipe)
        split = recipe_split(recipe)
        for way in missing:
            start = time.perf_counter()
            keywords = AS_REFERENCE | WAYS[way]
            examination = hd.examine(net, split.X_train, split.y_train, **keywords)
            seconds = time.perf_counter() - start
            known[way] = [layer_table(examination).to_json(), seconds]
        path.write_text(json.dumps(known))
    return {way: (LayerTable.from_json(table), s) for way, (table, s) in known.items()}


def diagnosed(zoo, rows, found):
    """Diagnose each network in all ways by what other data sets tell: {way: probabilities}."""
    parents = np.array(sorted(set(zoo.groups[rows])))
    folds = np.array_split(np.random.default_rng(0).permutation(parents), N_FOLDS)
    probabilities = {way: np.empty((len(rows), 3)) for way in (SHIPPED, *WAYS)}
    for fold in tqdm(folds, desc="diagnose"):
        asked = np.flatnonzero(np.isin(zoo.groups[rows], fold))
        if not len(asked):
            continue
        diagnoser = hd.load_reference_diagnoser(without=fold)
        for way, given in probabilities.items():
            given[asked] = diagnoser.predict_proba([found[i][way][0] for i in asked])
    return probabilities, diagnoser.classes_


def rows_of_table(zoo, rows, found, probabilities, classes, some):
    """Say of some networks how right each way is, how it differs, and what it takes."""
    truth = zoo.target[rows][some].astype(str)
    reference = probabilities[SHIPPED][some]
    table, report = [], {}
    for way, given in probabilities.items():
        given = given[some]
        answers = classes[given.argmax(axis=1)]
        right = answers == truth
        before = classes[reference.argmax(axis=1)] == truth
        change = right.astype(float) - before
        report[way] = {
            "balanced_accuracy": float(balanced_accuracy_score(truth, answers)),
            "accuracy": float(right.mean()),
            "change": float(change.mean()),
            "error_of_change": float(change.std(ddof=1) / np.sqrt(len(change))),
            "same_answer": float((answers == classes[reference.argmax(axis=1)]).mean()),
            "mean_change_of_probability": float(np.abs(given - reference).max(axis=1).mean()),
            "log_loss": float(
                -np.log(
                    given[np.arange(len(truth)), np.searchsorted(classes, truth)].clip(1e-12)
                ).mean()
            ),
            "seconds": None if way == SHIPPED else float(np.mean([found[i][way][1] for i in some])),
        }
        r = report[way]
        table.append(
            [
                way,
                f"{r['balanced_accuracy']:.3f}",
                f"{r['accuracy']:.3f}",
                f"{r['change']:+.3f} ± {r['error_of_change']:.3f}",
                f"{r['log_loss']:.3f}",
                f"{r['same_answer']:.3f}",
                f"{r['mean_change_of_probability']:.3f}",
                "–" if r["seconds"] is None else f"{r['seconds']:.2f}",
            ]
        )
    return table, report


HEAD = [
    "way",
    "balanced",
    "accuracy",
    "change",
    "log loss",
    "same answer",
    "probability moves",
    "s",
]


def main(arguments=None):
    """Run the bench; print tables, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to write the report")
    parser.add_argument("--folder", type=Path, default=Path("examinations"))
    parser.add_argument("--n-networks", type=int, default=150)
    parser.add_argument(
        "--many-outputs", type=int, default=60, help="of these, on 6 outputs or more"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    zoo = load_reference_zoo()
    n_outputs = np.round(10 ** np.array([t.context["log_n_outputs"] for t in zoo.tables]))
    rows = chosen_rows(zoo, len(zoo.tables))
    many = rows[n_outputs[rows] >= 6][: options.many_outputs]
    rest = rows[n_outputs[rows] < 6][: options.n_networks - len(many)]
    rows = np.concatenate([many, rest])
    names = Recipe.__dataclass_fields__
    found = []
    for index in tqdm(rows, desc="examine"):
        recipe = Recipe(**{name: zoo.columns[name][index].item() for name in names})
        shipped = {SHIPPED: (zoo.tables[index], np.nan)}
        found.append(shipped | examined(recipe, options.folder))
    probabilities, classes = diagnosed(zoo, rows, found)
    curved = np.array([bool((t[SHIPPED][0].measures["gn_gap"] > 1e-4).any()) for t in found])
    report = {}
    for title, some in (
        ("all", np.arange(len(rows))),
        ("6 outputs or more", np.flatnonzero(n_outputs[rows] >= 6)),
        ("Hessians of their own", np.flatnonzero(curved)),
    ):
        table, report[title] = rows_of_table(zoo, rows, found, probabilities, classes, some)
        print(f"\n{title}: {len(some)} networks\n")
        print(markdown([HEAD, *table]))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

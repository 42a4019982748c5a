"""How well gains could be told, were the network's own held-out loss known."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata
from sklearn.ensemble import ExtraTreesRegressor

from hessdiag.diagnosis import GAINS
from hessdiag.evaluation._rows import evaluation_rows
from hessdiag.evaluation._scores import rank_correlation

#: What the trees are told, by name.
CEILING_TITLES = {
    "train_loss_sizes": "training loss + sizes",
    "train_loss_sizes_test_loss": "  + the network's own held-out loss",
    "hessdiag": "hessdiag",
    "hessdiag_test_loss": "  + the network's own held-out loss",
    "hessdiag_test_loss_recipe": "  + the network's own held-out loss + its recipe",
}

#: What a recipe tells beyond sizes.
RECIPE_NUMBERS = ("width", "depth", "weight_decay", "learning_rate", "n_steps", "dropout")


def gain_ceiling(zoo, splits, random_state=0):
    """Predict gains from more than can be had: a measure of what the gains leave to be told.

    A gain is what *other* networks lose less. The network's own held-out loss, on the very data
    that gains are measured on, bounds it from above without telling it. No row of the evaluation
    knows it. The same trees learn the ranks of the gains from each set of columns.

    Parameters
    ----------
    zoo : Bunch
        As from `load_reference_zoo`.
    splits : list of (ndarray, ndarray)
        Networks to learn from and to ask about.
    random_state : int, default=0
        Seed of the trees.

    Returns
    -------
    ceiling : dict of str to dict of str to float or None
        By the names of `CEILING_TITLES`, the Spearman correlation of predicted and measured gains;
        None where one of them is constant.
    """
    columns = zoo.columns
    known = evaluation_rows(zoo)
    train, test = (columns[name] / columns["null_loss"] for name in ("train_loss", "test_loss"))
    held_out = np.column_stack([train, test, test - train])
    recipe = np.column_stack(
        [*(columns[name] for name in RECIPE_NUMBERS), columns["optimizer"] == "sgd"]
    )
    context, own = known["train_loss_sizes"], known["hessdiag"]
    tables = {
        "train_loss_sizes": context,
        "train_loss_sizes_test_loss": np.column_stack([context, held_out]),
        "hessdiag": own,
        "hessdiag_test_loss": np.column_stack([own, held_out]),
        "hessdiag_test_loss_recipe": np.column_stack([own, held_out, recipe]),
    }
    measured = np.column_stack([columns[name] for name in GAINS])
    return {
        name: _correlations(table, measured, splits, random_state) for name, table in tables.items()
    }


def _correlations(table, measured, splits, random_state):
    """Learn ranks of gains on one side of each split, and compare on the other."""
    table = np.nan_to_num(table.astype(float), posinf=1e30, neginf=-1e30).clip(-1e30, 1e30)
    predicted = np.full(measured.shape, np.nan)
    for train, test in splits:
        trees = ExtraTreesRegressor(
            n_estimators=100, min_samples_leaf=3, max_features=0.4, random_state=random_state
        )
        ranks = rankdata(measured[train], axis=0) / len(train)
        predicted[test] = trees.fit(table[train], ranks).predict(table[test])
    asked = np.isfinite(predicted).all(axis=1)
    return {
        name: rank_correlation(predicted[asked, k], measured[asked, k])
        for k, name in enumerate(GAINS)
    }

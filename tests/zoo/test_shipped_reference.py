"""The table that ships is what its recipes give: networks are trained and examined again."""

import numpy as np
import pytest

import hessdiag as hd
from hessdiag.features import layer_table
from hessdiag.zoo import Recipe, train_recipe
from hessdiag.zoo._examination import REFERENCE_SPECTRA
from hessdiag.zoo._training import recipe_split

N_ROWS = 5


@pytest.fixture(scope="module")
def zoo(reference_zoo):
    return reference_zoo


def short_rows(zoo):
    """Draw rows whose training is short: rounding differs between machines and grows with steps."""
    columns = zoo.columns
    short = np.flatnonzero((columns["n_steps"] == 300) & (columns["width"] <= 24))
    return np.random.default_rng(0).choice(short, size=N_ROWS, replace=False)


def recipe_of(columns, index):
    """Read the recipe of one row."""
    values = {name: columns[name][index].item() for name in Recipe.__dataclass_fields__}
    return Recipe(**values)


@pytest.mark.slow
def test_rows_are_rebuilt_from_their_recipes(zoo):
    for index in short_rows(zoo):
        recipe = recipe_of(zoo.columns, index)
        assert recipe.id == zoo.columns["id"][index]
        assert recipe.config == zoo.columns["config"][index]
        net, record = train_recipe(recipe)
        shipped = zoo.columns["train_loss"][index]
        assert record.train_loss == pytest.approx(shipped, rel=1e-3, abs=1e-6)
        shipped = zoo.columns["test_loss"][index]
        assert record.test_losses[-1] == pytest.approx(shipped, rel=2e-2)
        split = recipe_split(recipe)
        case = hd.NetworkCase(net, split.X_train, split.y_train)
        table = layer_table(REFERENCE_SPECTRA.transform([case])[0])
        expected = zoo.tables[index]
        assert table.layers == expected.layers
        for name in ("log_trace", "effective_dimension_fraction_1", "alo_best_loss"):
            np.testing.assert_allclose(
                table.measures[name], expected.measures[name], rtol=2e-2, atol=1e-3, err_msg=name
            )
        for name in ("sample_loss", "crossover_distance", "shift_agreement", "midpoint_bend"):
            np.testing.assert_allclose(
                table.network[name], expected.network[name], rtol=2e-2, atol=1e-3, err_msg=name
            )


def test_labels_follow_from_the_gains(zoo):
    columns = zoo.columns
    labels = hd.diagnosis.label_gains(columns["gain_widening"], columns["gain_constraining"])
    np.testing.assert_array_equal(labels, columns["diagnosis"])


def test_table_is_as_large_and_varied_as_promised(zoo):
    assert len(zoo.tables) >= 400
    assert len(set(zoo.groups)) >= 12
    counts = np.unique(zoo.target.astype(str), return_counts=True)[1]
    assert len(counts) == 3
    assert counts.min() > 0.15 * counts.sum()
    assert np.isfinite(zoo.data).mean() > 0.99

"""Pooling by a naive twin, and columns that match their names."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hessdiag as hd
from hessdiag.features import (
    CONTEXT_MEASURES,
    FAMILIES,
    FAMILY_OF,
    LAYER_FAMILIES,
    LAYER_MEASURES,
    NETWORK_FAMILIES,
    NETWORK_MEASURES,
    LayerTable,
    SkippedCase,
)
from hessdiag.features._spectral_features import POOLINGS
from hessdiag.testing import make_case


def make_table(n_layers, seed=0, gaps=0.3):
    """A table of random measures with gaps."""
    rng = np.random.default_rng(seed)

    def values(size):
        return np.where(rng.random(size) < gaps, np.nan, rng.normal(size=size))

    whole = (*LAYER_MEASURES, *NETWORK_MEASURES)
    return LayerTable(
        name="random",
        layers=tuple(f"layer-{index}" for index in range(n_layers)),
        kinds=("Linear",) * n_layers,
        measures={name: values(n_layers) for name in LAYER_MEASURES},
        network=dict(zip(whole, values(len(whole)).tolist(), strict=True)),
        context={name: float(rng.normal()) for name in CONTEXT_MEASURES},
    )


def naive(table, column):
    """Value of one column, from its name alone."""
    place, separator, measure = column.partition("__")
    if not separator:
        return table.context[column]
    if place == "network":
        return table.network[measure]
    values = [float(v) for v in table.measures[measure] if np.isfinite(v)]
    if not values:
        return np.nan
    if place == "trend":
        if len(values) == 1:
            return 0.0
        return np.polyfit(np.linspace(0, 1, len(values)), values, 1)[0]
    return {
        "first": values[0],
        "last": values[-1],
        "min": min(values),
        "max": max(values),
        "mean": sum(values) / len(values),
    }[place]


@settings(max_examples=20, deadline=None)
@given(
    n_layers=st.integers(1, 7),
    seed=st.integers(0, 1000),
    families=st.lists(st.sampled_from(FAMILIES), min_size=1, unique=True),
    pooling=st.lists(st.sampled_from(list(POOLINGS)), unique=True),
    include_network=st.booleans(),
)
def test_columns_are_what_their_names_say(n_layers, seed, families, pooling, include_network):
    table = make_table(n_layers, seed)
    features = hd.SpectralFeatures(tuple(families), tuple(pooling), include_network)
    names = features.get_feature_names_out()
    if not len(names):
        return
    row = features.fit_transform([table])[0]
    assert len(row) == len(names) == features.n_features_out_
    expected = [naive(table, name) for name in names]
    np.testing.assert_allclose(row, expected, rtol=1e-9, atol=1e-9)
    found = features.get_feature_families_out()
    assert found.tolist() == [FAMILY_OF[name.split("__")[-1]] for name in names]
    assert list(dict.fromkeys(found)) == [f for f in families if f in found]


def test_number_of_columns():
    n_measures = len(LAYER_MEASURES)
    width = len(hd.SpectralFeatures(FAMILIES).get_feature_names_out())
    n_of_network = len(NETWORK_MEASURES) + len(CONTEXT_MEASURES)
    assert width == n_measures * (len(POOLINGS) + 1) + n_of_network
    without = len(hd.SpectralFeatures().get_feature_names_out())
    assert width - without == len(LAYER_FAMILIES["hessian"]) * (len(POOLINGS) + 1)
    lean = hd.SpectralFeatures(("shape",), ("last",), include_network=False)
    assert len(lean.get_feature_names_out()) == len(LAYER_FAMILIES["shape"])
    between = hd.SpectralFeatures(("between",))
    assert len(between.get_feature_names_out()) == len(NETWORK_FAMILIES["between"])
    without = hd.SpectralFeatures(("between", "context"), include_network=False)
    assert set(without.get_feature_families_out()) == {"context"}


def test_tables_of_an_earlier_version_have_gaps():
    table = make_table(2, gaps=0.0)
    kept = {name: table.network[name] for name in LAYER_MEASURES}
    row = hd.SpectralFeatures().fit_transform([dataclasses.replace(table, network=kept)])[0]
    families = hd.SpectralFeatures().get_feature_families_out()
    np.testing.assert_array_equal(np.isnan(row), families == "between")


def test_any_depth_gives_the_same_columns():
    tables = [make_table(n_layers) for n_layers in (1, 2, 5, 40)]
    assert hd.SpectralFeatures().fit_transform(tables).shape[0] == 4
    cases = [make_case(depth=depth, n_samples=20, width=3) for depth in (0, 1, 4)]
    examined = hd.LayerSpectra().transform(cases)
    table = hd.SpectralFeatures(families=("context",)).fit_transform(examined)
    column = list(CONTEXT_MEASURES).index("n_layers")
    assert table[:, column].tolist() == [1, 2, 5]


def test_skipped_case_is_a_row_of_nan():
    features = hd.SpectralFeatures()
    tables = [make_table(2), SkippedCase("sick", "NaN"), make_table(3, seed=1)]
    rows = features.fit_transform(tables)
    assert np.isnan(rows[1]).all()
    np.testing.assert_array_equal(rows[[0, 2]], features.transform([tables[0], tables[2]]))


def test_pandas_index_and_names():
    pd = pytest.importorskip("pandas")
    features = hd.SpectralFeatures().set_output(transform="pandas")
    frame = features.fit_transform([make_table(2), make_table(1)])
    assert isinstance(frame, pd.DataFrame)
    assert frame.shape == (2, features.n_features_out_)
    assert "last__target_alignment" in frame


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"families": ("shape", "colour")}, "colour"),
        ({"families": ()}, "empty"),
        ({"pooling": ("median",)}, "median"),
        ({"families": "shape"}, "families"),
        ({"include_network": "yes"}, "include_network"),
    ],
)
def test_bad_parameters(parameters, words):
    with pytest.raises(ValueError, match=words):
        hd.SpectralFeatures(**parameters).fit([make_table(1)])

"""Every measure is one complete record, and everything else follows from the records."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skorch import NeuralNetRegressor

import hessdiag as hd
from hessdiag.examination import BETWEEN_STATISTICS
from hessdiag.features import (
    CONTEXT_MEASURES,
    FAMILIES,
    FAMILY_OF,
    LAYER_FAMILIES,
    LAYER_MEASURES,
    NETWORK_FAMILIES,
    NETWORK_MEASURES,
    in_words,
    layer_table,
)
from hessdiag.features.measures import MEASURES, Measure, measure_named, phrases_of
from hessdiag.features.measures._phrases import _PHRASES
from hessdiag.testing import make_case

BY_NAME = pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)


@pytest.fixture(scope="module")
def examination():
    """An examination in which every statistic is defined: classes, and gradients that repeat."""
    case = make_case(n_samples=40, width=4)
    return hd.examine(case.net, case.X, case.y)


@pytest.fixture(scope="module")
def examinations(examination):
    """Examinations of several kinds of task, for what is defined for some of them only."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 3)).astype("float32")
    regressor = NeuralNetRegressor(torch.nn.Linear(3, 1), train_split=None, verbose=0, max_epochs=1)
    regressor.fit(X, X[:, :1])
    return [examination, hd.examine(regressor, X, X[:, :1])]


class Read(dict):
    """Notes which keys are read."""

    def __init__(self, values):
        super().__init__(values)
        self.keys_read = set()

    def __getitem__(self, key):
        self.keys_read.add(key)
        return super().__getitem__(key)

    def get(self, key, default=None):
        self.keys_read.add(key)
        return super().get(key, default)


def layer_with(layer, statistics):
    """A layer like another one, with other statistics."""
    return SimpleNamespace(
        spectrum=layer.spectrum,
        ggn_spectrum=layer.ggn_spectrum,
        n_params=layer.n_params,
        statistics=statistics,
    )


@BY_NAME
def test_record_is_complete(measure):
    assert len(measure.words) > 8
    assert measure.words == measure.words.strip()
    assert measure.name not in measure.words or "_" not in measure.name
    assert measure.formula.strip()
    assert measure.formula.isascii()
    assert measure.reference is None or len(measure.reference) > 20
    assert measure.family in FAMILIES


@pytest.mark.parametrize("field", ["name", "words"])
def test_records_differ(field):
    values = [getattr(measure, field) for measure in MEASURES]
    assert len(set(values)) == len(values)


@BY_NAME
def test_function_gives_a_number_of_a_real_examination(measure, examinations):
    values = []
    for examination in examinations:
        # Of the whole net only the Gauss-Newton matrix is known.
        of_layers = measure.family == "hessian"
        part = examination.layers[0] if of_layers else examination.network
        with np.errstate(all="ignore"):
            value = measure.function(part, examination.context)
        assert isinstance(float(value), float)
        values.append(value)
    assert np.isfinite(values).any()


@BY_NAME
def test_what_a_record_reads_is_made_by_the_examination(measure, examination):
    statistics, context = Read(examination.network.statistics), Read(examination.context)
    layer = layer_with(examination.network, statistics)
    measure.function(None if measure.level == "context" else layer, context)
    assert statistics.keys_read <= set(examination.network.statistics)
    assert context.keys_read <= set(examination.context)
    if measure.level == "layer":
        assert statistics.keys_read <= set(examination.layers[0].statistics)


@BY_NAME
def test_missing_statistic_gives_nan(measure, examination):
    statistics = Read(examination.network.statistics)
    if measure.level != "context":
        measure.function(layer_with(examination.network, statistics), examination.context)
    for name in statistics.keys_read:
        rest = {key: value for key, value in statistics.items() if key != name}
        layer = layer_with(examination.network, rest)
        assert np.isnan(measure.function(layer, examination.context))


def test_everything_follows_from_the_records():
    names = [measure.name for measure in MEASURES]
    assert [*LAYER_MEASURES, *NETWORK_MEASURES, *CONTEXT_MEASURES] == names
    assert list(FAMILY_OF) == names
    assert (*LAYER_FAMILIES, *NETWORK_FAMILIES, "context") == FAMILIES
    for name in names:
        assert measure_named(name).words == in_words(name)
        assert measure_named(name).family == FAMILY_OF[name]
    for families, members in (
        (LAYER_FAMILIES, LAYER_MEASURES),
        (NETWORK_FAMILIES, NETWORK_MEASURES),
    ):
        assert [name for family in families.values() for name in family] == list(members)


def test_a_family_stands_together():
    order = [measure.family for measure in MEASURES]
    assert sorted(order, key=FAMILIES.index) == order
    for family in FAMILIES:
        assert len({measure.level for measure in MEASURES if measure.family == family}) == 1


def test_every_statistic_between_samples_is_a_measure():
    assert tuple(NETWORK_MEASURES) == BETWEEN_STATISTICS


def test_table_holds_the_values_of_the_records(examination):
    table = layer_table(examination)
    for measure in MEASURES:
        if measure.level == "context":
            value = measure.function(None, examination.context)
            assert table.context[measure.name] == value
            assert CONTEXT_MEASURES[measure.name](examination.context) == value
            continue
        value = measure.function(examination.network, examination.context)
        np.testing.assert_equal(table.network[measure.name], float(value))
        if measure.level == "layer":
            value = measure.function(examination.layers[0], examination.context)
            np.testing.assert_equal(table.measures[measure.name][0], float(value))


def test_examination_is_of_several_classes(examination):
    """The fixture defines what only classes have."""
    assert np.isfinite(examination.network.statistics["gradient_class_coherence"])


def test_unknown_measure_has_no_record():
    with pytest.raises(KeyError, match="Expected the name of a measure, found 'no_such_measure_1'"):
        in_words("no_such_measure_1")
    with pytest.raises(KeyError, match="Expected the name of a measure"):
        measure_named("alo_loss")


def test_level_is_checked():
    with pytest.raises(ValueError, match="Expected the level of a measure among"):
        Measure("m", "shape", "x", lambda layer, _: 0.0, level="leyer")


def test_every_measure_has_words_of_its_own_that_ask_for_no_glossary():
    words = [measure.words for measure in MEASURES]
    assert len(set(words)) == len(words)
    jargon = (
        r"null loss|prior|wide layer|kernel|tangent|Takeuchi|eigenvalue|spectrum|forecast|entrop"
    )
    for measure in MEASURES:
        for phrase in (measure.words, measure.high):
            assert phrase
            assert phrase == phrase.strip(" .")
            assert not re.search(jargon, phrase), phrase
        assert len(measure.words) <= 105, measure.words


def test_no_phrase_is_left_over():
    stems = {name for name in _PHRASES if name not in FAMILY_OF}
    for stem in stems:
        assert any(name.startswith(f"{stem}_") or f"_{stem}" in name for name in FAMILY_OF), stem
    with pytest.raises(KeyError, match="Add them to the table of phrases"):
        phrases_of("no_such_measure_1")

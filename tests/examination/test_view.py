"""What of samples and outputs is looked at: all where few, columns of outputs where many."""

import numpy as np
import pytest
import torch
from problems import problem_of
from skorch import NeuralNetClassifier
from torch import nn

import hessdiag as hd
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.examination._view import View, choose_view
from hessdiag.features import layer_table

RNG = np.random.default_rng(0)


def classes(n_samples, n_classes):
    outputs, y = RNG.normal(size=(n_samples, n_classes)), np.arange(n_samples) % n_classes
    with untouched_surroundings():
        return problem_of(outputs, y, nn.CrossEntropyLoss)


@pytest.mark.parametrize(
    ("n_samples", "n_classes", "most", "size", "expected"),
    [
        (90, 3, None, 1000, View(90)),
        (900, 3, None, 1000, View(500)),
        (900, 11, None, 1000, View(100)),
        (900, 12, None, 1000, View(200, 5)),
        (900, 12, 80, 1000, View(80)),
        (900, 30, 80, 1000, View(80, 12)),
        (150, 40, None, 1000, View(150, 6)),
        (900, 12, None, 100, View(20, 5)),
        (90, 40, None, None, View(90)),
    ],
)
def test_choices(n_samples, n_classes, most, size, expected):
    with untouched_surroundings():
        assert choose_view(classes(n_samples, n_classes), most, size) == expected


def test_columns_that_are_asked_for():
    with untouched_surroundings():
        problem = classes(60, 9)
        assert choose_view(problem, 50, 1000, 3) == View(50, 3)
        assert choose_view(problem, None, 10, 8) == View(60)


def trained(n_classes):
    torch.manual_seed(0)
    X, y = RNG.normal(size=(300, 6)).astype("float32"), np.arange(300) % n_classes
    module = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, n_classes))
    net = NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, train_split=None, verbose=0, max_epochs=3, lr=0.1
    )
    return net.fit(X, y), X, y


@pytest.mark.slow
def test_many_classes_keep_two_hundred_samples_and_say_so():
    case = hd.NetworkCase(*trained(40), name="forty")
    (found,) = hd.LayerSpectra().fit_transform([case])
    assert found.context["n_samples_examined"] == 200
    assert found.context["n_output_columns"] == 5
    assert not found["0"].ggn_spectrum.exact
    assert found["0"].ggn_spectrum.trace_error > 0
    exact = hd.layer_spectra(*trained(40), curvature="ggn")["0"]
    close = abs(found["0"].ggn_spectrum.trace - exact.trace)
    assert close < 0.2 * exact.trace
    report = hd.load_reference_diagnoser().explain(found)
    assert any("through 5 random columns" in note for note in report.notes)
    measures = layer_table(found).measures
    for name in ("alo_loss_1", "effective_rank_fraction", "target_alignment", "log_trace"):
        assert np.isfinite(measures[name]).all()


def test_columns_from_the_rank_on_are_all_outputs():
    net, X, y = trained(4)
    plain = hd.examine(net, X, y, max_samples=50)
    again = hd.examine(net, X, y, max_samples=50, n_output_columns=3)
    assert "n_output_columns" not in again.context
    np.testing.assert_array_equal(plain["0"].spectrum.nodes, again["0"].spectrum.nodes)


@pytest.mark.slow
def test_few_columns_are_near_to_all_outputs():
    net, X, y = trained(9)
    plain = hd.examine(net, X, y, max_gram_size=None)
    fewer = hd.examine(net, X, y, n_output_columns=3)
    for name in ("gradient_norm", "gradient_effective_rank", "gn_gap"):
        assert fewer["0"].statistics[name] == pytest.approx(plain["0"].statistics[name], rel=1e-6)
    for name in ("effective_dimension_1", "alo_loss_100", "leverage_mean"):
        assert fewer["2"].statistics[name] == pytest.approx(plain["2"].statistics[name], rel=0.15)


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True])
def test_what_is_no_number_of_columns_is_refused(value):
    case = hd.testing.make_case(n_samples=12)
    with pytest.raises(ValueError, match="n_output_columns"):
        hd.examine(case.net, case.X, case.y, n_output_columns=value)

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from hessdiag.plotting import DiagnosisDisplay
from hessdiag.plotting._matplotlib import figure_bytes

CLASSES = ["underparameterized", "well-fit", "overfitting"]


@pytest.fixture
def display():
    return DiagnosisDisplay(
        names=["small", "big $net$"],
        classes=CLASSES,
        probabilities=[[0.9, 0.06, 0.04], [0.0, 0.3, 0.7]],
        layer_names=[["a", "head"], [f"hidden_{i}" for i in range(15)]],
        layer_weights=[[0.4, -0.1], np.linspace(-0.07, 0.07, 15)],
    )


def test_bars_are_stacked_probabilities(display):
    axes = display.plot().axes_
    for ax, row in zip(axes[:, 0], display.probabilities):
        widths = [bar.get_width() for bar in ax.patches]
        starts = [bar.get_x() for bar in ax.patches]
        np.testing.assert_allclose(widths, 100 * row)
        np.testing.assert_allclose(starts, np.concatenate([[0], np.cumsum(100 * row)[:-1]]))
        assert len({bar.get_hatch() for bar in ax.patches}) == 3
    assert [text.get_text() for text in axes[0, 0].texts] == ["90 %"]
    assert [text.get_text() for text in axes[1, 0].texts] == ["30 %", "70 %"]


def test_diagnosis_and_units_are_written(display):
    axes = display.plot().axes_
    titles = [ax.get_title(loc="left") for ax in axes[:, 0]]
    assert titles == ["small: underparameterized", "big $net$: overfitting"]
    assert "(%)" in axes[-1, 0].get_xlabel()
    assert "log-odds" in axes[-1, 1].get_xlabel()
    key = [text.get_text() for text in display.figure_.legends[0].get_texts()]
    assert key == [*CLASSES, "speaks against it"]


def test_layers_are_in_forward_order_and_the_strongest_are_kept(display):
    ax = display.plot(max_layers=4).axes_[1, 1]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["hidden_0", "hidden_1", "hidden_13", "hidden_14"]
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], [-7, -6, 6, 7])
    assert ax.get_title(loc="right") == "4 of 15 layers: the largest weights"
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_from_reports_orders_the_classes():
    report = SimpleNamespace(
        name=None,
        probabilities={"overfitting": 0.2, "underparameterized": 0.7, "well-fit": 0.1},
        layers=(SimpleNamespace(name="fc", weight=float("nan")),),
    )
    display = DiagnosisDisplay.from_reports([report, report])
    assert display.names == ["network 1", "network 2"]
    assert display.classes == CLASSES
    assert display.describe().startswith("network 1: underparameterized 70 %, well-fit 10 %")
    assert figure_bytes(display.figure_).startswith(b"\x89PNG")
    assert DiagnosisDisplay.from_reports(report).axes_.shape == (1, 2)
    assert "network 1: underparameterized 70 %" in display._repr_html_()


def test_draws_into_given_axes(display):
    figure = Figure()
    assert display.plot(ax=figure.subplots(2, 2)).figure_ is figure
    with pytest.raises(ValueError, match=r"Expected axes of shape .* = \(2, 2\), found \(1, 2\)"):
        display.plot(ax=figure.subplots(1, 2, squeeze=False))


def test_bad_input_is_told():
    with pytest.raises(ValueError, match="at least one network"):
        DiagnosisDisplay.from_reports([])
    with pytest.raises(ValueError, match="a name and a weight for each layer"):
        DiagnosisDisplay(
            names=["a"],
            classes=CLASSES,
            probabilities=[[0.2, 0.3, 0.5]],
            layer_names=[["x"]],
            layer_weights=[[0.1, 0.2]],
        )

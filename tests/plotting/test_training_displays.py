"""Displays of trainings draw what the history, or the trajectory, holds."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from hessdiag.plotting import DIAGNOSIS_COLOURS, EvolutionDisplay, LayerProfileDisplay
from hessdiag.plotting._matplotlib import figure_bytes

HISTORY = [
    {"batches": [{}, {}], "event_diagnosis": None},
    {
        "batches": [
            {"spectrum_step": 3, "spectrum/trace/a": 1.0, "spectrum/trace/b/c": 5.0},
            {},
        ],
        "spectrum_step": 4,
        "event_diagnosis": "well-fit",
        "spectrum/trace/a": 20.0,
        "spectrum/trace/b/c": None,
        "spectrum/trace/network": 25.0,
        "spectrum/max_eigenvalue/a": 1.0,
    },
    {"batches": [], "spectrum_step": 6, "spectrum_error": "ValueError: not finite"},
    {
        "batches": [{}],
        "spectrum_step": 8,
        "event_diagnosis": "overfitting",
        "spectrum/trace/a": 30.0,
        "spectrum/trace/b/c": 2.0,
        "spectrum/trace/network": 32.0,
    },
]

ROWS = [
    {"step": step, "layer": layer, "kind": "Linear", "trace": step * size, "diagnosis": "well-fit"}
    for step in (0, 5)
    for layer, size in (("a", 1.0), ("b", 2.0), ("network", 3.0))
]


def test_history_is_drawn_as_it_is():
    display = EvolutionDisplay.from_history(HISTORY, "trace")
    first, second, network = display.ax_.lines
    np.testing.assert_array_equal(first.get_xdata(), [3, 4, 8])
    np.testing.assert_array_equal(first.get_ydata(), [1, 20, 30])
    np.testing.assert_array_equal(second.get_ydata(), [5, np.nan, 2])
    np.testing.assert_array_equal(network.get_ydata(), [np.nan, 25, 32])
    assert [line.get_label() for line in display.ax_.lines] == ["a", "b/c", "network"]
    assert display.ax_.get_yscale() == "log"
    spans = list(display.ax_.patches)
    assert [span.get_x() for span in spans] == [4, 8]
    colours = [to_rgb(span.get_facecolor()) for span in spans]
    assert colours == [to_rgb(DIAGNOSIS_COLOURS[name]) for name in ("well-fit", "overfitting")]
    assert "overfitting at step 8" in display.describe()
    assert len(figure_bytes(display.figure_)) > 5000


def test_trajectory_is_drawn_from_step_zero():
    display = EvolutionDisplay.from_trajectory(ROWS, "trace", log=False)
    np.testing.assert_array_equal(display.ax_.lines[1].get_ydata(), [0, 10])
    # Step 0 has no place on a logarithmic axis.
    assert display.ax_.get_xscale() == display.ax_.get_yscale() == "linear"


def test_profile_has_first_and_last_step():
    display = LayerProfileDisplay(
        steps=np.arange(10),
        layer_names=["a", "b", "$c$"],
        values=np.arange(30.0).reshape(3, 10),
        measure="trace",
    ).plot(max_steps=3)
    labels = [line.get_label() for line in display.ax_.lines]
    assert labels[0] == "step 0"
    assert labels[-1] == "step 9"
    assert len(labels) == 3
    np.testing.assert_array_equal(display.ax_.lines[-1].get_ydata(), [9, 19, 29])
    assert [t.get_text() for t in display.ax_.get_xticklabels()] == ["a", "b", "$c$"]
    assert "b 19" in display._repr_html_()
    assert LayerProfileDisplay.from_history(HISTORY, "trace").layer_names == ["a", "b/c"]
    assert LayerProfileDisplay.from_trajectory(ROWS, "trace").values.tolist() == [[0, 5], [0, 10]]


@pytest.mark.parametrize("kind", [EvolutionDisplay, LayerProfileDisplay])
def test_axes_may_be_given_and_frames_taken(kind):
    pytest.importorskip("pandas")
    ax = Figure().add_subplot()
    display = kind.from_trajectory(ROWS, "trace", ax=ax)
    assert display.ax_ is ax
    frame = display.to_frame()
    found = frame[(frame["step"] == 5) & (frame["layer"] == "b")]["trace"]
    assert found.tolist() == [10.0]


@pytest.mark.parametrize("kind", [EvolutionDisplay, LayerProfileDisplay])
def test_what_is_not_there_is_said(kind):
    with pytest.raises(ValueError, match=r"found 'max_eigenvalues'.* trace"):
        kind.from_history(HISTORY, "max_eigenvalues")
    with pytest.raises(ValueError, match="SpectrumMonitor"):
        kind.from_history([{"batches": []}], "trace")
    with pytest.raises(ValueError, match="kind"):
        kind.from_trajectory(ROWS, "kind")
    with pytest.raises(ValueError, match="record"):
        kind.from_trajectory([], "trace")
    with pytest.raises(ValueError, match=r"shape|for each of the steps"):
        kind(steps=[1, 2], layer_names=["a"], values=[[1.0]], measure="trace")

import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from scipy.integrate import trapezoid

from hessdiag.examination import Examination, LayerExamination
from hessdiag.plotting import LayerSpectraDisplay
from hessdiag.plotting._matplotlib import figure_bytes, power_of_ten, short_names, shorten
from hessdiag.spectra import Spectrum


def exact_spectrum(seed=0, n_params=100, n_negative=5):
    values = np.exp(np.random.default_rng(seed).normal(-3, 2, n_params // 2))
    values[:n_negative] *= -0.5
    return Spectrum.from_eigenvalues(values, n_params=n_params)


def quadrature(nodes=(-0.5, 0.0, 1.0, 4.0), weights=(0.01, 0.9, 0.08, 0.01), n_params=10_000):
    trace = n_params * np.dot(nodes, weights)
    return Spectrum(n_params, False, np.array(nodes), np.array(weights), trace)


def curves(ax):
    """Points of the lines that stand for eigenvalues, by their label."""
    return {
        line.get_label(): line
        for line in ax.lines
        if line.get_label() in ("positive", "negative", "density")
    }


def test_exact_panel_shows_every_eigenvalue_at_its_rank():
    spectrum = exact_spectrum()
    display = LayerSpectraDisplay.from_spectra({"hidden": spectrum})
    drawn = curves(display.axes_[0])
    x = np.concatenate([drawn["positive"].get_xdata(), drawn["negative"].get_xdata()])
    y = np.concatenate([drawn["positive"].get_ydata(), -drawn["negative"].get_ydata()])
    expected = sorted((v for v in spectrum.eigenvalues() if v != 0), reverse=True)
    np.testing.assert_allclose(y, expected)
    np.testing.assert_allclose(x, [100 * (i + 0.5) / len(expected) for i in range(len(expected))])


def test_negative_eigenvalues_differ_by_marker_and_hatch():
    ax = LayerSpectraDisplay.from_spectra({"hidden": exact_spectrum()}).axes_[0]
    drawn = curves(ax)
    assert drawn["positive"].get_marker() != drawn["negative"].get_marker()
    hatched = [a for a in ax.collections if isinstance(a, PolyCollection) and a.get_hatch()]
    assert len(hatched) == 1
    x = hatched[0].get_paths()[0].vertices[:, 0]
    np.testing.assert_allclose([x.min(), x.max()], [90, 100])


def test_title_states_the_null_space():
    values = [3.0, 0.0, -1.0, 0.0, 0.0]
    display = LayerSpectraDisplay.from_spectra({"a": Spectrum.from_eigenvalues(values)})
    assert display.axes_[0].get_title(loc="left") == "5 parameters, null space 3 (60 %)"
    display = LayerSpectraDisplay.from_spectra({"a": Spectrum.from_eigenvalues([2.0])})
    assert display.axes_[0].get_title(loc="left") == "1 parameter, no null space"


def test_density_panel_shows_the_density():
    spectrum = quadrature()
    ax = LayerSpectraDisplay.from_spectra({"conv": spectrum}).axes_[0]
    lines = [line for line in ax.lines if line.get_label() == "density"]
    x = np.concatenate([line.get_xdata() for line in lines])
    y = np.concatenate([line.get_ydata() for line in lines])[np.argsort(x)]
    x = np.sort(x)
    low = ax.get_ylim()[0]
    np.testing.assert_allclose(y, np.maximum(spectrum.density(x, 0.01 * 4.5), low), rtol=1e-12)
    np.testing.assert_allclose(trapezoid(y, x), 1.0, rtol=0.01)
    # One eigenvalue among all would still rise above the foot of the panel.
    assert low < 1 / spectrum.n_params / (0.01 * 4.5 * np.sqrt(2 * np.pi))
    ticks = [line for line in ax.lines if line.get_marker() == "|"]
    assert sum(len(line.get_xdata()) for line in ticks) == 4


def test_smoothing_of_the_null_space_is_no_negative_curvature():
    ax = LayerSpectraDisplay.from_spectra({"a": quadrature((0.0, 4.0), (0.9, 0.1))}).axes_[0]
    assert not [area for area in ax.collections if area.get_hatch()]
    ax = LayerSpectraDisplay.from_spectra({"a": quadrature()}).axes_[0]
    assert [area for area in ax.collections if area.get_hatch()]


def test_layers_share_one_scale_also_with_those_not_drawn():
    spectra = {
        "small": Spectrum.from_eigenvalues([1e-3, 1e-4]),
        "large": Spectrum.from_eigenvalues([10.0, 1.0]),
    }
    both = LayerSpectraDisplay.from_spectra(spectra)
    limits = [ax.get_ylim() for ax in both.axes_]
    assert limits[0] == limits[1]
    assert limits[0][0] <= 1e-4 < 10 < limits[0][1]
    assert both.plot(layers=["small"]).axes_[0].get_ylim() == limits[0]
    assert both.plot(share_y=False).axes_[0].get_ylim()[1] < 1


@pytest.mark.slow
def test_many_layers_are_cut_to_the_telling_ones_and_that_is_said():
    spectra = {f"layer{i}": Spectrum.from_eigenvalues([1.0 if i % 7 else 100.0]) for i in range(30)}
    display = LayerSpectraDisplay.from_spectra(spectra, max_layers=6)
    assert display.drawn_layers_ == ("layer0", "layer7", "layer14", "layer21", "layer28", "layer29")
    assert display.figure_.legends[0].get_title().get_text().startswith("6 of 30 layers are drawn")
    assert len(display.plot(max_layers=30).axes_) == 30


def test_draws_into_given_axes_and_draws_again():
    figure = Figure()
    axes = figure.subplots(1, 2)
    spectra = {"a": exact_spectrum(1), "b": exact_spectrum(2)}
    display = LayerSpectraDisplay.from_spectra(spectra, ax=axes)
    assert display.figure_ is figure
    assert display.plot() is display
    assert display.figure_ is not figure
    with pytest.raises(ValueError, match="Expected axes for 2 layers, found 1"):
        display.plot(ax=axes[0])
    assert display.plot(ax=axes[0], layers="b").drawn_layers_ == ("b",)


def test_pyplot_keeps_no_figure():
    from matplotlib._pylab_helpers import Gcf

    before = len(Gcf.figs)
    LayerSpectraDisplay.from_spectra({"a": exact_spectrum()})
    assert len(Gcf.figs) == before


def test_draws_an_examination():
    hessian, ggn = exact_spectrum(), exact_spectrum(n_negative=0)
    layer = LayerExamination("fc", "Linear", 100, 4, hessian, ggn, {})
    examination = Examination("net", "0", (layer,), layer)
    display = LayerSpectraDisplay.from_spectra(examination)
    assert display.figure_.get_suptitle() == "net"
    assert "fc (Linear)" in [text.get_text() for text in display.axes_[0].texts]
    assert "negative" in curves(display.axes_[0])
    ggn_display = LayerSpectraDisplay.from_spectra(examination, curvature="ggn", title="other")
    assert "negative" not in curves(ggn_display.axes_[0])
    missing = LayerExamination("fc", "Linear", 100, 4, hessian, None, {})
    with pytest.raises(ValueError, match="Pass curvature='hessian'"):
        LayerSpectraDisplay.from_spectra(
            Examination("net", "0", (missing,), missing), curvature="ggn"
        )


@pytest.mark.parametrize(
    ("spectrum", "words"),
    [
        (Spectrum.from_eigenvalues([], n_params=7), "all eigenvalues are zero"),
        (Spectrum.undefined(7), "values that are not finite"),
    ],
)
def test_says_why_there_is_no_curve(spectrum, words):
    display = LayerSpectraDisplay.from_spectra({"dead": spectrum, "alive": exact_spectrum()})
    assert words in [text.get_text() for text in display.axes_[0].texts]
    assert figure_bytes(display.figure_).startswith(b"\x89PNG")


def test_names_are_text_not_mathematics():
    spectra = {"$\\alpha_{$ %s 日本 \N{PILE OF POO}": exact_spectrum(), "b$": exact_spectrum()}
    display = LayerSpectraDisplay.from_spectra(spectra, title="a $b$ \\frac")
    assert figure_bytes(display.figure_).startswith(b"\x89PNG")


def test_shows_itself_in_a_notebook():
    html = LayerSpectraDisplay.from_spectra({'a"<b>': exact_spectrum()})._repr_html_()
    assert html.startswith("<img")
    assert "a&quot;&lt;b&gt;" in html


def test_description_tells_the_numbers():
    display = LayerSpectraDisplay.from_spectra({"a": Spectrum.from_eigenvalues([2, 1, 0, -1])})
    assert display.describe("a") == (
        "Spectrum of layer a: 4 parameters, null space 1 (25 %); largest eigenvalue 2, smallest "
        "-1; 33.3 % negative."
    )


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=30),
    st.booleans(),
)
@example([4.450147717014403e-308], False)
@example([4.450147717014403e-308, -2e-307], False)
@example([4.450147717014403e-308], True)
def test_any_finite_spectrum_can_be_drawn(values, exact):
    spectrum = Spectrum.from_eigenvalues(values)
    if not exact:
        weights = np.full(len(values), 1 / len(values))
        spectrum = Spectrum(len(values), False, values, weights, float(np.sum(values)))
    display = LayerSpectraDisplay.from_spectra({"a": spectrum})
    assert display.figure_ is not None
    assert np.isfinite(display.axes_[0].get_ylim()).all()


def test_bad_input_is_told():
    spectra = {"a": exact_spectrum()}
    with pytest.raises(TypeError, match="Expected a dict of layer name to Spectrum"):
        LayerSpectraDisplay.from_spectra([1.0, 2.0])
    with pytest.raises(TypeError, match="found dict with list at 'a'"):
        LayerSpectraDisplay.from_spectra({"a": [1.0]})
    with pytest.raises(ValueError, match="at least one layer"):
        LayerSpectraDisplay.from_spectra({})
    with pytest.raises(ValueError, match="curvature 'hessian' or 'ggn'"):
        LayerSpectraDisplay.from_spectra(spectra, curvature="fisher")
    with pytest.raises(ValueError, match="Expected layers among"):
        LayerSpectraDisplay.from_spectra(spectra, layers=["b"])
    with pytest.raises(ValueError, match="max_layers of at least 1"):
        LayerSpectraDisplay.from_spectra(spectra, max_layers=0)
    with pytest.raises(ValueError, match="`weights` with one entry for each of the 1 layer names"):
        LayerSpectraDisplay(layer_names=["a"], nodes=[np.ones(1)], weights=[], n_params=[1])


def test_without_matplotlib_the_pip_line_is_named(monkeypatch):
    display = LayerSpectraDisplay(
        layer_names=["a"], nodes=[np.ones(1)], weights=[np.ones(1)], n_params=[1]
    )
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "hessdiag\[plots\]"'):
        display.plot()


def test_names_are_cut_in_the_middle_and_stay_apart():
    assert shorten("encoder.layers.11.linear", 12) == "enc…1.linear"
    long = [f"encoder.layers.{i}.self_attention.out_proj" for i in range(3)]
    short = short_names(long, 20)
    assert len(set(short)) == 3
    assert max(map(len, short)) <= 20
    assert short_names(["a", "b"], 20) == ["a", "b"]


def test_powers_of_ten_are_plain_text():
    assert [power_of_ten(e) for e in (-12, -1, 0, 1, 3)] == ["10⁻¹²", "10⁻¹", "1", "10", "10³"]

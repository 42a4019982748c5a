"""Generated tasks: targets follow from the inputs by the stated rule, up to the stated noise."""

import numpy as np
import pytest

from hessdiag.zoo import list_datasets, load_dataset
from hessdiag.zoo.tasks._real import REAL_TASKS
from hessdiag.zoo.tasks._signals import SIGNAL_TASKS
from hessdiag.zoo.tasks._sklearn import SKLEARN_TASKS
from hessdiag.zoo.tasks._synthetic import SYNTHETIC_TASKS
from hessdiag.zoo.tasks._teacher import TEACHER_TASKS

pytest.importorskip("pandas")

GENERATED = SKLEARN_TASKS | SYNTHETIC_TASKS | SIGNAL_TASKS | TEACHER_TASKS


def samples(name):
    """Inputs and targets of a task as arrays."""
    dataset = load_dataset(name)
    return dataset.frame.to_numpy(), dataset.target


def test_families_are_no_real_sets_and_large():
    assert not any(task.real for task in GENERATED.values())
    assert not {task.parent for task in GENERATED.values()} & set(list_datasets())
    assert not set(GENERATED) & set(REAL_TASKS)
    assert len(GENERATED) >= 60
    assert all(len(load_dataset(name).target) == 6000 for name in GENERATED)


def assert_share(wrong, share):
    """The share of wrong labels is as stated, within four standard errors."""
    error = 4 * np.sqrt(max(share * (1 - share), 1e-12) / len(wrong))
    assert wrong.mean() == pytest.approx(share, abs=error)


@pytest.mark.parametrize(("name", "share"), [("hastie", 0.0), ("hastie-flipped", 0.1)])
def test_hastie(name, share):
    # A label drawn anew is wrong every other time.
    X, target = samples(name)
    assert_share(((X**2).sum(axis=1) > 9.34) != target, share)


@pytest.mark.parametrize(
    ("name", "bits", "share"), [("parity-2-of-16", 2, 0.05), ("parity-3-of-20", 3, 0.0)]
)
def test_parity(name, bits, share):
    X, target = samples(name)
    product = np.prod(1 - 2 * X[:, :bits], axis=1)
    assert_share((product < 0) != target, share)


@pytest.mark.parametrize(
    ("name", "share"), [("board-2", 0.05), ("board-2-fine", 0.0), ("board-3", 0.1)]
)
def test_board(name, share):
    X, target = samples(name)
    # The sign of a product of sines alternates over the fields of a board.
    color = np.prod(np.sin(np.pi * X), axis=1) < 0
    assert_share(color != target, share)


def test_friedman_leaves_the_stated_noise():
    X, target = samples("friedman1")
    mean = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2
    mean += 10 * X[:, 3] + 5 * X[:, 4]
    assert (target[:, 0] - mean).var() == pytest.approx(1.0, rel=4 * np.sqrt(2 / 6000))


def test_linear_targets_leave_the_stated_share_of_noise():
    X, target = samples("linear-10")
    design = np.column_stack([X, np.ones(len(X))])
    residual = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    # Noise of a fifth of the clean variance is a sixth of the whole.
    assert residual.var() / target.var() == pytest.approx(1 / 6, rel=0.1)


def test_waves_run_along_one_direction():
    X, target = samples("waves-3")
    # Of z = u.x standard normal, E[x sin(f z)] = u E[z sin(f z)] = u f exp(-f^2 / 2): small for
    # f = 3, so that the direction is searched for: the sine fits the target along it.
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((20_000, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    fit = np.mean(np.sin(3 * X[:500] @ directions.T) * target[:500], axis=0)
    wave = np.sin(3 * X @ directions[fit.argmax()])
    assert (target[:, 0] - wave).var() == pytest.approx(0.05, rel=0.15)


def test_oscillation_frequency_is_where_the_spectrum_peaks():
    X, target = samples("oscillation-frequency")
    power = np.abs(np.fft.rfft(X, n=512)) ** 2
    cycles = power[:, 8:].argmax(axis=1) / 16 + 0.5
    assert np.mean(np.abs(cycles - target[:, 0]) < 0.5) > 0.95


def test_autoregression_coefficient_is_what_least_squares_finds():
    X, target = samples("autoregression-coefficient")
    past, present = X[:, :-1], X[:, 1:]
    estimate = (past * present).sum(axis=1) / (past**2).sum(axis=1)
    # Bias 2 a / T and variance (1 - a^2) / T of the estimator (Kendall 1954).
    error = estimate - target[:, 0] * (1 - 2 / 31)
    assert abs(error.mean()) < 0.01
    expected = ((1 - target**2) / 31).mean()
    assert error.var() == pytest.approx(expected, rel=0.15)


def test_bumps_are_where_the_target_says():
    X, target = samples("bump-place")
    channels = X.reshape(-1, 2, 32)
    smooth = np.apply_along_axis(np.convolve, 2, channels, np.ones(5) / 5, "same")
    place = smooth.max(axis=1).argmax(axis=1)
    assert np.mean(np.abs(place - target[:, 0]) < 2.5) > 0.9
    # A bell of width w has area w sqrt(2 pi).
    area = channels.sum(axis=(1, 2))
    slope = np.polyfit(target[:, 1], area, 1)[0]
    assert slope == pytest.approx(np.sqrt(2 * np.pi), rel=0.1)


def test_grating_angle_is_where_the_spectrum_peaks():
    X, target = samples("grating-angle")
    power = np.abs(np.fft.fft2(X.reshape(-1, 10, 10), s=(64, 64))) ** 2
    frequency = np.fft.fftfreq(64)
    down, across = np.meshgrid(frequency, frequency, indexing="ij")
    power[:, np.hypot(down, across) < 0.1] = 0
    peak = power.reshape(len(X), -1).argmax(axis=1)
    angle = np.arctan2(down.ravel()[peak], across.ravel()[peak])
    agreement = np.cos(2 * angle) * target[:, 0] + np.sin(2 * angle) * target[:, 1]
    assert agreement.mean() > 0.95


def test_larger_shapes_are_brighter():
    X, target = samples("shape-size")
    assert np.corrcoef(X.sum(axis=1), target[:, 0])[0, 1] > 0.5

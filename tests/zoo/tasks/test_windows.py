"""Windows: no two overlap, and each answer is what the series says."""

import numpy as np
import pytest

from hessdiag.zoo import load_dataset
from hessdiag.zoo.sources import (
    read_earth_rotation,
    read_glucose,
    read_nations,
    read_populations,
    read_ride,
    read_sea_temperature,
    read_seattle_weather,
    read_spectra,
    read_stocks,
    read_temperatures,
)
from hessdiag.zoo.tasks._windows import WINDOW_TASKS, cut_windows

for package in ("astropy_iers_data", "bokeh_sampledata", "tensorly", "vega_datasets"):
    pytest.importorskip(package)


def windows(name):
    """Rows of a task in the shape of their windows, and targets of one column."""
    dataset = load_dataset(name)
    target = dataset.target
    return dataset.frame.to_numpy().reshape(-1, *dataset.shape), (
        target[:, 0] if target.ndim == 2 else target
    )


def test_windows_tile_a_series():
    series = np.arange(22).reshape(11, 2)
    cut = cut_windows(series, 3)
    assert cut.shape == (3, 3, 2)
    np.testing.assert_array_equal(cut.reshape(-1, 2), series[:9])
    assert cut_windows(series, 12).shape == (0, 12, 2)


def test_no_window_is_there_twice():
    for name in WINDOW_TASKS:
        rows, _ = windows(name)
        moving = rows[rows.std(axis=2).min(axis=1) > 0]
        share = len(np.unique(moving.reshape(len(moving), -1), axis=0)) / len(moving)
        # Of temperatures to a tenth of a degree some days look the same.
        assert share > (0.9 if name.startswith("temperatures") else 0.99), name


def test_earth_rotation():
    X, y = windows("earth-rotation")
    length = read_earth_rotation()[:, 4]
    for index in (0, 100, len(X) - 1):
        start = 37 * index
        np.testing.assert_allclose(X[index, 0], length[start : start + 32] - length[start + 31])
        np.testing.assert_allclose(y[index], length[start + 36] - length[start + 31], rtol=1e-5)


def test_temperatures():
    cities = [read_temperatures("sf"), read_temperatures("seattle")]
    X, city = windows("temperatures")
    _, season = windows("temperatures-season")
    for index in (0, 200, 365, 729):
        day = cities[index // 365][index % 365]
        np.testing.assert_allclose(X[index, 0], day - day.mean())
        assert city[index] == index // 365
        assert season[index] == min(index % 365 // 91, 3)


@pytest.mark.parametrize(("name", "length"), [("hour", 12), ("change", 18)])
def test_hours_of_two_cities(name, length):
    X, y = windows(f"temperatures-{name}")
    hourly = [read_temperatures(city).ravel() for city in ("sf", "seattle")]
    city, last = 0, -24
    for window, answer in zip(X[:, 0], y):
        # The windows are found in order, and are a day apart or more.
        for start in [*range(last + 24, last + 36), *range(12)]:
            city = city + 1 if start < last + 24 else city
            if city == 2:
                break
            day = hourly[city][start : start + 24]
            if len(day) == 24 and np.allclose(window, day[:length] - day[:length].mean()):
                expected = start % 24 // 6 if name == "hour" else day[23] - day[17]
                if np.isclose(answer, expected, atol=1e-4):
                    break
            city = city - 1 if start < last + 24 else city
        else:
            raise AssertionError("a window that is nowhere")
        last = start
    assert city == 1


def test_seattle():
    days, _ = read_seattle_weather()
    X, warm = windows("seattle")
    again, rain = windows("seattle-rain")
    np.testing.assert_array_equal(X, again)
    for index in (0, 17, 364):
        spell = days[4 * index : 4 * index + 4]
        np.testing.assert_allclose(X[index, 0], np.log(1 + spell[:3, 0]))
        np.testing.assert_array_equal(X[index, 1:], spell[:3, 1:].T)
        assert warm[index] == np.float32(spell[3, 1])
        assert rain[index] == (spell[3, 0] > 0)


def test_stocks():
    stocks = read_stocks()
    X, ticker = windows("stocks")
    relative, period = windows("stocks-period")
    _, restless = windows("stocks-restless")
    index = 0
    for label, days in enumerate(stocks[name] for name in sorted(stocks)):
        for start in range(0, len(days) - 23, 24):
            spell = days[start : start + 16]
            np.testing.assert_array_equal(X[index, 0], spell[:, 1])
            np.testing.assert_allclose(X[index, 1, 1:], np.diff(spell[:, 2]), atol=1e-12)
            np.testing.assert_array_equal(X[index, 2], spell[:, 3])
            np.testing.assert_allclose(relative[index, 2], spell[:, 3] - spell[0, 3])
            assert ticker[index] == label
            assert period[index] == int(spell[0, 0] >= 2004) + int(spell[0, 0] >= 2009)
            ahead = np.log(np.mean(days[start + 16 : start + 24, 1]))
            np.testing.assert_allclose(restless[index], ahead, rtol=1e-5)
            index += 1
    assert index == len(X)


def test_glucose_and_sea_are_of_unbroken_time():
    readings = read_glucose()
    X, change = windows("glucose")
    current, level = windows("glucose-sensor")
    start = 0
    for index in range(0, len(X)):
        while not (
            np.array_equal(readings[start : start + 24, 2], X[index, 0])
            and np.array_equal(readings[start : start + 24, 1], current[index, 0])
        ):
            start += 1
        minutes = readings[start : start + 30, 0]
        assert np.abs(np.diff(minutes) - 5).max() <= 1
        assert change[index] == readings[start + 29, 2] - readings[start + 23, 2]
        assert level[index] == readings[start + 23, 2]
        start += 30
    readings = read_sea_temperature()
    X, season = windows("sea")
    start = 0
    for index in range(len(X)):
        while not np.allclose(
            readings[start : start + 40, 1] - readings[start : start + 40, 1].mean(), X[index, 0]
        ):
            start += 1
        assert np.ptp(readings[start : start + 40, 0]) == 19.5
        assert season[index] == int(readings[start, 0] / 24 / 91.3125) % 4
        start += 40


def test_ride():
    seconds = read_ride()
    X, y = windows("ride")
    for index in (0, 200, len(X) - 1):
        spell = seconds[10 * index : 10 * index + 10]
        np.testing.assert_allclose(X[index, 0], spell[:, 0] - spell[0, 0])
        np.testing.assert_array_equal(X[index, 1:], spell[:, 1:3].T)
        np.testing.assert_allclose(y[index], spell[:, 3].mean(), rtol=1e-6)


def test_populations():
    frame = read_populations()
    X, growth = windows("populations")
    shares, period = windows("populations-period")
    np.testing.assert_allclose(X.sum(axis=(1, 2)), 1)
    women, men = (frame.loc[("Japan", 1970, sex)].to_numpy() for sex in ("Female", "Male"))
    total = (women + men).sum()
    expected = np.stack([women, men]) / total
    (place,) = np.flatnonzero(np.abs(X - expected).max(axis=(1, 2)) < 1e-12)
    later = sum(frame.loc[("Japan", 1980, sex)].sum() for sex in ("Female", "Male"))
    np.testing.assert_allclose(growth[place], np.log(later / total), rtol=1e-5)
    (place,) = np.flatnonzero(np.abs(shares - expected).max(axis=(1, 2)) < 1e-12)
    assert period[place] == 1


def test_nations():
    frame = read_nations()
    X, region = windows("nations")
    _, growth = windows("nations-growth")
    regions = sorted(frame["region"].unique())
    index = 0
    for country in sorted(frame["country"].unique()):
        rows = frame[frame["country"] == country]
        for start in range(0, len(rows) - 11, 12):
            spell = rows.iloc[start : start + 12]
            np.testing.assert_array_equal(X[index, 0], spell["fertility"])
            np.testing.assert_array_equal(X[index, 1], spell["life_expectancy"])
            assert regions[region[index]] == spell["region"].iloc[0]
            ratio = spell["population"].iloc[-1] / spell["population"].iloc[0]
            np.testing.assert_allclose(growth[index], np.log(ratio), rtol=1e-4, atol=1e-6)
            index += 1
    assert index == len(X)


def test_spectra():
    scene, cover = read_spectra()
    pixels = [(row, column) for row in range(0, 145, 2) for column in range(0, 145, 2)]
    counts = {kind: sum(cover[p] == kind for p in pixels) for kind in range(1, 17)}
    kept = sorted(sorted(counts, key=lambda kind: -counts[kind])[:11])
    for name, kinds in (("spectra", kept), ("spectra-tillage", [2, 10, 11])):
        X, y = windows(name)
        chosen = [p for p in pixels if cover[p] in kinds]
        assert [kinds[label] for label in y] == [cover[p] for p in chosen]
        for index in range(0, len(X), 101):
            np.testing.assert_array_equal(X[index, 0], scene[chosen[index]][::4])
    X, y = windows("spectra-hidden")
    for index in range(0, len(X), 501):
        spectrum = scene[pixels[index]]
        level = spectrum[::4].mean()
        np.testing.assert_allclose(X[index, 0], spectrum[::4] / level)
        np.testing.assert_allclose(y[index], spectrum[102] / level, rtol=1e-6)
        assert 102 % 4

"""Tasks of windows of series, no two of which overlap: those of recipes of practice."""

from __future__ import annotations

import numpy as np

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
from hessdiag.zoo.tasks._dataset import (
    make_classification_dataset,
    make_regression_dataset,
    practice_task,
    task_seed,
)


def cut_windows(series, length):
    """Return the windows (n_windows, length, n_channels) of a series, one after the other."""
    n_windows = len(series) // length
    return series[: n_windows * length].reshape(n_windows, length, series.shape[1])


def make_earth(name, parent):
    """Return the length of 32 days, less that of the last, and how far it changes in the next 5."""
    cut = cut_windows(read_earth_rotation()[:, 4:], 32 + 5)
    last = cut[:, 31:32]
    return _values(name, parent, cut[:, :32] - last, cut[:, -1, 0] - last[:, 0, 0])


def make_temperatures(name, parent, question):
    """Return the usual temperatures of two cities in a year, hour by hour.

    Days, less their mean, and in which city or in which quarter of the year each is; halves of
    days that begin at some hour, and at which quarter of the day that is; 18 hours, and how far
    the temperature changes in the next six.
    """
    both = np.stack([read_temperatures("sf"), read_temperatures("seattle")])
    rng = np.random.default_rng(task_seed(name))
    if question in ("city", "season"):
        days = both.reshape(-1, 24, 1)
        quarter = np.minimum(np.arange(365) // 91, 3)
        labels = {"city": np.repeat([0, 1], 365), "season": np.tile(quarter, 2)}[question]
        return _classes(name, parent, days - days.mean(axis=1, keepdims=True), labels)
    hourly = both.reshape(2, -1)
    windows, answers = [], []
    for city in hourly:
        start = 0
        while start + 24 <= len(city):
            window = city[start : start + 24]
            windows.append(window[:12] if question == "hour" else window[:18])
            windows[-1] = windows[-1] - windows[-1].mean()
            answers.append(start % 24 // 6 if question == "hour" else window[23] - window[17])
            # Some hours are left out, for windows to begin at all of them.
            start += 24 + int(rng.integers(0, 12))
    windows = np.stack(windows)[:, :, None]
    if question == "hour":
        return _classes(name, parent, windows, answers)
    return _values(name, parent, windows, answers)


def make_seattle(name, parent, question):
    """Return three days of precipitation, temperatures and wind, and what comes next.

    How warm the next day will be, or whether it rains.
    """
    days, _ = read_seattle_weather()
    cut = cut_windows(days, 4)
    rain = np.log1p(cut[:, :3, :1])
    past = np.concatenate([rain, cut[:, :3, 1:]], axis=2)
    if question == "rain":
        return _classes(name, parent, past, cut[:, 3, 0] > 0)
    return _values(name, parent, past, cut[:, 3, 1])


def make_stocks(name, parent, question):
    """Return 16 days of stocks: of which one, from when, or how restless the next 8 will be.

    Channels are the logarithms of the highest over the lowest price, of the closing price over that
    of the day before, and of the volume: over that of the first day, unless the question is which
    stock it is.
    """
    windows, ahead, tickers, years = [], [], [], []
    for ticker, days in read_stocks().items():
        change = np.diff(days[:, 2], prepend=days[0, 2])
        cut = cut_windows(np.column_stack([days, change]), 24)
        volume = cut[:, :16, 3] - (0 if question == "ticker" else cut[:, :1, 3])
        windows.append(np.stack([cut[:, :16, 1], cut[:, :16, 4], volume], axis=2))
        ahead.append(np.log(cut[:, 16:, 1].mean(axis=1)))
        tickers += [ticker] * len(cut)
        years.append(cut[:, 0, 0])
    windows, years = np.concatenate(windows), np.concatenate(years)
    if question == "restless":
        return _values(name, parent, windows, np.concatenate(ahead))
    if question == "period":
        return _classes(name, parent, windows, np.digitize(years, [2004, 2009]))
    return _classes(name, parent, windows, tickers)


def make_glucose(name, parent, question):
    """Return two hours of one person's blood sugar, every five minutes.

    By how much it will have changed in half an hour; or instead the current of the sensor, and how
    much sugar there is at last.
    """
    runs = _unbroken(read_glucose(), step=5, slack=1)
    cut = np.concatenate([cut_windows(run, 24 + 6) for run in runs])
    if question == "change":
        return _values(name, parent, cut[:, :24, 2:], cut[:, -1, 2] - cut[:, 23, 2])
    return _values(name, parent, cut[:, :24, 1:2], cut[:, 23, 2])


def make_sea(name, parent):
    """Return the sea's temperature in 20 hours, less its mean, and the quarter of the year."""
    runs = _unbroken(read_sea_temperature(), step=0.5, slack=0.01)
    cut = np.concatenate([cut_windows(run, 40) for run in runs])
    past = cut[:, :, 1:] - cut[:, :, 1:].mean(axis=1, keepdims=True)
    # The readings begin in the middle of February.
    return _classes(name, parent, past, cut[:, 0, 0] // (24 * 365.25 / 4) % 4)


def make_ride(name, parent):
    """Return ten seconds of power, cadence and climb of a ride, and how fast it went on average."""
    cut = cut_windows(read_ride(), 10)
    climb = cut[:, :, :1] - cut[:, :1, :1]
    return _values(
        name, parent, np.concatenate([climb, cut[:, :, 1:3]], axis=2), cut[:, :, 3].mean(axis=1)
    )


def make_populations(name, parent, question):
    """Return the shares of each age among the men and women of a country, in every tenth year.

    By how much they will all have grown in ten years, or from which twenty years it is.
    """
    frame = read_populations()
    tens = frame[frame.index.get_level_values("Year") % 10 == 0]
    women, men = tens.xs("Female", level="Sex"), tens.xs("Male", level="Sex")
    counts = np.stack([women.to_numpy(float), men.to_numpy(float)], axis=2)
    total = counts.sum(axis=(1, 2))
    shares = counts / total[:, None, None]
    places, years = (men.index.get_level_values(level).to_numpy() for level in (0, 1))
    if question == "period":
        known = years <= 2020
        return _classes(name, parent, shares[known], (years[known] - 1950) // 20)
    followed = (places[1:] == places[:-1]) & (np.diff(years) == 10)
    growth = np.log(total[1:] / total[:-1])
    return _values(name, parent, shares[:-1][followed], growth[followed])


def make_nations(name, parent, question):
    """Return twelve years of a nation's fertility and life expectancy: its region, or its growth.

    The growth of its population in these years.
    """
    windows, regions, growth = [], [], []
    for _, rows in read_nations().groupby("country"):
        cut = cut_windows(rows[["fertility", "life_expectancy", "population"]].to_numpy(float), 12)
        windows.append(cut[:, :, :2])
        regions += [rows["region"].iloc[0]] * len(cut)
        growth.append(np.log(cut[:, -1, 2] / cut[:, 0, 2]))
    if question == "growth":
        return _values(name, parent, np.concatenate(windows), np.concatenate(growth))
    return _classes(name, parent, np.concatenate(windows), regions)


def make_spectra(name, parent, covers=None, hidden=None):
    """Return spectra of light from fields and woods: what grows there, or one band from others.

    Every fourth band of every other pixel in both directions; of the eleven covers met most often,
    or of some. The band to be told is one of those between.
    """
    scene, cover = read_spectra()
    scene, cover = scene[::2, ::2].reshape(-1, 200), cover[::2, ::2].ravel()
    if hidden is not None:
        spectra = scene[:, ::4]
        level = spectra.mean(axis=1, keepdims=True)
        return _values(name, parent, (spectra / level)[:, :, None], scene[:, hidden] / level[:, 0])
    if covers is None:
        covers = np.argsort(-np.bincount(cover)[1:], kind="stable")[:11] + 1
    kept = np.isin(cover, covers)
    return _classes(name, parent, scene[kept, ::4][:, :, None], cover[kept])


def _unbroken(readings, step, slack):
    """Return the parts of readings in which each comes a step of time after the one before."""
    breaks = np.flatnonzero(np.abs(np.diff(readings[:, 0]) - step) > slack) + 1
    return np.split(readings, breaks)


def _classes(name, parent, windows, labels):
    """Return a classification task of windows (n_windows, length, n_channels)."""
    flat, shape = _channels_first(windows)
    return make_classification_dataset(name, parent, flat, labels, shape=shape)


def _values(name, parent, windows, values):
    """Return a regression task of windows."""
    flat, shape = _channels_first(windows)
    return make_regression_dataset(name, parent, flat, values, shape=shape)


def _channels_first(windows):
    """Return flat rows, one channel after the other, and what they reshape to."""
    turned = windows.transpose(0, 2, 1)
    return turned.reshape(len(windows), -1), turned.shape[1:]


WINDOW_TASKS = {
    "earth-rotation": practice_task(make_earth, "earth-rotation"),
    "temperatures": practice_task(make_temperatures, "temperatures", question="city"),
    "temperatures-season": practice_task(make_temperatures, "temperatures", question="season"),
    "temperatures-hour": practice_task(make_temperatures, "temperatures", question="hour"),
    "temperatures-change": practice_task(make_temperatures, "temperatures", question="change"),
    "seattle": practice_task(make_seattle, "seattle", question="warm"),
    "seattle-rain": practice_task(make_seattle, "seattle", question="rain"),
    "stocks": practice_task(make_stocks, "stocks", question="ticker"),
    "stocks-period": practice_task(make_stocks, "stocks", question="period"),
    "stocks-restless": practice_task(make_stocks, "stocks", question="restless"),
    "glucose": practice_task(make_glucose, "glucose", question="change"),
    "glucose-sensor": practice_task(make_glucose, "glucose", question="sensor"),
    "sea": practice_task(make_sea, "sea"),
    "ride": practice_task(make_ride, "ride"),
    "populations": practice_task(make_populations, "populations", question="growth"),
    "populations-period": practice_task(make_populations, "populations", question="period"),
    "nations": practice_task(make_nations, "nations", question="region"),
    "nations-growth": practice_task(make_nations, "nations", question="growth"),
    "spectra": practice_task(make_spectra, "spectra"),
    "spectra-tillage": practice_task(make_spectra, "spectra", covers=(2, 10, 11)),
    "spectra-hidden": practice_task(make_spectra, "spectra", hidden=102),
}

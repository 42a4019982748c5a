"""Series: each number is the one that stands in the file, read line by line."""

import csv
import gzip
import importlib.util
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

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

pytest.importorskip("pandas")


def folder(package):
    spec = importlib.util.find_spec(package)
    if spec is None:
        pytest.skip(f"{package} is not installed")
    return Path(spec.origin).parent


def rows(package, name):
    """Rows of a file as dicts of strings."""
    path = folder(package) / "_data" / name
    content = path.read_bytes()
    text = (gzip.decompress(content) if name.endswith("gz") else content).decode()
    return list(csv.DictReader(text.splitlines()))


def test_earth_rotation():
    path = folder("astropy_iers_data") / "data/eopc04.1962-now"
    lines = [line.split() for line in path.read_text().splitlines() if line[0] != "#"]
    days = read_earth_rotation()
    assert (lines[0][:3], lines[len(days) - 1][:3]) == (["1962", "1", "1"], ["2020", "12", "31"])
    for index in (0, 5000, len(days) - 1):
        line = lines[index]
        # Format of the file: year, month, day, hour, MJD, x, y, UT1-UTC, dX, dY, rates, LOD in s.
        expected = [float(line[place]) for place in (1, 2, 5, 6)] + [1000 * float(line[12])]
        np.testing.assert_allclose(days[index], expected, rtol=1e-12)
    # The pole wanders within an arc second, and days are longer by 4 ms at most.
    assert np.abs(days[:, 2:4]).max() < 1
    assert np.abs(days[:, 4]).max() < 5


@pytest.mark.parametrize("city", ["sf", "seattle"])
def test_temperatures(city):
    hours = read_temperatures(city)
    assert hours.shape == (365, 24)
    n_found = 0
    for row in rows("vega_datasets", f"{city}-temps.csv"):
        moment = datetime.strptime(row["date"][:16], "%Y/%m/%d %H:%M")
        day = (moment - datetime(2010, 1, 1)).days
        n_found += hours[day, moment.hour] == float(row["temp"])
    assert n_found >= 8750


def test_seattle_weather():
    days, kinds = read_seattle_weather()
    lines = rows("vega_datasets", "seattle-weather.csv")
    names = ("precipitation", "temp_max", "temp_min", "wind")
    np.testing.assert_array_equal(days, [[float(line[name]) for name in names] for line in lines])
    assert kinds.tolist() == [line["weather"] for line in lines]


def test_stocks():
    lines = rows("bokeh_sampledata", "stocks.csv.gz")
    for ticker, days in read_stocks().items():
        of_ticker = [line for line in lines if line["Ticker"] == ticker]
        assert len(of_ticker) == len(days)
        assert (np.diff(days[:, 0]) > 0).all()
        for index in (0, 1000, len(days) - 1):
            line = of_ticker[index]
            date = datetime.strptime(line["Date"], "%Y-%m-%d")
            year = date.year + (date.timetuple().tm_yday - 1) / 366
            high, low, close, volume = (
                float(line[name]) for name in ("High", "Low", "Adj Close", "Volume")
            )
            expected = [year, np.log(high / low), np.log(close), np.log(volume)]
            np.testing.assert_allclose(days[index], expected, rtol=1e-9)


def test_glucose():
    lines = [
        line
        for line in rows("bokeh_sampledata", "CGM.csv.gz")
        if line["isig"] not in ("", "nil") and line["glucose"] not in ("", "nil")
    ]
    first = min(datetime.fromisoformat(line["datetime"]) for line in lines)
    midnight = first.replace(hour=0, minute=0, second=0)
    expected = [
        (
            (datetime.fromisoformat(line["datetime"]) - midnight).total_seconds() / 60,
            float(line["isig"]),
            float(line["glucose"]),
        )
        for line in lines
    ]
    readings = read_glucose()
    assert (np.diff(readings[:, 0]) >= 0).all()
    np.testing.assert_allclose(readings, sorted(expected, key=lambda row: row[0]))


def test_sea_temperature():
    lines = rows("bokeh_sampledata", "sea_surface_temperature.csv.gz")
    values = [float(line["temperature (celsius)"]) for line in lines]
    readings = read_sea_temperature()
    np.testing.assert_array_equal(readings[:, 1], values)
    moments = [datetime.fromisoformat(line["time (UTC)"].rstrip("Z")) for line in lines[::1000]]
    hours = [(moment - moments[0]).total_seconds() / 3600 for moment in moments]
    np.testing.assert_allclose(readings[::1000, 0], hours)


def test_ride():
    names = ("altitude", "power", "cadence", "speed")
    lines = rows("bokeh_sampledata", "cycling.csv.gz")
    np.testing.assert_allclose(read_ride(), [[float(line[n]) for n in names] for line in lines])


@pytest.mark.slow
def test_populations():
    frame = read_populations()
    lines = rows("bokeh_sampledata", "population.csv.gz")
    wanted = ("France", "1980", "Female")
    of_france = {
        int(line["AgeGrpStart"]): float(line["Value"])
        for line in lines
        if (line["Location"], line["Year"], line["Sex"]) == wanted
    }
    assert frame.loc[("France", 1980, "Female")].to_dict() == of_france
    places = set(frame.index.get_level_values("Location"))
    assert 200 <= len(places) <= 240
    assert not {"World", "Africa", "Eastern Europe"} & places


def test_nations():
    frame = read_nations()
    regions = {
        line["Country"]: line["Group"] for line in rows("bokeh_sampledata", "gapminder_regions.csv")
    }
    lines = {
        (line["country"], int(line["year"])): line
        for line in rows("bokeh_sampledata", "gapminder.csv.gz")
    }
    for _, row in frame.iloc[::97].iterrows():
        line = lines[row["country"], row["year"]]
        for name in ("fertility", "life_expectancy", "population"):
            assert row[name] == float(line[name])
        assert row["region"] == regions[row["country"]]
    assert not frame.isna().any(axis=None)


def test_spectra_are_those_of_the_scene():
    scene, cover = read_spectra()
    assert (scene.shape, cover.shape) == ((145, 145, 200), (145, 145))
    # How many pixels each of the 16 covers has is told with the scene.
    counts = [46, 1428, 830, 237, 483, 730, 28, 478, 20, 972, 2455, 593, 205, 1265, 386, 93]
    assert np.bincount(cover.ravel())[1:].tolist() == counts
    assert 500 < scene.min() < scene.max() < 10_000

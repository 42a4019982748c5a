"""Series: of the earth's rotation, weather, the sea, stocks, blood, rides, nations, spectra."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from hessdiag.optional import import_optional
from hessdiag.zoo.sources._files import packaged_file

if TYPE_CHECKING:
    import pandas as pd

# The series of the earth's rotation grows by the week: what is read ends here, with the year 2020.
N_DAYS = 21550


@lru_cache(maxsize=1)
def read_earth_rotation() -> np.ndarray:
    """Read how the earth turned on each day from 1962 to 2020.

    The series EOP 20 C04 of the International Earth Rotation Service, in the package
    astropy-iers-data (BSD licence).

    Returns
    -------
    days : ndarray of float64 of shape (21550, 5)
        Month, day of the month, the pole's two coordinates in arc seconds, and by how many
        milliseconds the day was too long.
    """
    path = packaged_file("astropy_iers_data", "data/eopc04.1962-now")
    columns = (1, 2, 5, 6, 12)
    with path.open() as file:
        lines = list(islice((line for line in file if not line.startswith("#")), N_DAYS))
    days = np.loadtxt(lines, usecols=columns)
    days[:, 4] *= 1000
    return days


def read_temperatures(city: str) -> np.ndarray:
    """Read the usual temperature of each hour of a year.

    Normals of the National Oceanic and Atmospheric Administration (public domain), as
    vega-datasets has them.

    Parameters
    ----------
    city : {"sf", "seattle"}
        San Francisco or Seattle.

    Returns
    -------
    hours : ndarray of float64 of shape (365, 24)
        Degrees Fahrenheit; missing hours are drawn straight from those beside them.
    """
    frame = _read_csv("vega_datasets", f"_data/{city}-temps.csv", parse_dates=["date"])
    hourly = frame.groupby("date")["temp"].mean().asfreq("h").interpolate()
    first = hourly.index[0].normalize()
    pandas = import_optional("pandas", "zoo", "The zoo's data")
    hours = pandas.date_range(first, periods=365 * 24, freq="h")
    return hourly.reindex(hours).ffill().bfill().to_numpy(float).reshape(365, 24)


def read_seattle_weather() -> tuple[np.ndarray, np.ndarray]:
    """Read the weather of Seattle on each day of four years.

    From the National Oceanic and Atmospheric Administration (public domain), as vega-datasets has
    it.

    Returns
    -------
    days : ndarray of float64 of shape (1461, 4)
        Precipitation in mm, highest and lowest temperature in °C, wind in m/s.
    kinds : ndarray of str of shape (1461,)
        What the weather was like: sun, rain and so on.
    """
    frame = _read_csv("vega_datasets", "_data/seattle-weather.csv")
    columns = ["precipitation", "temp_max", "temp_min", "wind"]
    return frame[columns].to_numpy(float), frame["weather"].to_numpy(str)


@lru_cache(maxsize=1)
def read_stocks() -> dict[str, np.ndarray]:
    """Read the prices of stocks on the days of 2000 to 2013.

    Quandl's WIKI prices (public domain), as bokeh-sampledata has them.

    Returns
    -------
    stocks : dict of str to ndarray of float64 of shape (n_days, 4)
        Of Apple, Google, IBM and Microsoft: the day in years, logarithms of the highest over the
        lowest price, of the adjusted closing price, and of the volume.
    """
    frame = _read_csv("bokeh_sampledata", "_data/stocks.csv.gz", parse_dates=["Date"])
    stocks = {}
    for ticker in ("AAPL", "GOOG", "IBM", "MSFT"):
        rows = frame[frame["Ticker"] == ticker]
        year = rows["Date"].dt.year + (rows["Date"].dt.dayofyear - 1) / 366
        ranges = np.log(rows["High"] / rows["Low"])
        close, volume = np.log(rows["Adj Close"]), np.log(rows["Volume"])
        stocks[ticker] = np.stack([year, ranges, close, volume], axis=1).astype(float)
    return stocks


@lru_cache(maxsize=1)
def read_glucose() -> np.ndarray:
    """Read the sugar in one person's blood, every five minutes.

    Given to the authors of bokeh-sampledata (public domain).

    Returns
    -------
    readings : ndarray of float64 of shape (n_readings, 3)
        Minutes since the first midnight, current of the sensor in nA, glucose in mg/dl.
    """
    frame = _read_csv(
        "bokeh_sampledata", "_data/CGM.csv.gz", parse_dates=["datetime"], na_values="nil"
    )
    frame = frame.dropna().sort_values("datetime", kind="stable")
    since = frame["datetime"] - frame["datetime"].iloc[0].normalize()
    minutes = since.dt.total_seconds().to_numpy() / 60
    values = frame[["isig", "glucose"]].to_numpy(float)
    return np.column_stack([minutes, values])


@lru_cache(maxsize=1)
def read_sea_temperature() -> np.ndarray:
    """Read the temperature at the surface of the sea off Maine, every half hour.

    From the buoys of NERACOOS (free to use), as bokeh-sampledata has them.

    Returns
    -------
    readings : ndarray of float64 of shape (n_readings, 2)
        Hours since the first reading, degrees Celsius.
    """
    path = "_data/sea_surface_temperature.csv.gz"
    frame = _read_csv("bokeh_sampledata", path, parse_dates=["time (UTC)"]).dropna()
    time = frame["time (UTC)"]
    hours = (time - time.iloc[0]).dt.total_seconds() / 3600
    return np.column_stack([hours, frame["temperature (celsius)"]]).astype(float)


def read_ride() -> np.ndarray:
    """Read the instruments of a bicycle on a ride, every second.

    Given to bokeh-sampledata (CC0).

    Returns
    -------
    seconds : ndarray of float64 of shape (n_seconds, 4)
        Altitude in m, power in W, cadence in turns per minute, speed in m/s.
    """
    frame = _read_csv("bokeh_sampledata", "_data/cycling.csv.gz")
    return frame[["altitude", "power", "cadence", "speed"]].to_numpy(float)


@lru_cache(maxsize=1)
def read_populations() -> pd.DataFrame:
    """Read how many people of each age lived in each country.

    From the United Nations' World Population Prospects (CC BY 3.0 IGO), as bokeh-sampledata has
    them.

    Returns
    -------
    populations : pandas.DataFrame
        One row for each country, year and sex, which are its index; columns are the first years
        of groups of age. Sorted.
    """
    frame = _read_csv("bokeh_sampledata", "_data/population.csv.gz")
    # From 900 on numbers stand for continents and the like.
    frame = frame[frame["Sex"].isin(["Male", "Female"]) & (frame["LocID"] < 900)]
    keys = ["Location", "Year", "Sex", "AgeGrpStart"]
    return frame.set_index(keys)["Value"].unstack("AgeGrpStart").sort_index().dropna()


@lru_cache(maxsize=1)
def read_nations() -> pd.DataFrame:
    """Read the fertility, life expectancy and population of nations in each year.

    From Gapminder (CC BY 2.0), as bokeh-sampledata has them.

    Returns
    -------
    nations : pandas.DataFrame
        Columns country, year, fertility, life_expectancy, population and region; sorted, without
        rows where one is missing.
    """
    frame = _read_csv("bokeh_sampledata", "_data/gapminder.csv.gz")
    regions = _read_csv("bokeh_sampledata", "_data/gapminder_regions.csv")
    frame["region"] = frame["country"].map(regions.set_index("Country")["Group"].to_dict())
    return frame.dropna().sort_values(["country", "year"]).reset_index(drop=True)


def read_spectra() -> tuple[np.ndarray, np.ndarray]:
    """Read the light that fields and woods in Indiana reflect, in many narrow bands.

    The scene Indian Pines of the AVIRIS sensor (Baumgardner, Biehl and Landgrebe, 2015; CC BY 3.0),
    as tensorly has it.

    Returns
    -------
    scene : ndarray of float64 of shape (145, 145, 200)
        Light in each band.
    cover : ndarray of int64 of shape (145, 145)
        What grows there, from 1 to 16; 0 where that is not known.
    """
    folder = "datasets/data/Indian_pines"
    scene = np.load(packaged_file("tensorly", f"{folder}_corrected.npy"))
    cover = np.load(packaged_file("tensorly", f"{folder}_gt.npy"))
    return scene.astype(float), cover.astype(np.int64)


def _read_csv(package, name, **arguments):
    """Return a table that a package brings along."""
    pandas = import_optional("pandas", "zoo", "The zoo's data")
    return pandas.read_csv(packaged_file(package, name), **arguments)

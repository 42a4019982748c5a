"""Real data that packages bring along, as arrays: pictures, series, texts.

Nothing here knows of tasks, and nothing is downloaded. What each source is, and on what terms its
authors give it, stands in the docstring of the function that reads it.
"""

from hessdiag.zoo.sources._code import (
    read_entities,
    read_lines,
)
from hessdiag.zoo.sources._drawings import (
    FONTS,
    draw_letters,
    read_graphs,
)
from hessdiag.zoo.sources._files import (
    packaged_file,
)
from hessdiag.zoo.sources._pictures import (
    PICTURES,
    read_colors,
    read_disparity,
    read_faces,
    read_picture,
)
from hessdiag.zoo.sources._series import (
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
from hessdiag.zoo.sources._words import (
    read_cities,
    read_color_names,
    read_strings,
    read_words,
    without_accents,
)

__all__ = [
    "FONTS",
    "PICTURES",
    "draw_letters",
    "packaged_file",
    "read_cities",
    "read_color_names",
    "read_colors",
    "read_disparity",
    "read_earth_rotation",
    "read_entities",
    "read_faces",
    "read_glucose",
    "read_graphs",
    "read_lines",
    "read_nations",
    "read_picture",
    "read_populations",
    "read_ride",
    "read_sea_temperature",
    "read_seattle_weather",
    "read_spectra",
    "read_stocks",
    "read_strings",
    "read_temperatures",
    "read_words",
    "without_accents",
]

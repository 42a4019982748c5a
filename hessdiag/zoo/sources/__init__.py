"""Real data that packages bring along, as arrays: pictures, series, texts.

Nothing here knows of tasks, and nothing is downloaded. What each source is, and on what terms its
authors give it, stands in the docstring of the function that reads it.
"""

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

__all__ = [
    "PICTURES",
    "packaged_file",
    "read_colors",
    "read_disparity",
    "read_faces",
    "read_picture",
]

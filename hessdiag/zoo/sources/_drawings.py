"""Small images that are drawn: letters of fonts, and matrices of graphs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hessdiag.optional import import_optional
from hessdiag.zoo.sources._files import packaged_file

#: Files of the fonts that Matplotlib brings along, by family, weight and slant. DejaVu is free to
#: use, STIX is under the SIL Open Font License, and Computer Modern is Knuth's (BaKoMa licence).
FONTS = {
    ("sans", "regular", "upright"): "DejaVuSans",
    ("sans", "bold", "upright"): "DejaVuSans-Bold",
    ("sans", "regular", "slanted"): "DejaVuSans-Oblique",
    ("sans", "bold", "slanted"): "DejaVuSans-BoldOblique",
    ("mono", "regular", "upright"): "DejaVuSansMono",
    ("mono", "bold", "upright"): "DejaVuSansMono-Bold",
    ("mono", "regular", "slanted"): "DejaVuSansMono-Oblique",
    ("mono", "bold", "slanted"): "DejaVuSansMono-BoldOblique",
    ("serif", "regular", "upright"): "DejaVuSerif",
    ("serif", "bold", "upright"): "DejaVuSerif-Bold",
    ("serif", "regular", "slanted"): "DejaVuSerif-Italic",
    ("serif", "bold", "slanted"): "DejaVuSerif-BoldItalic",
    ("stix", "regular", "upright"): "STIXGeneral",
    ("stix", "bold", "upright"): "STIXGeneralBol",
    ("stix", "regular", "slanted"): "STIXGeneralItalic",
    ("stix", "bold", "slanted"): "STIXGeneralBolIta",
    ("modern", "regular", "upright"): "cmr10",
    ("modern", "bold", "upright"): "cmb10",
    ("modern", "regular", "slanted"): "cmti10",
}


@lru_cache(maxsize=4)
def draw_letters(letters: str, side: int, sizes: tuple[int, ...]) -> tuple[np.ndarray, list]:
    """Draw letters in every font, as Pillow does.

    Parameters
    ----------
    letters : str
        Which letters.
    side : int
        Height and width of each image.
    sizes : tuple of int
        Sizes of the fonts in pixels.

    Returns
    -------
    images : ndarray of float64 of shape (n_images, side, side)
        Ink from 0 to 255, the letter's box in the middle.
    what : list of (letter, family, weight, slant, size)
        What each is.
    """
    fonts = import_optional("PIL.ImageFont", "zoo", "Drawing letters")
    drawing = import_optional("PIL.ImageDraw", "zoo", "Drawing letters")
    image = import_optional("PIL.Image", "zoo", "Drawing letters")
    images, what = [], []
    for (family, weight, slant), file in FONTS.items():
        path = str(packaged_file("matplotlib", f"mpl-data/fonts/ttf/{file}.ttf"))
        for size in sizes:
            # The basic layout is the one that every build of Pillow has.
            font = fonts.truetype(path, size, layout_engine=fonts.Layout.BASIC)
            for letter in letters:
                canvas = image.new("L", (side, side))
                left, top, right, bottom = font.getbbox(letter)
                corner = ((side - left - right) // 2, (side - top - bottom) // 2)
                drawing.Draw(canvas).text(corner, letter, fill=255, font=font)
                images.append(np.asarray(canvas, dtype=np.float64))
                what.append((letter, family, weight, slant, size))
    return np.stack(images), what


def read_graphs() -> list[np.ndarray]:
    """Read the atlas of all graphs of five to seven nodes (Read and Wilson, 1998).

    As networkx (BSD licence) has them; torch needs that package, too.

    Returns
    -------
    adjacency : list of ndarray of bool of shape (n_nodes, n_nodes)
        Which nodes are joined.
    """
    networkx = import_optional("networkx", "zoo", "The zoo's data")
    graphs = [graph for graph in networkx.graph_atlas_g() if len(graph) >= 5]
    return [networkx.to_numpy_array(graph, nodelist=sorted(graph)) > 0 for graph in graphs]

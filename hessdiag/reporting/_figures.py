"""Images of the layer spectra, a file per network."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hessdiag.plotting import LayerSpectraDisplay, figure_bytes
from hessdiag.reporting._words import case_names, check_reports, percent, telling_layers
from hessdiag.resumable import write_atomically

if TYPE_CHECKING:
    from hessdiag.diagnosis import DiagnosisReport

#: Layers drawn at most: as many panels are legible on a page.
MAX_LAYERS = 12

# Dots per inch of the images: sharp on a screen of high density, and 200 kB or so.
_RESOLUTION = 150


def write_figures(reports: Sequence[DiagnosisReport], folder: str | os.PathLike[str]) -> list[Path]:
    """Write an image of the layer spectra for each network.

    Parameters
    ----------
    reports : list of DiagnosisReport
        What `FitDiagnoser.explain` returned, for one network or more.
    folder : path-like
        Where to write; made where it does not exist.

    Returns
    -------
    paths : list of pathlib.Path
        The PNG files, ``spectra-<name>.png``, in the order of the reports; those without spectra
        (reports made from a table of measures) have none. Names are reduced to letters, digits,
        dots and dashes, and equal ones are numbered.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError
        If `reports` is not a list of reports.
    ValueError
        If it is empty.

    See Also
    --------
    write_html : Writes a page with the same spectra.

    Examples
    --------
    >>> from hessdiag.reporting import write_figures
    >>> write_figures([], "figures")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: Expected at least one DiagnosisReport, found an empty list. ...
    """
    reports = check_reports(reports)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = case_names(reports)
    paths = []
    for report, name, stem in zip(reports, names, file_stems(names)):
        if not has_spectra(report):
            continue
        share = percent(float(report.probabilities[report.diagnosis]))
        display = LayerSpectraDisplay.from_spectra(
            report.examination,
            title=f"{name}: {report.diagnosis} ({share})",
            layers=drawn_layers(report),
        )
        path = folder / f"spectra-{stem}.png"
        write_atomically(path, figure_bytes(display.figure_, dpi=_RESOLUTION))
        paths.append(path)
    return paths


def has_spectra(report):
    """Whether a report carries the spectra that its diagnosis rests on."""
    layers = getattr(report.examination, "layers", ())
    return bool(layers) and all(hasattr(layer, "spectrum") for layer in layers)


def drawn_layers(report):
    """Name the layers to draw: all, or those of largest weight for the diagnosis."""
    names = [layer.name for layer in report.examination.layers]
    if len(names) <= MAX_LAYERS:
        return names
    telling = set(telling_layers(report, MAX_LAYERS))
    return [name for name in names if name in telling] or names[:MAX_LAYERS]


def file_stems(names):
    """Turn names into parts of file names that differ on any file system."""
    stems, taken = [], set()
    for name in names:
        plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
        base = re.sub(r"[^A-Za-z0-9.]+", "-", plain).strip("-.")[:60].rstrip("-.") or "network"
        stem, count = base, 1
        while stem.lower() in taken:
            count += 1
            stem = f"{base}-{count}"
        taken.add(stem.lower())
        stems.append(stem)
    return stems

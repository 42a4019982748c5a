"""StudyTables: all that a study found out, as tables."""

from __future__ import annotations

import gzip
import io
import json
import os
from dataclasses import dataclass, fields
from pathlib import Path

from hessdiag.optional import import_optional
from hessdiag.resumable import write_atomically


@dataclass(frozen=True, eq=False)
class StudyTables:
    """All that a study found out. Losses are in units of the task's null loss.

    Parameters
    ----------
    experiments : pandas.DataFrame
        A row per experiment: data set, regime, recipe, losses, diagnosis.
    evolution : pandas.DataFrame
        A row per experiment, checkpoint and layer: losses and every measure.
    regularities : pandas.DataFrame
        A row per statement: where it holds, with its interval.
    correlations : pandas.DataFrame
        A row per measure, place, time and target: rank correlations with their intervals.
    coupling : pandas.DataFrame
        A row per experiment, checkpoint and pair of layers.
    students : pandas.DataFrame
        A row per student network of known teacher and place.
    expressivity : pandas.DataFrame
        A row per measure and place: how it follows the width that is needed.
    claims : pandas.DataFrame
        What these tables say of the claims of the paper.
    about : dict
        Command, commit, versions, settings, duration.
    """

    experiments: object
    evolution: object
    regularities: object
    correlations: object
    coupling: object
    students: object
    expressivity: object
    claims: object
    about: dict

    def save(self, folder: str | os.PathLike[str], compress: bool = False) -> list[Path]:
        """Write a CSV file for each table, and ``about.json``, in place of older ones.

        Parameters
        ----------
        folder : str or path-like
            Where to write.
        compress : bool, default=False
            Whether to write ``.csv.gz``.

        Returns
        -------
        paths : list of pathlib.Path
            The files; the same tables give the same bytes.
        """
        paths = []
        for name in _names():
            text = getattr(self, name).to_csv(index=False, float_format="%.6g", lineterminator="\n")
            plain, packed = (Path(folder) / (name + suffix) for suffix in (".csv", ".csv.gz"))
            content = text.encode()
            path, other = (packed, plain) if compress else (plain, packed)
            write_atomically(path, _compressed(content) if compress else content)
            # An older table of the other kind would be read instead of this one.
            other.unlink(missing_ok=True)
            paths.append(path)
        paths.append(Path(folder) / "about.json")
        write_atomically(paths[-1], json.dumps(self.about, indent=1).encode())
        return paths

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> StudyTables:
        """Read what `save` wrote.

        Parameters
        ----------
        folder : str or path-like
            Folder of the files.

        Returns
        -------
        tables : StudyTables
            The tables.

        Raises
        ------
        FileNotFoundError
            If a table is missing.
        """
        pandas = import_optional("pandas", "zoo", "The study")
        found = {}
        for name in _names():
            paths = [Path(folder) / f"{name}.csv", Path(folder) / f"{name}.csv.gz"]
            present = [path for path in paths if path.exists()]
            if not present:
                raise FileNotFoundError(
                    f"Expected {paths[0]} or {paths[1].name}, found neither. "
                    f"Make the tables first: hessdiag study --out {folder}"
                )
            # What is empty is a number that does not exist, or a text without content.
            frame = pandas.read_csv(present[0], keep_default_na=False, na_values=[""])
            found[name] = frame
        about = json.loads((Path(folder) / "about.json").read_text())
        return cls(**found, about=about)


def _names():
    """Names of the tables."""
    return [field.name for field in fields(StudyTables) if field.name != "about"]


def _compressed(content):
    """Compress without a time stamp, so that the same content gives the same bytes."""
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0, filename="") as file:
        file.write(content)
    return stream.getvalue()

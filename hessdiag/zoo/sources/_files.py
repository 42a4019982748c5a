"""Find the files that packages bring along."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from hessdiag.optional import import_optional

#: What pip calls the packages whose module has another name.
DISTRIBUTIONS = {
    "pywt": "PyWavelets",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "spellchecker": "pyspellchecker",
}


def packaged_file(package: str, name: str) -> Path:
    """Return the path of a file inside an installed package; nothing is downloaded.

    Parameters
    ----------
    package : str
        Name of the module.
    name : str
        Path of the file inside its folder.

    Returns
    -------
    path : pathlib.Path
        Where it is.

    Raises
    ------
    ImportError
        If the package is not installed.
    FileNotFoundError
        If this release of the package lacks the file.
    """
    spec = find_spec(package)
    if spec is None or not spec.origin:
        import_optional(package, "zoo", "The zoo's data")  # says how to get it
    # The package itself is not run: some take seconds to start.
    path = Path(str(spec and spec.origin)).parent / name
    if not path.is_file():
        distribution = DISTRIBUTIONS.get(package, package.replace("_", "-"))
        raise FileNotFoundError(
            f"Expected the file {name} in the package {distribution}, found that the release "
            f"installed has none. Install another one: "
            f'pip install --upgrade "hessdiag[zoo]" {distribution}'
        )
    return path

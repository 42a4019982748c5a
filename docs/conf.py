"""Sphinx settings."""

from hessdiag import __version__

project = "hessdiag"
version = release = __version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
]
numpydoc_show_class_members = False
autosummary_generate = True
html_theme = "alabaster"
exclude_patterns = ["_build"]
# scikit-learn's own docstrings, inherited here, refer to its user guide.
suppress_warnings = ["ref.ref"]

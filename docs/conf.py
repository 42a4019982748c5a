"""Sphinx settings."""

import sys
from pathlib import Path

from hessdiag import __version__
from hessdiag.features.measures import measures_page

sys.path.insert(0, str(Path(__file__).parent))
from _api_page import api_page

# The page of measures is made from their records at every build, so that none can be missing.
Path(__file__).with_name("measures.rst").write_text(measures_page(), encoding="utf-8")
# So is the reference, from what the packages export.
Path(__file__).with_name("api.rst").write_text(api_page(), encoding="utf-8")

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
# Types stand in the sections of parameters, in words.
autodoc_typehints = "none"
html_theme = "alabaster"
exclude_patterns = ["_build"]
# scikit-learn's own docstrings, inherited here, refer to its user guide.
suppress_warnings = ["ref.ref"]

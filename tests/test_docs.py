"""The reference page names everything that is public, and nothing else."""

import importlib
import importlib.util
import pkgutil
import re
from pathlib import Path

import pytest

import hessdiag

DOCS = Path(__file__).parents[1] / "docs"


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def listed():
    """The names that the page lists, with duplicates, by the package of their section."""
    page = load(DOCS / "_api_page.py").api_page()
    _, *sections = re.split(r"(?m)^\.\. currentmodule:: (\S+)$", page)
    found = {}
    for package, text in zip(sections[::2], sections[1::2], strict=True):
        assert package not in found
        pages = re.findall(r"(?m)^   (\w+)$", text)
        constants = re.findall(r"(?m)^\.\. py:data:: (\w+)$", text)
        found[package] = pages + constants + re.findall(r":obj:`(\w+) <", text)
    return found


def packages():
    """Yield the names of all public packages."""
    yield "hessdiag"
    for info in pkgutil.walk_packages(hessdiag.__path__, "hessdiag."):
        if info.ispkg and not any(part.startswith("_") for part in info.name.split(".")):
            yield info.name


@pytest.mark.parametrize("package", list(packages()))
def test_page_lists_what_the_package_exports(listed, package):
    public = [n for n in importlib.import_module(package).__all__ if not n.startswith("_")]
    assert sorted(listed.get(package, [])) == sorted(public)


def test_page_lists_what_plain_modules_define(listed):
    assert "check_case" in listed["hessdiag.cases"]
    assert "label_gains" in listed["hessdiag.labels"] + listed["hessdiag.diagnosis"]


def test_every_listed_name_exists(listed):
    for package, names in listed.items():
        module = importlib.import_module(package)
        assert names, package
        assert not [name for name in names if not hasattr(module, name)]


def test_every_page_is_in_the_index():
    index = (DOCS / "index.rst").read_text()
    for page in ("api", *(path.stem for path in DOCS.glob("*.rst") if path.stem != "index")):
        assert re.search(rf"(?m)^   {page}$", index), page

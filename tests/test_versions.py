"""The lower bounds of what hessdiag needs are the oldest releases that its tests ran with."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDED = re.compile(r"([\w.-]+)>=([\w.]+)")
#: What `make test-oldest` installs, beside what hessdiag itself needs.
EXTRAS = ("tests", "reports", "plots", "zoo")


def lower_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    needs = project["dependencies"] + [need for extra in EXTRAS for need in extras[extra]]
    return dict(
        NEEDED.fullmatch(need).groups() for need in needs if not need.startswith("hessdiag[")
    )


def pins(name):
    lines = (ROOT / name).read_text().splitlines()
    return dict(line.lower().split("==") for line in lines if line and not line.startswith("#"))


def numbers(version):
    return [int(number) for number in re.findall(r"\d+", version.partition("post")[0])]


@pytest.mark.parametrize("package", lower_bounds())
def test_lower_bound_is_the_oldest_release_tested(package):
    bound, pinned = (
        numbers(lower_bounds()[package]),
        numbers(pins("constraints-oldest.txt")[package]),
    )
    assert bound == pinned[: len(bound)]
    assert not any(pinned[len(bound) :]), "a release between the bound and the pin is not tested"
    assert numbers(pins("constraints.txt")[package]) >= pinned


@pytest.mark.parametrize("package", ["torch", "scikit-learn", "skorch", "numpy", "scipy", "joblib"])
@pytest.mark.parametrize("file", ["constraints-oldest.txt", "constraints.txt"])
def test_page_names_the_releases_tested(file, package):
    assert f"{package} {pins(file)[package]}" in (ROOT / "docs/versions.rst").read_text()

"""Every public object has a numpydoc docstring that passes numpydoc's own validation."""

import importlib
import inspect
import pkgutil

import pytest
from numpydoc.validate import validate

import hessdiag

# Not asked for: where the opening quotes stand (GL01-GL03), extended summaries (ES01), See Also and
# examples on every object (SA01, SA04, EX01), punctuation of type and parameter lines (PR06, PR08,
# PR09, RT02, RT03, RT05).
IGNORED = {
    "GL01",
    "GL02",
    "GL03",
    "ES01",
    "SA01",
    "SA04",
    "EX01",
    "PR06",
    "PR08",
    "PR09",
    "RT02",
    "RT03",
    "RT05",
}


def public_objects():
    """Yield the dotted name of every public class, function and method."""
    packages = [hessdiag.__name__] + [
        f"hessdiag.{info.name}"
        for info in pkgutil.iter_modules(hessdiag.__path__)
        if not info.name.startswith("_")
    ]
    for package in packages:
        module = importlib.import_module(package)
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if not (inspect.isclass(thing) or inspect.isfunction(thing)):
                continue
            yield f"{package}.{name}"
            if inspect.isclass(thing):
                for attribute, member in vars(thing).items():
                    own = inspect.isfunction(member) or isinstance(
                        member, (classmethod, staticmethod, property)
                    )
                    written_here = getattr(member, "__module__", "hessdiag").startswith("hessdiag")
                    if own and written_here and not attribute.startswith("_"):
                        yield f"{package}.{name}.{attribute}"


OBJECTS = sorted(set(public_objects()))


def test_there_are_public_objects():
    assert "hessdiag.FitDiagnoser.explain" in OBJECTS
    assert "hessdiag.zoo.make_recipes" in OBJECTS


@pytest.mark.parametrize("name", OBJECTS)
def test_docstring_is_valid(name):
    found = validate(name)
    errors = [
        f"{code}: {text}"
        for code, text in found["errors"]
        if code not in IGNORED
        # A property is documented by its type and meaning in one line.
        and not (found["type"] == "property" and code in {"SS02", "SS05", "RT01"})
    ]
    assert not errors, f"{found['file']}:{found['file_line']}\n" + "\n".join(errors)

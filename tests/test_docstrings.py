"""Every public object has a numpydoc docstring that passes numpydoc's own validation.

Public is what a package lists, sub-packages included, and what a public module defines. Constants
that packages list have a comment for the documentation in the line above. Private modules list
nothing: what is public is said in one place.
"""

import ast
import importlib
import inspect
import pkgutil
from functools import cached_property
from pathlib import Path

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


ROOT = Path(hessdiag.__file__).parent


def public_modules():
    """Yield every package and module that no part of its dotted name makes private."""
    yield hessdiag
    for info in pkgutil.walk_packages(hessdiag.__path__, "hessdiag."):
        if not any(part.startswith("_") for part in info.name.split(".")):
            yield importlib.import_module(info.name)


def public_names(module):
    """Return the names that a package lists, or that a module defines itself."""
    if hasattr(module, "__path__"):
        return module.__all__
    return [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and getattr(thing, "__module__", None) == module.__name__
    ]


def is_documented_by_docstring(thing):
    """Say whether a thing is a class or a function, cached ones included."""
    return inspect.isclass(thing) or inspect.isroutine(inspect.unwrap(thing))


def public_objects():
    """Yield the dotted name of every public class, function and method."""
    for module in public_modules():
        for name in public_names(module):
            thing = getattr(module, name)
            if not is_documented_by_docstring(thing):
                continue
            yield f"{module.__name__}.{name}"
            if inspect.isclass(thing):
                for attribute, member in vars(thing).items():
                    own = inspect.isfunction(member) or isinstance(
                        member, (classmethod, staticmethod, property, cached_property)
                    )
                    written_here = getattr(member, "__module__", "hessdiag").startswith("hessdiag")
                    if own and written_here and not attribute.startswith("_"):
                        yield f"{module.__name__}.{name}.{attribute}"


def public_constants():
    """Return the sorted names of all constants that packages list, by package."""
    return sorted(
        (module.__name__, name)
        for module in public_modules()
        if hasattr(module, "__path__")
        for name in module.__all__
        if not is_documented_by_docstring(getattr(module, name)) and name != "__version__"
    )


def definitions(module_file):
    """Return the line of every assignment to a name at the top of a module."""
    found = {}
    for node in ast.parse(module_file.read_text(encoding="utf-8")).body:
        for target in getattr(node, "targets", [getattr(node, "target", None)]):
            if isinstance(target, ast.Name):
                found[target.id] = node.lineno
    return found


def source_of(package, name):
    """Follow imports from a package to the file where a constant is defined; return its lines."""
    file = ROOT.joinpath(*package.split(".")[1:], "__init__.py")
    while name not in definitions(file):
        (module,) = [
            node.module
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.ImportFrom) and name in [alias.name for alias in node.names]
        ]
        path = ROOT.joinpath(*module.split(".")[1:])
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return file.read_text(encoding="utf-8").splitlines()[: definitions(file)[name] - 1]


OBJECTS = sorted(set(public_objects()))
PROTOCOLS = {
    f"{module.__name__}.{name}"
    for module in public_modules()
    for name in public_names(module)
    if getattr(getattr(module, name), "_is_protocol", False)
}


def test_there_are_public_objects():
    assert "hessdiag.FitDiagnoser.explain" in OBJECTS
    assert "hessdiag.zoo.make_recipes" in OBJECTS
    assert "hessdiag.zoo.tasks.load_dataset" in OBJECTS
    assert "hessdiag.curvature.factors.OuterFactor.gram" in OBJECTS
    assert "hessdiag.cases.NetworkCase" in OBJECTS


@pytest.mark.parametrize(("package", "name"), public_constants())
def test_constant_has_a_comment_for_the_documentation(package, name):
    *_, above = source_of(package, name)
    assert above.startswith("#: "), f"{package}.{name}: {above!r}"


def test_packages_list_what_is_public_in_order_and_modules_list_nothing():
    for file in ROOT.rglob("*.py"):
        listed = "__all__" in definitions(file)
        assert listed == (file.name == "__init__.py"), file
    for module in public_modules():
        if hasattr(module, "__path__"):
            assert len(set(module.__all__)) == len(module.__all__)
            # Constants, classes, functions, each in order, as ruff sorts them.
            kinds = [(n.upper() != n, n[0].islower(), n) for n in module.__all__ if n[0] != "_"]
            assert kinds == sorted(kinds), module.__name__


@pytest.mark.parametrize("name", OBJECTS)
def test_docstring_is_valid(name):
    found = validate(name)
    errors = [
        f"{code}: {text}"
        for code, text in found["errors"]
        if code not in IGNORED
        # A property is documented by its type and meaning in one line.
        and not (found["type"] == "property" and code in {"SS02", "SS05", "RT01"})
        # No object is made of a protocol itself: it takes no parameters.
        and not (name in PROTOCOLS and code == "PR01")
    ]
    assert not errors, f"{found['file']}:{found['file_line']}\n" + "\n".join(errors)

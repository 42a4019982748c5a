"""Every public function and method says the types of what it takes and returns."""

import importlib
import inspect
import pkgutil
from functools import cached_property
from importlib.resources import files

import pytest

import hessdiag


def public_packages():
    """Yield the dotted name of every public package and module that has public names."""
    yield hessdiag.__name__
    for info in pkgutil.walk_packages(hessdiag.__path__, "hessdiag."):
        private = any(part.startswith("_") for part in info.name.split("."))
        if not private:
            yield info.name


def functions_of(owner):
    """Yield the name and the function of what a class defines for its users."""
    for name, member in vars(owner).items():
        if name.startswith("_") and name != "__init__":
            continue
        function = member.fget if isinstance(member, property) else member
        function = member.func if isinstance(member, cached_property) else function
        function = getattr(function, "__func__", function)
        # What a dataclass or a base class writes has no source of ours.
        if inspect.isfunction(function) and function.__module__.startswith("hessdiag"):
            yield name, function


def public_functions():
    """Return every public function and method, by its dotted name."""
    found = {}
    for package in public_packages():
        module = importlib.import_module(package)
        public = getattr(module, "__all__", None) or [
            name
            for name, thing in vars(module).items()
            if not name.startswith("_") and getattr(thing, "__module__", "") == package
        ]
        for name in public:
            thing = getattr(module, name)
            home = getattr(thing, "__module__", "")
            if not home.startswith("hessdiag"):
                continue
            if inspect.isclass(thing):
                for method, function in functions_of(thing):
                    found[f"{package}.{name}.{method}"] = function
            elif inspect.isfunction(thing):
                found[f"{package}.{name}"] = inspect.unwrap(thing)
    return found


FUNCTIONS = public_functions()


def missing_hints(function):
    """Return the parameters without a type, and "return" where that has none."""
    signature = inspect.signature(function)
    missing = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.annotation is parameter.empty and name not in ("self", "cls")
    ]
    return missing + ["return"] * (signature.return_annotation is signature.empty)


def test_there_are_public_functions():
    assert "hessdiag.FitDiagnoser.explain" in FUNCTIONS
    assert "hessdiag.zoo.make_recipes" in FUNCTIONS
    assert "hessdiag.cli.main" in FUNCTIONS
    assert "hessdiag.curvature.LocalCurvature.footprint" in FUNCTIONS
    assert "hessdiag.curvature.factors.OuterFactor.gram" in FUNCTIONS


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_parameter_and_result_has_a_type(name):
    assert not missing_hints(FUNCTIONS[name])


def test_a_missing_type_is_found():
    def half(first: int, second, *rest: int):
        return first

    assert missing_hints(half) == ["second", "return"]


def test_checkers_of_users_are_told():
    assert (files("hessdiag") / "py.typed").is_file()

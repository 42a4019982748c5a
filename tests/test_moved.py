"""Names that have moved still work from their old homes, with a warning that names the new one."""

import importlib

import pytest

from hessdiag.moved import moved_names, renamed_keyword
from hessdiag.zoo import make_recipes

MOVED = {
    "hessdiag.curvature": (
        "hessdiag.examination",
        (
            "LeaveOneOut",
            "WeightedGram",
            "arc_cosine_kernel",
            "gram_statistics",
            "leave_one_out",
            "left_out_residuals",
            "output_hessian_roots",
            "weighted_gram",
            "weighted_gram_from_jacobian",
            "wide_kernel_statistics",
        ),
    ),
    "hessdiag.spectra": ("hessdiag.examination", ("examine",)),
    "hessdiag.zoo": (
        "hessdiag.evaluation",
        ("evaluate_zoo", "format_advice", "format_evaluation", "try_advice"),
    ),
}
CASES = [(old, new, name) for old, (new, names) in MOVED.items() for name in names]


@pytest.mark.parametrize(("old", "new", "name"), CASES)
def test_old_home_knows_the_new_one(old, new, name):
    with pytest.warns(FutureWarning, match=f"Expected {name} from its home {new}"):
        found = getattr(importlib.import_module(old), name)
    assert found is getattr(importlib.import_module(new), name)


@pytest.mark.parametrize("old", MOVED)
def test_what_has_moved_is_not_listed_any_more(old):
    package = importlib.import_module(old)
    assert not set(MOVED[old][1]) & {*package.__all__, *dir(package)}
    with pytest.raises(AttributeError, match=rf"module '{old}' has no attribute 'nothing'"):
        _ = package.nothing


def test_an_import_statement_warns_where_it_stands():
    with pytest.warns(FutureWarning, match=r"found it asked for from hessdiag\.spectra") as caught:
        from hessdiag.spectra import examine
    assert {warning.filename for warning in caught} == {__file__}
    assert callable(examine)


def test_home_is_imported_when_it_is_asked_for():
    find = moved_names("here", {"name": "no.such.home"})
    with (
        pytest.warns(FutureWarning, match=r"Import it from no\.such\.home"),
        pytest.raises(ModuleNotFoundError),
    ):
        find("name")


def test_old_keyword_is_passed_on_by_its_new_name():
    @renamed_keyword("old", "new")
    def call(new=None):
        return new

    with pytest.warns(FutureWarning, match=r"Expected new as keyword of call, found its") as caught:
        assert call(old=3) == 3
    assert {warning.filename for warning in caught} == {__file__}
    with pytest.warns(FutureWarning), pytest.raises(TypeError, match="'old'"):
        call(old=3, new=3)


def test_grids_of_networks_are_known_by_their_old_name():
    with pytest.warns(FutureWarning, match="Expected n_grids as keyword of make_recipes"):
        recipes = make_recipes(["iris"], n_groups=2)
    assert recipes == make_recipes(["iris"], n_grids=2)
    with pytest.warns(FutureWarning, match="Expected grid as attribute of Recipe") as caught:
        assert recipes[0].group == recipes[0].grid
    assert {warning.filename for warning in caught} == {__file__}


def test_grids_of_the_reference_are_known_by_their_old_name(reference_zoo):
    columns = reference_zoo.columns
    assert "group" not in columns
    with pytest.warns(FutureWarning, match="Expected grid as column of the table") as caught:
        assert columns["group"] is columns["grid"]
    assert {warning.filename for warning in caught} == {__file__}
    with pytest.raises(KeyError, match="nothing"):
        columns["nothing"]

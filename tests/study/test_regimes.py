"""The regimes: a naive twin of the rule, on curves of every shape."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hessdiag.study import StudyDesign, choose_regimes
from hessdiag.zoo import Recipe

SURE = 0.05


def make_recipes(widths, decays=(0.0, 0.01), n_seeds=2):
    return [
        Recipe("wine", 80, 0.1, "mlp", 2, "tanh", width, decay, seed=seed)
        for width in widths
        for decay in decays
        for seed in range(1, 1 + n_seeds)
    ]


def make_pilot(seed, n_widths, n_decays, n_seeds, share_blown_up):
    """A pilot of any order, whose losses lie on a grid half of the time: ties, and 0.05 exactly."""
    rng = np.random.default_rng(seed)
    widths = rng.choice(64, n_widths, replace=False) + 1
    recipes = make_recipes(widths.tolist(), (0.0, 0.01, 0.1)[:n_decays], n_seeds)
    curves = rng.uniform(0.01, 1.0, (len(recipes), rng.integers(1, 5)))
    if rng.random() < 0.5:
        curves = np.ceil(20 * curves) / 20
    curves[rng.random(len(recipes)) < share_blown_up] = np.nan
    order = rng.permutation(len(recipes))
    return [recipes[index] for index in order], curves[order]


def naive_regimes(recipes, curves):
    """The rule, word by word, over plain lists."""
    widths = sorted({r.width for r in recipes})
    decays = sorted({r.weight_decay for r in recipes})

    def mean(width, decay, of):
        found = [
            of(c) for r, c in zip(recipes, curves) if (r.width, r.weight_decay) == (width, decay)
        ]
        return math.inf if any(math.isnan(v) for v in found) else float(np.mean(found))

    def last(width, decay=0.0):
        return mean(width, decay, lambda curve: curve[-1])

    def lowest(width, decay=0.0):
        return mean(width, decay, lambda curve: math.nan if np.isnan(curve).any() else min(curve))

    sound = None
    for width in widths[1:-1]:
        for decay in decays:
            if sound is None or last(width, decay) < last(*sound):
                sound = (width, decay)
    starved, lavish = [], []
    for width in widths:
        if width < sound[0]:
            starved.append((last(width, sound[1]) - last(*sound), width))
        if width > sound[0]:
            lavish.append((last(width) - min(last(*sound), lowest(width)), width))
    chosen = []
    for found, pick in ((starved, max), (lavish, min)):
        clear = [width for loss, width in found if SURE <= loss < math.inf]
        finite = [pair for pair in found if pair[0] < math.inf] or found
        width = pick(clear) if clear else max(finite, key=lambda pair: (pair[0], -pair[1]))[1]
        chosen.append((width, {w: loss for loss, w in found}[width]))
    (narrow, needs_more), (wide, has_too_much) = chosen
    return {
        "starved": (narrow, sound[1], needs_more),
        "sound": (*sound, last(*sound) - lowest(*sound)),
        "lavish": (wide, 0.0, has_too_much),
    }


def middle_is_finite(recipes, curves):
    middle = sorted({r.width for r in recipes})[1:-1]
    groups = {(r.width, r.weight_decay) for r in recipes if r.width in middle}
    return any(
        all(
            np.isfinite(c).all()
            for r, c in zip(recipes, curves)
            if (r.width, r.weight_decay) == group
        )
        for group in groups
    )


@settings(deadline=None, max_examples=200)
@given(
    st.integers(0, 10**6),
    st.integers(3, 7),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.1, 0.4]),
)
def test_the_rule_equals_its_naive_twin(seed, n_widths, n_decays, n_seeds, share_blown_up):
    recipes, curves = make_pilot(seed, n_widths, n_decays, n_seeds, share_blown_up)
    assume(middle_is_finite(recipes, curves))
    found = choose_regimes("wine", recipes, curves)
    expected = naive_regimes(recipes, curves)
    assert [e.regime for e in found] == ["starved", "sound", "lavish"]
    for experiment in found:
        width, decay, contrast = expected[experiment.regime]
        recipe = experiment.recipe
        assert (recipe.width, recipe.weight_decay) == (width, decay)
        assert experiment.contrast == pytest.approx(contrast, rel=1e-12, abs=1e-12)
    starved, sound, lavish = (e.recipe.width for e in found)
    assert starved < sound < lavish
    # What is sound has not blown up, whatever else has.
    assert np.isfinite(found[1].contrast)


def test_starved_nets_lack_width_alone():
    recipes = make_recipes((2, 4, 8), (0.0, 0.1), 1)
    # Only without decay is the narrowest net far from the sound one, which has decay.
    losses = [0.9, 0.32, 0.5, 0.3, 0.6, 0.4]
    starved, sound, lavish = choose_regimes("wine", recipes, np.array(losses)[:, None])
    assert [e.recipe.weight_decay for e in (starved, sound, lavish)] == [0.1, 0.1, 0.0]
    assert starved.contrast == pytest.approx(0.02)
    assert (starved.is_sure, sound.is_sure, lavish.is_sure) == (False, True, True)


def of_widths(last, best=None, widths=(2, 4, 8, 16, 32)):
    """Experiments by regime, from held-out losses of one network per width."""
    curves = np.stack([best or last, last], axis=1)
    found = choose_regimes("wine", make_recipes(widths, (0.0,), 1), curves)
    return {e.regime: e for e in found}


def test_the_widest_that_starves_and_the_narrowest_that_overfits():
    found = of_widths([1.0, 0.5, 0.3, 0.4, 0.9])
    assert {k: e.recipe.width for k, e in found.items()} == {"starved": 4, "sound": 8, "lavish": 16}
    assert all(e.is_sure for e in found.values())
    assert found["starved"].contrast == pytest.approx(0.2)
    assert found["starved"].name == "wine-starved"


def test_overfitting_in_time_counts():
    found = of_widths([1.0, 0.5, 0.3, 0.31, 0.31], best=[1.0, 0.5, 0.3, 0.3, 0.2])
    assert found["lavish"].recipe.width == 32
    assert found["lavish"].contrast == pytest.approx(0.11)
    late = of_widths([1.0, 0.5, 0.3, 0.4, 0.9], best=[1.0, 0.5, 0.2, 0.4, 0.9])
    assert late["sound"].contrast == pytest.approx(0.1)
    assert not late["sound"].is_sure


def test_where_nothing_reaches_0_05_the_largest_difference_is_taken_and_told():
    found = of_widths([0.31, 0.33, 0.30, 0.32, 0.31])
    assert {k: e.recipe.width for k, e in found.items()} == {"starved": 4, "sound": 8, "lavish": 16}
    assert [e.is_sure for e in found.values()] == [False, True, False]
    # Equal differences: the narrowest.
    assert of_widths([0.32, 0.32, 0.30, 0.32, 0.32])["starved"].recipe.width == 2


def test_networks_that_blew_up_are_the_last_resort():
    nan = math.nan
    found = of_widths([0.9, 0.32, 0.3, nan, 0.31])
    assert found["lavish"].recipe.width == 32
    assert not found["lavish"].is_sure
    found = of_widths([0.9, nan, 0.3, 0.2, nan])
    assert {k: e.recipe.width for k, e in found.items()} == {
        "starved": 8,
        "sound": 16,
        "lavish": 32,
    }


def test_nothing_is_sure_where_all_blew_up():
    nan = math.nan
    for last in ([0.9, nan, nan, nan, 0.2], [nan] * 5):
        assert not any(e.is_sure for e in of_widths(last).values())
    found = of_widths([nan, 0.2, 0.3, 0.4, nan])
    assert [e.is_sure for e in found.values()] == [False, True, True]


def test_a_pilot_of_two_widths_is_refused():
    with pytest.raises(ValueError, match=r"at least 3 widths in the pilot of wine, found \[2, 4\]"):
        of_widths([1.0, 0.5], widths=(2, 4))


def test_seeds_of_the_pilot_are_not_those_of_the_experiments():
    design = StudyDesign()
    for name in ("banana", "segment", "optdigits"):
        recipes = design.pilot(name)
        curves = np.linspace(1, 0.2, len(recipes))[:, None]
        found = choose_regimes(name, recipes, curves)
        assert {e.recipe.seed for e in found} == {0}
        assert not {e.recipe.id for e in found} & {recipe.id for recipe in recipes}
        assert {e.recipe.dataset for e in found} == {recipes[0].dataset}

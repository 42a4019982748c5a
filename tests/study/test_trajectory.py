"""Trajectories: what is kept is what a shorter training would have ended with."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from interrupts import interrupted_at_step

from hessdiag.study._trajectory import train_trajectory
from hessdiag.testing import surroundings_state
from hessdiag.zoo import Recipe, make_net, recipe_split, train_recipe

# One batch an epoch, so that every step ends one; and two, with all that draws random numbers.
ONE_BATCH = Recipe(
    "iris", 30, 0.1, "mlp", 2, "tanh", 5, 0.01, 0.03, n_steps=16, optimizer="sgd", seed=3
)
TWO_BATCHES = replace(
    ONE_BATCH, n_train=60, dropout=0.3, normalization="batch", optimizer="adamw", n_steps=12
)


def same(state, other):
    return list(state) == list(other) and all(torch.equal(state[n], other[n]) for n in state)


@pytest.mark.parametrize(
    ("recipe", "steps"), [(ONE_BATCH, (0, 1, 2, 3, 8, 16)), (TWO_BATCHES, (0, 2, 6, 12))]
)
def test_states_are_those_of_shorter_trainings(recipe, steps):
    net, split, states = train_trajectory(recipe, steps)
    assert tuple(states) == steps
    for step in steps[1:]:
        shorter, _ = train_recipe(replace(recipe, n_steps=step))
        assert same(states[step], shorter.module_.state_dict())
    # The last one also in what is handed back.
    assert same(states[steps[-1]], net.module_.state_dict())
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        assert same(states[0], make_net(recipe, split).initialize().module_.state_dict())
    again = recipe_split(recipe)
    np.testing.assert_array_equal(split.X_test, again.X_test)


def test_looking_changes_nothing():
    few = train_trajectory(TWO_BATCHES, (12,))[2]
    many = train_trajectory(TWO_BATCHES, range(13))[2]
    assert same(few[12], many[12])
    assert len(many) == 13
    assert not any(same(many[k], many[k + 1]) for k in range(12))


def test_an_interrupted_run_is_none():
    with interrupted_at_step(12), pytest.raises(KeyboardInterrupt):
        train_trajectory(TWO_BATCHES, (0, 2, 12))


def test_states_are_copies():
    net, _, states = train_trajectory(ONE_BATCH, (0, 16))
    kept = {name: value.clone() for name, value in states[16].items()}
    with torch.no_grad():
        for parameter in net.module_.parameters():
            parameter.zero_()
    assert same(states[16], kept)


def test_nothing_is_left_behind():
    before = surroundings_state()
    net, _, _ = train_trajectory(TWO_BATCHES, (0, 12))
    after = surroundings_state()
    assert before == after
    assert not net.optimizer_._optimizer_step_post_hooks
    assert net.callbacks is None


def test_steps_beyond_the_end_are_refused():
    with pytest.raises(ValueError, match=r"at most n_steps=16, found 17\. Train for longer"):
        train_trajectory(ONE_BATCH, (0, 17))

"""Train a network and keep its parameters at chosen optimizer steps."""

from __future__ import annotations

import torch
from skorch.callbacks import Callback

from hessdiag.resumable import fit_to_the_end
from hessdiag.zoo import make_net, one_thread, recipe_split


class KeepParameters(Callback):
    """Copy the module's state at chosen steps.

    Parameters
    ----------
    steps : sequence of int
        Numbers of optimizer steps after which to copy; 0 is the initial state.
    """

    def __init__(self, steps):
        self.steps = steps

    def on_train_begin(self, net, **kwargs):
        """Copy the initial state, and listen to the optimizer."""
        self.states_, self.count_ = {}, 0
        self._keep(net)

        def count(optimizer, *arguments):
            self.count_ += 1
            self._keep(net)

        self.handle_ = net.optimizer_.register_step_post_hook(count)

    def on_train_end(self, net, **kwargs):
        """Stop listening."""
        self.handle_.remove()

    def _keep(self, net):
        """Copy the state if it is asked for."""
        if self.count_ in self.steps:
            state = net.module_.state_dict()
            self.states_[self.count_] = {name: value.clone() for name, value in state.items()}


def train_trajectory(recipe, steps):
    """Train the network of a recipe and keep what it was at some steps.

    Parameters
    ----------
    recipe : Recipe
        The recipe.
    steps : sequence of int
        Numbers of optimizer steps, at most `recipe.n_steps`.

    Returns
    -------
    net : skorch.NeuralNetClassifier or skorch.NeuralNetRegressor
        The fitted net.
    split : Split
        Its data.
    states : dict of int to dict of str to Tensor
        Parameters after each of the steps, in ascending order.

    Raises
    ------
    ValueError
        If a step lies beyond the end of training.
    """
    if max(steps) > recipe.n_steps:
        raise ValueError(
            f"Expected steps of at most n_steps={recipe.n_steps}, found {max(steps)}. "
            "Train for longer, or leave it out."
        )
    split = recipe_split(recipe)
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(recipe.seed)
        keeper = KeepParameters(frozenset(steps))
        net = make_net(recipe, split, callbacks=[("keeper", keeper)])
        fit_to_the_end(net, split.X_train, split.y_train)
    net.set_params(callbacks=None)
    return net, split, keeper.states_

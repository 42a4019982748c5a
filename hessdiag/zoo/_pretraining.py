"""Bodies that were trained before: on generated samples of the same shape, for another question.

What is asked there needs no label of the task, and its samples are nobody's: how smooth noise is
along each axis, or which of some linear functions of a row is the largest.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import torch
from skorch.callbacks import Callback

from hessdiag.zoo.networks import FAMILIES, SHAPED_FAMILIES

#: Samples, steps and batch size of the training before.
N_SAMPLES = 2000
N_STEPS = 300
BATCH_SIZE = 32
LEARNING_RATE = 3e-3

#: Classes: levels of smoothness along the axis of a series, along each of an image; of a table.
LEVELS = {"series": 5, "image": 3}
N_TABULAR = 5

PRETRAININGS = ("none", "frozen", "tuned")


class Pretrained(Callback):
    """Give a network the body of one that was trained before, when its own training begins.

    Parameters
    ----------
    recipe : Recipe
        Recipe of the network; its ``pretraining`` says whether the body stays as it is.
    split : Split
        The network's data, for their form and shape alone.
    """

    def __init__(self, recipe, split):
        self.recipe = recipe
        self.split = split

    def on_train_begin(self, net, **kwargs):
        """Put the body in place."""
        recipe, split = self.recipe, self.split
        body = _pretrained_body(
            recipe.family,
            recipe.width,
            recipe.depth,
            recipe.activation,
            recipe.normalization,
            recipe.dropout,
            recipe.seed,
            split.form,
            split.shape,
            split.X_train.shape[1],
        )
        net.module_.load_state_dict(body, strict=False)
        if recipe.pretraining == "frozen":
            freeze_body(net.module_)


def freeze_body(module: torch.nn.Module) -> None:
    """Leave a network's head as all that is trained.

    Parameters
    ----------
    module : torch.nn.Module
        A network of one of the zoo's families.
    """
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(_is_of_head(name))


@lru_cache(maxsize=64)
def _pretrained_body(
    family, width, depth, activation, normalization, dropout, seed, form, shape, n_inputs
):
    """Train a network on generated samples, and return the state of all but its head."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        X, y = _make_samples(form, shape, n_inputs)
        shaped = {"input_shape": shape} if family in SHAPED_FAMILIES else {}
        module = FAMILIES[family](
            n_inputs=n_inputs,
            n_outputs=int(y.max()) + 1,
            width=width,
            depth=depth,
            activation=activation,
            normalization=normalization,
            dropout=dropout,
            **shaped,
        )
        optimizer = torch.optim.AdamW(module.parameters(), lr=LEARNING_RATE)
        module.train()
        for _ in range(N_STEPS):
            batch = torch.randint(0, N_SAMPLES, (BATCH_SIZE,))
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(X[batch]), y[batch]).backward()
            optimizer.step()
    state = module.state_dict()
    return {name: value for name, value in state.items() if not _is_of_head(name)}


def _make_samples(form, shape, n_inputs):
    """Draw samples of a form, and what is asked about them; features have unit variance."""
    if form == "tabular":
        X = torch.randn(N_SAMPLES, n_inputs)
        return X, (X @ torch.randn(n_inputs, N_TABULAR)).argmax(1)
    axes = range(2, len(shape) + 1)
    choices = list(product(range(LEVELS[form]), repeat=len(axes)))
    y = torch.randint(0, len(choices), (N_SAMPLES,))
    X = torch.randn(N_SAMPLES, *shape)
    for axis, position in enumerate(axes):
        level = torch.tensor([choice[axis] for choice in choices])[y]
        for step in range(LEVELS[form] - 1):
            smoother = (X + X.roll(1, position)) / 2**0.5
            rougher = (level <= step).reshape(-1, *[1] * len(shape))
            X = torch.where(rougher, X, smoother)
    X = X.flatten(1)
    return (X - X.mean(0)) / X.std(0).clamp_min(1e-6), y


def _is_of_head(name):
    """Say whether a parameter belongs to the last linear map."""
    return name.startswith("head.")

"""Checkpoints: rivals in closed form, ranks and eigenvalues from dense matrices."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from hessdiag.cases import NetworkCase
from hessdiag.examination import examine
from hessdiag.features import layer_table
from hessdiag.study._checkpoints import (
    RADIUS,
    measure_checkpoint,
    place_names,
    rival_statistics,
)
from hessdiag.testing import network_state, state_changes, surroundings_state
from hessdiag.zoo import Recipe, loss_and_error, make_net, recipe_split

CLASSES = Recipe("wine", 24, 0.1, "mlp", 2, "tanh", 4, 0.0, seed=1)
VALUES = replace(CLASSES, dataset="diabetes", activation="relu")


def initialized(recipe, n_distinct=None):
    """A net as it begins, and its data, of which only so many samples are distinct."""
    split = recipe_split(recipe)
    if n_distinct is not None:
        chosen = np.arange(len(split.y_train)) % n_distinct
        split = replace(split, X_train=split.X_train[chosen])
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        return make_net(recipe, split).initialize(), split


def hessian_of(function, at):
    return torch.func.jacrev(torch.func.jacrev(function))(at).detach().numpy()


def dense(net, split):
    """Local Hessians and Gauss-Newton matrices in float64, by brute force, and gradients."""
    module = copy.deepcopy(net.module_).double().eval()
    X = torch.as_tensor(split.X_train, dtype=torch.float64)
    y = torch.as_tensor(split.y_train)
    parameters = {n: p.detach() for n, p in module.named_parameters()}
    names = list(parameters)
    sizes = [parameters[name].numel() for name in names]
    flat = torch.cat([parameters[name].reshape(-1) for name in names])

    def outputs(vector):
        parts = [p.reshape(parameters[n].shape) for n, p in zip(names, vector.split(sizes))]
        return torch.func.functional_call(module, dict(zip(names, parts)), (X,))

    def loss_of(found):
        if y.is_floating_point():
            return ((found - y) ** 2).mean()
        return -torch.log_softmax(found, dim=1)[torch.arange(len(y)), y].mean()

    hessian = hessian_of(lambda v: loss_of(outputs(v)), flat)
    gradient = torch.func.grad(lambda v: loss_of(outputs(v)))(flat).numpy()
    jacobian = torch.func.jacrev(outputs)(flat).reshape(-1, len(flat)).numpy()
    at = outputs(flat)
    curvature = hessian_of(loss_of, at).reshape(at.numel(), at.numel())
    layers = np.repeat([name.rpartition(".")[0] for name in names], sizes)
    blocks = {}
    for layer in [*dict.fromkeys(layers), "network"]:
        mine = np.flatnonzero((layers == layer) | (layer == "network"))
        ggn = jacobian[:, mine].T @ curvature @ jacobian[:, mine]
        local = ggn if layer == "network" else hessian[np.ix_(mine, mine)]
        blocks[layer] = {"hessian": local, "ggn": ggn, "gradient": gradient[mine]}
        blocks[layer]["bound"] = min(len(mine), np.linalg.matrix_rank(curvature, hermitian=True))
    return blocks


@pytest.mark.parametrize(
    ("recipe", "n_distinct"),
    [(CLASSES, None), (replace(CLASSES, width=9), 5), (VALUES, None), (VALUES, 4)],
)
def test_raw_measures_equal_those_of_dense_matrices(recipe, n_distinct):
    net, split = initialized(recipe, n_distinct)
    rows = measure_checkpoint(net, split)
    blocks = dense(net, split)
    assert [row["place"] for row in rows] == ["first", "middle", "last", "network"]
    fractions = []
    for row, block in zip(rows, blocks.values(), strict=True):
        values = np.linalg.eigvalsh(block["hessian"])
        ggn = np.linalg.eigvalsh(block["ggn"]).clip(0)
        rank = np.linalg.matrix_rank(block["ggn"], tol=1e-10 * ggn.max(), hermitian=True)
        shares = ggn[ggn > 0] / ggn.sum()
        expected = {
            "trace": values.sum(),
            "max_eigenvalue": values.max(),
            "min_eigenvalue": values.min(),
            "stable_rank": (ggn**2).sum() / ggn.max() ** 2,
            "participation_ratio": ggn.sum() ** 2 / (ggn**2).sum(),
            "effective_rank": np.exp(-(shares * np.log(shares)).sum()),
            "rank_fraction": rank / block["bound"],
        }
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, rel=1e-5, abs=1e-8), (row["place"], name)
        assert 0 < row["rank_fraction"] < 1 + 1e-12
        fractions.append(row["rank_fraction"])
        norm = np.linalg.norm(block["gradient"])
        unit = split.null_loss if row["place"] == "network" else 1.0
        assert row["gradient_norm"] == pytest.approx(norm / unit, rel=1e-5)
    # Repeated samples leave directions out; else some layer is full.
    assert min(fractions) < 0.9 if n_distinct else max(fractions) > 0.99


@pytest.mark.parametrize("recipe", [CLASSES, VALUES], ids=["classes", "values"])
def test_rows_equal_an_examination(recipe):
    net, split = initialized(recipe)
    settings = {"max_gram_size": 10, "dense_limit": 10}
    rows = measure_checkpoint(net, split, **settings)
    examination = examine(net, split.X_train, split.y_train, **settings)
    table = layer_table(examination)
    for index, row in enumerate(rows):
        if row["place"] == "network":
            layer, measured = examination.network, table.network
        else:
            layer = examination.layers[index]
            measured = {name: values[index] for name, values in table.measures.items()}
        assert (row["layer"], row["exact"]) == (layer.name, layer.spectrum.exact)
        assert row["weight_norm"] == layer.statistics["weight_norm"]
        for name, value in measured.items():
            assert row[name] == (value if np.isfinite(value) else None), name
        assert (row["sharpness"] is None) == (row["place"] != "network")
        for part, X, y in (
            ("train", split.X_train, split.y_train),
            ("held_out", split.X_test, split.y_test),
        ):
            loss, error = loss_and_error(net, X, y)
            assert row[f"{part}_loss"] == loss / split.null_loss
            assert row[f"{part}_error"] == error
    json.dumps(rows, allow_nan=False)
    # Smooth layers this small are examined by Lanczos under these settings.
    assert all(row["exact"] for row in rows[:-1]) == (recipe is VALUES)


@pytest.mark.parametrize("null_loss", [1.0, 0.7])
def test_rivals_of_a_linear_net_have_a_closed_form(null_loss):
    net, split = initialized(replace(VALUES, depth=0))
    X, y = split.X_train.astype(float), split.y_train.astype(float)
    augmented = np.hstack([X, np.ones((len(X), 1))])
    head = net.module_.head
    weights = np.append(head.weight.detach().numpy().ravel(), head.bias.detach().numpy())
    gradient = 2 / len(X) * augmented.T @ (augmented @ weights - y[:, 0])
    hessian = 2 / len(X) * augmented.T @ augmented
    norm = np.linalg.norm(gradient)
    sharpness = RADIUS * norm + RADIUS**2 / 2 * gradient @ hessian @ gradient / norm**2
    found = rival_statistics(net, split.X_train, split.y_train, null_loss)
    assert found["gradient_norm"] == pytest.approx(norm / null_loss, rel=1e-5)
    assert found["sharpness"] == pytest.approx(sharpness / null_loss, rel=1e-4)


def test_where_there_is_no_gradient_there_is_no_ascent():
    net, split = initialized(replace(VALUES, depth=0))
    with torch.no_grad():
        for parameter in net.module_.parameters():
            parameter.zero_()
    nothing = np.zeros_like(split.y_train)
    found = rival_statistics(net, split.X_train, nothing, 1.0)
    assert found == {"gradient_norm": 0.0, "sharpness": 0.0}


def test_what_is_not_finite_is_missing():
    net, split = initialized(VALUES)
    with torch.no_grad():
        for parameter in net.module_.parameters():
            parameter.fill_(1e30)
    rows = measure_checkpoint(net, split)
    json.dumps(rows, allow_nan=False)
    for row in rows:
        # Losses and rivals leave the range of the net's own precision; curvature does not.
        assert row["train_loss"] is row["held_out_loss"] is row["sharpness"] is None
        assert row["weight_norm"] > 1e30
        assert row["max_eigenvalue"] > 1e30


def test_networks_are_left_as_found():
    recipe = replace(CLASSES, normalization="batch", dropout=0.5)
    net, split = initialized(recipe)
    net.module_.train()
    net.module_(torch.as_tensor(split.X_train)).square().mean().backward()
    case = NetworkCase(net, split.X_train, split.y_train)
    before = network_state(case) | surroundings_state()
    first = measure_checkpoint(net, split)
    assert state_changes(before, network_state(case) | surroundings_state()) == []
    # In evaluation mode: dropout and batches play no part.
    assert measure_checkpoint(net, split) == first


@pytest.mark.parametrize(
    ("n_layers", "places"),
    [
        (1, ["last"]),
        (2, ["first", "last"]),
        (3, ["first", "middle", "last"]),
        (5, ["first", "middle", "middle", "middle", "last"]),
    ],
)
def test_places(n_layers, places):
    assert place_names(n_layers) == places

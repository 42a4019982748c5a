"""Examinations: context, statistics and spectra against direct computations."""

import pickle

import numpy as np
import pytest
import torch
from dense_oracle import LOSSES, dense_hessians, make_net, tabular_net
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from hessdiag.cases import NetworkCase
from hessdiag.examination import examine, gram_statistics, wide_kernel_statistics
from hessdiag.examination._between_samples import BETWEEN_STATISTICS
from hessdiag.spectra import layer_spectra


def make_problem(activation=nn.ReLU, n_samples=30, n_outputs=3, seed=0):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Linear(4, 6), activation(), nn.Linear(6, 5), activation(), nn.Linear(5, n_outputs)
    )
    return module, rng.normal(size=(n_samples, 4)).astype("float32"), rng


def classification(activation=nn.ReLU, n_samples=30, **settings):
    module, X, rng = make_problem(activation, n_samples)
    settings.setdefault("criterion", nn.CrossEntropyLoss)
    return tabular_net(module, NeuralNetClassifier, **settings), X, rng.integers(0, 3, n_samples)


def jacobian(module, layer, X):
    """Derivatives (N C, p) of all outputs in one layer's parameters, entry by entry."""
    outputs = module(torch.as_tensor(X).double())
    parameters = list(layer.parameters())
    rows = [
        torch.cat([g.reshape(-1) for g in torch.autograd.grad(z, parameters, retain_graph=True)])
        for z in outputs.reshape(-1)
    ]
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", LOSSES)
def test_spectra_equal_dense_autograd(loss, reduction):
    net, X, y = make_net("gelu", loss, reduction)
    examination = examine(net, X, y)
    for name, matrix in dense_hessians(net, X, y).items():
        layer = examination[name]
        expected = np.linalg.eigvalsh(matrix)
        size = np.abs(expected).max()
        np.testing.assert_allclose(layer.spectrum.eigenvalues(), expected, atol=1e-7 * size)
    ggn = layer_spectra(net, X, y, curvature="ggn", dtype="float64")
    joint = layer_spectra(net, X, y, layers={"all": "*"}, curvature="ggn", dtype="float64")["all"]
    for name, spectrum in ggn.items():
        found = examination[name].ggn_spectrum
        size = spectrum.max_eigenvalue
        np.testing.assert_allclose(found.eigenvalues(), spectrum.eigenvalues(), atol=1e-9 * size)
    found = examination.network.spectrum
    assert found.curvature == "ggn"
    size = joint.max_eigenvalue
    np.testing.assert_allclose(found.eigenvalues(), joint.eigenvalues(), atol=1e-9 * size)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_statistics_equal_those_of_plain_jacobians(activation, reduction):
    net, X, y = classification(activation, criterion__reduction=reduction)
    examination = examine(net, X, y)
    module = net.module_.double()
    z = module(torch.as_tensor(X).double()).detach()
    p = torch.softmax(z, 1).numpy()
    hot = np.eye(3)[y]
    hessians = np.stack([np.diag(q) - np.outer(q, q) for q in p])

    def losses(outputs):
        scores = torch.log_softmax(torch.as_tensor(outputs), 1).numpy()
        return -scores[np.arange(30), y], (outputs.argmax(1) != y).astype(float)

    rescaled = 0.0
    for name, layer in (("0", module[0]), ("2", module[2]), ("4", module[4])):
        rows = jacobian(module, layer, X)
        weights = np.concatenate([p.detach().numpy().ravel() for p in layer.parameters()])
        ridge = weights.size / (weights @ weights)
        rescaled = rescaled + rows @ rows.T / ridge
        expected = gram_statistics(
            rows @ rows.T,
            hessians,
            p - hot,
            z.numpy(),
            hot - hot.mean(0),
            losses,
            ridge,
            n_params=weights.size,
        )
        with torch.no_grad():
            received = module[: int(name)](torch.as_tensor(X).double()).numpy()
        expected |= wide_kernel_statistics(received @ received.T, hot, p)
        found = examination[name].statistics
        assert found["weight_norm"] == pytest.approx(np.linalg.norm(weights))
        assert_same_statistics(found, expected)
        assert examination[name].n_outputs == layer.out_features
        assert examination[name].kind == "Linear"
    expected = gram_statistics(
        rescaled, hessians, p - hot, z.numpy(), hot - hot.mean(0), losses, 1.0, n_params=84
    )
    expected |= wide_kernel_statistics(X.astype(float) @ X.astype(float).T, hot, p)
    found = examination.network.statistics
    # What is asked between samples has tests of its own.
    assert set(BETWEEN_STATISTICS) <= set(found)
    found = {name: found[name] for name in found if name not in BETWEEN_STATISTICS}
    assert_same_statistics(found, expected)
    # One direction of all parameters against double backward through the whole net.
    if activation is nn.ReLU:
        assert examination.network.statistics["gn_gap"] > 0.01
        assert examination["0"].statistics["gn_gap"] == 0
        assert examination["0"].spectrum is examination["0"].ggn_spectrum
    else:
        assert examination["0"].statistics["gn_gap"] > 0.01
        assert examination["0"].spectrum is not examination["0"].ggn_spectrum


def assert_same_statistics(found, expected):
    assert set(found) == {*expected, "weight_norm", "gn_gap"}
    for name, value in expected.items():
        # Rank correlations and dispersions amplify rounding.
        assert found[name] == pytest.approx(value, rel=1e-5, abs=1e-7, nan_ok=True), name


class TestContext:
    def test_classification(self):
        net, X, y = classification()
        context = examine(net, X, y).context
        shares = np.bincount(y) / 30
        assert context["null_loss"] == pytest.approx(-(shares * np.log(shares)).sum())
        assert context["error"] == pytest.approx((net.predict(X) != y).mean())
        z = torch.as_tensor(net.forward(X))
        expected = nn.functional.cross_entropy(z, torch.as_tensor(y)).item()
        assert context["loss"] == pytest.approx(expected, rel=1e-5)
        assert dict(context) == dict(context) | {
            "task": "classification",
            "criterion": "CrossEntropyLoss",
            "n_samples": 30,
            "n_samples_examined": 30,
            "n_inputs": 4,
            "n_outputs": 3,
            "n_layers": 3,
            "n_params": 83,
        }

    def test_sums_are_reported_per_sample(self):
        means, sums = (
            examine(*classification(criterion__reduction=how)) for how in ("mean", "sum")
        )
        for name in ("loss", "null_loss", "error"):
            assert sums.context[name] == pytest.approx(means.context[name])
        ratio = sums["0"].spectrum.trace / means["0"].spectrum.trace
        assert ratio == pytest.approx(30)
        for name, value in means["0"].statistics.items():
            assert sums["0"].statistics[name] == pytest.approx(value, rel=1e-6, nan_ok=True)

    def test_weighted_classes(self):
        weight = torch.tensor([0.2, 1.0, 5.0])
        net, X, y = classification(criterion__weight=weight)
        context = examine(net, X, y).context
        counts = np.bincount(y) * weight.numpy()
        shares = counts / counts.sum()
        assert context["null_loss"] == pytest.approx(-(shares * np.log(shares)).sum(), rel=1e-5)

    @pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
    def test_binary(self, shape):
        module, X, rng = make_problem(n_outputs=1)
        y = rng.integers(0, 2, 30).astype("float32")
        if shape == (-1,):
            net = tabular_net(module, NeuralNetBinaryClassifier, criterion=nn.BCEWithLogitsLoss)
            error = (net.predict(X) != y).mean()
        else:
            net = tabular_net(nn.Sequential(*module, nn.Sigmoid()), NeuralNet, criterion=nn.BCELoss)
            error = ((net.forward(X)[:, 0].numpy() > 0.5) != y).mean()
        context = examine(net, X, y.reshape(shape)).context
        share = y.mean()
        entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
        assert context["task"] == "binary"
        assert context["null_loss"] == pytest.approx(entropy, rel=1e-6)
        assert context["error"] == pytest.approx(error)

    def test_regression(self):
        module, X, rng = make_problem(n_outputs=2)
        y = rng.normal(size=(30, 2)).astype("float32") + 3
        net = tabular_net(module, NeuralNetRegressor)
        context = examine(net, X, y).context
        assert context["null_loss"] == pytest.approx(y.var(axis=0).mean(), rel=1e-5)
        residual = ((net.predict(X) - y) ** 2).sum()
        assert context["error"] == pytest.approx(residual / ((y - y.mean(0)) ** 2).sum(), rel=1e-4)

    def test_null_loss_of_a_loss_without_closed_form(self):
        module, X, rng = make_problem(n_outputs=1)
        y = rng.exponential(size=(30, 1)).astype("float32")
        net = tabular_net(module, NeuralNetRegressor, criterion=nn.HuberLoss, criterion__delta=0.3)
        found = examine(net, X, y).context["null_loss"]
        huber = nn.HuberLoss(delta=0.3)
        constants = np.linspace(0, 3, 3001)
        by_search = min(
            huber(torch.full((30, 1), c, dtype=torch.float64), torch.as_tensor(y).double()).item()
            for c in constants
        )
        assert found == pytest.approx(by_search, abs=1e-6)


def test_samples_are_drawn_to_keep_the_gram_matrix_small():
    net, X, y = classification(n_samples=100)
    examination = examine(net, X, y, max_gram_size=60)
    assert examination.context["n_samples"] == 100
    assert examination.context["n_samples_examined"] == 30
    assert examination.context["loss"] == examine(net, X, y).context["loss"]
    again = examine(net, X, y, max_gram_size=60)
    np.testing.assert_array_equal(examination["0"].spectrum.nodes, again["0"].spectrum.nodes)
    other = examine(net, X, y, max_gram_size=60, random_state=1)
    assert np.any(examination["0"].spectrum.nodes != other["0"].spectrum.nodes)
    fewer = examine(net, X, y, max_samples=20, max_gram_size=None)
    assert fewer.context["n_samples_examined"] == 20


def test_probability_outputs_are_examined_as_logits():
    module, X, rng = make_problem(nn.Tanh)
    y = rng.integers(0, 3, 30)
    logits = tabular_net(module, NeuralNetClassifier, criterion=nn.CrossEntropyLoss)
    probabilities = tabular_net(nn.Sequential(*module, nn.Softmax(-1)), NeuralNetClassifier)
    probabilities.set_params(criterion=nn.NLLLoss).initialize()
    probabilities.module_.load_state_dict(logits.module_.state_dict())
    first, second = (examine(net, X, y) for net in (logits, probabilities))
    for name in ("0", "2", "4"):
        for key, value in first[name].statistics.items():
            found = second[name].statistics[key]
            if "residual_alignment" in key or "target_alignment" in key:
                continue  # these see the raw Jacobian, which a softmax shifts by a constant
            if "gradient" in key or "alo" in key or "takeuchi" in key:
                assert found == pytest.approx(value, rel=1e-4, abs=1e-6, nan_ok=True), key


def test_whole_scalars_give_hessians_without_statistics():
    class Penalized(NeuralNetClassifier):
        def get_loss(self, y_pred, y_true, *args, **kwargs):
            penalty = sum((p**2).sum() for p in self.module_.parameters())
            return super().get_loss(y_pred, y_true, *args, **kwargs) + 0.1 * penalty

    module, X, rng = make_problem()
    net = tabular_net(module, Penalized, criterion=nn.CrossEntropyLoss)
    y = rng.integers(0, 3, 30)
    examination = examine(net, X, y)
    plain = examine(*classification())
    for layer in examination.layers:
        assert layer.ggn_spectrum is None
        assert set(layer.statistics) == {"weight_norm", "gn_gap"}
        shifted = plain[layer.name].spectrum.eigenvalues() + 0.2
        np.testing.assert_allclose(layer.spectrum.eigenvalues(), shifted, atol=1e-6)
    assert examination.network.spectrum.curvature == "hessian"
    assert examination.network.n_params == 83


def test_a_net_that_fits_perfectly_or_not_at_all():
    module, X, _ = make_problem(n_outputs=1)
    net = tabular_net(module, NeuralNetRegressor)
    perfect = examine(net, X, net.predict(X))
    assert perfect.context["loss"] == pytest.approx(0, abs=1e-12)
    assert perfect["0"].spectrum.max_eigenvalue > 0
    constant = examine(net, X, np.ones((30, 1), dtype="float32"))
    assert constant.context["null_loss"] == pytest.approx(0, abs=1e-12)
    with torch.no_grad():
        for parameter in net.module_.parameters():
            parameter.zero_()
    dead = examine(net, X, np.ones((30, 1), dtype="float32"))
    assert dead["0"].spectrum.max_eigenvalue == 0
    assert dead["0"].statistics["weight_norm"] == 0


def test_digest_name_settings_and_pickling():
    net, X, y = classification()
    examination = examine(net, X, y, name="mine", layers=["0", "4"], random_state=3)
    assert examination.name == "mine"
    assert examination.digest == NetworkCase(net, X, y).digest()
    assert examination.layer_names == ("0", "4")
    assert examination.settings["random_state"] == 3
    again = pickle.loads(pickle.dumps(examination))
    assert again.context == examination.context
    assert again.layers[0].statistics.keys() == examination.layers[0].statistics.keys()
    with pytest.raises(TypeError):
        examination.context["loss"] = 0
    with pytest.raises(KeyError, match="0, 4 and network"):
        examination["2"]


@pytest.mark.parametrize("kind", ["conv2d_tanh", "norms", "embedding", "lstm", "attention", "tied"])
def test_every_kind_of_layer_is_examined(kind):
    examination = examine(*make_net(kind, "cross_entropy"))
    for layer in (*examination.layers, examination.network):
        assert layer.spectrum.max_eigenvalue > 0
        assert np.isfinite(layer.statistics["alo_loss_1"])
        assert layer.n_outputs >= 1

"""Local spectra against dense autograd in float64, over the grid of layer kinds and losses."""

import copy

import numpy as np
import pytest
import torch
from dense_oracle import KINDS, LOSSES, dense_hessians, make_net, tabular_net
from skorch import (
    NeuralNet,
    NeuralNetBinaryClassifier,
    NeuralNetClassifier,
    NeuralNetRegressor,
)
from skorch.dataset import Dataset
from torch import nn

from hessdiag.curvature import prepare
from hessdiag.curvature.network import NotSeparableError, untouched_surroundings
from hessdiag.spectra import _local_spectra, layer_spectra
from hessdiag.spectra._executor import choose_policy, compute_spectra
from hessdiag.spectra._settings import SpectrumSettings


def assert_same_spectra(spectra, hessians, rtol=1e-7):
    assert set(spectra) == {name or "module" for name in hessians}
    for name, matrix in hessians.items():
        expected = np.linalg.eigvalsh(matrix)
        found = spectra[name or "module"]
        assert found.exact
        assert found.n_params == len(matrix)
        size = np.abs(expected).max()
        np.testing.assert_allclose(found.eigenvalues(), expected, atol=rtol * size, err_msg=name)
        np.testing.assert_allclose(found.trace, np.trace(matrix), rtol=rtol, atol=rtol * size)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("loss", ["cross_entropy", "bce", "mse"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_kind_equals_dense_autograd(kind, loss, reduction):
    net, X, y = make_net(kind, loss, reduction)
    hessians = dense_hessians(net, X, y)
    assert_same_spectra(layer_spectra(net, X, y, dtype="float64"), hessians)
    # Chunks of 4, 4 and 1 samples.
    assert_same_spectra(layer_spectra(net, X, y, dtype="float64", batch_size=4), hessians)


@pytest.mark.parametrize("loss", [name for name in LOSSES if name not in ("bce", "mse")])
def test_other_losses_equal_dense_autograd(loss):
    net, X, y = make_net("gelu", loss)
    hessians = dense_hessians(net, X, y)
    for batch_size in (None, 5):
        spectra = layer_spectra(net, X, y, dtype="float64", batch_size=batch_size)
        assert_same_spectra(spectra, hessians)


def mlp(activation=nn.ReLU, n_outputs=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 6), activation(), nn.Linear(6, 5), activation(), nn.Linear(5, n_outputs)
    )


def data(n_samples=12, n_classes=3):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_samples, 4)).astype("float32")
    return X, rng.integers(0, n_classes, n_samples)


def classifier(module=None, **settings):
    torch.manual_seed(0)
    settings.setdefault("criterion", nn.CrossEntropyLoss)
    return tabular_net(mlp() if module is None else module, NeuralNetClassifier, **settings)


def assert_matches_oracle(net, X, y, rtol=1e-7, **settings):
    spectra = layer_spectra(net, X, y, dtype="float64", **settings)
    assert_same_spectra(spectra, dense_hessians(net, X, y, settings.get("scalar")), rtol)
    return spectra


class TestClosedForms:
    def test_linear_regression(self):
        X, _ = data()
        net = tabular_net(nn.Linear(4, 2), NeuralNetRegressor)
        y = np.random.default_rng(1).normal(size=(12, 2)).astype("float32")
        design = np.column_stack([X.astype(float), np.ones(12)])
        # The mean runs over 12 samples and 2 outputs.
        expected = np.repeat(np.linalg.eigvalsh(2 * design.T @ design / 24), 2)
        found = layer_spectra(net, X, y, dtype="float64")["module"]
        np.testing.assert_allclose(found.eigenvalues(), expected, rtol=1e-9)
        assert found.gn_gap == 0

    def test_logistic_regression(self):
        X, y = data(n_classes=2)
        net = tabular_net(nn.Linear(4, 1), NeuralNetBinaryClassifier)
        net.set_params(criterion=nn.BCEWithLogitsLoss).initialize()
        design = np.column_stack([X.astype(float), np.ones(12)])
        weight, bias = (p.detach().double().numpy() for p in net.module_.parameters())
        p = 1 / (1 + np.exp(-(X @ weight.T + bias)[:, 0]))
        expected = np.linalg.eigvalsh((design.T * p * (1 - p)) @ design / 12)
        found = layer_spectra(net, X, y.astype("float32"), dtype="float64")["module"]
        np.testing.assert_allclose(found.eigenvalues(), expected, rtol=1e-6)

    def test_softmax_regression(self):
        X, y = data()
        net = classifier(nn.Linear(4, 3, bias=False))
        z = X.astype(float) @ net.module_.weight.detach().double().numpy().T
        p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
        matrix = sum(
            np.kron(np.diag(q) - np.outer(q, q), np.outer(x, x)) for q, x in zip(p, X.astype(float))
        )
        found = layer_spectra(net, X, y, dtype="float64")["module"]
        expected = np.linalg.eigvalsh(matrix / 12)
        np.testing.assert_allclose(found.eigenvalues(), expected, atol=1e-9)


class TestProbabilityOutputs:
    """Nets that end in probabilities have the Gauss-Newton matrix of their logits."""

    @pytest.mark.parametrize("ending", ["softmax", "log_softmax"])
    def test_nll(self, ending):
        X, y = data()
        logits = mlp()
        last = nn.Softmax(-1) if ending == "softmax" else nn.LogSoftmax(-1)
        net_class = NeuralNetClassifier if ending == "softmax" else NeuralNet
        net = tabular_net(nn.Sequential(*logits, last), net_class, criterion=nn.NLLLoss)
        spectra = assert_matches_oracle(net, X, y)
        plain = layer_spectra(classifier(logits), X, y, dtype="float64")
        for name, spectrum in spectra.items():
            assert spectrum.gn_gap < 1e-9
            np.testing.assert_allclose(spectrum.eigenvalues(), plain[name].eigenvalues(), atol=1e-8)

    def test_bce(self):
        X, y = data(n_classes=2)
        module = nn.Sequential(*mlp(n_outputs=1), nn.Sigmoid())
        net = tabular_net(module, NeuralNetRegressor, criterion=nn.BCELoss)
        spectra = assert_matches_oracle(net, X, y[:, None].astype("float32"))
        assert all(spectrum.gn_gap < 1e-9 for spectrum in spectra.values())


class TestWholeScalar:
    """Scalars that are no function of each sample's outputs are differentiated as they are."""

    def check(self, net, X, y, reason, **settings):
        self.check_hessians(net, X, y, reason, **settings)
        with pytest.raises(ValueError, match=f"{reason}.*Use curvature='hessian'"):
            layer_spectra(net, X, y, curvature="ggn", **settings)

    def check_hessians(self, net, X, y, reason, **settings):
        assert_matches_oracle(net, X, y, **settings)
        with untouched_surroundings():
            problem = prepare(net, X, y, **settings)
            assert problem.outputs is None
            assert reason in problem.why_whole

    def test_penalty_on_parameters(self):
        class Penalized(NeuralNetClassifier):
            def get_loss(self, y_pred, y_true, *args, **kwargs):
                penalty = sum((p**4).sum() for p in self.module_.parameters())
                return super().get_loss(y_pred, y_true, *args, **kwargs) + 0.1 * penalty

        X, y = data()
        net = tabular_net(mlp(), Penalized, criterion=nn.CrossEntropyLoss)
        self.check(net, X, y, "depends on parameters directly")
        # The default batch is the whole data, so that chunks cannot change it.
        chunked = layer_spectra(net, X, y, dtype="float64", batch_size=5)
        assert_same_spectra(chunked, dense_hessians(net, X, y))

    def test_samples_that_are_mixed_by_the_net(self):
        X, y = data()
        module = mlp(nn.Tanh)
        module.insert(1, nn.BatchNorm1d(6, track_running_stats=False))
        self.check(classifier(module), X, y, "depend on the others")

    def test_samples_that_are_mixed_by_the_loss(self):
        X, y = data()

        def ranking(output, y):
            return torch.sigmoid(output[:, None, 0] - output[None, :, 1]).mean()

        self.check(classifier(mlp(nn.Tanh)), X, y, "couples", scalar=ranking)

    def test_several_outputs(self):
        class TwoHeads(nn.Module):
            def __init__(self):
                super().__init__()
                self.body, self.left, self.right = nn.Linear(4, 5), nn.Linear(5, 3), nn.Linear(5, 1)

            def forward(self, x):
                hidden = torch.tanh(self.body(x))
                return self.left(hidden), self.right(hidden)

        class Net(NeuralNet):
            def get_loss(self, y_pred, y_true, *args, **kwargs):
                return self.criterion_(y_pred[0], y_true) + (y_pred[1] ** 2).mean()

        X, y = data()
        net = tabular_net(TwoHeads(), Net, criterion=nn.CrossEntropyLoss)
        self.check(net, X, y, "more than one tensor")

    @pytest.mark.parametrize("batch_size", [None, 5])
    def test_outputs_too_many_for_their_hessians(self, monkeypatch, batch_size):
        monkeypatch.setattr("hessdiag.curvature.network._outputs.MAX_HESSIAN_ENTRIES", 50)
        X, y = data()
        for net in (classifier(mlp(nn.Tanh)), classifier(nn.Sequential(*mlp(), nn.Softmax(-1)))):
            net.set_params(criterion=nn.NLLLoss if len(net.module_) == 6 else nn.CrossEntropyLoss)
            self.check_hessians(net, X, y, "too large", batch_size=batch_size)

    def test_lanczos_and_large_layers(self):
        X, y = data()

        def ranking(output, y):
            return torch.sigmoid(output[:, None, 0] - output[None, :, 1]).mean()

        net = classifier(mlp(nn.Tanh))
        exact = layer_spectra(net, X, y, scalar=ranking, dtype="float64")
        settings = {"method": "lanczos", "n_lanczos_steps": 35, "dtype": "float64"}
        assert_same_extremes(layer_spectra(net, X, y, scalar=ranking, **settings), exact)


def assert_same_extremes(found, exact, rel=1e-6):
    for name, spectrum in found.items():
        size = np.abs(exact[name].nodes).max()
        assert not spectrum.exact
        assert abs(spectrum.max_eigenvalue - exact[name].max_eigenvalue) < rel * size
        assert abs(spectrum.min_eigenvalue - exact[name].min_eigenvalue) < rel * size


class TestWays:
    @pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU])
    @pytest.mark.parametrize("curvature", ["hessian", "ggn"])
    @pytest.mark.parametrize("batch_size", [None, 5])
    def test_lanczos_agrees_with_exact(self, activation, curvature, batch_size):
        X, y = data()
        net = classifier(mlp(activation))
        settings = {"curvature": curvature, "dtype": "float64", "batch_size": batch_size}
        exact = layer_spectra(net, X, y, **settings)
        found = layer_spectra(
            net, X, y, method="lanczos", n_lanczos_steps=40, n_probes=200, **settings
        )
        assert_same_extremes(found, exact)
        for name, spectrum in found.items():
            assert abs(spectrum.trace - exact[name].trace) <= 5 * spectrum.trace_error + 1e-12
            grid = np.linspace(*exact[name].nodes[[0, -1]], 50)
            width = 0.1 * (grid[-1] - grid[0])
            difference = spectrum.density(grid, width) - exact[name].density(grid, width)
            assert np.abs(difference).max() < 0.15 * exact[name].density(grid, width).max()

    def test_hessians_beyond_the_dense_limit(self):
        X, y = data()
        net = classifier(mlp(nn.GELU))
        with untouched_surroundings():
            problem = prepare(net, X, y, dtype="float64")
            few = SpectrumSettings(dense_limit=20, n_lanczos_steps=40)
            found = compute_spectra(choose_policy(problem, few))
        exact = layer_spectra(net, X, y, dtype="float64")
        assert [spectrum.exact for spectrum in found.values()] == [False, False, True]
        assert_same_extremes({name: found[name] for name in ("0", "2")}, exact)
        assert found["0"].gn_gap == exact["0"].gn_gap > 0.01

    def test_plain_double_backward_agrees_with_sample_wise_hessians(self, monkeypatch):
        X, y = data()
        net = classifier(mlp(nn.GELU))
        expected = layer_spectra(net, X, y, dtype="float64", batch_size=7)
        monkeypatch.setattr("hessdiag.spectra._hessian_operators.linear_hessians", lambda *args: {})
        assert_same_spectra(layer_spectra(net, X, y, dtype="float64"), dense_hessians(net, X, y))
        slow = layer_spectra(net, X, y, dtype="float64", batch_size=7)
        for name, spectrum in expected.items():
            np.testing.assert_allclose(slow[name].nodes, spectrum.nodes, atol=1e-12)

    def test_ggn_is_what_its_definition_says(self):
        X, y = data()
        net = classifier(mlp(nn.Tanh))
        module = copy.deepcopy(net.module_).double()
        z = module(torch.as_tensor(X).double())
        p = torch.softmax(z, 1).detach()
        output_hessian = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        spectra = layer_spectra(net, X, y, curvature="ggn", dtype="float64")
        for name, layer in (("0", module[0]), ("2", module[2]), ("4", module[4])):
            parameters = list(layer.parameters())
            rows = [
                torch.cat(
                    [
                        g.reshape(-1)
                        for g in torch.autograd.grad(entry, parameters, retain_graph=True)
                    ]
                )
                for entry in z.reshape(-1)
            ]
            jacobian = torch.stack(rows).view(12, 3, -1)
            matrix = torch.einsum("ncp,ncd,ndq->pq", jacobian, output_hessian, jacobian) / 12
            expected = torch.linalg.eigvalsh(matrix).numpy()
            assert spectra[name].curvature == "ggn"
            np.testing.assert_allclose(spectra[name].eigenvalues(), expected, atol=1e-12)

    def test_nonconvex_losses(self):
        """Output Hessians with negative eigenvalues go through both ways of the factors."""

        def wavy(output, y):
            return torch.sin(3 * output).sum() + output[:, 0].mul(output[:, 1]).sum()

        for width in (3, 40):
            module = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 3))
            X, y = data()
            spectra = assert_matches_oracle(classifier(module), X, y, scalar=wavy)
            assert spectra["0"].gn_gap == 0
            assert spectra["0"].min_eigenvalue < 0

    def test_losses_without_curvature_in_the_outputs(self):
        X, y = data()
        targets = np.eye(3, dtype="float32")[y]
        for activation in (nn.ReLU, nn.Tanh):
            net = tabular_net(mlp(activation), NeuralNetRegressor, criterion=nn.L1Loss)
            assert_matches_oracle(net, X, targets)

    def test_exact_refuses_what_does_not_fit(self):
        X, y = data()
        with pytest.raises(ValueError, match=r"'0' with 30 parameters.*method='auto'"):
            layer_spectra(classifier(mlp(nn.Tanh)), X, y, method="exact", max_memory=100)

    def test_tolerance_stops_lanczos_early(self):
        X, y = data(100)
        net = classifier(nn.Sequential(nn.Linear(4, 60), nn.Tanh(), nn.Linear(60, 3)))
        settings = {"method": "lanczos", "dtype": "float64", "n_lanczos_steps": 100}
        long = layer_spectra(net, X, y, **settings)
        short = layer_spectra(net, X, y, tolerance=1e-4, **settings)
        for name, spectrum in short.items():
            assert spectrum.nodes.size < long[name].nodes.size
            assert spectrum.max_eigenvalue == pytest.approx(long[name].max_eigenvalue, rel=1e-4)


class TestSelection:
    def test_names_patterns_and_blocks(self):
        X, y = data()
        net = classifier()
        every = layer_spectra(net, X, y, dtype="float64")
        assert list(every) == ["0", "2", "4"]
        assert list(layer_spectra(net, X, y, layers=["4", "0"])) == ["0", "4"]
        assert list(layer_spectra(net, X, y, layers="[02]")) == ["0", "2"]
        blocks = {"first": "0", "rest": ["2.*", "4.weight"]}
        found = layer_spectra(net, X, y, layers=blocks, dtype="float64")
        assert list(found) == ["first", "rest"]
        assert found["rest"].n_params == 35 + 15
        np.testing.assert_allclose(found["first"].nodes, every["0"].nodes, rtol=1e-12)

    def test_a_block_of_several_layers_is_the_joint_hessian(self):
        X, y = data()
        for activation in (nn.ReLU, nn.Tanh):
            net = classifier(mlp(activation))
            found = layer_spectra(net, X, y, layers={"all": "*"}, dtype="float64")["all"]

            class Joint(nn.Module):
                def __init__(self, inner):
                    super().__init__()
                    self.flat = nn.Parameter(nn.utils.parameters_to_vector(inner.parameters()))
                    self.__dict__["inner"] = inner

                def forward(self, x):
                    pieces, position = {}, 0
                    for name, p in self.inner.named_parameters():
                        pieces[name] = self.flat[position : position + p.numel()].view_as(p)
                        position += p.numel()
                    return torch.func.functional_call(self.inner, pieces, (x,))

            (expected,) = dense_hessians(classifier(Joint(net.module_)), X, y).values()
            size = np.abs(expected).max()
            np.testing.assert_allclose(
                found.eigenvalues(), np.linalg.eigvalsh(expected), atol=1e-7 * size
            )

    def test_forward_order_and_tied_owners(self):
        class Backwards(nn.Module):
            def __init__(self):
                super().__init__()
                self.last, self.first = nn.Linear(4, 3), nn.Linear(4, 4)

            def forward(self, x):
                return self.last(torch.relu(self.first(x)))

        X, y = data()
        assert list(layer_spectra(classifier(Backwards()), X, y)) == ["first", "last"]
        net, X, y = make_net("tied", "mse")
        assert list(layer_spectra(net, X, y)) == ["embed", "head"]
        net, X, y = make_net("attention", "mse")
        assert list(layer_spectra(net, X, y)) == ["attend", "attend.out_proj", "head"]

    def test_max_samples_and_seeds(self):
        X, y = data(60)
        net = classifier(mlp(nn.Tanh))
        settings = {"method": "lanczos", "n_lanczos_steps": 4}
        seeds = [
            layer_spectra(net, X, y, max_samples=20, random_state=seed, **settings)["2"]
            for seed in (0, 0, 1, np.random.RandomState(0), np.random.default_rng(0))
        ]
        np.testing.assert_array_equal(seeds[0].nodes, seeds[1].nodes)
        assert all(np.any(seeds[0].nodes != other.nodes) for other in seeds[2:])
        with untouched_surroundings():
            assert prepare(net, X, y, max_samples=20).n_samples == 20


class TestInputs:
    def test_precisions(self):
        X, y = data()
        net = classifier(mlp(nn.Tanh))
        exact = layer_spectra(net, X, y, dtype="float64")
        single = layer_spectra(net, X, y)
        for name, spectrum in single.items():
            size = exact[name].max_eigenvalue
            np.testing.assert_allclose(
                spectrum.eigenvalues(), exact[name].eigenvalues(), atol=2e-5 * size
            )
        half = classifier(mlp(nn.Tanh).half())
        assert_same_extremes_loosely(layer_spectra(half, X.astype("float16"), y), exact)
        with pytest.raises(ValueError, match="'float16'"):
            layer_spectra(net, X, y, dtype="float16")

    def test_datasets_frames_and_tensors(self):
        X, y = data()
        net = classifier()
        expected = layer_spectra(net, X, y)["0"]
        frame = pytest.importorskip("pandas").DataFrame(X)
        for given in (
            (Dataset(X, y), None),
            (torch.as_tensor(X), torch.as_tensor(y)),
            (torch.utils.data.TensorDataset(torch.as_tensor(X), torch.as_tensor(y)), None),
            (frame.to_numpy(), y.tolist()),
        ):
            found = layer_spectra(net, *given)["0"]
            np.testing.assert_array_equal(found.nodes, expected.nodes)

    def test_compiled_modules_are_examined_as_written(self):
        X, y = data()
        net = classifier()
        expected = layer_spectra(net, X, y)["0"].nodes
        net.__dict__["module_"] = torch.compile(net.module_, backend="eager")
        np.testing.assert_array_equal(layer_spectra(net, X, y)["0"].nodes, expected)

    def test_old_weight_norm_and_user_hooks(self):
        X, y = data()
        module = mlp()
        module[2].register_forward_hook(lambda m, args, out: 2 * out)
        module[0].register_forward_pre_hook(lambda m, args: (args[0] + 1,))
        assert_matches_oracle(classifier(module), X, y)

    def test_under_no_grad_and_inference_mode(self):
        X, y = data()
        net = classifier()
        expected = layer_spectra(net, X, y)["0"].nodes
        for mode in (torch.no_grad, torch.inference_mode):
            with mode():
                np.testing.assert_array_equal(layer_spectra(net, X, y)["0"].nodes, expected)

    def test_nan_curvature_stays_with_its_layer(self):
        class Root(nn.Module):
            """Infinite second derivative at zero, first derivative finite elsewhere."""

            def __init__(self):
                super().__init__()
                self.inner, self.head = nn.Linear(4, 5), nn.Linear(5, 3)
                with torch.no_grad():
                    self.inner.weight.zero_()
                    self.inner.bias.zero_()

            def forward(self, x):
                return self.head(self.inner(x).abs().sqrt())

        X, y = data()
        for settings in ({}, {"method": "lanczos"}, {"curvature": "ggn"}):
            spectra = layer_spectra(classifier(Root()), X, y, **settings)
            assert np.isnan(spectra["inner"].max_eigenvalue)
            assert np.isfinite(spectra["head"].max_eigenvalue)


def assert_same_extremes_loosely(found, exact):
    for name, spectrum in found.items():
        assert spectrum.max_eigenvalue == pytest.approx(exact[name].max_eigenvalue, rel=0.02)


def test_what_is_raised_inside_is_named_at_the_door(monkeypatch):
    def fail(*args):
        raise NotSeparableError("the loss is not convex in the outputs")

    monkeypatch.setattr(_local_spectra, "compute_spectra", fail)
    with pytest.raises(ValueError, match=r"sum over samples.*found that the loss is not convex"):
        layer_spectra(*make_net("relu", "mse"))

"""Statistics of Gram matrices against explicit Jacobians, gradients and dense inverses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from hessdiag.examination._gram_statistics import gram_statistics
from hessdiag.examination._leave_one_out import (
    output_hessian_roots,
    weighted_gram,
    weighted_gram_from_jacobian,
)

MULTIPLES = (0.01, 0.1, 1.0, 10.0, 100.0)


class Case:
    """A layer of a softmax classifier (or, for one output, of a regression) with explicit J."""

    def __init__(self, n_samples, n_outputs, n_parameters, seed=0):
        rng = np.random.default_rng(seed)
        self.jacobian = rng.normal(size=(n_samples * n_outputs, n_parameters))
        self.outputs = rng.normal(size=(n_samples, n_outputs))
        if n_outputs == 1:
            self.y = rng.normal(size=(n_samples, 1))
            targets = self.y
            self.residuals = self.outputs - self.y
            self.hessian = np.ones((n_samples, 1, 1))
        else:
            self.y = rng.integers(n_outputs, size=n_samples)
            targets = np.eye(n_outputs)[self.y]
            p = np.exp(self.outputs) / np.exp(self.outputs).sum(axis=1, keepdims=True)
            self.residuals = p - targets
            self.hessian = p[:, :, None] * (np.eye(n_outputs) - p[:, None, :])
        self.targets = targets - targets.mean(axis=0)
        self.ridge_scale = 0.8

    def loss(self, outputs):
        if self.y.ndim == 2:
            differences = (outputs - self.y)[:, 0]
            return differences**2 / 2, differences**2
        largest = outputs.max(axis=1)
        normalizers = np.log(np.exp(outputs - largest[:, None]).sum(axis=1)) + largest
        picked = outputs[np.arange(len(outputs)), self.y]
        return normalizers - picked, (outputs.argmax(axis=1) != self.y).astype(float)

    @property
    def gradients(self):
        n_samples, n_outputs = self.residuals.shape
        blocks = self.jacobian.reshape(n_samples, n_outputs, -1)
        return np.einsum("ncp,nc->np", blocks, self.residuals)

    @property
    def dense(self):
        """Terms `J_n' Lambda_n J_n` of the dense matrix, one per sample."""
        n_samples, n_outputs = self.residuals.shape
        blocks = self.jacobian.reshape(n_samples, n_outputs, -1)
        return np.einsum("ncp,ncd,ndq->npq", blocks, self.hessian, blocks)

    def statistics(self, **changes):
        arguments = {
            "gram": self.jacobian @ self.jacobian.T,
            "output_hessian": self.hessian,
            "residuals": self.residuals,
            "outputs": self.outputs,
            "targets": self.targets,
            "pointwise_loss": self.loss,
            "ridge_scale": self.ridge_scale,
            "n_params": self.jacobian.shape[1],
        }
        return gram_statistics(**(arguments | changes))


CASES = {
    "many parameters": Case(20, 3, 90),
    "few parameters": Case(20, 3, 7),
    "two classes": Case(24, 2, 10),
    "regression": Case(16, 1, 30),
    "regression, few parameters": Case(16, 1, 3),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@each_case
def test_ridge_statistics_equal_dense_inverses(case):
    statistics = case.statistics()
    n_samples, n_outputs = case.residuals.shape
    n_parameters, terms = case.jacobian.shape[1], case.dense
    blocks = case.jacobian.reshape(n_samples, n_outputs, n_parameters)
    losses, errors = case.loss(case.outputs)
    alo_losses = []
    for multiple in MULTIPLES:
        ridge = multiple * case.ridge_scale
        inverse = np.linalg.inv(terms.sum(axis=0) + ridge * np.eye(n_parameters))
        dimension = np.trace(terms.sum(axis=0) @ inverse)
        rank = min(n_samples * max(n_outputs - 1, 1), n_parameters)
        takeuchi = np.trace(inverse @ case.gradients.T @ case.gradients) / n_samples
        left_out = case.outputs.copy()
        for n in range(n_samples):
            rest = terms.sum(axis=0) - terms[n] + ridge * np.eye(n_parameters)
            left_out[n] += blocks[n] @ np.linalg.solve(rest, case.gradients[n])
        left_losses, left_errors = case.loss(left_out)
        alo_losses.append(left_losses.mean())
        expected = {
            "effective_dimension": dimension,
            "effective_dimension_fraction": dimension / rank,
            "takeuchi": takeuchi,
            "alo_loss": left_losses.mean(),
            "alo_error": left_errors.mean(),
            "alo_gap": left_losses.mean() - losses.mean(),
            "alo_error_gap": left_errors.mean() - errors.mean(),
            "alo_median_gap": np.median(left_losses - losses),
        }
        for name, value in expected.items():
            assert statistics[f"{name}_{multiple:g}"] == pytest.approx(value, rel=1e-7, abs=1e-12)
    best = int(np.argmin(alo_losses))
    assert statistics["alo_best_loss"] == pytest.approx(alo_losses[best])
    assert statistics["alo_best_gap"] == pytest.approx(alo_losses[best] - losses.mean())
    assert statistics["alo_best_log10_ridge"] == pytest.approx(np.log10(MULTIPLES[best]))


@each_case
def test_leverage_statistics_equal_dense_inverses(case):
    statistics = case.statistics()
    terms = case.dense
    inverse = np.linalg.inv(terms.sum(axis=0) + case.ridge_scale * np.eye(terms.shape[1]))
    leverages = np.einsum("npq,qp->n", terms, inverse)
    influences = np.einsum("np,pq,nq->n", case.gradients, inverse, case.gradients)
    losses, _ = case.loss(case.outputs)
    expected = {
        "leverage_mean": leverages.mean(),
        "leverage_max": leverages.max(),
        "leverage_dispersion": leverages.std() / leverages.mean(),
        "leverage_high_share": (leverages > 2 * leverages.mean()).mean(),
        "leverage_loss_correlation": spearmanr(leverages, losses).statistic,
        "self_influence_dispersion": influences.std() / influences.mean(),
        "self_influence_loss_correlation": spearmanr(influences, losses).statistic,
    }
    assert {name: statistics[name] for name in expected} == pytest.approx(expected, rel=1e-8)


@each_case
def test_gradient_statistics_equal_those_of_explicit_gradients(case):
    statistics = case.statistics()
    gradients = case.gradients
    n_samples, mean = len(gradients), gradients.mean(axis=0)
    noise = np.trace(np.atleast_2d(np.cov(gradients.T)))
    singular_values = np.linalg.svd(gradients, compute_uv=False)
    pairs = [gradients[n] @ gradients[m] for n in range(n_samples) for m in range(n) if n != m]
    expected = {
        "gradient_norm": np.linalg.norm(mean),
        "gradient_noise": np.sqrt(noise),
        "gradient_snr": mean @ mean / (noise / n_samples),
        "gradient_effective_rank": (singular_values**2).sum() ** 2 / (singular_values**4).sum(),
        "gradient_coherence": np.mean(pairs) / np.mean((gradients**2).sum(axis=1)),
    }
    assert {name: statistics[name] for name in expected} == pytest.approx(expected, rel=1e-9)
    if case.y.ndim == 2:
        assert np.isnan(statistics["gradient_class_coherence"])
        return
    unit = gradients / np.linalg.norm(gradients, axis=1, keepdims=True)
    same, other = [], []
    for n in range(n_samples):
        for m in range(n):
            (same if case.y[n] == case.y[m] else other).append(unit[n] @ unit[m])
    difference = np.mean(same) - np.mean(other)
    assert statistics["gradient_class_coherence"] == pytest.approx(difference, rel=1e-9)


@each_case
def test_alignments_equal_their_definition(case):
    statistics, gram = case.statistics(), case.jacobian @ case.jacobian.T
    n_samples, n_outputs = case.residuals.shape
    centring = np.kron(np.eye(n_samples) - 1 / n_samples, np.eye(n_outputs))
    for name, vectors in (("target", case.targets), ("residual", case.residuals)):
        vector = vectors.ravel()
        for prefix, kernel, v in (
            ("", gram, vector),
            ("centred_", centring @ gram @ centring, centring @ vector),
        ):
            outer = np.outer(v, v)
            cosine = (kernel * outer).sum() / np.linalg.norm(kernel) / np.linalg.norm(outer)
            assert statistics[f"{prefix}{name}_alignment"] == pytest.approx(cosine, rel=1e-10)


def test_residual_energies_are_those_in_the_leading_eigenvectors():
    case = CASES["regression"]  # where B is the identity
    vectors = np.linalg.eigh(case.jacobian @ case.jacobian.T)[1][:, ::-1]
    energies = (vectors.T @ case.residuals[:, 0]) ** 2 / (case.residuals**2).sum()
    statistics = case.statistics()
    assert statistics["residual_energy_outputs"] == pytest.approx(energies[0])
    assert statistics["residual_energy_tenth"] == pytest.approx(energies[:2].sum())


def assert_same(found, expected, rel=1e-7):
    assert found == pytest.approx(expected, rel=rel, abs=1e-10, nan_ok=True)


@each_case
def test_a_given_decomposition_of_either_route_changes_nothing(case):
    roots, statistics = output_hessian_roots(case.hessian), case.statistics()
    full = weighted_gram(case.jacobian @ case.jacobian.T, roots, case.jacobian.shape[1])
    thin = weighted_gram_from_jacobian(case.jacobian, roots)
    assert_same(case.statistics(eig=full, output_hessian=None), statistics, rel=1e-12)
    assert_same(case.statistics(eig=thin, output_hessian=None), statistics)


@settings(max_examples=25, deadline=None)
@given(
    n_samples=st.integers(1, 12),
    n_outputs=st.integers(1, 4),
    n_parameters=st.integers(1, 40),
    exponent=st.floats(-4, 4),
    seed=st.integers(0, 10**6),
)
def test_rescaled_parameters_leave_ridge_statistics_alone(
    n_samples, n_outputs, n_parameters, exponent, seed
):
    """J -> c J with ridge -> c^2 ridge: the same model in other units."""
    case, scale = Case(n_samples, n_outputs, n_parameters, seed), 10.0**exponent
    gram = case.jacobian @ case.jacobian.T
    found = case.statistics(gram=scale**2 * gram, ridge_scale=scale**2 * case.ridge_scale)
    expected = case.statistics()
    for name in ("gradient_norm", "gradient_noise"):
        expected[name] *= scale
    # An error changes by 1 / N where a class decision is a tie.
    assert_same(found, expected, rel=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(1, 4), st.integers(1, 30), st.integers(0, 10**6))
def test_order_of_samples_does_not_matter(n_samples, n_outputs, n_parameters, seed):
    case = Case(n_samples, n_outputs, n_parameters, seed)
    order = np.random.default_rng(seed).permutation(n_samples)
    expected = case.statistics()
    case.jacobian = case.jacobian.reshape(n_samples, n_outputs, -1)[order].reshape(
        n_samples * n_outputs, -1
    )
    for name in ("hessian", "residuals", "outputs", "targets", "y"):
        setattr(case, name, getattr(case, name)[order])
    assert_same(case.statistics(), expected, rel=1e-6)


def test_duplicated_gradients_are_coherent_and_orthogonal_ones_are_not():
    case = Case(6, 1, 4)
    aligned = case.statistics(
        gram=np.ones((6, 6)), residuals=np.ones((6, 1)), targets=np.ones((6, 1))
    )
    assert aligned["gradient_coherence"] == pytest.approx(1)
    assert aligned["gradient_effective_rank"] == pytest.approx(1)
    assert aligned["target_alignment"] == pytest.approx(1)
    assert aligned["gradient_noise"] == pytest.approx(0)
    apart = case.statistics(gram=np.eye(6), residuals=np.ones((6, 1)))
    assert apart["gradient_coherence"] == pytest.approx(0)
    assert apart["gradient_effective_rank"] == pytest.approx(6)


def test_memorized_label_noise_shows_in_leverage_and_leave_one_out():
    """Interpolating noise: the leave-one-out loss says what the training loss hides."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 40)), rng.normal(size=(30, 1))
    ridge = 0.01
    gram = x @ x.T
    outputs = gram @ np.linalg.solve(gram + ridge * np.eye(30), y)

    def loss(z):
        return ((z - y) ** 2)[:, 0] / 2, ((z - y) ** 2)[:, 0]

    statistics = gram_statistics(
        gram, np.ones((30, 1, 1)), outputs - y, outputs, y, loss, ridge, multiples=(1.0,)
    )
    assert loss(outputs)[0].mean() < 1e-5
    assert statistics["alo_loss_1"] > 0.8 * loss(np.zeros_like(y))[0].mean()
    assert statistics["leverage_mean"] > 0.99


def test_zero_residuals_leave_the_loss_alone():
    case = CASES["many parameters"]
    statistics = case.statistics(residuals=0 * case.residuals)
    for multiple in MULTIPLES:
        assert statistics[f"alo_gap_{multiple:g}"] == 0
        assert statistics[f"takeuchi_{multiple:g}"] == 0
    assert statistics["gradient_norm"] == statistics["gradient_noise"] == 0
    for name in ("gradient_snr", "gradient_coherence", "residual_alignment"):
        assert np.isnan(statistics[name])
    assert np.isfinite(statistics["leverage_mean"])


@pytest.mark.parametrize("margin", [15.0, 36.0, 800.0])
def test_a_saturated_network_keeps_finite_statistics(margin):
    """Residuals and output Hessians down to rounding of `1 - p`, and below it."""
    case = Case(12, 3, 40)
    case.outputs = margin * np.eye(3)[case.y] + 0.1 * case.outputs
    p = np.exp(case.outputs - case.outputs.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    case.residuals = p - np.eye(3)[case.y]
    case.hessian = p[:, :, None] * (np.eye(3) - p[:, None, :])
    statistics = case.statistics()
    for multiple in MULTIPLES:
        assert abs(statistics[f"alo_gap_{multiple:g}"]) < 1e-3
        assert statistics[f"alo_error_{multiple:g}"] == 0
        assert 0 <= statistics[f"effective_dimension_{multiple:g}"] < 1


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_one_sample_has_no_variance_but_a_leave_one_out(n_outputs):
    case = Case(1, n_outputs, 5)
    statistics = case.statistics()
    gradient = case.gradients[0]
    shift = case.jacobian @ gradient / case.ridge_scale
    assert statistics["alo_loss_1"] == pytest.approx(case.loss(case.outputs + shift)[0][0])
    assert np.isnan(statistics["gradient_noise"])
    assert np.isnan(statistics["gradient_class_coherence"])


@pytest.mark.parametrize("name", ["gram", "residuals", "outputs", "output_hessian"])
def test_what_is_not_finite_is_nan_under_the_same_names(name):
    case = CASES["two classes"]
    expected = case.statistics()
    broken = {
        "gram": case.jacobian @ case.jacobian.T,
        "residuals": case.residuals.copy(),
        "outputs": case.outputs.copy(),
        "output_hessian": case.hessian.copy(),
    }[name]
    broken.flat[0] = np.inf
    statistics = case.statistics(**{name: broken})
    assert list(statistics) == list(expected)
    assert np.isnan(statistics["alo_loss_1"])
    assert not np.isinf(list(statistics.values())).any()
    # Not spread: what does not need the broken input stands.
    if name in ("outputs", "output_hessian"):
        assert statistics["gradient_snr"] == expected["gradient_snr"]


@pytest.mark.parametrize("ridge_scale", [np.inf, np.nan, 0.0, -1.0])
def test_a_ridge_that_does_not_exist_is_nan(ridge_scale):
    case = CASES["two classes"]
    statistics, expected = case.statistics(ridge_scale=ridge_scale), case.statistics()
    assert list(statistics) == list(expected)
    assert np.isnan(statistics["effective_dimension_1"])
    assert np.isnan(statistics["leverage_mean"])
    assert statistics["gradient_snr"] == expected["gradient_snr"]


def test_multiples_name_the_statistics():
    case = CASES["regression"]
    found, expected = case.statistics(multiples=(0.1, 5)), case.statistics()
    assert "alo_loss_5" in found
    assert "alo_loss_1" not in found
    assert found["alo_loss_0.1"] == pytest.approx(expected["alo_loss_0.1"])
    # Leverages are those of the ridge itself, on the grid or not.
    assert found["leverage_max"] == pytest.approx(expected["leverage_max"])


def test_errors_name_the_expected_shape():
    case = CASES["two classes"]
    with pytest.raises(ValueError, match=r"Expected residuals of shape \(N, C\)"):
        case.statistics(residuals=case.residuals.ravel())
    with pytest.raises(ValueError, match=r"Expected targets of the shape of residuals, \(24, 2\)"):
        case.statistics(targets=case.targets[:, :1])
    with pytest.raises(ValueError, match=r"Expected gram of shape .* \(48, 48\)"):
        case.statistics(gram=np.eye(24))
    with pytest.raises(ValueError, match="Expected multiples as a list of finite positive"):
        case.statistics(multiples=(1.0, -1.0))

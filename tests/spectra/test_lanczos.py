"""Lanczos against dense eigenvalues, and the quadrature against moments."""

import numpy as np
import pytest
import torch

from hessdiag.spectra._lanczos import lanczos, quadrature, random_probes


def symmetric(eigenvalues, seed=0):
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=2 * (len(eigenvalues),)))
    return torch.as_tensor(basis * eigenvalues @ basis.T)


def run(matrices, n_steps, n_probes=3, tolerance=None, distribution="rademacher", seed=0):
    generator = torch.Generator().manual_seed(seed)
    starts = {
        name: random_probes(n_probes, len(m), generator, m.dtype, m.device, distribution)
        for name, m in matrices.items()
    }
    return lanczos(
        lambda vectors: {name: v @ matrices[name] for name, v in vectors.items()},
        starts,
        n_steps,
        tolerance,
    )


@pytest.mark.parametrize("distribution", ["rademacher", "gaussian"])
def test_full_run_gives_all_eigenvalues(distribution):
    values = np.array([-3.0, -1.0, 0.5, 2.0, 7.0])
    (tridiagonals,) = run({"a": symmetric(values)}, 5, distribution=distribution).values()
    for alphas, betas in tridiagonals:
        found = np.linalg.eigvalsh(np.diag(alphas) + np.diag(betas, 1) + np.diag(betas, -1))
        np.testing.assert_allclose(found, values, atol=1e-10)


def test_matrices_in_lockstep_equal_each_alone():
    matrices = {"small": symmetric(np.arange(4.0)), "large": symmetric(np.arange(40.0) ** 2)}
    together = run(matrices, 12)
    generator = torch.Generator().manual_seed(0)
    for name, matrix in matrices.items():
        starts = {name: random_probes(3, len(matrix), generator, torch.float64, "cpu")}
        alone = lanczos(lambda v, m=matrix: {n: x @ m for n, x in v.items()}, starts, 12)
        for (a, b), (c, d) in zip(together[name], alone[name]):
            np.testing.assert_array_equal(a, c)
            np.testing.assert_array_equal(b, d)


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_breakdown_ends_a_run_without_harm(rank):
    values = np.zeros(20)
    values[:rank] = [5.0, -2.0, 1.0][:rank]
    runs = run({"a": symmetric(values)}, 15)["a"]
    assert all(len(alphas) <= rank + 1 for alphas, _ in runs)
    nodes, weights, _, _ = quadrature(runs, 20)
    assert weights.sum() == pytest.approx(1)
    assert nodes.max() == pytest.approx(values.max(), abs=1e-12)
    assert nodes.min() == pytest.approx(values.min(), abs=1e-12)


def test_orthogonality_holds_in_single_precision():
    """Without reorthogonalization, copies of the largest eigenvalue would appear."""
    values = np.append(np.linspace(0, 1, 200), 1e4)
    matrix = symmetric(values).float()
    for alphas, betas in run({"a": matrix}, 40, n_probes=2)["a"]:
        found = np.linalg.eigvalsh(np.diag(alphas) + np.diag(betas, 1) + np.diag(betas, -1))
        assert np.count_nonzero(found > 5e3) == 1


def test_quadrature_gets_moments_and_trace_within_its_error():
    values = np.random.default_rng(1).exponential(size=300)
    runs = run({"a": symmetric(values)}, 10, n_probes=40)["a"]
    nodes, weights, trace, error = quadrature(runs, 300)
    assert abs(trace - values.sum()) < 4 * error
    assert 0 < error < 0.1 * trace
    assert nodes @ weights * 300 == pytest.approx(trace)
    assert nodes.max() == pytest.approx(values.max(), rel=1e-2)
    # Gauss quadrature with m nodes is exact for each probe's moments up to degree 2 m - 1.
    (alphas, betas), *_ = runs
    one_nodes, one_weights, _, alone = quadrature([(alphas, betas)], 300)
    generator = torch.Generator().manual_seed(0)
    probe = random_probes(40, 300, generator, torch.float64, "cpu")[0].numpy()
    moment = probe @ np.linalg.matrix_power(symmetric(values).numpy(), 5) @ probe
    assert one_nodes**5 @ one_weights == pytest.approx(moment, rel=1e-9)
    assert np.isnan(alone)


def test_tolerance_stops_early_and_keeps_its_promise():
    values = np.append(np.linspace(0, 1, 500), [30.0, 50.0])
    runs = run({"a": symmetric(values)}, 200, tolerance=1e-6)["a"]
    assert max(len(alphas) for alphas, _ in runs) < 40
    nodes, *_ = quadrature(runs, 502)
    assert nodes.max() == pytest.approx(50, rel=1e-6)


def test_nan_is_reported():
    matrix = symmetric(np.arange(5.0))
    matrix[0, 0] = np.nan
    nodes, weights, trace, _ = quadrature(run({"a": matrix}, 5)["a"], 5)
    assert np.isnan(nodes).all()
    assert weights.sum() == 1
    assert np.isnan(trace)
    with pytest.raises(ValueError, match="'uniform'"):
        run({"a": matrix}, 5, distribution="uniform")


def twice_against_all(matrix, start, n_steps):
    """The naive twin: in float64, every vector is projected twice against all before."""
    basis, alphas, betas = [start], [], []
    for _ in range(n_steps):
        image = matrix @ basis[-1]
        alphas.append(basis[-1] @ image)
        done = np.array(basis)
        for _ in range(2):
            image = image - done.T @ (done @ image)
        betas.append(np.linalg.norm(image))
        basis.append(image / betas[-1])
    return np.array(alphas), np.array(betas[:-1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_projection_does_as_well_as_two(dtype):
    values = np.concatenate([np.geomspace(1e-6, 1, 150), [5.0, 5.0001, 80.0], -np.ones(20)])
    matrix = symmetric(values)
    generator = torch.Generator().manual_seed(0)
    starts = random_probes(2, len(values), generator, dtype, "cpu")
    lanczos_run = lanczos(lambda v: {"a": v["a"] @ matrix.to(dtype)}, {"a": starts}, 25)["a"]
    rtol = 1e-9 if dtype == torch.float64 else 1e-4
    for start, (alphas, betas) in zip(starts.double().numpy(), lanczos_run):
        found = quadrature([(alphas, betas)], len(values))
        expected = quadrature([twice_against_all(matrix.numpy(), start, 25)], len(values))
        for power in range(6):
            np.testing.assert_allclose(
                (found[0] ** power) @ found[1], (expected[0] ** power) @ expected[1], rtol=rtol
            )
        np.testing.assert_allclose(found[0].max(), expected[0].max(), rtol=rtol)

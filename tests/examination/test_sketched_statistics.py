"""Statistics through columns of outputs, against dense Jacobians and against all outputs."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn

import hessdiag as hd
from hessdiag.curvature import prepare
from hessdiag.curvature.network import untouched_surroundings
from hessdiag.examination._layer_statistics import LayerStatistics
from hessdiag.examination._sketched_statistics import FIRST_ROOT, MULTIPLES, SketchedStatistics

N = 12
RNG = np.random.default_rng(0)


def trained(n_outputs, kind=NeuralNetClassifier, hidden=6):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, hidden), nn.Tanh(), nn.Linear(hidden, n_outputs))
    X = RNG.normal(size=(N, 3)).astype("float32")
    if kind is NeuralNetRegressor:
        y, criterion = RNG.normal(size=(N, n_outputs)).astype("float32"), nn.MSELoss
    else:
        y, criterion = np.arange(N) % n_outputs, nn.CrossEntropyLoss
    net = kind(module, criterion=criterion, train_split=None, verbose=0, max_epochs=20, lr=0.1)
    return net.fit(X, y), X, y


def seen(net, X, y, n_roots):
    """Return problem, statistics through columns, and the generator's seed is 0."""
    problem = prepare(net, X, y, dtype="float64")
    return problem, SketchedStatistics(problem, n_roots, torch.Generator().manual_seed(0))


def gram_of(problem, columns, name):
    return dict(problem.each_factor(problem.blocks, columns=columns))[name]


@pytest.mark.parametrize(("n_outputs", "kind"), [(4, NeuralNetClassifier), (3, NeuralNetRegressor)])
def test_columns_that_span_all_outputs_give_what_all_outputs_give(n_outputs, kind):
    net, X, y = trained(n_outputs, kind)
    with untouched_surroundings():
        problem, sketched = seen(net, X, y, n_outputs)
        exact = LayerStatistics(problem)
        for name in ("0", "2"):
            plain = gram_of(problem, None, name)
            gram = plain.gram().numpy()
            eig = exact.decompose(plain, gram)
            expected = exact(gram, 0.7, eig)
            spectrum = exact.ggn_spectrum(eig, gram, exact.weighted(plain), "hessian", 0.0)
            factor = gram_of(problem, sketched.columns, name)
            gram = factor.gram().numpy()
            eig = sketched.decompose(factor, gram)
            found = sketched(gram, 0.7, eig)
            estimate = sketched.ggn_spectrum(eig, gram, factor, "hessian", 0.0)
            assert estimate.trace == pytest.approx(spectrum.trace, rel=1e-9)
            assert estimate.max_eigenvalue == pytest.approx(spectrum.max_eigenvalue, rel=1e-9)
            estimated = {"residual_alignment", "target_alignment"}
            for key in found.keys() - estimated:
                assert found[key] == pytest.approx(expected[key], rel=1e-6, abs=1e-9, nan_ok=True)
            assert {
                "centred_target_alignment",
                "residual_energy_tenth",
            } <= expected.keys() - found.keys()


def test_statistics_follow_from_dense_matrices():
    """Few columns: the Hessian in the parameters is that of the columns, all else is explicit."""
    net, X, y = trained(9)
    with untouched_surroundings():
        problem, sketched = seen(net, X, y, 2)
        factor = gram_of(problem, sketched.columns, "0")
        found = sketched(
            factor.gram().numpy(), 0.3, sketched.decompose(factor, factor.gram().numpy())
        )
        jacobian = gram_of(problem, None, "0").dense().numpy()
    columns = sketched.columns.numpy()
    roots, residuals = columns[..., FIRST_ROOT:], columns[..., 0]
    terms = np.einsum("ncp,ncr->npr", jacobian, roots)
    hessians = terms @ terms.transpose(0, 2, 1)
    whole, gradients = hessians.sum(axis=0), np.einsum("ncp,nc->np", jacobian, residuals)
    inner = gradients @ gradients.T
    assert found["gradient_norm"] == pytest.approx(np.linalg.norm(gradients.mean(axis=0)))
    assert found["gradient_effective_rank"] == pytest.approx(
        np.trace(inner) ** 2 / np.square(inner).sum()
    )
    outputs = sketched.values.numpy()
    for multiple in MULTIPLES:
        ridge = multiple * 0.3 * np.eye(len(whole))
        values = np.linalg.eigvalsh(whole)
        dimension = (values / (values + ridge[0, 0])).sum()
        assert found[f"effective_dimension_{multiple:g}"] == pytest.approx(dimension)
        shifts = np.empty_like(outputs)
        for n in range(N):
            step = np.linalg.solve(whole + ridge - hessians[n], gradients[n])
            along = np.linalg.lstsq(columns[n].T, columns[n].T @ jacobian[n] @ step, rcond=None)[0]
            shifts[n] = along
        moved = torch.as_tensor(outputs + shifts)
        loss = nn.functional.cross_entropy(moved, torch.as_tensor(y)).item()
        assert found[f"alo_loss_{multiple:g}"] == pytest.approx(loss)
        optimism = np.einsum("np,pn->", gradients, np.linalg.solve(whole + ridge, gradients.T)) / N
        assert found[f"takeuchi_{multiple:g}"] == pytest.approx(optimism)


def test_alignments_are_right_in_the_mean():
    net, X, y = trained(9)
    found, norms = [], []
    with untouched_surroundings():
        problem = prepare(net, X, y, dtype="float64")
        exact = LayerStatistics(problem)
        plain = gram_of(problem, None, "0")
        gram = plain.gram().numpy()
        expected = exact(gram, 1.0, exact.decompose(plain, gram))
        for seed in range(200):
            sketched = SketchedStatistics(problem, 1, torch.Generator().manual_seed(seed))
            factor = gram_of(problem, sketched.columns, "0")
            values = sketched(
                factor.gram().numpy(), 1.0, sketched.decompose(factor, factor.gram().numpy())
            )
            found.append([values["residual_alignment"], values["target_alignment"]])
            norms.append(1 / np.square(found[-1]))
    # Their inverse squares are linear in the square of the norm, which is unbiased.
    expected = 1 / np.square([expected["residual_alignment"], expected["target_alignment"]])
    mean, error = np.mean(norms, axis=0), np.std(norms, axis=0) / np.sqrt(200)
    assert (np.abs(mean - expected) < 4 * error).all()


def test_traces_are_right_within_their_errors():
    net, X, y = trained(40)
    with untouched_surroundings():
        problem = prepare(net, X, y, dtype="float64")
        exact = hd.layer_spectra(net, X, y, curvature="ggn", dtype="float64")["0"].trace
        scores = []
        for seed in range(100):
            sketched = SketchedStatistics(problem, 4, torch.Generator().manual_seed(seed))
            factor = gram_of(problem, sketched.columns, "0")
            gram = factor.gram().numpy()
            spectrum = sketched.ggn_spectrum(
                sketched.decompose(factor, gram), gram, factor, "ggn", 0.0
            )
            assert not spectrum.exact
            scores.append((spectrum.trace - exact) / spectrum.trace_error)
    # Student's t with three degrees of freedom has a standard deviation of the root of three.
    assert abs(np.mean(scores)) < 4 * np.sqrt(3 / 100)
    assert 0.5 < np.median(np.abs(scores)) < 1.1

"""Seconds to a given error: distances, efforts, and the bench at tiny size."""

import json

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

pytestmark = pytest.mark.filterwarnings("ignore")  # the peers' own


def test_distance_is_that_of_scipy():
    from _spectral_errors import density_distance

    rng = np.random.default_rng(0)
    for n, m in ((1, 1), (3, 7), (40, 5)):
        a, b = rng.standard_normal(n), rng.standard_normal(m) * 3
        u, v = rng.dirichlet(np.ones(n)), rng.dirichlet(np.ones(m))
        expected = wasserstein_distance(a, b, u, v)
        assert density_distance(a, u, b, v) == pytest.approx(expected, rel=1e-12)


@pytest.fixture
def tiny(bench_on_path):
    from _networks import layer_names, make_workload
    from _spectral_errors import Reference

    workload = make_workload("mlp_gelu", quick=True)
    return workload, Reference.of(workload, layer_names(workload.model))


def test_reference_is_what_arpack_finds(tiny):
    workload, reference = tiny
    assert reference.check(workload, n_layers=4) < 1e-9
    assert set(reference.density_errors.values()) == {0.0}


def test_estimated_reference_is_near_the_exact_one(tiny, monkeypatch):
    import _spectral_errors as module

    workload, exact = tiny
    monkeypatch.setattr(module, "LARGEST_SIDE", 0)
    estimated = module.Reference.of(workload, list(exact.spectra))
    for name, spectrum in estimated.spectra.items():
        assert 0 < estimated.density_errors[name] < 0.25
        distance = module.Errors.distance(spectrum, exact.spectra[name])
        assert distance < 2.5 * estimated.density_errors[name]
        assert spectrum.max_eigenvalue == pytest.approx(exact.spectra[name].max_eigenvalue)
        assert spectrum.trace == pytest.approx(exact.spectra[name].trace, rel=0.05)


def test_least_effort_keeps_the_error_and_less_does_not(tiny):
    from _spectral_errors import N_PROBES, QUANTITIES, EffortErrors

    workload, reference = tiny
    errors = EffortErrors(workload, reference, n_probes=8)
    for layer in reference.spectra:
        n_probes, n_steps = errors.least("max_eigenvalue", layer)
        bound = QUANTITIES["max_eigenvalue"]
        assert errors.error("max_eigenvalue", layer, n_probes, n_steps) <= bound
        for fewer in errors.runs:
            for probes in N_PROBES:
                if fewer * probes < n_steps * n_probes:
                    assert errors.error("max_eigenvalue", layer, probes, fewer) > bound
        # Var(v' A v) = 2 (|A|_F^2 - sum of A_ii^2) for random signs, so at most 2 |A|_F^2.
        spectrum = reference.spectra[layer]
        square = spectrum.n_params * float(spectrum.weights @ spectrum.nodes**2)
        most = 2 * square / (QUANTITIES["trace"] * spectrum.trace) ** 2
        assert errors.needed_probes(layer) < 5 * most


def test_report_of_a_tiny_network(tmp_path, capsys):
    pytest.importorskip("curvlinops")
    pytest.importorskip("hessian_eigenthings")
    import accuracy
    from _spectral_errors import QUANTITIES

    path = tmp_path / "report.json"
    accuracy.main(["--json", str(path), "--quick", "--repeats", "1", "--networks", "mlp_relu"])
    entry = json.loads(path.read_text())["networks"]["mlp_relu"]
    assert entry["reference_check"] < 1e-9
    for quantity, bound in QUANTITIES.items():
        found = entry["quantities"][quantity]
        assert set(found["seconds"]) == {"curvlinops", "hessian_eigenthings", "hessdiag"}
        assert found["ways"][found["way"]]["error"] <= bound
        reached = [w["seconds"] for w in found["ways"].values() if w["error"] <= bound]
        assert found["seconds"]["hessdiag"] == min(reached)
    assert "Seconds to trace within 1%" in capsys.readouterr().out

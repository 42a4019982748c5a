"""The bench of real networks, at tiny size."""

import importlib.metadata
import json

import pytest
import torch

# What libraries of networks warn of at import is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

TASK = {"quick": True, "max_time": 10.0, "threads": 1}
NAMES = (
    "mlp",
    "series_cnn",
    "series_gru",
    "series_encoder",
    "bert",
    "resnet18",
    "language_model",
    "vit_tiny",
    "convnext_atto",
    "unet",
    "autoencoder",
    "thousand_classes",
)


@pytest.mark.slow
def test_report_of_a_tiny_network(tmp_path, capsys):
    import real_networks

    path = tmp_path / "report.json"
    options = ["--quick", "--json", str(path), "--threads", "1", "--networks", "series_gru"]
    real_networks.main([*options, "--work", "explain", "--max-time", "20"])
    report = json.loads(path.read_text())
    assert set(report) == {"networks", "growth", "machine", "versions"}
    explained = report["networks"]["series_gru"]["explain"]
    assert explained["diagnosis"] in {"overfitting", "underparameterized", "well-fit", "undecided"}
    assert explained["n_samples_examined"] == explained["n_samples"] == 20
    assert 0 < explained["seconds"] < explained["seconds_process"]
    assert 0.05 < explained["peak_before_gb"] <= explained["peak_gb"] < 8
    assert explained["made_with"]["max_time"] == 20
    assert "node" not in report["machine"]
    assert report["versions"]["torch"] == importlib.metadata.version("torch")
    printed = capsys.readouterr().out
    assert "| GRU, 300 × 60 steps" in printed
    assert "explain, s" in printed
    # What is not asked for stays, and what goes beyond its limit is ended and said.
    real_networks.main([*options, "--work", "spectra", "--limit", "0.01"])
    entry = json.loads(path.read_text())["networks"]["series_gru"]
    assert entry["explain"] == explained
    assert entry["spectra"]["cut"].startswith("cut after 0.01 s")
    assert "seconds" not in entry["spectra"]
    assert "cut after 0.01 s" in capsys.readouterr().out


def test_networks_are_those_that_are_tested_here():
    from _real_networks import NETWORKS

    assert tuple(NETWORKS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_spectra_and_forecasts_of_tiny_networks(name):
    from _real_networks import missing_packages
    from _real_work import do

    if missing := missing_packages(name):
        pytest.skip(f"{', '.join(missing)} not installed")
    known = {}
    found = do({**TASK, "network": name, "work": "spectra"}, known.update)
    assert "error" not in found, found.get("traceback")
    assert known["n_params"] == found["n_params"]
    assert len(found["largest_eigenvalues"]) >= found["n_exact"] > 0
    planned = do({**TASK, "network": name, "work": "plan"})
    assert sum(planned["ways"].values()) == len(found["largest_eigenvalues"])
    assert planned["forecast"] > 0


def test_sizes_are_those_of_the_titles():
    from _real_networks import NETWORKS

    sizes = {
        "mlp": (151_000, 1500),
        "series_cnn": (5_000, 300),
        "series_gru": (5_000, 300),
        "series_encoder": (5_000, 300),
        "language_model": (670_000, 200),
        "thousand_classes": (137_000, 2000),
    }
    for name, (n_params, n_samples) in sizes.items():
        module, _, y = NETWORKS[name].build(False)
        found = sum(p.numel() for p in module.parameters())
        assert found == pytest.approx(n_params, rel=0.05), name
        assert len(y) == n_samples


def test_errors_are_reported_and_told(monkeypatch):
    import _real_work
    from _real_table import network_tables

    def refuse(case, diagnoser):
        raise RuntimeError("no such thing")

    monkeypatch.setitem(_real_work.WORK, "spectra", refuse)
    found = _real_work.do({**TASK, "network": "series_cnn", "work": "spectra"})
    assert found["error"] == "RuntimeError: no such thing"
    assert "refuse" in found["traceback"]
    bounds = {"explain": 1, "spectra": 1, "memory": 1}
    printed = network_tables({"x": {"title": "X", "bounds": bounds, "spectra": found}})
    assert "failed: RuntimeError: no such thing" in printed


def test_growth_varies_one_size_at_a_time():
    from _real_growth import AXES, BASE, growth
    from _real_table import growth_tables

    tasks = []

    def run(task):
        tasks.append(task)
        size = task["sizes"]
        cut = {"cut": "cut after 1 s"} if size["n_samples"] == 50_000 else {}
        seconds = 1e-3 * size["n_samples"] * size["width"] ** 2
        return {"seconds": seconds, "peak_gb": 0.5, "n_samples_examined": 100, **cut}

    found = growth(run)
    assert list(found) == ["base", *AXES]
    assert max(AXES["n_samples"]) == 50_000
    assert {5000, 1000, 100, 10} == set(AXES["n_classes"])
    assert all(sum(t["sizes"][a] != BASE[a] for a in BASE) <= 1 for t in tasks)
    printed = growth_tables(found)
    lines = [line for line in printed.splitlines() if line.startswith("| exponent")]
    powers = [float(line.split("|")[2]) for line in lines]
    assert powers == pytest.approx([1, 0, 2, 0])
    assert "cut after 1 s" in printed


def test_growth_points_are_examined():
    from _real_work import do

    sizes = {"n_samples": 20, "depth": 2, "width": 4, "n_classes": 3}
    found = do({**TASK, "sizes": sizes, "activation": "gelu", "work": "spectra"})
    assert "error" not in found, found.get("traceback")
    assert len(found["largest_eigenvalues"]) == 2


def test_exponent_of_few_points():
    from _real_growth import exponent

    assert exponent([1, 2, 4], [3.0, None, 12.0]) == pytest.approx(1.0)
    assert exponent([1, 2], [1.0, None]) is None

"""The bench as it is run, at tiny size."""

import json

import pytest
import torch

pytestmark = pytest.mark.filterwarnings("ignore")  # the peers' own

KEYS = {
    "seconds",
    "ratio_to_fastest_peer",
    "ratio_with_mended_peers",
    "peak_mib",
    "max_rel_diff_lambda_max",
    "exact_seconds",
    "exact_layers",
    "bounded",
    "details",
}


def test_report_of_tiny_networks(tmp_path, capsys):
    import layer_spectra

    path = tmp_path / "report.json"
    names = ["mlp_relu", "resnet18"]
    layer_spectra.main(
        ["--json", str(path), "--quick", "--repeats", "1", "--growth", "--networks", *names]
    )
    report = json.loads(path.read_text())
    assert set(report) == {"networks", "growth", "machine", "versions"}
    assert list(report["networks"]) == names
    for name, entry in report["networks"].items():
        assert set(entry) == KEYS
        # Three steps of a tiny net are less than a first look at it takes.
        assert set(entry["details"]["reasons"]) <= {"bounded"}
        assert entry["bounded"]["max_memory_mib"] == 3 * entry["peak_mib"]["training_step"]
        seconds = entry["seconds"]
        assert set(seconds) == {"hessdiag", "curvlinops", "hessian_eigenthings", "pyhessian"}
        ours = seconds.pop("hessdiag")
        assert entry["ratio_with_mended_peers"] == pytest.approx(min(seconds.values()) / ours)
        del seconds["pyhessian"]
        assert entry["ratio_to_fastest_peer"] == pytest.approx(min(seconds.values()) / ours)
        assert entry["exact_layers"] == entry["details"]["n_layers"]
        assert entry["peak_mib"]["training_step"] is not None
        assert entry["max_rel_diff_lambda_max"] < (1e-3 if name == "resnet18" else 1e-1)
    assert set(report["growth"]) == {"base", "depth", "n_samples"}
    assert {"curvlinops-for-pytorch", "hessian-eigenthings", "PyHessian"} <= set(report["versions"])
    assert "node" not in report["machine"]
    printed = capsys.readouterr().out
    assert "| mlp_relu" in printed
    assert "(`max_memory`)" in printed
    assert "multiples of one gradient" in printed
    # What is not asked for stays.
    before = json.loads(path.read_text())
    layer_spectra.main(["--json", str(path), "--quick", "--repeats", "1", "--networks", "mlp_relu"])
    again = json.loads(path.read_text())
    assert list(again["networks"]) == names
    assert again["networks"]["resnet18"] == before["networks"]["resnet18"]
    assert again["networks"]["mlp_relu"] != before["networks"]["mlp_relu"]
    assert again["growth"] == before["growth"]


def test_goes_on_without_a_tool_that_cannot(monkeypatch):
    import _tools
    import layer_spectra

    def refuse(self, *args):
        raise RuntimeError("no such product")

    monkeypatch.setattr(_tools.PyHessian, "quadrature", refuse)
    options = ["--quick", "--repeats", "1", "--networks", "mlp_gelu"]
    entry = layer_spectra.main(options)["networks"]["mlp_gelu"]
    assert entry["seconds"]["pyhessian"] is None
    assert entry["details"]["reasons"]["pyhessian"] == "RuntimeError: no such product"
    assert entry["ratio_to_fastest_peer"] > 0


@pytest.mark.parametrize(("n_layers", "stride"), [(4, 1), (28, 4), (41, 4), (3, 10)])
def test_picked_layers_stand_for_all(n_layers, stride):
    from _compare import pick_layers

    picked = pick_layers(n_layers, stride)
    assert sum(weight for _, weight in picked) == n_layers
    assert len({i for i, _ in picked}) == len(picked)
    assert all(0 <= i < n_layers for i, _ in picked)


def test_peak_memory_is_that_of_the_work():
    from _measure import peak_of

    def work():
        torch.ones(16 * 2**20).sum()  # 64 MiB

    peak_of(work, "cpu")
    _, peak = peak_of(work, "cpu")
    assert 50 < peak < 90


def test_networks_have_the_sizes_they_are_named_for():
    from _modules import ResNet, Transformer, make_cnn
    from _networks import layer_names

    def n_params(module):
        return sum(p.numel() for p in module.parameters())

    # He et al. (2016) with a 3 x 3 stem and ten classes: 11.17 million parameters, 41 layers.
    assert n_params(ResNet()) == 11_173_962
    assert len(layer_names(ResNet())) == 41
    assert make_cnn()[7].in_features == 1568
    assert len(layer_names(Transformer())) == 28

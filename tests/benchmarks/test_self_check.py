"""The bench of the checks, at tiny size."""

import json


def test_report_of_a_tiny_network(tmp_path, capsys):
    import self_check

    path = tmp_path / "report.json"
    arguments = ["--quick", "--repeats", "1", "--networks", "mlp_relu", "--json", str(path)]
    self_check.main(arguments)
    report = json.loads(path.read_text())["mlp_relu"]
    assert set(report) == set(self_check.WORK)
    for found in report.values():
        assert 0 < found["checks"] < found["seconds"]
    assert "| mlp_relu" in capsys.readouterr().out

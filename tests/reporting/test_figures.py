import struct
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hessdiag.reporting import write_figures
from hessdiag.reporting._figures import file_stems


def png_size(path):
    """Width and height from the header, as the PNG specification lays it out."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data[12:16] == b"IHDR"
    assert data.endswith(b"IEND\xaeB`\x82")
    return struct.unpack(">II", data[16:24])


def test_writes_an_image_per_network(reports, tmp_path):
    paths = write_figures(reports, tmp_path / "figures")
    assert [path.name for path in paths] == [
        "spectra-too-small.png",
        "spectra-sound.png",
        "spectra-too-big-on-noisy-labels.png",
    ]
    sizes = [png_size(path) for path in paths]
    assert all(width > 1000 and height > 400 for width, height in sizes)
    assert sizes[2][1] > sizes[0][1]


def test_names_cannot_leave_the_folder_nor_collide(report_factory, tmp_path):
    report = report_factory(n_layers=1)
    names = ["../../etc/passwd", None, "", "net", "NET", "net", "a" * 300, "..", "café/π"]
    paths = write_figures([replace(report, name=name) for name in names], tmp_path)
    assert len({path.name.lower() for path in paths}) == len(names)
    assert {path.parent for path in paths} == {tmp_path}
    assert [path.name for path in paths][:6] == [
        "spectra-etc-passwd.png",
        "spectra-network-2.png",
        "spectra-network-3.png",
        "spectra-net.png",
        "spectra-NET-2.png",
        "spectra-net-3.png",
    ]
    assert len(list(tmp_path.iterdir())) == len(names)


@given(st.lists(st.text(), max_size=8))
def test_file_stems_are_safe_and_differ(names):
    stems = file_stems(names)
    assert len({stem.lower() for stem in stems}) == len(names)
    for stem in stems:
        assert 0 < len(stem) <= 70
        assert all(c.isascii() and (c.isalnum() or c in ".-") for c in stem)
        assert not stem.startswith(".")
        assert not stem.endswith(".")


@pytest.mark.slow
def test_deep_networks_show_the_layers_of_largest_weight(report_factory, tmp_path):
    from hessdiag.reporting._figures import drawn_layers

    report = report_factory(n_layers=20)
    drawn = drawn_layers(report)
    heaviest = sorted(report.layers, key=lambda layer: -abs(layer.weight))[:12]
    assert set(drawn) == {layer.name for layer in heaviest}
    order = [layer.name for layer in report.layers]
    assert drawn == sorted(drawn, key=order.index)
    assert png_size(write_figures([report], tmp_path)[0])[0] > 2000


def test_without_spectra_there_is_no_image(report_factory, tmp_path):
    report = replace(report_factory(), examination=SimpleNamespace(layers=("a", "b")))
    assert write_figures([report], tmp_path) == []
    with pytest.raises(ValueError, match="at least one"):
        write_figures([], tmp_path)

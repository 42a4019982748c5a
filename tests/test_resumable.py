"""Long work: every item once, files whole or absent."""

from pathlib import Path

import pytest

from hessdiag.resumable import run_resumable, write_atomically


def save(item, folder):
    write_atomically(folder / "done" / f"{item}.txt", str(item).encode())


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_every_item_is_saved(tmp_path, n_jobs):
    pytest.importorskip("tqdm")
    run_resumable(save, [3, 1, 2], tmp_path, "save", n_jobs, progress=False)
    found = {path.name: path.read_text() for path in (tmp_path / "done").iterdir()}
    assert found == {"1.txt": "1", "2.txt": "2", "3.txt": "3"}


def test_nothing_to_do_is_no_error(tmp_path):
    pytest.importorskip("tqdm")
    run_resumable(save, [], tmp_path, "save", None, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_as_a_whole(tmp_path, monkeypatch):
    path = tmp_path / "new" / "file"
    write_atomically(path, b"first")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"

    def killed(self, other):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"third")
    assert path.read_bytes() == b"second"

"""Long work: every item once, files whole or absent."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hessdiag.resumable import (
    clear_partial_files,
    one_at_a_time,
    run_resumable,
    write_atomically,
)


def save(item, folder):
    write_atomically(folder / "done" / f"{item}.txt", str(item).encode())


@pytest.mark.slow
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


def test_special_files_and_links_stay_what_they_are(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    write_atomically(Path("/dev/null"), b"nothing")
    assert not Path("/dev/null").is_file()


def test_what_the_dead_have_left_is_cleared_and_what_the_living_write_is_not(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    names = {}
    for number in (process.pid, os.getpid()):
        real, pid = os.getpid, number
        os.getpid = lambda pid=pid: pid
        try:
            write_atomically(tmp_path / "deep" / "file", b"")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Path, "replace", lambda *_: None)
                write_atomically(tmp_path / "deep" / "file", b"half")
        finally:
            os.getpid = real
        names[number] = {p.name for p in (tmp_path / "deep").glob(".*.part")}
    left_by_the_dead = names[process.pid]
    clear_partial_files(tmp_path)
    now = {p.name for p in (tmp_path / "deep").glob(".*.part")}
    assert now == names[os.getpid()] - left_by_the_dead
    assert len(now) == 1


@pytest.mark.slow
def test_one_process_after_the_other(tmp_path):
    pytest.importorskip("fcntl")
    script = (
        "import sys, time\nfrom pathlib import Path\n"
        "from hessdiag.resumable import one_at_a_time\n"
        "with one_at_a_time(Path(sys.argv[1])):\n    print('in', flush=True)\n    time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "in\n"
    entered = threading.Event()

    def enter():
        with one_at_a_time(tmp_path):
            entered.set()

    waiting = threading.Thread(target=enter)
    waiting.start()
    assert not entered.wait(0.2)
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert entered.wait(30)
    waiting.join()

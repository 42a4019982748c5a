"""Long work: every item once, files whole or absent."""

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from interrupts import interrupted_at_step
from skorch import NeuralNetRegressor
from skorch.callbacks import Callback

from hessdiag.resumable import (
    clear_partial_files,
    fit_to_the_end,
    one_at_a_time,
    run_resumable,
    write_atomically,
)
from hessdiag.testing import make_case
from hessdiag.zoo import Recipe, train_recipe


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


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("moment", ["on_epoch_begin", "on_batch_end", "on_epoch_end"])
@pytest.mark.parametrize("last", [False, True])
def test_an_interrupted_fit_is_none(moment, last):
    class AtOne(Callback):
        """Is interrupted at one moment of the first epoch or of the last."""

    def at_one(self, net, *_, **__):
        if len(net.history) == (3 if last else 1):
            interrupt()

    setattr(AtOne, moment, at_one)
    X, y = np.eye(4, dtype="float32"), np.ones((4, 1), dtype="float32")
    net = NeuralNetRegressor(
        torch.nn.Linear(4, 1), max_epochs=3, train_split=None, verbose=0, callbacks=[AtOne()]
    )
    with pytest.raises(KeyboardInterrupt):
        fit_to_the_end(net, X, y)


RECIPE = Recipe("wine", 60, 0.0, "mlp", 1, "relu", 4, 0.0, n_steps=8)
DOORS = {
    "train_recipe": (lambda: train_recipe(RECIPE), 8),
    "what goes on": (lambda: train_recipe(RECIPE, (2,)), 15),
    "what begins anew": (lambda: train_recipe(replace(RECIPE, schedule="cosine"), (2,)), 22),
    "make_case": (make_case, 20),
}


@pytest.mark.parametrize("door", DOORS)
def test_all_that_train_let_interrupts_through(door):
    train, n_steps = DOORS[door]
    with interrupted_at_step(n_steps), pytest.raises(KeyboardInterrupt):
        train()


def test_a_fit_is_that_of_the_net():
    X, y = np.eye(4, dtype="float32"), np.arange(4, dtype="float32")[:, None]

    def fitted(fit):
        torch.manual_seed(0)
        net = NeuralNetRegressor(torch.nn.Linear, module__in_features=4, module__out_features=1)
        net.set_params(max_epochs=3, verbose=0, train_split=None)
        # Begun anew, as fit does.
        return [fit(net) for _ in range(2)][-1]

    ours, theirs = fitted(lambda net: fit_to_the_end(net, X, y)), fitted(lambda n: n.fit(X, y))
    assert ours.history[:, "train_loss"] == theirs.history[:, "train_loss"]
    for left, right in zip(ours.module_.parameters(), theirs.module_.parameters(), strict=True):
        assert torch.equal(left, right)

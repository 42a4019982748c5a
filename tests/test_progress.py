"""Long work shows how far it is on a terminal, and nothing elsewhere."""

import io
import os
import subprocess
import sys

import pytest

from hessdiag import progress
from hessdiag.progress import advance, expect, say, shown

SCRIPT = """
import time
from hessdiag import progress
progress.DELAY = 0.2
with progress.shown("Examining"):
    progress.expect(40)
    progress.say("about 1 s")
    for i in range(40):
        time.sleep(0.02)
        progress.advance(1, f"layer {i // 10}")
"""


def test_nothing_is_shown_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(progress, "DELAY", 0.0)
    with shown("Examining"):
        expect(3)
        advance(5, "layer")
        say("words")
    advance()
    expect(1)
    found = capsys.readouterr()
    assert found.out == found.err == ""


def test_only_the_outermost_is_shown(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "DELAY", 0.0)
    with shown("Outer"), shown("Inner"):
        expect(2)
        advance(2)
    assert "Inner" not in terminal.getvalue()
    assert progress._SHOWN.get() is None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_bar_on_a_terminal():
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stderr=theirs, stdout=theirs)
    os.close(theirs)
    shown_text = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:
            break
        if not piece:
            break
        shown_text += piece
    assert process.wait() == 0
    os.close(ours)
    text = shown_text.decode()
    assert "Examining, about 1 s" in text
    assert "layer 3" in text
    assert "/40" in text

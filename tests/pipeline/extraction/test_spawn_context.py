"""Children that end with their parent, whatever they are doing when it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

WITHIN_S = 30  # a machine may be busy; without the kernel's help the child would go on for hours

PROGRAM = """
import os, re, sys, time
from pathlib import Path

from star.pipeline.extraction.decode_pool import DecodePool

def hold(path):
    Path(path).write_text(str(os.getpid()))
    re.match("(a+)+$", "a" * 60 + "b")  # holds the interpreter, and no thread of the child gets a turn

def sleep(path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(3600)

if __name__ == "__main__":
    pool = DecodePool(1, timeout=3600)
    if sys.argv[2] == "in a thread that ended":
        from threading import Thread
        thread = Thread(target=pool.submit, args=(sleep, sys.argv[1]))
        thread.start()
        thread.join()
    else:
        pool.submit({"hold": hold, "sleep": sleep}[sys.argv[2]], sys.argv[1])
    time.sleep(3600)
"""


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def begun(program: Path, told: Path, what: str) -> tuple[subprocess.Popen[bytes], int]:
    """The parent, and the number of the child once it is at work."""
    parent = subprocess.Popen([sys.executable, str(program), str(told), what], start_new_session=True)
    until = time.monotonic() + 120
    while not (told.exists() and told.read_text()):
        assert parent.poll() is None and time.monotonic() < until, "no child began"
        time.sleep(0.01)
    return parent, int(told.read_text())


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own way is Linux's")
@pytest.mark.parametrize("what", ["hold", "sleep"])
def test_a_killed_parent_takes_its_children_along(tmp_path: Path, what: str) -> None:
    """Also one that does not let its own threads run."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    parent, child = begun(program, tmp_path / "child", what)
    try:
        parent.kill()
        parent.wait()
        until = time.monotonic() + WITHIN_S
        while alive(child):
            assert time.monotonic() < until, "the child outlived its parent"
            time.sleep(0.01)
    finally:
        if alive(child):
            os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_children_outlive_the_thread_that_asked_for_them(tmp_path: Path) -> None:
    """The kernel watches the thread that started a child: it is none that ends."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    parent, child = begun(program, tmp_path / "child", "in a thread that ended")
    try:
        time.sleep(0.5)
        assert alive(child)
    finally:
        parent.kill()
        parent.wait()

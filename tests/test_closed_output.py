"""`star … | head -1`: whoever read the output has gone. Commands end at once, quietly, and so do their children."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMANDS = {
    "train": "train {recipe} --run {folder}/run --set train.epochs={epochs} --set train.workers=2 "
    "--set train.preload=none",
    "verify": "verify {recipe}",
    "export": "cache export {recipe} -o {folder}/features",
    "merge": "cache merge {folder}/into {folder}/cache",
}
ENDLESS = 100_000  # epochs that no test waits for
GONE_S = 30.0  # in which the children of a command that has ended must be gone


def closed_pipe() -> int:
    """The writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def is_gone(group: int) -> bool:
    """Whether a process group is empty, or becomes so."""
    for _ in range(int(GONE_S / 0.1)):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX's")
@pytest.mark.parametrize("errors_too", [False, True], ids=["output", "output and errors"])
@pytest.mark.parametrize("name", COMMANDS)
def test_output_that_nobody_reads(name: str, errors_too: bool, small: Path, tmp_path: Path) -> None:
    """Nothing is said of it on stderr, no process stays, and what was asked for is done or as it was. A training ends
    at the first line of its progress, while its reading processes are at work."""
    epochs = ENDLESS if errors_too else 2
    words = COMMANDS[name].format(recipe=small, folder=tmp_path, epochs=epochs).split()
    writing, errors = closed_pipe(), tmp_path / "errors"
    with errors.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "star.cli", *words],
            stdout=writing,
            stderr=writing if errors_too else file,
            start_new_session=True,
        )
        os.close(writing)
        code = process.wait(timeout=600)
    assert is_gone(process.pid)
    said = errors.read_text()
    assert "Traceback" not in said and "Exception" not in said and "BrokenPipe" not in said, said
    assert code in (1, 120), said  # 120: Python could not even empty the buffer of stderr
    if name == "train" and errors_too:
        assert len((tmp_path / "run/metrics.jsonl").read_text().splitlines()) < ENDLESS
    elif name == "train":
        assert (tmp_path / "run/best/weights.safetensors").is_file()
    assert not list(tmp_path.rglob("*.partial"))

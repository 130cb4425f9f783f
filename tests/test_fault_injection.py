"""The N-th write, fsync, rename or open below a folder fails, or kills: what comes of it, and of the next run.

A library that is preloaded does it (fault_injection/inject.c), where there is a C compiler and Linux. Every fault ends
in at most one line and a documented exit code; the next run leaves exactly what an undisturbed one leaves.
"""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from star.cache.store import Store
from star.pipeline.checks.verify import verify
from star.pipeline.planning.plan import plan
from star.pipeline.recipe import schema as recipes

HERE = Path(__file__).parent / "fault_injection"
CALLS = ("open", "write", "fsync", "rename", "mkdir", "unlink")
ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT)
SIGMA = ("--set", "heatmaps.sigma=2")


class Driver:
    """drive.py at work, with the library preloaded."""

    def __init__(self, folder: Path) -> None:
        library, faults = folder / "inject.so", folder / "faults"
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "inject.c"), "-ldl"]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        if built.returncode:
            pytest.skip(f"the library cannot be built here: {built.stderr[-300:]}")
        faults.write_bytes(bytes(8192))
        preloaded = {"LD_PRELOAD": str(library), "STAR_FAULTS": str(faults), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "drive.py"), str(faults)],
            env=os.environ | preloaded, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def run(
        self, words: Sequence[object], folder: Path, at: int = 0, action: int = 0, calls: Sequence[str] = CALLS
    ) -> dict[str, Any]:
        """One command; the at-th call below the folder fails with an error, or for 0 kills it."""
        assert self.process.stdin is not None and self.process.stdout is not None
        case = {"words": [*map(str, words), "-q"], "folder": str(folder), "at": at, "action": action, "calls": calls}
        self.process.stdin.write(json.dumps(case) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    if sys.platform != "linux" or not shutil.which("cc"):
        pytest.skip("needs Linux and a C compiler")
    found = Driver(tmp_path_factory.mktemp("inject"))
    yield found
    found.close()


def own(extracted: Path, folder: Path) -> Path:
    """A recipe with a full cache of its own."""
    shutil.copytree(extracted.parent / "cache", folder / "cache")
    path = folder / "star.yaml"
    path.write_text(extracted.read_text().replace(str(extracted.parent), str(folder)))
    return path


def contents(path: Path) -> dict[tuple[str, str, str, int], bytes]:
    """Every value of heat maps and tokens: (stage, array, video, view) -> bytes."""
    found = plan(recipes.load(path, SIGMA[1:]), only=("heatmaps", "tokens"))
    return {
        (name, array, video, view): found.stages[name].stage_store.read([place], array).tobytes()
        for name in ("heatmaps", "tokens")
        for (video, view), place in found.stages[name].places.items()
        for array in found.graph[name].stage.arrays
    }


def extract(path: Path) -> tuple[object, ...]:
    return ("extract", path, *SIGMA, "--workers", 1, "--device", "cpu")


def train(path: Path, *more: str) -> tuple[object, ...]:
    return ("train", path, "--run", path.parent / "run", "--device", "cpu", "--set", "train.epochs=2", *more)


def one_line(found: dict[str, Any], codes: Sequence[int]) -> None:
    """A documented exit code, and at most one line that says why."""
    assert found["code"] in codes, found
    assert "Traceback" not in found["stderr"], found["stderr"]
    lines = [line for line in found["stderr"].splitlines() if not line.startswith("train.")]
    assert len(lines) == (1 if found["code"] else 0), found["stderr"]


def spread(count: int, most: int, seed: int) -> list[int]:
    """Up to `most` numbers of calls, the first and the last among them."""
    chosen = random.Random(seed).sample(range(1, count + 1), min(most, count))
    return sorted({1, count, *chosen[: max(0, most - 2)]})


def faults_of_extract(extracted: Path, folder: Path, driver: Driver, most: int, action: int | None) -> None:
    """action: 0 to kill; None for errors by turns."""
    whole = folder / "whole"
    whole.mkdir()
    path = own(extracted, whole)
    undisturbed = driver.run(extract(path), whole / "cache")
    assert (undisturbed["code"], undisturbed["stderr"]) == (0, "")
    expected, count = contents(path), undisturbed["count"]
    assert count > 50 and expected
    for turn, at in enumerate(spread(count, most, seed=1)):
        case = folder / f"case{at}"
        case.mkdir()
        path = own(extracted, case)
        error = ERRORS[turn % len(ERRORS)] if action is None else action
        found = driver.run(extract(path), case / "cache", at, error)
        if action == 0:
            assert found["code"] in (-signal.SIGKILL, 0), found
        else:
            one_line(found, (0, 4, 5))
        again = driver.run(extract(path), case / "cache")
        assert (again["code"], again["stderr"]) == (0, ""), (at, error)
        assert contents(path) == expected, (at, error)
        assert not verify(recipes.load(path, SIGMA[1:]), quiet=True).problems, (at, error)
        Store(case / "cache").prepare()
        assert not list((case / "cache").rglob("*.partial")), (at, error)
        shutil.rmtree(case)


def weights(path: Path) -> dict[str, bytes]:
    """The arrays alone: beside them stands how long the epoch took."""
    file = path.parent / "run" / "last" / "weights.safetensors"
    return {name: array.tobytes() for name, array in load_file(file).items()}


def faults_of_train(extracted: Path, folder: Path, driver: Driver, most: int, action: int | None) -> None:
    """The run's folder: after any fault --resume, or the same command, comes to the same weights."""
    whole = folder / "whole"
    whole.mkdir()
    path = own(extracted, whole)
    undisturbed = driver.run(train(path), whole / "run")
    assert (undisturbed["code"], undisturbed["stderr"]) == (0, ""), undisturbed
    expected, count = weights(path), undisturbed["count"]
    assert count > 20
    for turn, at in enumerate(spread(count, most, seed=2)):
        case = folder / f"case{at}"
        case.mkdir()
        path = own(extracted, case)
        error = ERRORS[turn % len(ERRORS)] if action is None else action
        found = driver.run(train(path), case / "run", at, error)
        if action == 0:
            assert found["code"] in (-signal.SIGKILL, 0), found
        else:
            one_line(found, (0, 2, 5))
        begun = (case / "run" / "recipe.yaml").exists()
        again = driver.run(train(path, *(("--resume",) if begun else ())), case / "run")
        assert (again["code"], again["stderr"]) == (0, ""), (at, error, again)
        assert weights(path) == expected, (at, error)
        assert not list((case / "run").rglob("*.partial")), (at, error)
        rows = [json.loads(line)["epoch"] for line in (case / "run" / "metrics.jsonl").read_text().splitlines()]
        assert rows == [1, 2], (at, error)
        shutil.rmtree(case)


@pytest.mark.parametrize("action", [None, 0], ids=["errors", "kills"])
def test_extract_survives_faults(extracted: Path, tmp_path: Path, driver: Driver, action: int | None) -> None:
    """A few calls; `make soak` takes hundreds."""
    faults_of_extract(extracted, tmp_path, driver, 7, action)


@pytest.mark.parametrize("action", [None, 0], ids=["errors", "kills"])
def test_train_survives_faults(extracted: Path, tmp_path: Path, driver: Driver, action: int | None) -> None:
    """A few calls; `make soak` takes all."""
    faults_of_train(extracted, tmp_path, driver, 6, action)


@pytest.mark.soak
@pytest.mark.parametrize("action", [None, 0], ids=["errors", "kills"])
def test_extract_survives_many_faults(extracted: Path, tmp_path: Path, driver: Driver, action: int | None) -> None:
    faults_of_extract(extracted, tmp_path, driver, 250, action)


@pytest.mark.soak
@pytest.mark.parametrize("action", [None, 0], ids=["errors", "kills"])
def test_train_survives_many_faults(extracted: Path, tmp_path: Path, driver: Driver, action: int | None) -> None:
    faults_of_train(extracted, tmp_path, driver, 250, action)

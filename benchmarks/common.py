"""What several benchmarks do: take options, let ways take turns, run commands and see what they cost."""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar

Way = TypeVar("Way")  # the name of a way
READERS = {"np.memmap": (">=", 0.9), "h5py": None}  # other ways to read a cache, and the goal against each


def options(text: str | None, **numbers: int) -> argparse.ArgumentParser:
    """A parser with a benchmark's docstring as its help, and an option for each number."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser


def turns(
    ways: Mapping[Way, Callable[[], object]], rounds: int, *, clock: Callable[[], float] = time.perf_counter
) -> dict[Way, float]:
    """Median seconds of each way, after a first call that does not count; they take turns: A B A B."""
    for way in ways.values():
        way()
    taken: dict[Way, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = clock()
            way()
            taken[name].append(clock() - start)
    return {name: median(seconds) for name, seconds in taken.items()}


def largest_size() -> int:
    """Bytes of memory of this process at its largest. On Linux not getrusage's, which a child begins with its
    parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


class Ran(NamedTuple):
    """A command that has ended: what it printed, seconds of wall time, and of the processor with all its children."""

    said: str
    wall: float
    cores: float


def run(command: Sequence[str]) -> Ran:
    """Run a command; where it fails, the last line that it wrote to its standard error is the reason."""
    began, before = time.perf_counter(), _used()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
    return Ran(done.stdout, wall, _used() - before)


def _used() -> float:
    """Seconds of the processor that children, and theirs, have taken so far."""
    spent = os.times()
    return spent.children_user + spent.children_system

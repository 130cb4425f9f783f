"""Freed memory stays with the process: counted in page faults, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, threading
import numpy as np
from star.pipeline.utils import malloc as heap

kept = heap.keep() if sys.argv[1] == "keep" else True

def layers(count):
    x = y = np.ones(24 << 20, np.uint8)
    for _ in range(count):
        x, y = np.ones(24 << 20, np.uint8), x  # as in a residual block: two results are alive, and a third is made

def work():
    layers(3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    layers(10)
    print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def faults(mode: str) -> int:
    """Page faults of ten layers of 24 MiB in a thread."""
    said = subprocess.run([sys.executable, "-c", PROGRAM, mode], check=True, capture_output=True, text=True).stdout
    kept, count = said.split()
    if kept != "True":
        pytest.skip("the C library is not glibc")
    return int(count)


def test_what_is_freed_is_used_again() -> None:
    assert faults("give back") > 1000  # were all pages small, it would be 61,440
    assert faults("keep") < 100

"""Freed memory stays with the process: counted in page faults, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from star.pipeline.utils import process_settings

PROGRAM = """
import resource, sys, threading
import numpy as np
from star.pipeline.utils import process_settings

kept = process_settings.reuse_freed_memory() if sys.argv[1] == "keep" else True

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


@pytest.mark.parametrize(
    ("platform", "given", "found"), [("darwin", None, "1"), ("darwin", "0", "0"), ("linux", None, None)]
)
def test_apples_gpu_may_fall_back_to_the_processor(
    platform: str, given: str | None, found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Set before torch is imported, only where there is such a GPU, and never over the user's own choice."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.delenv("PYTORCH_ENABLE_MPS_FALLBACK", raising=False)
    if given is not None:
        monkeypatch.setenv("PYTORCH_ENABLE_MPS_FALLBACK", given)
    process_settings.allow_mps_fallback()
    assert os.environ.get("PYTORCH_ENABLE_MPS_FALLBACK") == found

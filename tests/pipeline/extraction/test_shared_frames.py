"""Shared memory between the driver and its decoding children."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from star.errors import VideoCrash, VideoTimeout
from star.pipeline.extraction.decode_pool import DecodePool
from star.pipeline.extraction.shared_frames import SharedFrames, attached

SHAPE = (2, 4, 4, 3)


def fill(job: tuple[int, int, str]) -> str:
    """Write a number to a slot, as a decoder does, and end as told."""
    slot, number, end = job
    slots = attached()
    assert slots is not None
    slots[slot][...] = number
    if end == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "hang":
        time.sleep(600)
    return "written"


def has_slots(_job: None) -> bool:
    """Whether a child was lent memory."""
    return attached() is not None


def test_what_a_child_writes_the_parent_reads() -> None:
    """Also after a child died or hung with a slot in its hands: the next one gets the same memory."""
    slots = SharedFrames(2, SHAPE)
    children = DecodePool(1, 4, slots)
    first, second = slots.take(2)
    assert children.outcome(children.submit(fill, (first, 7, "")), "a") == "written"
    assert type(children.outcome(children.submit(fill, (second, 8, "die")), "b")) is VideoCrash
    assert type(children.outcome(children.submit(fill, (second, 9, "hang")), "c")) is VideoTimeout
    assert np.array_equal(slots[first], np.full(SHAPE, 7))
    slots.give_back([second])
    assert slots.take(1) == (second,)
    assert children.outcome(children.submit(fill, (second, 10, "")), "d") == "written"
    assert np.array_equal(slots[second], np.full(SHAPE, 10))
    assert np.array_equal(slots[first], np.full(SHAPE, 7))
    children.close()


def test_slots_are_lent_whole_or_not_at_all() -> None:
    """A task that needs three gets none of two; what was given back is lent again."""
    slots = SharedFrames(2, SHAPE)
    assert slots.take(3) == ()
    assert len(slots) == 2
    taken = slots.take(2)
    assert sorted(taken) == [0, 1]
    assert slots.take(1) == ()
    slots.give_back(taken)
    assert len(slots) == 2


def test_no_memory_is_no_slot() -> None:
    """More than any disk holds, or none asked for: nothing is lent, and nothing is wrong."""
    assert len(SharedFrames(1 << 22, (1 << 40,))) == 0
    assert len(SharedFrames(0, SHAPE)) == 0


def test_children_without_slots() -> None:
    """A pool whose tasks send nothing large has no shared memory."""
    children = DecodePool(1, 30)
    assert children.outcome(children.submit(has_slots, None), "a") is False
    assert len(children.slots) == 0
    children.close()


SMALL_MEMORY = """
import importlib.util, multiprocessing, sys

spec = importlib.util.spec_from_file_location("shared_frames", sys.argv[1])
shared_frames = importlib.util.module_from_spec(spec)
sys.modules["shared_frames"] = shared_frames
spec.loader.exec_module(shared_frames)
both = multiprocessing.Barrier(2)


def take():
    both.wait(60)
    frames = shared_frames.SharedFrames(40, (1 << 20,))
    both.wait(60)
    for slot in frames.take(40):
        frames[slot][:] = 7


processes = [multiprocessing.get_context("fork").Process(target=take) for _ in range(2)]
for process in processes:
    process.start()
for process in processes:
    process.join(120)
print([process.exitcode for process in processes])
"""


def test_two_processes_share_a_small_dev_shm():
    """64 MB, as in a container, for two who want 40 MB each: who comes second goes without, and nobody dies."""
    module = Path(__file__).parents[3] / "pipeline" / "extraction" / "shared_frames.py"
    mount = "mount -t tmpfs -o size=64m tmpfs /dev/shm && for n in $(seq 20)"
    script = f'{mount}; do "$0" -c "$1" "$2" || exit 9; done'
    words = ["unshare", "-m", "sh", "-c", script, sys.executable, SMALL_MEMORY, str(module)]
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("a mount namespace needs Linux and root")
    result = subprocess.run(words, capture_output=True, text=True, check=False, timeout=600)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == ["[0, 0]"] * 20

"""Threads that run networks side by side."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest
import torch

from star.pipeline.extraction.inference_threads import InferenceThreads, thread_shares


@pytest.fixture
def two_cores():
    """As on a machine with two cores, whatever this one is told to use."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_each_lane_of_a_cpu_has_its_share_of_the_cores(two_cores: None) -> None:
    """Two cores, two of them; the caller's own number of threads stays what it was."""
    assert thread_shares("cpu") == (2, 1)
    inference_threads = InferenceThreads("cpu")
    assert [inference_threads.submit(torch.get_num_threads).result() for _ in range(4)] == [1] * 4
    assert torch.get_num_threads() == 2
    inference_threads.close()


def test_a_thread_that_is_the_only_one_has_all_cores(two_cores: None) -> None:
    """As a live source's windows need it, which come one at a time."""
    assert thread_shares("cpu", 1) == (1, 2)
    inference_threads = InferenceThreads("cpu", 1)
    assert inference_threads.submit(torch.get_num_threads).result() == 2
    inference_threads.close()


def test_threads_run_at_the_same_time_and_no_more_than_one_call_waits(two_cores: None) -> None:
    """Two calls meet at a barrier; a fourth is not taken before the first is done."""
    inference_threads, both, door, taken = (
        InferenceThreads("cpu"),
        threading.Barrier(2, timeout=60),
        threading.Event(),
        threading.Event(),
    )
    first = [inference_threads.submit(both.wait) for _ in range(2)]
    assert sorted(future.result() for future in first) == [0, 1]
    for _ in range(3):
        inference_threads.submit(door.wait, 60)

    def fourth() -> None:
        inference_threads.submit(int)
        taken.set()

    thread = threading.Thread(target=fourth)
    thread.start()
    assert not taken.wait(0.2)
    door.set()
    thread.join(60)
    assert taken.is_set()
    inference_threads.close()


def test_an_error_in_a_lane_reaches_whoever_goes_on(two_cores: None) -> None:
    """A later call raises what an earlier one did, so that a run ends soon."""
    inference_threads = InferenceThreads("cpu")
    inference_threads.submit(int, "no number")
    with pytest.raises(ValueError, match="no number"):
        for _ in range(10):
            inference_threads.submit(int)
    inference_threads.close()


def test_closing_drops_what_waits(two_cores: None) -> None:
    """Calls in hand are finished, the one behind them is not begun."""
    inference_threads, door, inside = InferenceThreads("cpu"), threading.Event(), threading.Barrier(3, timeout=60)

    def busy() -> str:
        inside.wait()
        door.wait(60)
        return "done"

    futures = [inference_threads.submit(busy) for _ in range(3)]
    inside.wait()
    threading.Timer(0.1, door.set).start()
    inference_threads.close()
    assert [future.result() for future in futures[:2]] == ["done"] * 2
    with pytest.raises(CancelledError):
        futures[2].result()

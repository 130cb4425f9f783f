"""The threads that run networks, side by side: on a GPU, so that it computes while another batch is copied to it or
from it; on a CPU, because several networks of one thread each wait less than one network of several threads.

On a CPU every operation of a network with several threads ends when the last of them does, and where children decode
on the same cores that is late: measured with two threads on two busy cores, half the time was such waiting.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Result = TypeVar("Result")

GPU_THREADS = 3  # one copies in, one computes, one copies out
MOST = 8  # threads of a CPU, each of which holds the activations of a batch


class InferenceThreads:
    """Runs calls on a few threads, each with its share of the cores or its own stream of a GPU.

    device: torch's name of it. most: threads on a CPU; with one, which has all cores, a single call ends soonest.
    """

    def __init__(self, device: str, most: int = MOST) -> None:
        self.device, self.gpu = device, device.startswith("cuda")
        self.count, self._threads = thread_shares(device, most)
        self._pool = ThreadPoolExecutor(self.count, "inference", self._begin)
        self._own = threading.local()
        self._under_way: deque[Future[Any]] = deque()

    def submit(self, work: Callable[..., Result], *args: Any) -> Future[Result]:
        """Run a call on the next free thread; waits while one call more than there are threads is under way.

        Raises what an earlier call raised.
        """
        while len(self._under_way) > self.count:
            self._under_way.popleft().result()
        future = self._pool.submit(self._run, work, *args)
        self._under_way.append(future)
        return future

    def close(self) -> None:
        """Finish the calls in hand, drop those that wait."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self) -> None:
        import torch

        torch.set_num_threads(self._threads)
        self._own.stream = torch.cuda.Stream(self.device) if self.gpu else None

    def _run(self, work: Callable[..., Result], *args: Any) -> Result:
        import torch

        if not self.gpu:
            return work(*args)
        self._own.stream.wait_stream(torch.cuda.default_stream(self.device))  # behind all that made the networks
        with torch.cuda.stream(self._own.stream):
            return work(*args)


def thread_shares(device: str, most: int = MOST) -> tuple[int, int]:
    """How many threads, `most` of a CPU, run networks on a device, and with how many threads of the CPU each."""
    import torch

    if device.startswith("cuda"):
        return GPU_THREADS, 1
    cores = torch.get_num_threads()
    if not device.startswith("cpu"):  # one queue, as Apple's GPU has
        return 1, cores
    return min(cores, most), cores // min(cores, most)

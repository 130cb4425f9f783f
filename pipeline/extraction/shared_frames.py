"""Shared memory through which decoding children hand over frames: a pipe would copy and pickle each of them twice.

The memory belongs to the parent. It lends a slot with each task, and takes it back once the frames are where the
network reads them, or once the task's child is dead. It is a file without a name, so nothing stays behind a kill -9.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from multiprocessing.heap import BufferWrapper
from typing import Any

import numpy as np

_attached: SharedFrames | None = None  # in a child: the parent's slots


class SharedFrames:
    """`count` places of one shape, uint8, in memory that spawned children share."""

    def __init__(self, count: int, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.memory: Any = None
        if size := count * math.prod(shape):
            with suppress(OSError):  # neither /dev/shm nor any other folder has room
                memory: Any = BufferWrapper(size)
                # Taken now: /dev/shm of a container has 64 MB, and who writes where there is no room dies (SIGBUS). The
                # free space that multiprocessing looks at before may be another process's a moment later.
                arena = memory._state[0][0]  # no public name leads to the file; tried on Python 3.11
                handle = getattr(arena, "fd", -1)
                if handle >= 0 and hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(handle, 0, arena.size)
                self.memory = memory
        self._free = deque(range(count if self.memory is not None else 0))

    def __len__(self) -> int:
        """How many are free."""
        return len(self._free)

    def take(self, count: int) -> tuple[int, ...]:
        """The numbers of so many slots, which are the caller's until given back; none where so many are not free."""
        if count > len(self._free):
            return ()
        return tuple(self._free.popleft() for _ in range(count))

    def give_back(self, slots: Iterable[int]) -> None:
        """These slots may be lent again; what is in them may change at any time."""
        self._free.extend(slots)

    def __getitem__(self, slot: int) -> np.ndarray:
        """What is in a slot, not a copy."""
        assert self.memory is not None
        size = math.prod(self.shape)
        return np.frombuffer(self.memory.create_memoryview(), np.uint8, size, slot * size).reshape(self.shape)


def attach(slots: SharedFrames | None) -> None:
    """In a child: write to the parent's slots from now on."""
    global _attached  # noqa: PLW0603 (a child has one parent)
    _attached = slots


def attached() -> SharedFrames | None:
    """In a child: the parent's slots, None where it lends none."""
    return _attached

"""Child processes that end with their parent, whatever that dies of and whatever they are doing.

Imports little: it is what a child loads first, and until then nothing ends it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any
from weakref import WeakSet

_PR_SET_PDEATHSIG = 1  # of linux/prctl.h


class ChildProcess(SpawnProcess):
    """A spawned process. Under Linux the kernel kills it when its parent dies, also while it holds the interpreter."""

    def start(self) -> None:
        """Start it from a thread that lives as long as this process: the kernel watches the thread, not the process."""
        _starter(os.getpid()).submit(SpawnProcess.start, self).result()

    def __reduce__(self) -> tuple[Any, ...]:
        return _new, (type(self), os.getpid()), self.__dict__


class ChildContext(SpawnContext):
    """multiprocessing's spawn, with such processes. children: all that it began and that somebody still holds."""

    def __init__(self) -> None:
        super().__init__()
        self.children: WeakSet[ChildProcess] = WeakSet()

    def Process(self, *args: Any, **kwargs: Any) -> ChildProcess:  # type: ignore[override]  # noqa: N802
        """One process, not yet started."""
        child = ChildProcess(*args, **kwargs)
        self.children.add(child)
        return child

    def kill(self) -> None:
        """End the children at once, also those that are only starting."""
        for child in list(self.children):
            if child.pid is not None:
                child.kill()


@lru_cache
def _starter(pid: int) -> ThreadPoolExecutor:
    """The thread of process `pid` that starts children."""
    return ThreadPoolExecutor(1, "star-children")


def _new(kind: type[ChildProcess], parent: int) -> ChildProcess:
    """In the child, before anything of its task is loaded."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the kernel was asked
            os._exit(1)
    return kind.__new__(kind)

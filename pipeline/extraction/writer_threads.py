"""The threads that come after the networks: heat maps, tokens, checksums, and segments on the disk.

numpy, hashlib and the disk release the interpreter's lock for all that takes long there, so threads are enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from types import TracebackType

from ..planning.work_units import Unit
from .profile import spent
from .unit_results import ComputedUnit, WrittenUnit
from .unit_writer import UnitWriter

MOST = 16


def writer_threads(cores: int) -> int:
    """How many threads finish: on a machine with a GPU that takes longer than decoding JPEG frames does.

    Measured there (16 cores, frames of 480 x 360): 43 ms of processor time a clip, 32 to decode it. What is short is
    decided by the system; each of these threads holds one unit, up to 300 MB.
    """
    return max(1, min(3 * cores // 4, MOST)) if cores > 2 else 1


def use_single_torch_thread() -> None:
    """Tell torch that this thread shares its work with no other."""
    import torch

    torch.set_num_threads(1)


class WriterThreads:
    """Writes units in a few threads; use it in a `with`.

    While as many units as there are threads are in hand, the next one has to wait, so memory stays bounded. How long
    that was is among the seconds of the next unit that is done.
    """

    def __init__(self, writer: UnitWriter, threads: int) -> None:
        self.writer, self.threads = writer, threads
        self._waited: Counter[str] = Counter()
        self._pool = ThreadPoolExecutor(threads, "finish", use_single_torch_thread)
        self._under_way: dict[Future[WrittenUnit], Unit] = {}
        self._last: list[Future[Counter[str]]] = []

    def __enter__(self) -> WriterThreads:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)

    def add(self, computed: ComputedUnit) -> Iterator[tuple[Unit, WrittenUnit]]:
        """Take a unit, and give back those that are done by now. Raises what their threads raised."""
        self._last = list(computed.batches)
        self._under_way[self._pool.submit(self.writer.write, computed)] = computed.unit
        yield from self._done(self.threads)

    def rest(self) -> Iterator[tuple[Unit, WrittenUnit]]:
        """All units that are left, once the networks are through with them."""
        with spent(self._waited, "networks full"):
            wait(self._last)
        yield from self._done(0)

    def _done(self, most: int) -> Iterator[tuple[Unit, WrittenUnit]]:
        """Units that are done, waiting for them while more than `most` are not."""
        while self._under_way:
            if len(self._under_way) > most:
                with spent(self._waited, "writers full"):
                    wait(self._under_way, return_when=FIRST_COMPLETED)
            future = next((future for future in self._under_way if future.done()), None)
            if future is None:
                return
            unit, done = self._under_way.pop(future), future.result()
            done.seconds.update(self._waited)
            self._waited.clear()
            yield unit, done

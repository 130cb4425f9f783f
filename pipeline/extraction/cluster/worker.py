"""A worker's own half of a cluster: the networks and decoding children of one recipe, kept from unit to unit.

While one unit is in the network, the videos of the next are decoded and the segments of the one before are written,
as in a run within one process.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple

from ....errors import MachineError
from ....version import __version__
from ...planning.stage_graph import graph
from ...planning.work_units import Unit
from ...recipe import schema as recipes
from ...utils import process_settings
from ...utils.hardware import best_device, cores
from ..decode_pool import VIDEOS_AHEAD, Job, Result, open_decode_pool
from ..engine import Engine
from ..profile import WorkerCounts
from ..unit_results import ComputedUnit, WrittenUnit
from ..video_task import SharedTask, VideoResults, lend_slots, read_videos
from ..writer_threads import use_single_torch_thread, writer_threads

IDLE_S = 120.0  # a worker that gets no task for so long gives its memory and its children back


class Task(NamedTuple):
    """What travels to a worker: one unit, and all that a worker must know beside it.

    keys: of the stages, as the driver has them. topic: where signs of life go. devices: of one machine, or "auto".
    slot, peers: the worker is number `slot` of `peers` on its machine. children: processes that decode, 0 for the
    worker's share of the machine. present: files of the unit's videos that the driver sees.
    """

    unit: Unit
    recipe: str
    skeleton: Any
    keys: Mapping[str, str]
    topic: str
    devices: tuple[str, ...]
    slot: int
    peers: int
    children: int
    present: tuple[str, ...] = ()


class Unfit(NamedTuple):
    """The answer of a worker that cannot do the work, whatever the unit."""

    why: str


@contextmanager
def unfit() -> Generator[list[str], None, None]:
    """Why this machine cannot do the work, where a MachineError inside says so."""
    why: list[str] = []
    try:
        yield why
    except MachineError as error:
        why.append(str(error))


class WorkerConfig(NamedTuple):
    """What a worker is made for: a recipe's text, the device, how many children decode, threads on a CPU."""

    recipe: str
    device: str
    children: int
    threads: int


def worker_config(task: Task) -> WorkerConfig:
    """The post that a worker has for a task.

    "auto" is a GPU of this machine, or the CPU where there is none: the driver may be another kind of machine.
    """
    share = max(1, cores() // max(task.peers, 1))
    device = task.devices[task.slot % len(task.devices)]
    count = 0
    if device.startswith(("auto", "cuda")):
        import torch

        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        device = f"cuda:{task.slot % count}" if count else best_device()
    elif device.startswith("cuda") and int(device.partition(":")[2] or 0) >= count:
        raise MachineError(f"--device {device}: there are {count} GPUs on this machine")
    return WorkerConfig(task.recipe, device, task.children or max(1, share - 1), share)


@dataclass(eq=False)
class _Entry(Generic[Job, Result]):
    job: Job
    future: Future[Result] | None = None


@dataclass
class PrefetchQueue(Generic[Job, Result]):
    """Jobs of several units, started in order, never more than `depth` that were not taken: across units, too.

    start: starts a job, and may return another in its place. gone: told of started jobs that nobody took, at their end.
    """

    start: Callable[[Job], tuple[Job, Future[Result]]]
    gone: Callable[[Job], None]
    depth: int
    waiting: deque[_Entry[Job, Result]] = field(default_factory=deque)
    under_way: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, jobs: Iterable[Job]) -> UnitJobs[Job, Result]:
        """Queue a unit's jobs; they are to be taken after those of the units before it."""
        entries = deque(_Entry[Job, Result](job) for job in jobs)
        with self.lock:
            self.waiting.extend(entries)
            self._fill()
        return UnitJobs(self, entries)

    def take(self, entries: deque[_Entry[Job, Result]]) -> tuple[Job, Future[Result]]:
        """The next of a unit's jobs, and its future."""
        with self.lock:
            entry = entries.popleft()
            self.under_way -= 1
            self._fill()
        assert entry.future is not None, "units are taken in the order in which they were added"
        return entry.job, entry.future

    def give_up(self, entries: deque[_Entry[Job, Result]]) -> None:
        """What is left of a unit's jobs is not wanted any more; `gone` hears of those that were started."""
        with self.lock:
            while entries:
                entry = entries.popleft()
                if entry.future is None:
                    self.waiting.remove(entry)
                else:
                    entry.future.add_done_callback(lambda _future, job=entry.job: self.gone(job))
                    self.under_way -= 1
            self._fill()

    def _fill(self) -> None:
        while self.waiting and self.under_way < self.depth:
            entry = self.waiting.popleft()
            entry.job, entry.future = self.start(entry.job)
            self.under_way += 1


class UnitJobs(Generic[Job, Result]):
    """A unit's jobs with their futures, in order."""

    def __init__(self, feed: PrefetchQueue[Job, Result], entries: deque[_Entry[Job, Result]]) -> None:
        self.feed, self.entries = feed, entries

    def __iter__(self) -> Iterator[tuple[Job, Future[Result]]]:
        return self

    def __next__(self) -> tuple[Job, Future[Result]]:
        if not self.entries:
            raise StopIteration
        return self.feed.take(self.entries)

    def close(self) -> None:
        """Give up what was not taken."""
        self.feed.give_up(self.entries)


class ExtractionWorker:
    """The engine of one configuration. Units go through it in the order in which they are submitted."""

    def __init__(self, worker_config: WorkerConfig, skeleton: Any) -> None:
        # Dask tells its workers to give back all memory; a network on the CPU keeps it. Children keep what they hold.
        for name in process_settings.MALLOC_ENVIRONMENT:
            os.environ.pop(name, None)
        if worker_config.device == "cpu":
            process_settings.reuse_freed_memory()
        _settle(worker_config)
        recipe = recipes.parse(worker_config.recipe)
        self.graph = graph(recipe)
        pool = open_decode_pool(recipe, worker_config.children, worker_config.device)
        self.engine = Engine(recipe, self.graph, worker_config.device, pool, skeleton)
        self.feed = PrefetchQueue[SharedTask, VideoResults](
            self._start,
            lambda reading: self.engine.pool.slots.give_back(reading.slots),
            VIDEOS_AHEAD * worker_config.children,
        )
        self.network = ThreadPoolExecutor(1, "star-network", _settle, (worker_config,))
        self.writers = ThreadPoolExecutor(writer_threads(worker_config.threads), "star-writer", use_single_torch_thread)
        self.lock = threading.Lock()
        self.busy, self.used = 0, time.monotonic()
        self.processor = time.process_time()
        inference_threads, writers = self.engine.threads.count, writer_threads(worker_config.threads)
        self.counts = WorkerCounts(
            worker_config.children, inference_threads, writers, worker_config.device, worker_config.threads
        )

    def _start(self, reading: SharedTask) -> tuple[SharedTask, Future[VideoResults]]:
        lent = lend_slots(self.engine.pool.slots, reading)
        return lent, self.engine.pool.submit(read_videos, lent)

    def check(self, task: Task) -> None:
        """Whether a task can be done here at all. Raises MachineError."""
        recipe = self.engine.recipe
        other = next((name for name, key in task.keys.items() if self.graph[name].key != key), None)
        if other:
            raise MachineError(f"its star {__version__} makes other keys for {other}; install the driver's version")
        roots = [("cache.root", recipe.cache.root)]
        roots += [("dataset.root", recipe.dataset.root)] if task.unit.reads_videos else []
        for name, root in roots:
            if not root.exists():
                raise MachineError(f"{name}: {root} is not there; mount it under the same path as on the driver")
        if task.present and not any(Path(path).exists() for path in task.present):
            raise MachineError(
                f"dataset.root: {recipe.dataset.root} is there, but not what is in it on the driver, like "
                f"{task.present[0]}; mount it under the same path"
            )

    def submit(
        self, unit: Unit, stopped: Callable[[], bool], count: Callable[[int], None]
    ) -> Future[ComputedUnit | None]:
        """Decode a unit as soon as the ones before it leave room; it is computed in its turn.

        stopped: asked before and between batches; where it is so before the first, None comes back.
        """
        with self.lock:
            outcomes = self.feed.add(self.engine.reader.tasks(unit))
            computing = self.network.submit(self._compute, unit, outcomes, stopped, count)
            self.busy += 1
            return computing

    def _compute(
        self,
        unit: Unit,
        outcomes: UnitJobs[SharedTask, VideoResults],
        stopped: Callable[[], bool],
        count: Callable[[int], None],
    ) -> ComputedUnit | None:
        try:
            count(0)
            return None if stopped() else self.engine.computer.compute(unit, outcomes, stopped, count)
        finally:
            outcomes.close()

    def write(self, computed: ComputedUnit) -> WrittenUnit:
        """Put a unit's clips into segments, while the next unit is computed."""
        done = self.writers.submit(self.engine.writer.write, computed).result()
        with self.lock:
            now = time.process_time()
            done.seconds["worker processor"] += now - self.processor  # type: ignore[assignment]
            self.processor = now
        return done

    def leave(self) -> None:
        """A unit is through, or given up."""
        with self.lock:
            self.busy -= 1
            self.used = time.monotonic()

    def close(self) -> None:
        """End the children and the threads."""
        self.network.shutdown(wait=False, cancel_futures=True)
        self.writers.shutdown(wait=False)
        self.engine.close()


def _settle(worker_config: WorkerConfig) -> None:
    """Dask tells its workers to use one thread; a network on the CPU gets the worker's share of the cores."""
    if worker_config.device == "cpu":
        import torch

        torch.set_num_threads(worker_config.threads)


class WorkerRegistry:
    """The workers of this process. One is kept until another is wanted, or none has been wanted for a while."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.open: dict[WorkerConfig, ExtractionWorker] = {}

    def get(self, task: Task) -> ExtractionWorker:
        """The worker for a task, made if need be. Raises MachineError where this machine cannot do the work."""
        with self.lock:
            wanted = worker_config(task)
            if wanted not in self.open:
                self._close(0.0)
                self.open[wanted] = ExtractionWorker(wanted, task.skeleton)
                threading.Thread(target=self._tidy, args=(wanted,), daemon=True).start()
            extraction_worker = self.open[wanted]
            extraction_worker.used = time.monotonic()
            extraction_worker.check(task)
            return extraction_worker

    def _tidy(self, worker_config: WorkerConfig) -> None:
        while worker_config in self.open:
            time.sleep(IDLE_S / 10)
            with self.lock:
                self._close(IDLE_S)

    def _close(self, idle: float) -> None:
        for worker_config, extraction_worker in list(self.open.items()):
            if not extraction_worker.busy and time.monotonic() - extraction_worker.used >= idle:
                del self.open[worker_config]
                extraction_worker.close()

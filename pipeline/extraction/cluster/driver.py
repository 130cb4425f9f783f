"""Many machines: the same units of work on the workers of a Dask scheduler. The only importer of dask.

One task is one unit, sent to one worker. What it writes is found by its name in the shared folder; only that name and a
small account of the unit travel. Correctness lies in the segments, which are whole or absent, and not in the scheduler:
a unit that is computed twice gives equal rows, of which the first counts.
"""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

from ....errors import MachineError, MissingPackage, VideoError, VideoTimeout
from ...planning.plan import Plan
from ...planning.work_units import Unit
from ...recipe import schema as recipes
from ...utils.hardware import cores
from ...utils.process_settings import MALLOC_ENVIRONMENT
from ...utils.progress import Progress, tell
from ...utils.text import counted
from ..execution import ExecutionConfig
from ..profile import WorkerCounts
from ..unit_results import WrittenUnit
from .scheduler import DEATHS, Cluster, Job, UnitScheduler
from .worker import Task, Unfit, WorkerRegistry, unfit

TICK_S = 0.5  # how often the driver looks who came and who went
PATIENCE_S = 10.0  # for a scheduler to answer
BACK_S = 60.0  # for one that went away to come back
LOADING_S = 300.0  # on top of the lease for a worker's first unit: it imports torch and builds its networks
VISIBLE_S = 30.0  # network file systems may show a new file late
LOST = (CancelledError, OSError, TimeoutError)  # what Dask raises while its scheduler is away

_workers = WorkerRegistry()


def work_on(task: Task) -> tuple[WrittenUnit, WorkerCounts] | Unfit | None:
    """One unit on a worker: decoded, computed, written. None where it was taken away before its turn.

    The task leaves Dask's thread pool at once, so that the worker takes in the next unit while this one is computed.
    """
    from dask.distributed import get_worker, secede

    worker = get_worker()
    key = worker.get_current_task()

    def sign(clips: int, begun: bool = True) -> None:
        worker.log_event(task.topic, {"key": key, "clips": clips, "begun": begun, "worker": worker.address})

    def unwanted() -> bool:
        state = worker.state.tasks.get(key)
        return state is None or state.state == "cancelled"

    sign(0, begun=False)
    with unfit() as why:
        extraction_worker = _workers.get(task)
        computing = extraction_worker.submit(task.unit, unwanted, sign)
    if why:
        return Unfit(why[0])
    try:
        secede()
        with unfit() as why:
            computed = computing.result()
        if why:
            return Unfit(why[0])
        return None if computed is None else (extraction_worker.write(computed), extraction_worker.counts)
    finally:
        extraction_worker.leave()


def on_cluster(
    planned: Plan,
    work: list[Unit],
    execution: ExecutionConfig,
    stopped: Callable[[], bool],
    bar: Progress,
    found: Cluster,
) -> Iterator[tuple[Unit, WrittenUnit]]:
    """Run units on Dask workers and yield what became of them as they are done.

    found: told where the scheduler is, and who worked. Raises MachineError where the scheduler is lost or no
    worker is fit for the work, and what a worker's own error was.
    """
    with cluster(execution.scheduler, execution.devices) as client:
        found.address, found.dashboard = client.scheduler.address, client.dashboard_link
        if not bar.quiet:
            tell(f"dask: scheduler {found.address}, dashboard {found.dashboard}")
            if execution.scheduler and is_open(execution.scheduler):
                tell(
                    f"--scheduler {execution.scheduler}: has no certificate, so whoever reaches its port can run code "
                    "as you on every worker; see `Who can do what` in docs/clusters.md"
                )
        driver = Driver(client, planned, work, execution, bar, found)
        try:
            yield from driver.run(stopped)
        finally:
            driver.close()


class WorkerSlot(NamedTuple):
    """A worker: its machine, its number among those of that machine, and how many those were when it came."""

    host: str
    slot: int
    peers: int


class Driver:
    """Gives units to the workers of a Dask client, and looks after both."""

    def __init__(
        self, client: Any, planned: Plan, work: list[Unit], execution: ExecutionConfig, bar: Progress, found: Cluster
    ) -> None:
        self.client, self.planned, self.execution, self.bar, self.found = client, planned, execution, bar, found
        self.scheduler = UnitScheduler.of(work)
        self.worker_slots: dict[str, WorkerSlot] = {}
        self.heard: dict[str, float] = {}
        self.banned: set[str] = set()  # those given up, as long as they are silent
        self.useless: set[str] = set()
        self.tasks: dict[str, tuple[Job, Any]] = {}
        self.ready: deque[tuple[Unit, WrittenUnit]] = deque()
        self.events: SimpleQueue[tuple[str, dict[str, Any] | None]] = SimpleQueue()
        self.recipe = recipes.dump(planned.recipe)
        self.keys = {name: planned.graph[name].key for name in planned.graph.names}
        self.topic = f"star-{uuid.uuid4().hex}"
        self.looked, self.alone_since = -TICK_S, time.monotonic()
        self.lease = execution.lease + planned.recipe.decode.timeout
        client.subscribe_topic(self.topic, lambda event: self.events.put((event[1]["key"], event[1])))

    def run(self, stopped: Callable[[], bool]) -> Iterator[tuple[Unit, WrittenUnit]]:
        """Everything, until it is done or somebody says stop; then only what was begun is finished."""
        while self.scheduler.busy:
            if stopped():  # finish the units that are in the networks; forget the others
                self.scheduler.fresh.clear()
                self.scheduler.suspects.clear()
                for key in [key for key, (job, _) in self.tasks.items() if not job.begun]:
                    job, future = self.tasks.pop(key)
                    self.scheduler.done(job)
                    with self._unless_away():
                        future.cancel()
            self._look()
            for worker in list(self.worker_slots):  # hand out what they have room for
                while self.client.status == "running" and (job := self.scheduler.next(worker)):
                    self._submit(worker, job)
            self._listen()
            while self.ready:
                yield self.ready.popleft()

    def close(self) -> None:
        """Tell the workers that nothing more is wanted."""
        with self._unless_away():
            self.client.cancel([future for _, future in self.tasks.values()], force=True)
            self.client.unsubscribe_topic(self.topic)

    def _look(self) -> None:
        """Who came, who went, who stands still."""
        now = time.monotonic()
        if now - self.looked < TICK_S:
            return
        self.looked = now
        there = self._there()
        for worker in self.worker_slots.keys() - there:
            self._lost(worker, "died", VideoError)
        self._arrive(there - self.worker_slots.keys() - self.banned - self.useless)
        for worker in [name for name, jobs in self.scheduler.assigned.items() if jobs]:
            loading = 0.0 if worker in self.found.counts_by_worker else LOADING_S
            if now - self.heard[worker] > self.lease + loading:
                self._lost(worker, f"gave no sign of life for {self.lease:g} s", VideoTimeout)
                self.banned.add(worker)
                Thread(target=self._restart, args=(worker,), daemon=True).start()
        if self.worker_slots:
            self.alone_since = now
        elif self.client.status == "running" and now - self.alone_since > PATIENCE_S:
            self.alone_since = float("inf")
            self._tell(f"no worker at {self._address()}; waiting for some: `dask worker {self._address()}` starts one")

    def _there(self) -> set[str]:
        """The workers' addresses; those of a scheduler that is away are nobody's any more."""
        if self.client.status in ("closed", "closing"):
            raise MachineError(
                f"--scheduler {self._address()}: the Dask scheduler went away; what was written stays, and the same "
                "command goes on once there is one again"
            )
        if self.client.status == "running":
            with self._unless_away():
                return set(self.client.nthreads())
        for worker in list(self.worker_slots):
            self._leave(worker)
        return set()

    def _arrive(self, workers: set[str]) -> None:
        if not workers:
            return
        about = self.client.scheduler_info(n_workers=-1)["workers"]
        gpus = {worker for worker, what in about.items() if what["resources"].get("GPU")}
        usable = gpus or set(about)
        for worker in sorted(workers & usable):
            host = about[worker]["host"]
            peers = sum(about[other]["host"] == host for other in usable)
            taken = {known.slot for known in self.worker_slots.values() if known.host == host}
            slot = next(number for number in range(len(taken) + 1) if number not in taken)
            self.worker_slots[worker] = WorkerSlot(host, slot, peers)
            self.scheduler.assigned[worker] = []
        self._tell(f"dask: {counted(len(self.worker_slots), 'worker')} at {self._address()}")

    def _submit(self, worker: str, job: Job) -> None:
        key = f"extract-{uuid.uuid4().hex}"
        if len(self.scheduler.assigned[worker]) == 1:
            self.heard[worker] = time.monotonic()
        _, slot, peers = self.worker_slots[worker]
        children = (
            self.execution.workers
            if self.execution.scheduler
            else -(-self.execution.workers // len(self.execution.devices))
        )
        present = ()  # the videos' files that are here: a worker that has none of them lacks the data set's disk
        if job.unit.reads_videos:
            media = [video.media for name, (video, _) in job.unit.videos.items() if name in job.unit.there]
            present = tuple(str(path) for path in media if path.exists())
        task = Task(
            job.unit, self.recipe, self.planned.manifest.skeleton, self.keys, self.topic,
            self.execution.devices, slot, peers, children, present,
        )  # fmt: skip
        with self._unless_away():
            future = self.client.submit(work_on, task, key=key, workers=[worker], pure=False)
            self.tasks[key] = job, future
            future.add_done_callback(lambda done: self.events.put((key, None)))

    def _listen(self) -> None:
        """Take in what the workers say, waiting a moment for it."""
        with suppress(Empty):
            key, said = self.events.get(timeout=TICK_S)
            while True:
                if said:
                    self.banned.discard(said["worker"])  # it only slept
                if not said and key in self.tasks:
                    self._end(key)
                elif said and key in self.tasks:
                    job = self.tasks[key][0]
                    worker = self.scheduler.holder(job)
                    if worker is not None:
                        self.heard[worker] = time.monotonic()
                    job.begun = job.begun or said["begun"]
                    if said["clips"]:
                        job.shown += said["clips"]
                        self.bar.advance(said["clips"])
                key, said = self.events.get_nowait()

    def _end(self, key: str) -> None:
        """A task is over, one way or another."""
        from dask.distributed import KilledWorker

        job, future = self.tasks.pop(key)
        worker = self.scheduler.holder(job)
        if worker is None:
            return
        self.heard[worker] = time.monotonic()
        try:
            answer = future.result(timeout=PATIENCE_S)
        except KilledWorker:  # by Dask's own count: the worker came back under its old address
            self._unshow(job)
            if self.scheduler.blame(job):
                self._give_up(job)
        except LOST:
            self._taken(worker, job, None)
        except (ImportError, AttributeError) as error:
            self._taken(worker, job, Unfit(f"{error}; install there what is installed here"))
        else:
            self._taken(worker, job, answer)

    def _taken(self, worker: str, job: Job, answer: tuple[WrittenUnit, WorkerCounts] | Unfit | None) -> None:
        """A worker's answer about a job. Raises MachineError where the last worker cannot do the work."""
        if isinstance(answer, Unfit):
            self.useless.add(worker)
            self._leave(worker)
            if not self.worker_slots:
                raise MachineError(f"worker {worker}: {answer.why}")
            self._tell(f"warning: worker {worker} is left out: {answer.why}")
        elif answer is None:
            self.scheduler.back(job)
            self._unshow(job)
        else:
            done, self.found.counts_by_worker[worker] = answer
            self.scheduler.done(job)
            until = time.monotonic() + VISIBLE_S
            for stage, segment in done.segments.items():
                path = self.planned.stages[stage].stage_store.file(segment)
                while not path.exists():  # what a worker wrote must be seen here, or the folders are not the same
                    if time.monotonic() > until:
                        raise MachineError(
                            f"cache.root: a worker wrote {path}, which is not here; "
                            "give all machines one shared folder under the same path"
                        )
                    time.sleep(TICK_S)
            self.bar.advance(len(job.unit.clips) - job.shown)
            self.ready.append((job.unit, done))

    def _lost(self, worker: str, how: str, error: type[VideoError]) -> None:
        """A worker is gone with units in its hands; those of one video that cost too many are given up."""
        jobs = self.scheduler.assigned[worker]
        self._tell(f"worker {worker} {how}; others take its {counted(len(jobs), 'unit')}")
        for job in jobs:
            job.error = error
        self._forget(worker, jobs)
        for job in self.scheduler.lost(worker):
            self._give_up(job)

    def _leave(self, worker: str) -> None:
        self._forget(worker, self.scheduler.assigned[worker])
        self.scheduler.leave(worker)

    def _forget(self, worker: str, jobs: list[Job]) -> None:
        """Let go of a worker and of what was sent to it."""
        del self.worker_slots[worker]
        for key, (job, future) in list(self.tasks.items()):
            if job in jobs:
                del self.tasks[key]
                self._unshow(job)
                with self._unless_away():
                    future.cancel()

    def _unshow(self, job: Job) -> None:
        if job.shown:
            self.bar.advance(-job.shown)
            job.shown = 0

    def _give_up(self, job: Job) -> None:
        """A single video that cost several workers: one failure, like that of a video that kills its decoder."""
        (name,) = job.unit.videos
        if job.error is VideoTimeout:
            kind, what = "timeout", f"stood still for {self.lease:g} s"
        else:
            kind, what = "crashed", "died, perhaps for want of memory"
        stage = "decode" if job.unit.reads_videos else job.unit.stages[0]
        message = f"{name}: {DEATHS} workers that had it in hand {what}"
        self.ready.append((job.unit, WrittenUnit(0, {}, {}, [(name, stage, kind, message)], Counter())))

    def _restart(self, worker: str) -> None:
        """Have a worker that stands still killed by its nanny, which starts another; without one it stays banned."""
        with self._unless_away(), suppress(ValueError):
            self.client.restart_workers([worker], timeout=PATIENCE_S, raise_for_error=False)
            self.banned.discard(worker)

    @contextmanager
    def _unless_away(self) -> Generator[None, None, None]:
        """Errors of a scheduler that is away, which the next look finds out; Dask has other classes in each version."""
        try:
            yield
        except LOST:
            pass
        except Exception:
            if self.client.status == "running":
                raise

    def _address(self) -> str:
        return self.execution.scheduler or self.client.scheduler.address

    def _tell(self, line: str) -> None:
        if not self.bar.quiet:
            tell(line)


@contextmanager
def cluster(scheduler: str | None, devices: tuple[str, ...]) -> Generator[Any, None, None]:
    """A Dask client: of the scheduler at an address, or of one local worker process per device."""
    from dask import config
    from dask.distributed import Client, LocalCluster
    from distributed.security import Security

    # Dask's own log is silent, unless star's is asked for (-v): star says what happened
    level = logging.WARNING if logging.getLogger().isEnabledFor(logging.DEBUG) else logging.CRITICAL
    for name in list(logging.root.manager.loggerDict):  # Dask gives several of its parts levels of their own
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(level)
    if scheduler:
        try:
            client = Client(scheduler, timeout=PATIENCE_S)
        except (OSError, TimeoutError, ValueError, TypeError, RuntimeError) as error:  # TypeError: no certificate
            reason = str(error).splitlines()[0]
            raise MachineError(f"--scheduler {scheduler}: no Dask scheduler answers there ({reason})") from None
        client._timeout = BACK_S  # pyright: ignore[reportPrivateUsage] (Dask has no public name for it)
        with client:
            yield client
        return
    threads = {f"{library}_NUM_THREADS": max(1, cores() // len(devices)) for library in ("OMP", "MKL", "OPENBLAS")}
    resource = "GPU" if all(name.startswith("cuda") for name in devices) else "CPU"
    with (
        _environment_kept(),
        config.set({
            "distributed.worker.daemon": False,
            "distributed.nanny.pre-spawn-environ": threads | MALLOC_ENVIRONMENT,
        }),
        LocalCluster(
            n_workers=len(devices), threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0",
            resources={resource: 1}, memory_limit=0, silence_logs=level, security=_private(Security),
        ) as local,
        Client(local) as client,
    ):  # fmt: skip
        yield client


def _private(security: Any) -> Any:
    """A certificate for this run alone, held in memory: who does not have it cannot talk to the scheduler or a worker.

    Without one, whoever reaches their ports runs code as this user. Raises MissingPackage.
    """
    try:
        return security.temporary()
    except ImportError:
        raise MissingPackage(
            "--device: several devices need the package cryptography, without which anybody on this machine could run "
            "code as you; `pip install cryptography`, or name one device"
        ) from None


def is_open(address: str) -> bool:
    """Whether a scheduler's address is beyond this machine and asks nobody for a certificate."""
    protocol, found, rest = address.rpartition("://")
    host = rest.rpartition(":")[0].strip("[]") or rest
    if found and protocol not in ("tcp", "ws", "ucx"):
        return False
    try:
        return not ip_address(host).is_loopback
    except ValueError:
        return host != "localhost"


@contextmanager
def _environment_kept() -> Generator[None, None, None]:
    """Dask tells its workers how many threads to use through this process's environment, and leaves it so."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)

"""Where the work runs: decoding in child processes with a time limit, segments here or on a Dask cluster.

A decoder may hang, abort or eat all memory, so no decoder runs in this process: each video is one task of a child that
is killed when its time is up and replaced when it dies (PITFALLS: decord#269, #25). Children are spawned, not forked:
torch's threads and CUDA do not survive a fork.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as TimeIsUp
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from ..cache.errors import MachineError, VideoCrash, VideoError, VideoTimeout
from .slots import Slots, attach

Job = TypeVar("Job")
Result = TypeVar("Result")

TASKS_PER_CHILD = 4000  # videos after which a child is replaced; a new one takes a second to start
LEAKING = 400  # the same where the decoder leaks (PITFALLS: decord#197)


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Children:
    """Child processes that run one function per video, each call under a time limit in seconds.

    slots: memory that they share with this process, for what they would otherwise send through a pipe. tasks: how many
    one child does before another takes its place.
    """

    def __init__(self, count: int, timeout: float, slots: Slots | None = None, tasks: int = TASKS_PER_CHILD) -> None:
        from pebble import ProcessPool

        _allow_children()
        self.count, self.timeout = count, timeout
        self.slots = slots or Slots(0, (1,))
        self.pool = ProcessPool(
            max_workers=count,
            max_tasks=tasks,
            initializer=_in_child,
            initargs=(slots,),
            context=multiprocessing.get_context("spawn"),
        )

    def submit(self, work: Callable[[Job], Result], job: Job) -> Future[Result]:
        """Queue one call; `outcome` waits for it."""
        return self.pool.schedule(work, args=(job,), timeout=self.timeout)

    def outcome(self, future: Future[Result], name: str) -> Result | VideoError:
        """What a call returned, or the VideoError that it, its time limit or its death amounts to."""
        from pebble import ProcessExpired

        try:
            return future.result()
        except VideoError as error:
            return error
        except TimeIsUp:
            return VideoTimeout(
                f"{name}: not decoded within {self.timeout:g} s; raise decode.timeout if it is only long"
            )
        except ProcessExpired as error:
            return VideoCrash(f"{name}: the decoder died ({_death(error.exitcode)}); the file is broken or too large")
        except MemoryError:
            return VideoCrash(f"{name}: the decoder ran out of memory; the file claims sizes that it cannot have")

    def close(self) -> None:
        """Stop the children, also busy ones."""
        self.pool.stop()
        self.pool.join()


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"


def _in_child(slots: Slots | None) -> None:
    """Ctrl-C reaches the whole process group, but only the driver decides what it means."""
    attach(slots)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"


def _allow_children() -> None:
    """Dask starts its workers as daemons, which multiprocessing forbids to have children; ours are killed by us."""
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]


def ahead(
    jobs: Iterable[Job], start: Callable[[Job], Future[Result]], depth: int
) -> Iterator[tuple[Job, Future[Result]]]:
    """Each job with its future, in order, keeping `depth` futures under way: bounded memory, no idle child."""
    jobs = iter(jobs)
    under_way = [(job, start(job)) for job in islice(jobs, depth)]
    while under_way:
        yield under_way.pop(0)
        under_way.extend((job, start(job)) for job in islice(jobs, 1))


@contextmanager
def cluster(scheduler: str | None, devices: tuple[str, ...]) -> Iterator[Any]:
    """A Dask client: of the scheduler at an address, or of one local worker process per device."""
    from dask import config
    from dask.distributed import Client, LocalCluster

    if scheduler:
        try:
            client = Client(scheduler, timeout="10s")
        except (OSError, TimeoutError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise MachineError(f"--scheduler {scheduler}: no Dask scheduler answers there ({reason})") from None
        with client:
            yield client
        return
    threads = {f"{library}_NUM_THREADS": max(1, cores() // len(devices)) for library in ("OMP", "MKL", "OPENBLAS")}
    with (
        _environment_kept(),
        config.set({"distributed.worker.daemon": False, "distributed.nanny.pre-spawn-environ": threads}),
        LocalCluster(n_workers=len(devices), threads_per_worker=1, processes=True, dashboard_address=":0") as local,
        Client(local) as client,
    ):
        yield client


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Dask tells its workers how many threads to use through this process's environment, and leaves it so."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def scatter(client: Any, work: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
    """Run one task per job on a cluster and yield results as they come; twice as many queued as there are workers.

    A job whose worker is lost is run again elsewhere by Dask: segments are whole or absent, so a second run of the same
    job is harmless. Raises MachineError where a job's workers die again and again.
    """
    from dask.distributed import KilledWorker, as_completed

    jobs = iter(jobs)
    depth = 2 * max(len(client.scheduler_info()["workers"]), 1)
    done = as_completed([client.submit(work, job, pure=False) for job in islice(jobs, depth)])
    for future in done:
        try:
            result = future.result()
        except KilledWorker as error:
            raise MachineError(f"Dask workers died again and again at one segment: {error}") from None
        except CancelledError:
            raise MachineError("the Dask scheduler went away; what was written stays, run again to go on") from None
        for job in islice(jobs, 1):
            done.add(client.submit(work, job, pure=False))
        yield result

"""Many machines: the same units of work on a Dask cluster. The only importer of dask.

One task is one unit; what it writes is found by its name in the shared folder, and only its small account travels.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from itertools import islice, takewhile
from typing import Any, TypeVar

from ..cache.errors import MachineError
from . import recipe as recipes
from .engine import Done, Engine
from .extract import Where, computing
from .graph import graph
from .plan import Plan
from .progress import Progress
from .units import Unit
from .workers import Children, cores

Job = TypeVar("Job")
Result = TypeVar("Result")


def on_cluster(
    planned: Plan, work: list[Unit], where: Where, stopped: Callable[[], bool], bar: Progress
) -> Iterator[tuple[Unit, Done]]:
    """Run units on Dask workers, one task each; what they write is found by its name, not through Dask."""
    devices = where.devices
    children = max(1, where.children // len(devices))
    text = recipes.dump(planned.recipe)
    with cluster(where.scheduler, devices) as client:
        going = takewhile(lambda unit: not stopped(), work)
        jobs = (
            (unit, text, planned.catalogue.skeleton, devices[i % len(devices)], children)
            for i, unit in enumerate(going)
        )
        for unit, done in scatter(client, work_on, jobs):
            bar.advance(len(unit.clips))
            yield unit, done


def work_on(job: tuple[Unit, str, Any, str, int]) -> tuple[Unit, Done]:
    """One unit on a worker of a cluster: read, compute, write, in the worker's own process."""
    unit, text, skeleton, device, workers = job
    recipe = recipes.parse(text)
    children = Children(workers, recipe.decode.timeout)
    try:
        engine = Engine(recipe, graph(recipe), device, children, skeleton)
        ((_, computed),) = computing(engine, [unit], workers, lambda: False, lambda count: None)
        return unit, engine.write(computed)
    finally:
        children.close()


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

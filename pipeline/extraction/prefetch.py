"""Decode the videos of the next units while the networks compute one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

from ..planning.work_units import Unit
from .decode_pool import VIDEOS_AHEAD, ahead
from .engine import Engine
from .unit_results import ComputedUnit
from .video_task import SharedTask, VideoResults, lend_slots, read_videos

Reading = tuple[SharedTask, Future[VideoResults]]


def compute_units(
    engine: Engine, work: Sequence[Unit], workers: int, stopped: Callable[[], bool], count: Callable[[int], None]
) -> Iterator[tuple[Unit, ComputedUnit]]:
    """Each unit, through the networks or about to be; the videos of the next ones are read meanwhile."""
    tasks = (lend_slots(engine.pool.slots, task) for unit in work for task in engine.reader.tasks(unit))
    stream = ahead(tasks, lambda task: engine.pool.submit(read_videos, task), VIDEOS_AHEAD * workers)
    for unit in work:
        if stopped():
            return
        mine = _of(stream, len(unit.videos) if unit.reads_videos else 0)
        yield unit, engine.computer.compute(unit, mine, stopped, count)


def _of(stream: Iterator[Reading], videos: int) -> Iterator[Reading]:
    """The readings of the next so many videos."""
    while videos:
        shared, future = next(stream)
        videos -= len(shared.tasks)
        yield shared, future

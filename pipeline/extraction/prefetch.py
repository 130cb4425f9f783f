"""Decode the videos of the next units while the networks compute one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from ..planning.work_units import Unit
from ..recipe.schema import Recipe
from .decode_pool import LEAKING, TASKS_PER_CHILD, DecodePool, ahead
from .engine import ComputedUnit, Engine, reads_videos
from .inference_threads import shares
from .shared_frames import SharedFrames
from .video_task import lend, read

AHEAD = 2  # videos read ahead for each child


def decoding(recipe: Recipe, count: int, device: str) -> DecodePool:
    """So many decoding children for a recipe.

    They share memory for the frames of all that is read ahead, and of the batches on their way to `device`: one in each
    lane, one that waits, one that is being gathered.
    """
    size, views = recipe.backbone.size, recipe.decode.views
    slots = AHEAD * count * max(views.train, views.test) + (shares(device)[0] + 2) * recipe.backbone.batch
    tasks = LEAKING if recipe.decode.reader == "decord" else TASKS_PER_CHILD
    return DecodePool(count, recipe.decode.timeout, SharedFrames(slots, (recipe.decode.frames, size, size, 3)), tasks)


def computing(
    engine: Engine, work: Sequence[Unit], workers: int, stopped: Callable[[], bool], count: Callable[[int], None]
) -> Iterator[tuple[Unit, ComputedUnit]]:
    """Each unit, through the networks or about to be; the readings of the next ones are under way meanwhile."""
    children = engine.children
    readings = (lend(children.slots, reading) for unit in work for reading in engine.readings(unit))
    stream = ahead(readings, lambda reading: children.submit(read, reading), AHEAD * workers)
    for unit in work:
        if stopped():
            return
        mine = islice(stream, len(unit.videos) if reads_videos(unit) else 0)
        yield unit, engine.compute(unit, mine, stopped, count)

"""Stage one: the plan, run.

Decide, announce, act, return. Each unit of work becomes one segment per stage, finished and written by other threads
while the next unit is read and computed; whatever stops the run costs at most the units in hand.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from ...cache.failures import Failure
from ...errors import DatasetError, Interrupted, VideoError
from ...stages.precision import compute_precision
from ..planning.cost import check_space
from ..planning.plan import Plan, plan, remember
from ..planning.shard import Shard
from ..planning.work_units import Unit, units
from ..recipe.schema import Recipe
from ..utils.progress import Progress, tell
from ..utils.signals import StopSignal
from ..utils.text import counted
from .cluster.scheduler import Cluster
from .engine import open_engine
from .execution import ExecutionConfig
from .prefetch import compute_units
from .unit_results import WrittenUnit
from .writer_threads import WriterThreads


@dataclass
class ExtractionResult:
    """What an extraction did: rows and bytes written per stage, the videos that failed, where the time went.

    seconds: by what they went to, summed over all that worked at it. processor: of this process and its children.
    precisions: clips by what the backbone computed in.
    cluster: where the work was done, if on a cluster.
    """

    rows: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    precisions: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    clips: int = 0
    wall: float = 0.0
    processor: float = 0.0
    cluster: Cluster = field(default_factory=Cluster)

    def add(self, unit: Unit, done: WrittenUnit) -> None:
        """Count a finished unit."""
        self.clips += done.clips
        for stage in unit.stages if done.clips else ():
            self.rows[stage] += done.clips
        self.bytes.update(done.bytes)
        if done.precision:
            self.precisions[done.precision] += done.clips
        self.seconds.update(done.seconds)


def extract(
    recipe: Recipe,
    *,
    only: Sequence[str] = (),
    force: bool = False,
    retry_failed: bool = False,
    execution: ExecutionConfig = ExecutionConfig(),
    shard: Shard | None = None,
    max_failures: Callable[[int], int] | None = None,
    quiet: bool = False,
) -> tuple[Plan, ExtractionResult]:
    """Compute what the recipe wants and the cache lacks; see `plan` for only, force, retry_failed and shard.

    max_failures: number of videos -> how many may fail before the run gives up. Returns the plan that was carried
    out, and what came of it. Raises StarError; whatever was finished before it is kept.
    """
    planned = plan(recipe, only=only, force=force, retry_failed=retry_failed, shard=shard)
    work = units(planned)
    outcome = ExtractionResult()
    for name, stage in planned.stages.items():
        if stage.places:
            stage.stage_store.describe(planned.graph[name].description())  # where somebody removed it
    if not work:
        remember(planned)
        return planned, outcome
    _check_work(planned, work)
    planned.store.prepare()
    check_space(planned)
    if not quiet and not execution.scheduler:
        _tell_precision(recipe, work, execution.devices[0])
    old = {name: planned.stages[name].stage_store.segments() for name in (only or planned.stages)} if force else {}
    limit = max_failures(len(planned.manifest.videos) // (shard.of if shard else 1)) if max_failures else None
    began, used = time.monotonic(), time.process_time()
    try:
        _run(planned, work, execution, outcome, limit, quiet)
    finally:
        outcome.wall = time.monotonic() - began
        outcome.processor = time.process_time() - used + outcome.seconds["decode processor"]
        outcome.processor += outcome.seconds["worker processor"]
        remember(planned)
    for name, segments in old.items():  # of --force: those whose every row has been computed again
        stage_store = planned.stages[name].stage_store
        fresh = set(stage_store.segments()) - set(segments)
        again = {row for segment in fresh for row in stage_store.segment(segment).rows}
        for segment in segments:
            if again.issuperset(stage_store.segment(segment).rows):
                stage_store.file(segment).unlink(missing_ok=True)
    for stage in planned.stages.values():
        stage.stage_store.index()  # now, so that the next command reads one file a stage instead of every new segment
    return planned, outcome


def _tell_precision(recipe: Recipe, work: Sequence[Unit], device: str) -> None:
    """Say once that the backbone computes in another precision than the recipe's."""
    asked = recipe.backbone.precision
    if not any("backbone" in unit.computed for unit in work) or asked == "float32":
        return
    used = compute_precision(asked, device)
    if used != asked:
        tell(
            f"backbone.precision: {device} has no fast {asked}, so the backbone computes in {used}: faster here, at "
            "least as exact, and under the same key"
        )


def _run(
    planned: Plan,
    work: list[Unit],
    execution: ExecutionConfig,
    outcome: ExtractionResult,
    limit: int | None,
    quiet: bool,
) -> None:
    from .cluster.driver import on_cluster

    total = sum(len(unit.clips) for unit in work)
    run = partial(on_cluster, found=outcome.cluster) if execution.scheduler or len(execution.devices) > 1 else _here
    with (
        StopSignal("finishing the segment in hand; once more to stop at once") as stop,
        Progress("extract", total, quiet=quiet) as bar,
    ):
        for unit, done in run(planned, work, execution, lambda: stop.asked, bar):
            outcome.add(unit, done)
            outcome.failures += _record(planned, done)
            if limit is not None and len(outcome.failures) > limit:
                failed = counted(len(outcome.failures), "video")
                raise VideoError(f"--max-failures: {failed} failed, {limit} may; see {planned.ledger.path}")
    if stop.asked:
        raise Interrupted(f"interrupted: {counted(outcome.clips, 'clip')} done and kept; the same command goes on")


def _here(
    planned: Plan, work: list[Unit], execution: ExecutionConfig, stopped: Callable[[], bool], bar: Progress
) -> Iterator[tuple[Unit, WrittenUnit]]:
    """Run units in this process: children read ahead, some threads compute, others finish and write."""
    recipe, device = planned.recipe, execution.devices[0]
    with (
        open_engine(recipe, planned.graph, device, execution.children, planned.manifest.skeleton) as engine,
        WriterThreads(engine.writer, execution.counts.writer_threads) as writers,
    ):
        for _, computed in compute_units(engine, work, execution.children, stopped, bar.advance):
            yield from writers.add(computed)
        yield from writers.rest()


def _record(planned: Plan, done: WrittenUnit) -> list[Failure]:
    """Learn the digests that a unit read, and put its failures into the ledger."""
    videos = {video.id: video for video in planned.manifest.videos} if done.failures else {}
    for name, found in done.digests.items():
        planned.sources.learn(name, found)
    failures = [
        Failure(
            video=name, stage=stage, kind=kind, message=message, attempts=1,
            source=planned.sources.get(videos[name]).row(True), time=time.time(),
        )
        for name, stage, kind, message in done.failures
    ]  # fmt: skip
    if failures:
        planned.ledger.record(failures)
    if planned.retried and done.digests:
        planned.ledger.clear(list(done.digests))
    return failures


def _check_work(planned: Plan, work: list[Unit]) -> None:
    """Raises DatasetError for what would fail for every video: one clear line, not one for each."""
    if planned.warning and any(unit.reads_videos for unit in work):
        stages = dict.fromkeys(stage for unit in work if unit.reads_videos for stage in unit.stages)
        raise DatasetError(
            f"{planned.warning.partition(';')[0]}, and {', '.join(stages)} must read the videos; "
            "mount it, or recompute only heatmaps and tokens"
        )
    pose, decode, skeleton = planned.recipe.pose, planned.recipe.decode, planned.manifest.skeleton
    if not any("pose" in unit.stages for unit in work):
        return
    annotated = planned.graph["pose"].annotated and pose.source != "auto"
    if annotated and not any(video.annotation for video in planned.manifest.videos):
        name = "source" if pose.source == "annotations" else "detector"
        remedy = "mmpose" if name == "source" else "frame, or to a torchvision detector"
        raise DatasetError(
            f"pose.{name}: annotations, but no video of kind {planned.recipe.dataset.kind!r} has any; "
            f"set it to {remedy}"
        )
    mirrored = decode.flip and max(decode.views.train, decode.views.test) > 1 and pose.source != "mmpose"
    if mirrored and skeleton is not None and not skeleton.flip_pairs:  # left would stay left
        raise DatasetError(
            f"decode.flip: no left and right are known among the joints ({', '.join(skeleton.joints[:4])}, …), so that "
            "views cannot be mirrored; set it to false, or name the joints"
        )

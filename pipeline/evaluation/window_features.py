"""A film's windows through the stages: from what the decoding child sends to the arrays that a network takes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...errors import UsageError, VideoError
from ..datasets.base import Video
from ..extraction.decode_pool import DecodePool
from ..extraction.engine import Engine
from ..extraction.execution import ExecutionConfig
from ..extraction.frame_people import FrameJoints
from ..extraction.inference_threads import MOST, thread_shares
from ..extraction.sliding_windows import SharedFrame, SlidingWindow, SlidingWindowTask
from ..extraction.video_task import SharedTask, VideoResult, VideoResults, VideoTask
from ..planning.plan import Clip
from ..planning.source_changes import Digests
from ..planning.stage_graph import graph
from ..planning.work_units import Unit
from ..recipe.schema import Recipe
from .predictor import TrainedPredictor

FEWEST = 4  # windows that are computed together, at least, where so many are at hand


@dataclass(frozen=True)
class ComputedWindow:
    """A window, or one person in it: its span in seconds, and its arrays as a clip's.

    person: the number of the person's track, None for everybody together. boxes: (T, people, 4) px where a network
    looked for joints, NaN where there is nobody.
    """

    start: float
    end: float
    arrays: dict[str, Any]
    person: int | None = None
    boxes: np.ndarray | None = None


@dataclass
class WindowComputer:
    """Computes windows of films under one recipe; made by `open_window_computer`.

    stages: those that are computed. each_person: every person apart. Raises UsageError where the recipe has nobody who
    looks for people.
    """

    recipe: Recipe
    engine: Engine
    stages: tuple[str, ...]
    each_person: bool = False

    def __post_init__(self) -> None:
        pose = self.recipe.pose
        looks = "pose" in self.stages and pose.source != "annotations"
        if self.each_person and not (looks and pose.detector not in ("annotations", "frame")):
            raise UsageError(
                "--each-person: this recipe looks for nobody; add --set pose.source=mmpose and "
                "--set pose.detector=fasterrcnn_mobilenet_v3_large_320_fpn"
            )

    @property
    def batch(self) -> int:
        """How many windows are computed together."""
        return max(FEWEST, self.recipe.backbone.batch)

    def prepare(self, film: SlidingWindowTask) -> None:
        """Build the networks that windows of a source need, before it is opened: a live one does not wait."""
        detects = film.shared and self.recipe.pose.detector != "frame"
        looks = film.shared and "pose" in self.stages
        self.engine.models.prepare(estimator=looks, detector=detects, network="backbone" in self.stages)

    def film(self, video: Video, window: float, every: float) -> SlidingWindowTask:
        """The decoding child's task for a film."""
        clip = replace(video, span=None)
        unit = Unit(self.stages, (Clip(clip, 0),), {}, {clip.id: Digests()})
        ((task,),) = (shared.tasks for shared in self.engine.reader.tasks(unit))
        shared = task.window is not None or task.frames == "full"
        if task.boxes == "annotations":
            raise UsageError(
                "pose.detector: annotated boxes belong to whole videos; for windows set it to frame or a detector"
            )
        plain = replace(task, window=None, boxes=None, frames="full") if shared else task
        return SlidingWindowTask(plain, window, every, shared)

    def compute(
        self, windows: Iterable[SharedFrame | SlidingWindow], shared: bool, batch: int = 0
    ) -> Iterator[list[ComputedWindow]]:
        """Take windows as they come through the stages, `batch` at a time. shared: whether frames come beside them."""
        joints = FrameJoints(self.engine.models, tracked=self.each_person) if shared else None
        waiting: list[tuple[VideoTask, VideoResult, int | None, np.ndarray | None]] = []
        for message in windows:
            if isinstance(message, SharedFrame):
                assert joints is not None
                joints.add(message.index, message.picture)
                continue
            waiting += self._looked_at(message, joints)
            if len(waiting) >= (batch or self.batch):
                yield self._through(waiting)
                waiting = []
        if waiting:
            yield self._through(waiting)

    def _looked_at(
        self, message: SlidingWindow, joints: FrameJoints | None
    ) -> Iterator[tuple[VideoTask, VideoResult, int | None, np.ndarray | None]]:
        """A window, or each person in it, with its joints."""
        task, result = message.task, message.result
        if joints is None:
            yield task, result, None, None
            return
        arrays = result.chosen[0]
        apart = joints.tracked_boxes(arrays) if self.each_person else {None: joints.boxes(arrays)}
        full = {int(index): joints.frames[int(index)] for index in arrays["frame_index"]}
        for person, boxes in apart.items():
            name = task.video.id if person is None else f"{task.video.id}&person={person}"
            own = replace(task, video=replace(task.video, id=name))
            found = {0: joints.keypoints(arrays, boxes)}
            yield own, replace(result, keypoints=found, full=full, chosen={0: dict(arrays)}), person, boxes
        joints.forget(message.first)

    def _through(
        self, windows: list[tuple[VideoTask, VideoResult, int | None, np.ndarray | None]]
    ) -> list[ComputedWindow]:
        """Windows through the networks, heat maps and tokens, by the code that extracts clips."""
        clips = tuple(Clip(task.video, 0) for task, *_ in windows)
        unit = Unit(self.stages, clips, {}, {video.id: Digests() for video, _ in clips})
        outcomes = ((SharedTask((task,)), _finished(result)) for task, result, *_ in windows)
        computer = self.engine.computer
        computed = computer.finish(computer.compute(unit, outcomes, lambda: False, lambda count: None))
        if computed.failures:
            raise VideoError(computed.failures[0][3])
        found = {state.clip.video.id: state for state in computed.states}
        answers: list[ComputedWindow] = []
        for task, _result, person, boxes in windows:
            span, state = task.video.span, found.get(task.video.id)
            assert span is not None
            if state is not None:
                answers.append(ComputedWindow(span.start, span.end, state.arrays, person, boxes))
        computer.recycle(computed.features)
        return answers


def _finished(result: VideoResult) -> Future[VideoResults]:
    """A result as the future of a decoding process that is done."""
    future: Future[VideoResults] = Future()
    future.set_result([result])
    return future


@contextmanager
def open_window_computer(
    predictor: TrainedPredictor, execution: ExecutionConfig, *, each_person: bool = False, live: bool = False
) -> Generator[WindowComputer, None, None]:
    """A WindowComputer for what a run's network takes, with networks of its own, closed at the end of the block.

    live: windows come one at a time, and each has all cores.
    """
    recipe, device, threads = predictor.recipe, execution.devices[0], 1 if live else MOST
    pool = DecodePool(1, recipe.decode.timeout)  # which starts no process before the first task, and gets none
    try:
        shared = _shared_out(recipe, device, threads)
        engine = Engine(shared, graph(recipe), device, pool, predictor.skeleton, threads)
    except BaseException:
        pool.close()
        raise
    try:
        yield WindowComputer(recipe, engine, predictor.stages, each_person)
    finally:
        engine.close()


def _shared_out(recipe: Recipe, device: str, most: int) -> Recipe:
    """The recipe with a batch for each thread, where several run networks: windows come a batch at a time, of which a
    thread would take all and leave the others' cores idle. On a GPU threads wait for one card, and batches stay."""
    threads = 1 if device.startswith("cuda") else thread_shares(device, most)[0]
    batch = -(-max(FEWEST, recipe.backbone.batch) // threads)
    return recipe.model_copy(update={"backbone": recipe.backbone.model_copy(update={"batch": batch})})

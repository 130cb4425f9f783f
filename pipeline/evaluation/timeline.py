"""A time line: what a network says of window after window of a film."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UsageError, VideoError
from ...stages.readers.streaming import ArrayFilm
from ..datasets.base import Video
from ..extraction.child_stream import ChildStream
from ..extraction.execution import ExecutionConfig
from ..extraction.sliding_windows import StreamHeader, read_windows, windows_of
from ..utils.progress import Progress
from .pose_accuracy import head_of
from .predictor import STRANGER, TrainedPredictor, load_predictor
from .window_features import ComputedWindow, WindowComputer, open_window_computer

WHOLE = float("inf")  # the length of a window that is all of a film


@dataclass(frozen=True)
class Marks:
    """Where the people of a window are: frame_index (T,), keypoints (T, P, N, 3) px and score, boxes (T, P, 4) px.

    keypoints, boxes: None where nobody looked for them.
    """

    frame_index: np.ndarray
    keypoints: np.ndarray | None
    boxes: np.ndarray | None


@dataclass(frozen=True)
class WindowAnswer:
    """What a network says of a window of a film, or of one person in it.

    start, end: s. top: the likeliest classes, the likeliest first, each {"class", "probability"}. person: the number
    of the person's track, from 0, the same in all windows of a film; None for everybody together.
    """

    start: float
    end: float
    top: list[dict[str, Any]]
    person: int | None = None
    marks: Marks | None = field(default=None, compare=False)

    @property
    def label(self) -> str:
        """The likeliest class."""
        return self.top[0]["class"]

    @property
    def probability(self) -> float:
        """Its probability."""
        return self.top[0]["probability"]

    def to_document(self) -> dict[str, Any]:
        """As it stands in JSON."""
        person = {} if self.person is None else {"person": self.person}
        span = {"start": self.start, "end": self.end}
        return {**span, **person, "label": self.label, "probability": self.probability, "top5": self.top}


@dataclass(frozen=True)
class TimelineOptions:
    """How films are cut into windows: seconds of one, and from one's start to the next's; every person apart or not."""

    window: float
    every: float
    each_person: bool = False


class TimelinePredictor:
    """A run's network over films, window by window; made by `open_timeline`."""

    def __init__(self, predictor: TrainedPredictor, windows: WindowComputer, options: TimelineOptions) -> None:
        self.predictor, self.windows, self.options = predictor, windows, options

    def film(
        self, video: Video, *, stopped: Callable[[], bool] = lambda: False, quiet: bool = True
    ) -> Iterator[WindowAnswer]:
        """The answers of a film, as they are made. stopped: asked between batches of windows.

        Raises VideoError; what was complete before was given.
        """
        if reason := self.predictor.refused([video]).get(video.id):
            raise VideoError(reason)
        job = self.windows.film(video, self.options.window, self.options.every)
        timeout = self.predictor.recipe.decode.timeout
        with ChildStream(read_windows, job, video.id, timeout) as child:
            messages = iter(child)
            head = next(messages)
            assert isinstance(head, StreamHeader)
            with Progress("predict", head.windows, "windows", quiet=quiet) as bar:
                for batch in self.windows.compute(messages, job.shared):
                    yield from self.answers(batch)
                    bar.advance(len({window.start for window in batch}), f"to {batch[-1].end:.1f} s")
                    if stopped():
                        return

    def pictures(self, pictures: np.ndarray, rate: float) -> Iterator[WindowAnswer]:
        """The answers of pictures (F, h, w, 3) uint8 RGB that are in memory, `rate` of them a second; no child decodes.

        Raises VideoError.
        """
        video = Video("array", -1, "test", Path("array"))
        if self.predictor.refused([video]):
            raise VideoError(STRANGER)
        job = self.windows.film(video, self.options.window, self.options.every)
        messages = windows_of(job, ArrayFilm(pictures, rate))
        next(messages)
        for batch in self.windows.compute((one for one in messages if not isinstance(one, StreamHeader)), job.shared):
            yield from self.answers(batch)

    def answers(self, batch: list[ComputedWindow]) -> Iterator[WindowAnswer]:
        """What the network says of some windows, all at once."""
        scores, joints = self.predictor.judge([window.arrays for window in batch])
        for number, (window, found) in enumerate(zip(batch, scores, strict=True)):
            arrays = window.arrays
            keypoints = arrays.get("keypoints") if joints is None else joints[number]
            marks = Marks(arrays["frame_index"], keypoints, window.boxes)
            top = [one.to_document() for one in self.predictor.top(found)]
            yield WindowAnswer(window.start, window.end, top, window.person, marks)


@contextmanager
def open_timeline(
    run: Path,
    options: TimelineOptions,
    *,
    overrides: tuple[str, ...] = (),
    execution: ExecutionConfig = ExecutionConfig(),
    live: bool = False,
) -> Generator[TimelinePredictor, None, None]:
    """A run's network, ready for films, or for a live source, under the run's recipe with the overrides.

    Raises UsageError and RecipeError as `predict` does.
    """
    predictor = load_predictor(run, overrides, execution)
    if options.each_person and head_of(predictor.note):
        raise UsageError("--each-person: a pose head looks at whole frames, at everybody together; leave it out")
    with open_window_computer(predictor, execution, each_person=options.each_person, live=live) as windows:
        yield TimelinePredictor(predictor, windows, options)

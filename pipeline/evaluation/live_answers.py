"""What a network says of a live source, window after window, with its delay."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UsageError
from ..datasets.base import Video
from ..extraction.child_stream import ChildStream, is_end
from ..extraction.live_windows import LiveTask, LiveWindow, read_live
from ..extraction.sliding_windows import SharedFrame, SlidingWindow
from .predictor import STRANGER
from .timeline import TimelinePredictor, WindowAnswer

WAIT_S = 0.2  # how often it is looked whether somebody wants to stop
RECENT = 1000  # answers of which the delays are remembered


@dataclass(frozen=True)
class LiveAnswer:
    """An answer and how things stand. delay: s from when the window's last picture came to the answer. rate: pictures a
    second in the window. frames, dropped: pictures so far, and those of them that no window took. note: "", or what was
    wrong with the source's times, and how its pictures are timed instead."""

    answer: WindowAnswer
    delay: float
    rate: float
    frames: int
    dropped: int
    note: str

    def to_document(self) -> dict[str, Any]:
        """As it stands in JSON."""
        return {
            **self.answer.to_document(),
            "delay": round(self.delay, 4),
            "rate": round(self.rate, 3),
            "frames": self.frames,
            "dropped": self.dropped,
        }


@dataclass
class LiveSummary:
    """What a live source came to: answers, the newest window, which counts pictures, and the delays of late."""

    answers: int = 0
    newest: LiveWindow | None = None
    delays: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))
    began: float = field(default_factory=time.monotonic)

    @property
    def frames(self) -> int:
        """Pictures up to the newest window's, whether it had an answer or not."""
        return self.newest.frames if self.newest else 0

    @property
    def dropped(self) -> int:
        """Those of them that no window took."""
        return self.newest.dropped if self.newest else 0

    @property
    def note(self) -> str:
        """As `LiveAnswer.note`."""
        return self.newest.note if self.newest else ""

    def add(self, found: LiveAnswer) -> None:
        """Count an answer."""
        self.answers += 1
        self.delays.append(found.delay)

    def to_document(self) -> dict[str, Any]:
        """As it stands in JSON: seconds, and pictures a second over all of them."""
        seconds = time.monotonic() - self.began
        delays = np.array(self.delays) if self.delays else np.zeros(1)
        return {
            "answers": self.answers,
            "frames": self.frames,
            "dropped": self.dropped,
            "seconds": round(seconds, 2),
            "rate": round(self.frames / seconds, 3),
            "delay": {"median": round(float(np.median(delays)), 4), "most": round(float(delays.max()), 4)},
            **({"note": self.note} if self.note else {}),
        }


def live_answers(
    timeline: TimelinePredictor,
    source: str,
    summary: LiveSummary,
    stopped: Callable[[], bool] = lambda: False,
    pipe: int = 0,
) -> Iterator[LiveAnswer]:
    """The answers of a live source until it ends or somebody wants to stop; `summary` counts along.

    source: see `live_source`. pipe: the file descriptor behind "-". Raises UsageError for a recipe whose joints are
    annotated, VideoError for a source that cannot be read.
    """
    predictor = timeline.predictor
    video = Video(source, -1, "test", Path(source))
    if predictor.refused([video]):
        raise UsageError(f"{source}: {STRANGER}")
    film = timeline.windows.film(video, timeline.options.window, timeline.options.every)
    timeline.windows.prepare(film)
    timeout = predictor.recipe.decode.timeout
    job = LiveTask(film, source, DupFd(pipe) if source == "-" else None, timeout)
    with ChildStream(read_live, job, source, timeout) as child:
        windows = _asked_for(child, summary, stopped)
        for batch in timeline.windows.compute(windows, film.shared, batch=1):
            for answer in timeline.answers(batch):
                window = summary.newest
                assert window is not None
                delay, counts = time.monotonic() - window.best, (window.frames, window.dropped)
                found = LiveAnswer(answer, delay, window.rate, *counts, window.note)
                summary.add(found)
                yield found


def _asked_for(
    child: ChildStream, summary: LiveSummary, stopped: Callable[[], bool]
) -> Iterator[SharedFrame | SlidingWindow]:
    """Windows, each asked for when the one before is done with, and their frames; the summary is told."""
    while True:
        child.ask()
        while True:
            message = child.take(WAIT_S)
            if stopped() or is_end(message):
                return
            if message is None:
                continue
            if isinstance(message, LiveWindow):
                summary.newest = message
                yield message
                break
            yield message

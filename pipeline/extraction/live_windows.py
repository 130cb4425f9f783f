"""What a child process does with a live source: it takes every picture at once, and gives the newest window when asked.

So the delay is bounded by what the networks need for one window: windows that end while they compute are passed over,
and the pictures of those are counted as dropped.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import StarError, UnreadableVideo
from ...stages.readers.base import VideoReader
from ...stages.readers.live_source import LiveFrame, LiveReader, LiveSource, live_source
from ..datasets.base import Span
from ..planning.source_changes import Digests
from .child_stream import ParentPipe
from .sliding_windows import PLACES, SharedFrame, SlidingWindow, SlidingWindowTask
from .video_task import choose_frames, read_views

TICK_S = 0.05  # how often it is looked whether a window is complete
JUMP_S = 10.0  # by which a source's clock may jump before all begins anew


@dataclass(frozen=True)
class LiveTask:
    """A live source and how it is cut into windows.

    film: as of a film, with whatever video. source: its name on the command line. pipe: a duplicate of standard input
    (`multiprocessing.reduction.DupFd`), where that is the source. timeout: s for which nothing may come.
    """

    film: SlidingWindowTask
    source: str
    pipe: object
    timeout: float

    @property
    def name(self) -> str:
        """The source's, for messages."""
        return self.source


@dataclass(frozen=True)
class LiveWindow(SlidingWindow):
    """A window of a live source.

    best: when its last picture came, s of `time.monotonic`, or would have come without delay. frames, dropped: pictures
    so far, and those of them that no window took. rate: pictures a second in this window. note: see `SourceClock`.
    """

    best: float
    frames: int
    dropped: int
    rate: float
    note: str


def read_live(job: LiveTask, pipe: ParentPipe) -> None:
    """Send the newest window whenever the parent asks for one, until the source ends. Raises VideoError, also for a
    source that ends before its first window does."""
    number = job.pipe.detach() if job.pipe is not None else 0  # type: ignore[attr-defined]
    source = live_source(job.source, number)
    assert isinstance(source, LiveSource)
    reader = LiveReader(source, job.timeout)
    latest = _Latest(reader, job.film.window, job.film.every)
    threading.Thread(target=latest.receive, name="live source", daemon=True).start()
    sent: set[int] = set()  # the frames that the parent has
    seen = 0
    while True:
        while not pipe.asked(TICK_S):
            seen = _beat(pipe, latest, seen)
        while (taken := latest.take()) is None:
            if latest.ended.wait(TICK_S) and not latest.has_window():
                if latest.error:
                    raise latest.error
                if not latest.answered:
                    raise UnreadableVideo(latest.shortfall())
                return
            seen = _beat(pipe, latest, seen)
        _send(job, pipe, reader, taken, sent)


def _beat(pipe: ParentPipe, latest: _Latest, seen: int) -> int:
    """A sign of life where pictures have come since; returns how many there are."""
    if latest.count != seen:
        pipe.beat()
    return latest.count


@dataclass(frozen=True)
class _Taken:
    """The pictures of a window, and its span by the source's clock."""

    span: Span
    frames: Sequence[LiveFrame]
    count: int
    dropped: int


class _Latest:
    """The pictures of late, taken by a thread of its own; `take` gives those of the newest window.

    error: what the source ended with. ended: set when it has. answered: whether a window was taken.
    """

    def __init__(self, reader: LiveReader, window: float, every: float) -> None:
        self.reader, self.window, self.every = reader, window, every
        self.error: StarError | None = None
        self.ended = threading.Event()
        self.count, self.answered = 0, False
        self._frames: deque[LiveFrame] = deque()
        self._times: deque[float] = deque()  # of all pictures since the last window that was taken
        self._lock = threading.Lock()
        self._last, self._dropped, self._jumps = -1, 0, 0

    def receive(self) -> None:
        """Take pictures until there are no more."""
        try:
            for frame in self.reader.frames():
                self._add(frame)
        except StarError as error:
            self.error = error
        finally:
            self.ended.set()

    def _add(self, frame: LiveFrame) -> None:
        with self._lock:
            self.count += 1
            if self._frames and not 0 <= frame.time - self._frames[-1].time < JUMP_S:
                self._jumps += 1
                self._dropped += len(self._times)  # after a jump of the clock: no window spans it
                self._frames.clear()
                self._times.clear()
                self._last = max(int(np.ceil(frame.time / self.every)) - 1, -1)
            self._frames.append(frame)
            self._times.append(frame.time)
            oldest = frame.time - self.window - self.every
            while self._frames[0].time < oldest:
                self._frames.popleft()

    def _newest(self) -> int:
        """The number of the newest window that is complete; one that was taken where there is no newer."""
        if not self._frames:
            return self._last
        return int(np.floor((self._frames[-1].time - self.window) / self.every + 1e-6))

    def has_window(self) -> bool:
        """Whether a window is complete that was not taken."""
        with self._lock:
            return self._newest() > self._last

    def take(self) -> _Taken | None:
        """The newest window, once; None where there is none."""
        with self._lock:
            number = self._newest()
            if number <= self._last:
                return None
            start = number * self.every
            span = Span(round(start, PLACES), round(start + self.window, PLACES))
            frames = [frame for frame in self._frames if span.start <= frame.time < span.end]
            passed_over = sum(time < span.start for time in self._times)
            self._dropped += passed_over if number > self._last + 1 else 0
            while self._times and self._times[0] < span.end:
                self._times.popleft()
            self._last, self.answered = number, self.answered or bool(frames)
            return _Taken(span, frames, self.count, self._dropped + self.reader.dropped) if frames else None

    def shortfall(self) -> str:
        """Why a source that has ended had no window, in one line."""
        name, clock = self.reader.source.name, self.reader.clock
        if self._jumps:
            why = (
                f"its times jumped {self._jumps:,} times within {self.count:,} pictures; send it with times that go on"
            )
        else:
            length = self._frames[-1].time - self._frames[0].time if self._frames else 0.0
            why = f"{self.count:,} pictures in {length:.2f} s; give a shorter --window"
        return f"{name}: ended before its first window of {self.window:g} s did ({why})" + (
            f"; {clock.note}" if clock.note else ""
        )


class _Window(VideoReader):
    """The pictures of a window as a reader."""

    def __init__(self, reader: LiveReader, frames: Sequence[LiveFrame]) -> None:
        self._reader, self._frames = reader, frames
        self.frame_count = self.claimed = len(frames)
        self.times = np.array([frame.time for frame in frames])

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._reader.size(self._frames[0].frame)

    def frames(self, indices: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """The wanted pictures."""
        for index in self.checked_indices(indices):
            yield index, self._reader.rgb(self._frames[index].frame)

    def close(self) -> None:
        """Nothing is open."""


def _send(job: LiveTask, pipe: ParentPipe, reader: LiveReader, taken: _Taken, sent: set[int]) -> None:
    """A window, and before it those of its frames that the parent has not, where frames are shared."""
    window, film = _Window(reader, taken.frames), job.film
    video = replace(film.task.video, id=f"{job.name}{taken.span.fragment()}", span=taken.span)
    task = replace(film.task, video=video)
    chosen = choose_frames(task, 0, window)
    result = read_views(replace(task, chosen={0: chosen}), window, Digests(), None)
    numbers = np.array([frame.index for frame in taken.frames], np.int32)
    for index, picture in sorted(result.full.items()) if film.shared else ():
        if numbers[index] not in sent:
            sent.add(int(numbers[index]))
            pipe.send(SharedFrame(int(numbers[index]), picture))
    first, last = int(numbers[0]), taken.frames[-1]
    sent.difference_update([number for number in sent if number < first])
    result.full, result.chosen = {}, {0: {**chosen, "frame_index": numbers[chosen["frame_index"]]}}
    seconds = last.time - taken.frames[0].time
    rate = (len(taken.frames) - 1) / seconds if seconds else 0.0
    counts = taken.count, taken.dropped
    pipe.send(LiveWindow(task, result, first, last.best, *counts, rate, reader.clock.note))

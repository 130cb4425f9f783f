"""What a child process does with a long film: one decode, and from it window after window.

A window is a span of the film, `frames` frames of which are chosen as those of a clip of its own are
(`stages/decode.py`). Its frames, joints and cuts are made by the code that reads clips (`video_task.py`), which sees
the film's pictures through `_Kept`; of those only what an open window needs is in memory.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import UnreadableVideo
from ...stages.readers.base import VideoReader
from ..datasets.base import Span, require_media
from ..planning.source_changes import Digests
from .child_stream import ParentPipe
from .video_task import Arrays, VideoResult, VideoTask, annotation_of, choose_frames, read_views

if TYPE_CHECKING:
    from ...stages.readers.streaming import ArrayFilm, StreamedFolder, StreamingReader

    Film = StreamingReader | StreamedFolder | ArrayFilm

PLACES = 6  # decimals of a window's start and end, s


@dataclass(frozen=True)
class SlidingWindowTask:
    """A film and how it is cut into windows.

    task: what is read of each window; its video is the film. window, every: seconds that a window lasts, and from the
    start of one to that of the next; inf for one window. shared: whole frames are sent, each once, since networks look
    for joints in them; no cuts are made.
    """

    task: VideoTask
    window: float
    every: float
    shared: bool

    @property
    def name(self) -> str:
        """The film's, for messages."""
        return self.task.video.id


@dataclass(frozen=True)
class StreamHeader:
    """What is known of a film before it is decoded: width and height px, frames, seconds, how many windows."""

    size: tuple[int, int]
    frames: int
    seconds: float
    windows: int


@dataclass(frozen=True)
class SharedFrame:
    """One whole frame that windows take, sent once: its index, and (h, w, 3) uint8 RGB."""

    index: int
    picture: np.ndarray


@dataclass(frozen=True)
class SlidingWindow:
    """One window, as its task and what was read of it. first: the first frame that a later window may still take."""

    task: VideoTask
    result: VideoResult
    first: int


def seconds_of(times: np.ndarray) -> float:
    """How long a film with frames at `times` (F) s is: to the end of its last frame."""
    period = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 1 / 25
    return float(times[-1] + period)


def count_windows(seconds: float, window: float, every: float) -> int:
    """How many windows lie wholly in a film of so many seconds; one, where it is shorter than a window."""
    return 1 if seconds <= window else math.floor((seconds - window) / every + 1e-6) + 1


def window_spans(seconds: float, window: float, every: float) -> Iterator[Span]:
    """The windows of a film of so many seconds, in order."""
    for number in range(count_windows(seconds, window, every)):
        start = number * every if number else 0.0
        yield Span(round(start, PLACES), round(min(start + window, seconds), PLACES))


def read_windows(job: SlidingWindowTask, pipe: ParentPipe) -> None:
    """Decode a film once; send its StreamHeader, every SlidingWindow and, where frames are shared, every SharedFrame.

    Raises VideoError; what was complete before was sent.
    """
    from ...stages.readers.streaming import open_stream

    require_media(job.task.video)
    with open_stream(job.task.video.media, pipe.beat) as film:
        for message in windows_of(job, film):
            pipe.send(message)


def windows_of(job: SlidingWindowTask, film: Film) -> Iterator[StreamHeader | SharedFrame | SlidingWindow]:
    """What `read_windows` sends of an open film. Raises UnreadableVideo where it ends early."""
    seconds = seconds_of(film.times)
    yield StreamHeader(film.frame_size, film.frame_count, seconds, count_windows(seconds, job.window, job.every))
    windows = _OpenWindows(job, film, window_spans(seconds, job.window, job.every))
    for index, picture in film.stream(windows.wants):
        if job.shared:
            yield SharedFrame(index, picture)
        yield from windows.add(index, picture)
        if windows.done:
            return
    if not windows.done:
        raise UnreadableVideo(f"{job.name}: ends before its last window does")


@dataclass(frozen=True)
class PictureSource:
    """A film of which every picture is wanted. name: for messages."""

    name: str
    path: Path


def read_pictures(job: PictureSource, pipe: ParentPipe) -> None:
    """Send a film's StreamHeader, of one window, then every picture with its time: (s, (h, w, 3) uint8 RGB).

    Raises VideoError; the pictures before what is wrong were sent.
    """
    from ...stages.readers.streaming import open_stream

    with open_stream(job.path, pipe.beat) as film:
        pipe.send(StreamHeader(film.frame_size, film.frame_count, seconds_of(film.times), 1))
        for index, picture in film.stream(lambda _index: True):
            pipe.send((float(film.times[index]), picture))


class _Kept(VideoReader):
    """The part of a film that is in memory, as a reader."""

    def __init__(self, film: VideoReader) -> None:
        self.frame_count, self.claimed, self.times = film.frame_count, film.claimed, film.times
        self._size = film.frame_size
        self.pictures: dict[int, np.ndarray] = {}

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._size

    def frames(self, indices: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """The wanted pictures."""
        for index in self.checked_indices(indices):
            yield index, self.pictures[index]

    def close(self) -> None:
        """Drop the pictures."""
        self.pictures.clear()


class _OpenWindows:
    """The windows that have begun, and the frames that they need.

    spans: of all windows, in order; those without a frame are passed over.
    """

    def __init__(self, job: SlidingWindowTask, film: VideoReader, spans: Iterator[Span]) -> None:
        self.job, self.film = job, film
        self._annotation = annotation_of(job.task) if job.task.annotated else None
        self._kept = _Kept(film)
        self._needed: Counter[int] = Counter()
        self._open: deque[tuple[VideoTask, Arrays]] = deque()
        self._coming = spans
        self._next = next(self._coming, None)

    @property
    def done(self) -> bool:
        """Whether all windows are complete."""
        return self._next is None and not self._open

    def wants(self, index: int) -> bool:
        """Whether a window takes this frame; to be asked of every index in order."""
        while self._next is not None and self._next.start <= self.film.times[index]:
            span, video = self._next, self.job.task.video
            if span.frames(self.film.times)[1]:
                task = replace(self.job.task, video=replace(video, id=video.id + span.fragment(), span=span))
                chosen = choose_frames(task, 0, self.film)
                self._needed.update({int(index) for index in chosen["frame_index"]})
                self._open.append((task, chosen))
            self._next = next(self._coming, None)
        return index in self._needed

    def add(self, index: int, picture: np.ndarray) -> Iterator[SlidingWindow]:
        """Take a frame; yields the windows that are complete with it."""
        self._kept.pictures[index] = picture
        while self._open and int(self._open[0][1]["frame_index"].max()) <= index:
            task, chosen = self._open.popleft()
            result = read_views(replace(task, chosen={0: chosen}), self._kept, Digests(), self._annotation)
            result.full = {}
            for used in {int(number) for number in chosen["frame_index"]}:
                self._needed[used] -= 1
                if not self._needed[used]:
                    del self._needed[used]
            first = min(self._needed, default=index + 1)
            for old in [number for number in self._kept.pictures if number not in self._needed]:
                del self._kept.pictures[old]
            yield SlidingWindow(task, result, first)

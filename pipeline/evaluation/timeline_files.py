"""Time lines as files, row by row as they are made: CSV, JSON, or SRT (subtitles).

A file is whole after every row: what an interrupted command leaves can be read.
"""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from ...errors import StorageError, UsageError
from ..utils.text import readable_json
from .predictor import TOP
from .temporal_segments import shown_span
from .timeline import WindowAnswer

Self = TypeVar("Self", bound="TimelineFile")

CSV_COLUMNS = (
    "video", "start", "end", "person", "label", "probability",
    *(f"{name}{place}" for place in range(2, TOP + 1) for name in ("label", "probability")),
)  # fmt: skip


class TimelineFile(ABC):
    """A file that answers are appended to; use it in a `with`. Raises StorageError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb")
        except OSError as error:
            raise self._refused(error) from None

    @abstractmethod
    def begin(self, video: str) -> None:
        """The rows that come are about this video."""

    @abstractmethod
    def add(self, answer: WindowAnswer) -> None:
        """Append an answer."""

    @abstractmethod
    def finish(self) -> None:
        """Write what was held back."""

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not isinstance(error, StorageError):
                self.finish()
        finally:
            with suppress(OSError):  # every row was flushed, so there is nothing left to lose
                self._file.close()

    def _write(self, text: str, behind: str = "") -> None:
        """Append text, and `behind`, which the next text will overwrite."""
        try:
            self._file.write(text.encode("utf-8", "surrogateescape"))
            end = self._file.tell()
            self._file.write(behind.encode())
            self._file.truncate()
            self._file.flush()
            self._file.seek(end)
        except OSError as error:
            raise self._refused(error) from None

    def _refused(self, error: OSError) -> StorageError:
        return StorageError(f"{self.path}: cannot be written: {error.strerror}; free space, or choose another --out")


class CSVTimeline(TimelineFile):
    """One row an answer: video, start, end, person, and the likeliest classes with their probabilities."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._video = ""
        self._row(CSV_COLUMNS)

    def begin(self, video: str) -> None:
        """The rows that come are about this video."""
        self._video = video

    def add(self, answer: WindowAnswer) -> None:
        """Append an answer."""
        tops = [cell for top in answer.top for cell in (top["class"], f"{top['probability']:.6f}")]
        person = "" if answer.person is None else answer.person
        row = [self._video, f"{answer.start:.12g}", f"{answer.end:.12g}", person, *tops]
        self._row([*row, *[""] * (len(CSV_COLUMNS) - len(row))])

    def finish(self) -> None:
        """Nothing is held back."""

    def _row(self, cells: Sequence[Any]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        self._write(text.getvalue())


class JSONTimeline(TimelineFile):
    """What `--json` prints: [{"video", "windows": […]}, …]."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._videos = self._windows = 0
        self._write("[", "]\n")

    def begin(self, video: str) -> None:
        """The rows that come are about this video."""
        before = "]},\n" if self._videos else "\n"
        self._videos, self._windows = self._videos + 1, 0
        self._write(f'{before} {{"video": {readable_json(video)}, "windows": [', "]}\n]\n")

    def add(self, answer: WindowAnswer) -> None:
        """Append an answer."""
        before = ",\n  " if self._windows else "\n  "
        self._windows += 1
        self._write(before + readable_json(answer.to_document()), "]}\n]\n")

    def finish(self) -> None:
        """Nothing is held back."""


class SRTTimeline(TimelineFile):
    """Subtitles: each answer is shown about the middle of its window, answers that stay the same as one subtitle."""

    def __init__(self, path: Path, every: float) -> None:
        super().__init__(path)
        self._every, self._count = every, 0
        self._said: list[WindowAnswer] = []  # of one window
        self._shown: tuple[float, float, str] | None = None  # start, end, text

    def begin(self, video: str) -> None:
        """Subtitles are of one video. Raises UsageError for a second one."""
        if self._count or self._shown or self._said:
            raise UsageError(f"-o {self.path}: subtitles are of one video; name one, or write .csv or .json")

    def add(self, answer: WindowAnswer) -> None:
        """Append an answer; of several people in a window all come before the next window."""
        if self._said and self._said[0].start != answer.start:
            self._window()
        self._said.append(answer)

    def finish(self) -> None:
        """Write what was held back."""
        self._window()
        self._subtitle()

    def _window(self) -> None:
        if not self._said:
            return
        start, end = shown_span(self._said[0], self._every, first=not (self._count or self._shown))
        people = ("" if answer.person is None else f"person {answer.person}: " for answer in self._said)
        text = "\n".join(person + answer.label for person, answer in zip(people, self._said, strict=True))
        self._said = []
        if self._shown and self._shown[2] == text and start <= self._shown[1] + 1e-6:
            self._shown = (self._shown[0], end, text)
            return
        self._subtitle()
        self._shown = (start, end, text)

    def _subtitle(self) -> None:
        if self._shown:
            start, end, text = self._shown
            self._count += 1
            self._write(f"{self._count}\n{_srt_time(start)} --> {_srt_time(end)}\n{text}\n\n")
            self._shown = None


def open_timeline_file(path: Path, every: float) -> TimelineFile:
    """The file that the path's ending names. Raises UsageError for another ending, StorageError."""
    kind = path.suffix.lower()
    if kind == ".srt":
        return SRTTimeline(path, every)
    if kind == ".csv":
        return CSVTimeline(path)
    if kind == ".json":
        return JSONTimeline(path)
    raise UsageError(f"-o {path}: a time line is written as .csv, .json or .srt; end the name so")


def _srt_time(seconds: float) -> str:
    whole = round(max(seconds, 0.0) * 1000)
    return f"{whole // 3_600_000:02d}:{whole // 60_000 % 60:02d}:{whole // 1000 % 60:02d},{whole % 1000:03d}"

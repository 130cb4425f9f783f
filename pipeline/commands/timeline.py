"""`star predict --window`: a time line, answers as they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UsageError, VideoError
from ..evaluation.overlay import VideoOverlay, open_overlay
from ..evaluation.timeline import WHOLE, TimelineOptions, TimelinePredictor, WindowAnswer, open_timeline
from ..evaluation.timeline_files import TimelineFile, open_timeline_file
from ..extraction.execution import ExecutionConfig
from ..utils.signals import StopSignal
from ..utils.text import counted, printable

STOPPING = "interrupted: the windows in hand are finished, what was written stays"


def run_timeline(
    videos: Sequence[Path],
    run: Path,
    options: TimelineOptions,
    *,
    out: Path | None = None,
    overrides: tuple[str, ...] = (),
    device: str = "auto",
    quiet: bool = False,
    show: Callable[[str], None] | None = None,
    keep: bool = True,
    overlay: Path | None = None,
) -> Timelines:
    """`star predict --window`. out: a file that answers are appended to. show: is given each answer's line as it is
    made. keep: the document has all answers; without, memory does not grow with the film. overlay: the film to write
    with the answers drawn in. Exit code 3 where a video is unreadable, 130 where the command was interrupted.
    """
    if overlay and len(videos) > 1:
        raise UsageError("--overlay: is of one video; name one")
    films: list[VideoTimeline] = []
    with ExitStack() as stack:
        file = stack.enter_context(open_timeline_file(out, options.every)) if out else None
        stop = stack.enter_context(StopSignal(STOPPING))
        timeline = stack.enter_context(
            open_timeline(run, options, overrides=overrides, execution=ExecutionConfig(device))
        )
        for path in videos:
            if stop.asked:
                break
            films.append(
                VideoTimeline(path, file, show if out is None else None, keep, overlay, several=len(videos) > 1)
            )
            films[-1].read(timeline, stop, quiet)
    return Timelines(films, [path for path in (out, overlay) if path and path.exists()], is_interrupted=stop.asked)


@dataclass(frozen=True)
class Timelines:
    """What films came to. written: the files that hold it."""

    films: Sequence[VideoTimeline]
    written: Sequence[Path]
    is_interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """130 where the command was interrupted, 3 where a video could not be read."""
        return 130 if self.is_interrupted else 3 if any(film.error for film in self.films) else 0

    def to_document(self) -> list[dict[str, Any]]:
        """As JSON; without windows that were not kept."""
        return [film.document for film in self.films]

    def to_lines(self) -> list[str]:
        """What went wrong, and the files that were written."""
        count = counted(sum(film.count for film in self.films), "answer")
        failed = [f"{film.path}: {film.error.removeprefix(f'{film.path}: ')}" for film in self.films if film.error]
        empty = [
            f"{film.path}: no answer, for nobody was found" for film in self.films if not (film.count or film.error)
        ]
        return [*failed, *(empty if not self.is_interrupted else []), *(f"{path}: {count}" for path in self.written)]


def check_options(
    window: float | None, every: float | None, out: Path | None, overlay: Path | None, each_person: bool
) -> TimelineOptions | None:
    """The options of a time line; None where none is asked for. Raises UsageError for what belongs to one alone.

    Without `window`, an overlay or every person apart is of one window, the whole film.
    """
    if window is None:
        for name, value in (("--every", every), ("-o", out)):
            if value is not None:
                raise UsageError(f"{name}: is of a time line; add --window S, the seconds of a window")
        return TimelineOptions(WHOLE, WHOLE, each_person) if overlay or each_person else None
    return TimelineOptions(window, every or window, each_person)


class VideoTimeline:
    """One film's answers on their way out: to a file, to be shown, into the document, into a film."""

    def __init__(
        self,
        path: Path,
        file: TimelineFile | None,
        show: Callable[[str], None] | None,
        keep: bool,
        overlay: Path | None,
        *,
        several: bool,
    ) -> None:
        self.path, self.file, self.show, self.keep, self.several = path, file, show, keep, several
        self.overlay = overlay
        self.windows: list[dict[str, Any]] = []
        self.error, self.count, self.is_whole = "", 0, False

    def read(self, timeline: TimelinePredictor, stop: StopSignal, quiet: bool) -> None:
        """Take the film through the network; what is wrong with it is its `error`."""
        self.is_whole = timeline.options.window == WHOLE and not timeline.options.each_person
        if self.file:
            self.file.begin(str(self.path))
        video = timeline.predictor.video(self.path)
        answers = timeline.film(video, stopped=lambda: stop.asked, quiet=quiet or self.show is not None)
        try:
            if self.overlay is None:
                for answer in answers:
                    self._take(answer)
            else:
                self._draw(open_overlay(self.overlay, video, timeline.predictor, timeline.options.every), answers, stop)
        except VideoError as error:
            self.error = str(error)

    def _draw(self, drawing: VideoOverlay, answers: Iterator[WindowAnswer], stop: StopSignal) -> None:
        """Take the answers, and draw them into the film; of a film that breaks off, what was answered."""
        with drawing:
            try:
                for answer in answers:
                    self._take(answer)
                    drawing.add(answer)
            except VideoError as error:
                self.error = str(error)
            if stop.asked or self.error:
                drawing.cut_short()

    def _take(self, answer: WindowAnswer) -> None:
        self.count += 1
        if self.keep:
            self.windows.append(answer.to_document())
        if self.file:
            self.file.add(answer)
        if self.show:
            self.show(line(answer, f"{self.path}: " if self.several else ""))

    @property
    def document(self) -> dict[str, Any]:
        """As it stands in JSON."""
        error = {"error": self.error} if self.error else {}
        top = {"top": self.windows[0]["top5"]} if self.is_whole and self.windows else {}
        return {"video": str(self.path), **error, **top, "windows": self.windows}


def line(answer: WindowAnswer, before: str = "") -> str:
    """One answer for a person."""
    person = "" if answer.person is None else f"  person {answer.person}"
    said = ", ".join(f"{top['class']} {top['probability']:.1%}" for top in answer.top[:3])
    return printable(f"{before}{answer.start:8.2f} – {answer.end:8.2f} s{person}  {said}")

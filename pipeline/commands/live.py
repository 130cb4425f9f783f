"""`star predict camera:0`: answers of a live source, as they are made, until it ends or Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from ...errors import UsageError, VideoError
from ...stages.readers.live_source import live_source
from ..evaluation.live_answers import LiveSummary, live_answers
from ..evaluation.timeline import TimelineOptions, open_timeline
from ..evaluation.timeline_files import open_timeline_file
from ..extraction.execution import ExecutionConfig
from ..utils.signals import StopSignal
from ..utils.text import clock, readable_json
from .timeline import line

WINDOW, EVERY = 2.0, 1.0  # s, of a live source by default


def is_live(videos: Sequence[str]) -> bool:
    """Whether what is named is a live source. Raises UsageError for one beside others."""
    live = [name for name in videos if live_source(name) is not None and not (name != "-" and Path(name).exists())]
    if live and len(videos) > 1:
        raise UsageError(f"{live[0]}: a live source stands alone; name it by itself")
    return bool(live)


def live_options(window: float | None, every: float | None, overlay: Path | None, each_person: bool) -> TimelineOptions:
    """The options of a live source. Raises UsageError."""
    if overlay:
        raise UsageError("--overlay: is of a file; record the source first")
    length = window or WINDOW
    return TimelineOptions(length, every or (EVERY if window is None else length), each_person)


def run_live(
    source: str,
    run: Path,
    options: TimelineOptions,
    *,
    out: Path | None = None,
    overrides: tuple[str, ...] = (),
    device: str = "auto",
    as_json: bool = False,
    show: Callable[[str], None],
) -> int:
    """`star predict` of a live source: each answer is shown as it is made, as a line or (as_json) as a JSON document of
    one line. Returns the exit code: 0 where the source ended, 3 where it could not be read or ended before the first
    window did, 130 after Ctrl-C."""
    summary, error = LiveSummary(), ""
    with ExitStack() as stack:
        file = stack.enter_context(open_timeline_file(out, options.every)) if out else None
        stop = stack.enter_context(StopSignal("stopping"))
        timeline = stack.enter_context(
            open_timeline(run, options, overrides=overrides, execution=ExecutionConfig(device), live=True)
        )
        if file:
            file.begin(source)
        summary, told = LiveSummary(), False
        try:
            for found in live_answers(timeline, source, summary, lambda: stop.asked):
                if found.note and not told and not as_json:  # in JSON the summary has it
                    show(found.note)
                    told = True
                if file:
                    file.add(found.answer)
                rates = f"{found.delay:.2f} s behind, {found.rate:.1f} frames/s, {found.dropped:,} dropped"
                show(readable_json(found.to_document()) if as_json else f"{line(found.answer)}   {rates}")
        except VideoError as failure:
            error = str(failure)
    document = summary.to_document()
    if as_json:
        show(readable_json({"source": source, **({"error": error} if error else {}), "summary": document}))
    else:
        delay = document["delay"]
        show(
            (f"{error}\n" if error else "")
            + f"{source}: {summary.answers:,} answers in {clock(document['seconds'])}, {summary.frames:,} frames "
            f"({document['rate']:.1f}/s), {summary.dropped:,} dropped; delay {delay['median']:.2f} s in the median, "
            f"{delay['most']:.2f} s at most"
        )
    return 130 if stop.asked else 3 if error else 0

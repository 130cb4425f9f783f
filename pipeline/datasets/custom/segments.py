"""Labelled spans as annotation tools export them, before anybody knows which file each video is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from ....errors import DatasetError
from ..base import Span
from .csv_list import Entry
from .listing import Listing
from .media_names import MediaNames


class LabelledSpan(NamedTuple):
    """One labelled span, or a whole video.

    called: what the file calls the video, the surest name first. span: None for all of it. split: "train", "val",
    "test" or "". where: for messages. problem: why it cannot be used, "" if it can.
    """

    called: tuple[str, ...]
    label: str
    span: Span | None
    split: str
    where: str
    problem: str = ""


def span_of(start: Any, end: Any, unit: str = "s") -> tuple[Span | None, str]:
    """A span and "", or None and why these two are none. unit: as `Span.unit`."""
    try:
        span = Span(float(start), float(end), unit)
    except (TypeError, ValueError):
        return None, f"{start!r} to {end!r} are no two numbers"
    if not (math.isfinite(span.start) and math.isfinite(span.end) and span.start >= 0):
        return None, f"{start} to {end} is no part of a video"
    if span.end < span.start:
        return None, f"it ends at {end}, before it starts at {start}"
    if unit == "s" and span.end == span.start:
        return None, f"it is empty: it starts and ends at {start}"
    return span, ""


def listing_of(segments: Iterable[LabelledSpan], names: MediaNames) -> Listing:
    """The segments as entries of a list: equal spans of one video become one with several labels, and validation serves
    for testing where there is no test. What cannot be used is left out with the reason, one line a video or span.
    Raises DatasetError for what stands in two parts of the split."""
    entries: dict[str, Entry] = {}
    left_out: dict[str, str] = {}
    places: dict[tuple[str, ...], tuple[str, str]] = {}
    for segment in segments:
        if segment.called not in places:
            places[segment.called] = _place(segment.called, names)
        video, problem = places[segment.called]
        if problem or segment.problem:
            name = segment.called[0] if problem else f"{segment.called[0]}, {segment.where.rpartition(', ')[2]}"
            left_out.setdefault(name, problem or segment.problem)
            continue
        video += segment.span.fragment() if segment.span else ""
        before = entries.get(video)
        if before is not None and segment.split != before.split:
            raise DatasetError(
                f"{segment.where}: {video} is in {segment.split or 'no part of the split'}, and in "
                f"{before.split or 'none'} by {before.where}; leave one out"
            )
        if before is None:
            entries[video] = Entry(video, segment.label, segment.split, (), segment.where, span=segment.span)
        elif segment.label not in before.labels:
            entries[video] = before._replace(others=(*before.others, segment.label))
    found = list(entries.values())
    if not any(entry.split == "test" for entry in found):
        found = [entry._replace(split="test") if entry.split == "val" else entry for entry in found]
    return Listing(found, list(left_out.items()))


def _place(called: tuple[str, ...], names: MediaNames) -> tuple[str, str]:
    problem = "nothing says which video it is of"
    for number, name in enumerate(called):
        video, why = names.find(name)
        if video:
            return video, ""
        problem = why if not number else problem
    return "", problem

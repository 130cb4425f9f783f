"""ActivityNet's JSON of labelled segments, as THUMOS14, HACS, FineAction and others use it too:

    {"database": {"ID": {"subset": "training", "annotations": [{"segment": [1.5, 4.0], "label": "wave"}]}}}

Times are seconds. The videos are files called ID or v_ID, of any ending. Some have no `database` around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..folder_names import split_of_name
from .segments import LabelledSpan, span_of

NAME = "ActivityNet JSON"


def holds(document: Any) -> bool:
    """Whether a JSON document is of this format."""
    database = _database(document)
    return bool(database) and all(
        isinstance(video, dict) and isinstance(video.get("annotations"), (list, dict)) for video in database.values()
    )


def segments(document: Any, path: Path) -> Iterator[LabelledSpan]:
    """The labelled segments, in the file's order; videos without any come as a segment with a problem."""
    for name, video in _database(document).items():
        split = split_of_name(str(video.get("subset", "")))
        given: Any = video["annotations"]
        rows: list[Any] = [given] if isinstance(given, dict) else given
        called = (str(name),)
        if not rows:
            yield LabelledSpan(called, "", None, split, f"{path.name}, {name}, video", "no labelled segment")
        for number, row in enumerate(rows, 1):
            where = f"{path.name}, {name}, segment {number}"
            label = str(row.get("label", "")).strip() if isinstance(row, dict) else ""
            if not label:
                yield LabelledSpan(called, "", None, split, where, "has no label")
                continue
            times = row.get("segment")
            first, last = times if isinstance(times, list) and len(times) == 2 else (times, None)
            span, problem = (None, "") if times is None else span_of(first, last)
            yield LabelledSpan(called, label, span, split, where, problem)


def _database(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        return {}
    found: Any = document.get("database", document)
    return found if isinstance(found, dict) else {}

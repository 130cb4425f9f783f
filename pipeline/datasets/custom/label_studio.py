"""Label Studio's exports of videos, JSON and JSON-MIN:

    [{"data": {"video": "/data/upload/1/1a2b3c4d-a.mp4"},
      "annotations": [{"result": [{"type": "timelinelabels",
                                   "value": {"ranges": [{"start": 1, "end": 50}], "timelinelabels": ["wave"]}}]}]}]
    [{"video": "/data/upload/1/1a2b3c4d-a.mp4", "labels": [{"ranges": [...], "timelinelabels": ["wave"]}]}]

Frames count from 1, and both ends belong to a range; labels of sound have seconds; a choice is one of the whole video.
Where nothing else is in the whole export, the labels of tracked boxes count, from where a box is switched on to where
it is switched off ("sequence": [{"frame": 1, "enabled": true}, {"frame": 50, "enabled": false}]).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..folder_names import VIDEO_SUFFIXES, ending
from .segments import LabelledSpan, span_of

NAME = "Label Studio JSON"
MEDIA = ("video", "video_url", "videos", "url", "audio", "media", "file", "path")  # usual names of the file's address


def holds(document: Any) -> bool:
    """Whether a JSON document is of this format."""
    return isinstance(document, list) and any(_is_whole(task) or next(_small(task), None) for task in document)


def segments(document: Any, path: Path) -> Iterator[LabelledSpan]:
    """The labelled spans of every task. Of several people's annotations of a task the one marked as ground truth
    counts, or else the first that was not cancelled."""
    tasks = [
        (number, task, _regions(task) if _is_whole(task) else list(_small(task)))
        for number, task in enumerate(document, 1)
        if isinstance(task, dict)
    ]
    tracks = not any(_spans(region) for _, _, regions in tasks for region in regions)
    for number, task, regions in tasks:
        where = f"{path.name}, task {task.get('id', number)}"
        address = _address(task["data"] if _is_whole(task) else task)
        called = (address,) if address else ()
        found = [segment for region in regions for segment in _of_region(region, called, where, tracks=tracks)]
        if found and not called:
            found = [LabelledSpan((where,), "", None, "", f"{where}, video", "no address of a video in its data")]
        yield from found or [LabelledSpan(called or (where,), "", None, "", f"{where}, video", "no labelled span")]


def _is_whole(task: Any) -> bool:
    return isinstance(task, dict) and isinstance(task.get("data"), dict) and isinstance(task.get("annotations"), list)


def _small(task: Any) -> Iterator[dict[str, Any]]:
    """The regions of a task of JSON-MIN, of timelines alone."""
    for value in task.values() if isinstance(task, dict) else ():
        for region in value if isinstance(value, list) else ():
            if isinstance(region, dict) and isinstance(region.get("ranges"), list) and "timelinelabels" in region:
                yield {"type": "timelinelabels", "value": region}


def _regions(task: dict[str, Any]) -> list[Any]:
    """What one person annotated."""
    done = [one for one in task["annotations"] if isinstance(one, dict) and isinstance(one.get("result"), list)]
    done = [one for one in done if not one.get("was_cancelled")]
    done.sort(key=lambda one: not one.get("ground_truth"))
    return done[0]["result"] if done else []


def _of_region(region: Any, called: tuple[str, ...], where: str, *, tracks: bool) -> Iterator[LabelledSpan]:
    value = region.get("value") if isinstance(region, dict) else None
    if not isinstance(value, dict):
        return
    labels = value.get("labels" if region.get("type") == "videorectangle" else region.get("type", ""))
    labels = [str(label).strip() for label in labels if str(label).strip()] if isinstance(labels, list) else []
    for span, problem in _of_track(value) if tracks else _spans(region):
        at = f"span {span.fragment()[3:]}" if span else "video"
        yield from (LabelledSpan(called, label, span, "", f"{where}, {at}", problem) for label in labels)


def _spans(region: Any) -> list[tuple[Any, str]]:
    """The spans of a region, None for the whole video; none of boxes and the like, which say where somebody is."""
    value = region.get("value") if isinstance(region, dict) else None
    if not isinstance(value, dict):
        return []
    if isinstance(value.get("ranges"), list):
        return [_of_range(one) for one in value["ranges"]]
    if region.get("type") == "labels" and "start" in value:
        return [span_of(value["start"], value.get("end"))]
    return [(None, "")] if region.get("type") == "choices" else []


def _of_track(value: dict[str, Any]) -> list[tuple[Any, str]]:
    """The spans in which a tracked box is switched on."""
    given = value.get("sequence")
    keys = (
        [one for one in given if isinstance(one, dict) and isinstance(one.get("frame"), int)]
        if isinstance(given, list)
        else []
    )
    keys.sort(key=lambda one: one["frame"])
    found, first = [], None
    for key in keys:
        first = key["frame"] if first is None else first
        if not key.get("enabled", True):
            found.append(_of_range({"start": first, "end": key["frame"]}))
            first = None
    if first is not None:
        end = value.get("framesCount", keys[-1]["frame"])
        found.append(_of_range({"start": first, "end": end}))
    return found


def _of_range(one: Any) -> tuple[Any, str]:
    try:
        return span_of(one["start"] - 1, one["end"] - 1, "frame")
    except (TypeError, KeyError):
        return None, f"{one!r} is no range of frames"


def _address(data: dict[str, Any]) -> str:
    """Where a task's video lies: under a usual name, or the only text that ends as a video does."""
    texts = {name: value for name, value in data.items() if isinstance(value, str) and value}
    for name in MEDIA:
        if name in texts:
            return texts[name]
    return next((text for text in texts.values() if ending(text) in VIDEO_SUFFIXES), "")

"""CVAT's exports, of a task or a whole project:

    CVAT for video 1.1    <track label="wave"><box frame="12" outside="0"/> ... <box frame="80" outside="1"/></track>
    CVAT for images 1.1   <image id="12" name="frame_000012"><tag label="wave"/></image>

A track is a span from where it appears to where it leaves; frames in a row with one tag are a span. Where boxes or tags
have an attribute `action`, that is the label. Frames count from 0.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.parsers import expat

from ....errors import DatasetError
from ....untrusted_files import UntrustedFile, open_file
from ..folder_names import split_of_name
from .segments import LabelledSpan, span_of

NAME = "CVAT XML"
KEPT = ("id", "name", "source", "subset", "frame_filter")  # of what is said of a task
FRAME = re.compile(r"(?:^|/)frame_(\d+)(?:\.\w+)?$")  # how CVAT calls the pictures of a video
Runs = Iterator[tuple[str, int, int]]  # label, first frame, last frame


class _Found(Exception):
    """The first element was seen."""


def holds(path: Path) -> bool:
    """Whether a file is of this format, by its first element."""
    names: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        names.append(name)
        raise _Found

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    try:
        with open_file(path) as file:
            parser.Parse(file.read(1 << 16), False)
    except (_Found, OSError, UntrustedFile, expat.ExpatError):
        pass
    return names == ["annotations"]


def segments(path: Path) -> Iterator[LabelledSpan]:
    """The labelled spans. Raises DatasetError for a file that is no XML, or declares a type of document."""
    content = _Content()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = content.start, content.end
    parser.CharacterDataHandler = content.add_text
    parser.StartDoctypeDeclHandler = _refuse_entities
    try:
        with open_file(path) as file:
            parser.ParseFile(file)
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}; restore it, or correct dataset.list") from None
    except expat.ExpatError as error:
        raise DatasetError(f"{path}: not XML ({error}); export it again") from None
    except (ValueError, KeyError) as error:
        raise DatasetError(f"{path}: no export of CVAT's ({error}); export it again") from None
    return content.segments(path)


def _refuse_entities(*_: Any) -> None:
    raise ValueError("it declares a document type, which CVAT never does")


class _Content:
    """What the elements of a file say.

    tasks: what is said of each, by id. tracks: (task, label, [(frame, whether it is there, label)]). tags, shapes:
    (task, picture, label). pictures: task -> the names of all its pictures with their numbers.
    """

    def __init__(self) -> None:
        self.open: list[str] = []
        self.text = ""
        self.source = ""
        self.tasks: list[dict[str, str]] = []
        self.tracks: list[tuple[str, list[tuple[int, bool, str]]]] = []
        self.tags: list[tuple[str, int, str, str]] = []
        self.shapes: list[tuple[str, int, str, str]] = []
        self.pictures: dict[str, list[str]] = defaultdict(list)
        self.track: dict[str, str] = {}
        self.image: dict[str, str] = {}
        self.attribute = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        above = self.open[-1] if self.open else ""
        self.open.append(name)
        self.text = ""
        if name == "task":
            self.tasks.append({})
        elif name == "track":
            self.track = attributes
            self.tracks.append((attributes.get("task_id", ""), []))
        elif above == "track" and "frame" in attributes:
            there = attributes.get("outside", "0") != "1"
            self.tracks[-1][1].append((int(attributes["frame"]), there, self.track["label"]))
        elif name == "image":
            self.image = attributes
            self.pictures[attributes.get("task_id", "")].append(attributes.get("name", ""))
        elif above == "image" and "label" in attributes:
            number, picture = int(self.image.get("id", 0)), self.image.get("name", "")
            kind = self.tags if name == "tag" else self.shapes
            kind.append((self.image.get("task_id", ""), number, picture, attributes["label"]))
        elif name == "tag" and "frame" in attributes:
            self.tags.append((attributes.get("task_id", ""), int(attributes["frame"]), "", attributes["label"]))
        elif name == "attribute":
            self.attribute = attributes.get("name", "").lower()

    def add_text(self, text: str) -> None:
        """Text within an element."""
        self.text += text

    def end(self, name: str) -> None:
        """An element ends."""
        self.open.pop()
        above = self.open[-1] if self.open else ""
        text = self.text.strip()
        if above == "task" and name in KEPT:
            self.tasks[-1][name] = text
        elif above == "meta" and name == "source":
            self.source = text
        elif name == "attribute" and self.attribute == "action" and text:
            self._rename(above, text)
        self.text = ""

    def _rename(self, above: str, label: str) -> None:
        """The last box or tag is of this action."""
        if "track" in self.open and self.tracks[-1][1]:
            frame, there, _ = self.tracks[-1][1][-1]
            self.tracks[-1][1][-1] = frame, there, label
        elif kind := {"tag": self.tags}.get(above, self.shapes):
            kind[-1] = (*kind[-1][:3], label)

    def segments(self, path: Path) -> Iterator[LabelledSpan]:
        """The spans of all tracks and tags, by task."""
        for task, shapes in self.tracks:
            yield from self._spans(path, task, "", _of_track(shapes))
        groups: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        places = {task: _places(names) for task, names in self.pictures.items()}
        for task, number, picture, label in self.tags or self.shapes:
            folder, frame = places.get(task, {}).get(picture, ("", number))
            groups[task, folder, label].append(number if frame is None else frame)
        for (task, folder, label), frames in groups.items():
            yield from self._spans(path, task, folder, _in_a_row(label, frames, self._step(task)))

    def _spans(self, path: Path, task: str, folder: str, runs: Runs) -> Iterator[LabelledSpan]:
        about = self._about(task)
        known = (folder, self.source, about.get("source", ""), about.get("name", ""), path.stem)
        called = tuple(dict.fromkeys(name for name in known if name))
        split = split_of_name(about.get("subset", ""))
        for label, first, last in runs:
            span, problem = span_of(first, last, "frame")
            yield LabelledSpan(called, label.strip(), span, split, f"{path.name}, frames {first} to {last}", problem)

    def _about(self, task: str) -> dict[str, str]:
        return next((one for one in self.tasks if one.get("id") == task), self.tasks[0] if self.tasks else {})

    def _step(self, task: str) -> int:
        """Frames from one picture of a task to the next."""
        found = re.search(r"step\s*=\s*(\d+)", self._about(task).get("frame_filter", ""))
        return max(1, int(found[1])) if found else 1


def _of_track(shapes: list[tuple[int, bool, str]]) -> Runs:
    """Where a track is there, and does one thing: up to the frame before it leaves, or does another."""
    first, label, last = -1, "", -1
    for frame, there, now in sorted(shapes):
        if first >= 0 and (not there or now != label):
            yield label, first, frame - 1
            first = -1
        if there and first < 0:
            first, label = frame, now
        last = frame
    if first >= 0:
        yield label, first, last


def _in_a_row(label: str, frames: list[int], step: int) -> Runs:
    """Frames no further apart than a step, together."""
    first = last = -1
    for frame in sorted(set(frames)):
        if first >= 0 and frame - last > step:
            yield label, first, last
            first = -1
        first, last = frame if first < 0 else first, frame
    if first >= 0:
        yield label, first, last


def _places(names: list[str]) -> dict[str, tuple[str, int | None]]:
    """A picture's name -> the folder of its video and its number there; ("", number) for one of a video file, None
    where only its id tells the number."""
    folders: dict[str, list[str]] = defaultdict(list)
    found: dict[str, tuple[str, int | None]] = {}
    for name in names:
        if match := FRAME.search(name):
            found[name] = name.rpartition("/")[0], int(match[1])
        elif "/" in name:
            folders[name.rpartition("/")[0]].append(name)
        else:
            found[name] = "", None
    for folder, inside in folders.items():
        found |= {name: (folder, number) for number, name in enumerate(sorted(inside))}
    return found

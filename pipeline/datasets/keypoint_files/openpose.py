"""OpenPose: a folder with one JSON per frame (NAME_000000000012_keypoints.json), BODY_25 or COCO-18.

    {"version": 1.3, "people": [{"person_id": [-1], "pose_keypoints_2d": [x, y, confidence, ...]}, ...]}

A joint that was not found is 0, 0, 0. People are not followed from frame to frame. Versions before 1.2 called the list
pose_keypoints. AlphaPose writes the same (`--format open`), in sep-json/: one JSON per frame, called by its number.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import AnnotationError
from ....stages.skeletons import COCO, OPENPOSE_18, OPENPOSE_25, Skeleton
from ..base import Annotation
from .json_file import load_json, numbers, scored
from .linking import linked

NAME = "OpenPose JSON"
ENDING = "_keypoints.json"
KEYS = ("pose_keypoints_2d", "pose_keypoints")
NUMBERED = re.compile(r"(?:[^/]+/){2,}[^/]*\d\.json")  # what may be a frame of the video whose folder it is in
LAYOUTS = {len(layout.joints): layout for layout in (OPENPOSE_25, OPENPOSE_18, COCO)}


def holds(document: Any) -> bool:
    """Whether a JSON document is one frame of this format."""
    people = document.get("people") if isinstance(document, dict) else None
    return isinstance(people, list) and all(isinstance(one, dict) and any(key in one for key in KEYS) for one in people)


def folder_of_several(names: Sequence[str]) -> tuple[str, ...]:
    """Of paths below a root, the first folder with frames of several videos, and what these are called; () for none."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for name in names:
        if name.endswith(ENDING):
            folder, _, base = name.rpartition("/")
            found[folder][re.sub(r"[_-]?\d+_keypoints\.json$", "", base)] = None
    return next(((folder, *videos) for folder, videos in found.items() if len(videos) > 1), ())


def numbered_frames(root: Path, names: Sequence[str]) -> frozenset[str]:
    """Of paths below a root, those called by a number alone (CLASS/VIDEO/000012.json) where such files are frames of
    this format, as the first of them tells."""
    numbered = [name for name in names if not name.endswith(ENDING) and NUMBERED.fullmatch(name)]
    try:
        return frozenset(numbered if numbered and holds(load_json(root / numbered[0])) else ())
    except AnnotationError:
        return frozenset()


def read_document(document: Any, path: Path) -> Annotation:
    """A video of one frame. Raises AnnotationError."""
    people, layout = _people(document, path)
    layout = layout or OPENPOSE_25
    return Annotation(linked([people], len(layout.joints)), skeleton=layout)


def read_folder(folder: Path) -> Annotation:
    """The joints of every frame, frames in the order of their numbers; numbers that are left out are empty frames.

    Returns keypoints (F, P, 18 or 25, 3). Raises AnnotationError with the file that is wrong.
    """
    files: dict[int, Path] = {}
    inside = sorted(folder.iterdir())
    frames_in = [path for path in inside if path.name.endswith(ENDING)]
    for path in frames_in or [path for path in inside if re.search(r"\d\.json$", path.name)]:
        if path.name[0] != ".":
            other = files.setdefault(int((re.findall(r"\d+", path.stem) or ["0"])[-1]), path)
            if other != path:
                raise AnnotationError(
                    f"{path}: the same frame as {other.name}; put each video into a folder of its own"
                )
    if not files:
        raise AnnotationError(f"{folder}: no file ends in {ENDING}, and none is called by a number")
    first, last = min(files), max(files)
    if last - first >= 100 * len(files) + 1000:
        raise AnnotationError(f"{folder}: {len(files)} files number frames from {first} to {last}; renumber them")
    layout: Skeleton | None = None
    frames = []
    for number in range(first, last + 1):
        people = np.zeros((0, 0, 3), np.float32)
        if number in files:
            people, own = _people(load_json(files[number]), files[number])
            if own and layout and own != layout:
                raise AnnotationError(f"{files[number]}: joints of {own.name}, elsewhere of {layout.name}")
            layout = layout or own
        frames.append(people)
    layout = layout or OPENPOSE_25
    return Annotation(linked(frames, len(layout.joints)), skeleton=layout)


def _people(document: Any, path: Path) -> tuple[np.ndarray, Skeleton | None]:
    """The people of a frame (k, N, 3) and their layout, None where there is nobody."""
    if not holds(document):
        raise AnnotationError(f"{path}: no frame of OpenPose's (people, pose_keypoints_2d); write it anew")
    rows = [row for person in document["people"] if (row := next(person[key] for key in KEYS if key in person))]
    if not rows:
        return np.zeros((0, 0, 3), np.float32), None
    flat = numbers(rows, path, "pose_keypoints_2d", -1, -1)
    layout = LAYOUTS.get(flat.shape[1] // 3) if flat.shape[1] % 3 == 0 else None
    if layout is None:
        raise AnnotationError(f"{path}: pose_keypoints_2d has {flat.shape[1]} numbers; BODY_25 has 75, COCO-18 has 54")
    triples = flat.reshape(len(rows), -1, 3)
    return scored(triples[..., :2], triples[..., 2]), layout

"""MediaPipe / BlazePose: 33 landmarks per frame in 0 .. 1 of the picture, as people write them down.

    [{"landmarks": [{"x", "y", "z", "visibility"}, ...33]}, ...]   or a list of such lists, or of [x, y, z, visibility],
                                                                   or, with `num_poses`, of several people's lists;
    {"width", "height", "fps", "frames": [...]}                    with the picture's size, on request

x and y count from the picture's edges, so that 0 and 1 are its sides; without its size it is taken to be 1000 x 1000.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ....errors import AnnotationError
from ....stages.skeletons import BLAZEPOSE_33
from ..base import Annotation
from .json_file import numbers, scored
from .linking import linked

NAME = "MediaPipe JSON"
SIZE = 1000, 1000  # px, where the file does not say
NAMES = ("landmarks", "pose_landmarks", "poseLandmarks")
JOINTS = len(BLAZEPOSE_33.joints)


def holds(document: Any) -> bool:
    """Whether a JSON document is of this format: the first frame with anybody in it has 33 landmarks."""
    first = next((people[0] for frame in _frames(document) if (people := _people(frame))), None)
    return first is not None and len(first) == JOINTS and _numbers_of(first[0]) is not None


def read_document(document: Any, path: Path) -> Annotation:
    """The 33 joints of each person in pixels (F, P, 33, 3); the score is the visibility, 1 without. Raises
    AnnotationError."""
    size = SIZE
    rate = None
    if isinstance(document, dict):
        given = document.get("width"), document.get("height")
        if all(isinstance(side, int) and side > 0 for side in given):
            size = int(document["width"]), int(document["height"])
        rate = document.get("fps")
    rows: list[list[list[float] | None]] = []
    counts = []
    for number, frame in enumerate(_frames(document)):
        people = _people(frame)
        for landmarks in people:
            rows.append([_numbers_of(landmark) for landmark in landmarks])
            if len(landmarks) != JOINTS or None in rows[-1]:
                raise AnnotationError(
                    f"{path}: frame {number} has {len(landmarks)} landmarks where {JOINTS} were expected"
                )
        counts.append(len(people))
    values = numbers(rows, path, "landmarks", -1, JOINTS, 3)
    found = scored(values[..., :2] * np.array(size, np.float32) - 0.5, values[..., 2])
    if max(counts) == 1:  # nobody to be told from anybody
        joints = np.zeros((len(counts), 1, JOINTS, 3), np.float32)
        joints[np.flatnonzero(counts), 0] = found
    else:
        joints = linked(np.split(found, np.cumsum(counts)[:-1]), JOINTS)
    return Annotation(
        joints,
        skeleton=BLAZEPOSE_33,
        size=size,
        rate=float(rate) if isinstance(rate, (int, float)) and rate > 0 else None,
    )


def _frames(document: Any) -> list[Any]:
    found = document.get("frames") if isinstance(document, dict) else document
    return found if isinstance(found, list) else []


def _people(frame: Any) -> list[list[Any]]:
    """The landmarks of each person in a frame."""
    if isinstance(frame, dict):
        frame = next((frame[name] for name in NAMES if name in frame), None)
    if not isinstance(frame, list) or not frame:
        return []
    several = isinstance(frame[0], list) and bool(frame[0]) and isinstance(frame[0][0], (dict, list))
    return [one for one in frame if isinstance(one, list) and one] if several else [frame]


def _numbers_of(landmark: Any) -> list[float] | None:
    """x, y and visibility of a landmark, however it is written."""
    if isinstance(landmark, dict) and {"x", "y"} <= landmark.keys():
        return [landmark["x"], landmark["y"], landmark.get("visibility", 1.0)]
    if isinstance(landmark, list) and len(landmark) in (2, 3, 4):
        return [landmark[0], landmark[1], landmark[3] if len(landmark) == 4 else 1.0]
    return None

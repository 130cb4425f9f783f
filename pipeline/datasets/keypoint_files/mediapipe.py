"""MediaPipe / BlazePose: 33 landmarks per frame in 0 .. 1 of the picture, as people write them down.

    [{"landmarks": [{"x", "y", "z", "visibility"}, ...33]}, ...]   or a list of such lists, or of [x, y, z, visibility];
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

NAME = "MediaPipe JSON"
SIZE = 1000, 1000  # px, where the file does not say
NAMES = ("landmarks", "pose_landmarks", "poseLandmarks")
JOINTS = len(BLAZEPOSE_33.joints)


def holds(document: Any) -> bool:
    """Whether a JSON document is of this format: the first frame with anybody in it has 33 landmarks."""
    first = next((landmarks for frame in _frames(document) if (landmarks := _landmarks(frame))), None)
    return first is not None and len(first) == JOINTS and _numbers_of(first[0]) is not None


def read_document(document: Any, path: Path) -> Annotation:
    """The 33 joints of one person in pixels (F, 1, 33, 3); the score is the visibility, 1 without. Raises
    AnnotationError."""
    size = SIZE
    rate = None
    if isinstance(document, dict):
        given = document.get("width"), document.get("height")
        if all(isinstance(side, int) and side > 0 for side in given):
            size = int(document["width"]), int(document["height"])
        rate = document.get("fps")
    rows = []
    for number, frame in enumerate(_frames(document)):
        landmarks = _landmarks(frame) or []
        found = [_numbers_of(landmark) for landmark in landmarks]
        if landmarks and (len(found) != JOINTS or None in found):
            raise AnnotationError(f"{path}: frame {number} has {len(found)} landmarks where {JOINTS} were expected")
        rows.append(found or [[0.0, 0.0, 0.0]] * JOINTS)
    values = numbers(rows, path, "landmarks", -1, JOINTS, 3)
    places = values[..., :2] * np.array(size, np.float32) - 0.5
    return Annotation(
        scored(places, values[..., 2])[:, None],
        skeleton=BLAZEPOSE_33,
        size=size,
        rate=float(rate) if isinstance(rate, (int, float)) and rate > 0 else None,
    )


def _frames(document: Any) -> list[Any]:
    found = document.get("frames") if isinstance(document, dict) else document
    return found if isinstance(found, list) else []


def _landmarks(frame: Any) -> list[Any] | None:
    if isinstance(frame, dict):
        frame = next((frame[name] for name in NAMES if name in frame), None)
    if isinstance(frame, list) and len(frame) == 1 and isinstance(frame[0], list) and len(frame[0]) == JOINTS:
        frame = frame[0]  # a list of people, of whom there is one
    return frame if isinstance(frame, list) else None


def _numbers_of(landmark: Any) -> list[float] | None:
    """x, y and visibility of a landmark, however it is written."""
    if isinstance(landmark, dict) and {"x", "y"} <= landmark.keys():
        return [landmark["x"], landmark["y"], landmark.get("visibility", 1.0)]
    if isinstance(landmark, list) and len(landmark) in (2, 3, 4):
        return [landmark[0], landmark[1], landmark[3] if len(landmark) == 4 else 1.0]
    return None

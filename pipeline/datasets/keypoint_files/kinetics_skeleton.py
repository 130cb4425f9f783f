"""Kinetics-skeleton of ST-GCN: one JSON per clip, OpenPose's 18 joints in 0 .. 1 of a picture of 340 x 256.

    {"data": [{"frame_index": 1, "skeleton": [{"pose": [x, y, ...], "score": [...]}]}], "label": "...", ...}

The labels of all clips of a folder, kinetics_train/, stand in a file beside it, kinetics_train_label.json:

    {"ID": {"has_skeleton": true, "label": "...", "label_index": 1}}
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ....errors import AnnotationError
from ....stages.skeletons import OPENPOSE_18
from ..base import Annotation
from .json_file import numbers, scored
from .linking import linked

NAME = "Kinetics-skeleton JSON"
LABELS = "_label.json"  # ending of the file with the labels of a folder
SIZE = 340, 256
RATE = 30.0
JOINTS = len(OPENPOSE_18.joints)
LONGEST = 100_000  # frames: a clip of Kinetics has 300


def holds(document: Any) -> bool:
    """Whether a JSON document is of this format."""
    frames = document.get("data") if isinstance(document, dict) else None
    return isinstance(frames, list) and all(isinstance(frame, dict) and "skeleton" in frame for frame in frames)


def labels_of(document: Any) -> dict[str, tuple[str, int, bool]]:
    """Name of a clip -> its label, the label's number, and whether anybody was found in it; empty for any other
    document."""
    rows = document.items() if isinstance(document, dict) else ()
    return {
        name: (row["label"], row["label_index"], row.get("has_skeleton", True) is not False)
        for name, row in rows
        if isinstance(row, dict) and isinstance(row.get("label"), str) and isinstance(row.get("label_index"), int)
    }


def read_document(document: Any, path: Path) -> Annotation:
    """The people of every frame in pixels; frames that the file leaves out are empty. Raises AnnotationError."""
    frames: dict[int, np.ndarray] = {}
    for place, frame in enumerate(document["data"], 1):
        number = frame.get("frame_index", place)
        if not isinstance(number, int) or not 0 <= number < LONGEST or not isinstance(frame["skeleton"], list):
            raise AnnotationError(f"{path}: frame {number!r} is no frame of Kinetics-skeleton's; write it anew")
        people = [person for person in frame["skeleton"] if isinstance(person, dict) and person.get("pose")]
        if people:
            what = f"frame {number}"
            places = numbers([person["pose"] for person in people], path, what, len(people), 2 * JOINTS)
            scores = numbers([person.get("score") for person in people], path, what, len(people), JOINTS)
            frames[number] = scored(places.reshape(-1, JOINTS, 2) * np.array(SIZE, np.float32) - 0.5, scores)
        else:
            frames[number] = np.zeros((0, JOINTS, 3), np.float32)
    if not frames:
        raise AnnotationError(f"{path}: no frames in it; leave it out")
    empty = np.zeros((0, JOINTS, 3), np.float32)
    every = [frames.get(number, empty) for number in range(min(frames), max(frames) + 1)]
    return Annotation(linked(every, JOINTS), skeleton=OPENPOSE_18, size=SIZE, rate=RATE)

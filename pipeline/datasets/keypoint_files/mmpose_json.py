"""mmpose's Inferencer (`--pred-out-dir`): one JSON per video.

    {"meta_info": {"keypoint_id2name": {...}},
     "instance_info": [{"frame_id": 1, "instances": [{"keypoints": [[x, y], ...], "keypoint_scores": [...], ...}]}]}

An older one is the bare list of frames; of a picture it is the bare list of instances.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ....errors import AnnotationError
from ....stages.skeletons import COCO, Skeleton
from ..base import Annotation
from .coco_json import LAYOUTS, of_names
from .json_file import numbers, scored
from .linking import linked

NAME = "mmpose Inferencer JSON"


def holds(document: Any) -> bool:
    """Whether a JSON document is of this format."""
    frames = _frames(document)
    return bool(frames) and all(
        isinstance(frame, dict) and isinstance(frame.get("instances"), list) for frame in frames
    )


def is_of_picture(document: Any) -> bool:
    """Whether a JSON document is what the Inferencer writes of a picture, which is no video."""
    return isinstance(document, list) and all(
        isinstance(one, dict) and {"keypoints", "keypoint_scores"} <= one.keys() for one in document
    )


def read_document(document: Any, path: Path) -> Annotation:
    """The people of every frame, in pixels. Raises AnnotationError."""
    people = []
    layout = _named(document)
    for number, frame in enumerate(_frames(document)):
        rows = [row for row in frame["instances"] if isinstance(row, dict) and row.get("keypoints")]
        if not rows:
            people.append(np.zeros((0, 0, 3), np.float32))
            continue
        where = f"keypoints of frame {frame.get('frame_id', number)}"
        places = numbers([row["keypoints"] for row in rows], path, where, -1, -1, -1)
        scores = None
        if all("keypoint_scores" in row for row in rows):
            scores = numbers([row["keypoint_scores"] for row in rows], path, where, len(rows), places.shape[1])
        if places.shape[2] != 2:
            raise AnnotationError(f"{path}: {where} have {places.shape[2]} dimensions; star reads those in pixels")
        people.append(scored(places, scores))
    joints = linked(people, len((layout or COCO).joints))
    if layout is None or len(layout.joints) != joints.shape[2]:
        layout = LAYOUTS.get(joints.shape[2]) or of_names([f"joint_{number}" for number in range(joints.shape[2])])
    return Annotation(joints, skeleton=layout)


def _frames(document: Any) -> list[Any]:
    found = document.get("instance_info") if isinstance(document, dict) else document
    return found if isinstance(found, list) else []


def _named(document: Any) -> Skeleton | None:
    """The layout by the names that the file has of its joints."""
    meta = document.get("meta_info") if isinstance(document, dict) else None
    names = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(names, dict):
        return None
    try:
        return of_names([str(names[key]) for key in sorted(names, key=int)])
    except ValueError:
        return None

"""COCO keypoint JSON of the frames of one video, and AlphaPose's results, whose rows are COCO's too.

    {"images": [{"id", "file_name", "width", "height"}], "annotations": [{"image_id", "keypoints": [x, y, v, ...],
     "track_id"}], "categories": [{"keypoints": [names]}]}                                       COCO
    [{"image_id": "12.jpg", "category_id": 1, "keypoints": [x, y, score, ...], "score": 2.9, "idx": 1}, ...]   AlphaPose
    {"12.jpg": {"people": [{"pose_keypoints_2d": [...]}]}}, {"12.jpg": {"bodies": [{"joints": [...]}]}}
                                                                                  AlphaPose, --format open or cmu

v is 0 for a joint that is not labelled, 1 for one that is hidden, 2 for one that is seen.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import AnnotationError
from ....stages.joint_names import common_name, flip_pairs
from ....stages.skeletons import COCO, COCO_WHOLEBODY, HALPE_26, OPENPOSE_18, SKELETONS, Skeleton
from ..base import Annotation
from .json_file import numbers, scored
from .linking import by_identity, linked

NAME = "COCO keypoint JSON"
ALPHAPOSE = "AlphaPose JSON"
HIDDEN = 1  # v of a joint that has a place but is not seen
IDENTITIES = ("track_id", "idx", "person_id", "instance_id")
LAYOUTS = {len(layout.joints): layout for layout in (COCO, OPENPOSE_18, HALPE_26, COCO_WHOLEBODY)}
HALPE_136 = 136  # joints, of which Halpe 26 are the first


def holds(document: Any) -> bool:
    """Whether a JSON document is COCO's."""
    return isinstance(document, dict) and isinstance(document.get("annotations"), list) and "images" in document


def holds_results(document: Any) -> bool:
    """Whether a JSON document holds AlphaPose's results, in any of its formats."""
    rows = _results(document)
    return bool(rows) and all(isinstance(row, dict) and {"image_id", "keypoints"} <= row.keys() for row in rows)


def _results(document: Any) -> list[Any]:
    """The rows of AlphaPose's results, one a person, of a list of them or of a dictionary of images."""
    if isinstance(document, list):
        return document
    rows: list[Any] = []
    for image, frame in document.items() if isinstance(document, dict) else ():
        for people, joints in (("people", "pose_keypoints_2d"), ("bodies", "joints")):
            found = frame.get(people) if isinstance(frame, dict) else None
            for one in found if isinstance(found, list) else ():
                rows.append({"image_id": image, "keypoints": one.get(joints)} if isinstance(one, dict) else {})
    return rows


def read_document(document: Any, path: Path) -> Annotation:
    """The joints of the images, in the order of their numbers. Raises AnnotationError."""
    images = {image.get("id"): image for image in document["images"] if isinstance(image, dict)}
    if not images:
        raise AnnotationError(f"{path}: it lists no images")
    folders = {str(image.get("file_name", "")).replace("\\", "/").rpartition("/")[0] for image in images.values()}
    if len(folders) > 1:
        raise AnnotationError(f"{path}: its images lie in {len(folders)} folders; write one file per video")
    order = sorted(images, key=lambda image: _place(images[image].get("file_name", image), image))
    rows: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in document["annotations"]:
        if isinstance(row, dict) and row.get("keypoints"):
            rows[row.get("image_id")].append(row)
    layout = _of_categories(document.get("categories"))
    frames = [rows.get(image, []) for image in order]
    size = images[order[0]]
    known = isinstance(size.get("width"), int) and isinstance(size.get("height"), int)
    joints, hidden, layout = _assembled(frames, path, layout, visibility=True)
    return Annotation(joints, occluded=hidden, skeleton=layout, size=(size["width"], size["height"]) if known else None)


def read_results(document: Any, path: Path) -> Annotation:
    """The joints of AlphaPose's images, in the order of their numbers; numbers left out are empty frames."""
    rows: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in _results(document):
        rows[_place(row["image_id"], 0)[0]].append(row)
    first, last = min(rows), max(rows)
    if last - first >= 100 * len(rows) + 1000:
        raise AnnotationError(f"{path}: {len(rows)} images are numbered from {first} to {last}; renumber them")
    frames = [rows.get(number, []) for number in range(first, last + 1)]
    joints, _, layout = _assembled(frames, path, None, visibility=False)
    return Annotation(joints, skeleton=layout)


def _assembled(
    frames: Sequence[Sequence[dict[str, Any]]], path: Path, layout: Skeleton | None, *, visibility: bool
) -> tuple[np.ndarray, np.ndarray | None, Skeleton]:
    """The people of all frames (F, P, N, 3), those of their joints that are hidden, and the layout."""
    every = [row for rows in frames for row in rows]
    if not every:
        raise AnnotationError(f"{path}: no keypoints in it")
    flat = numbers([row["keypoints"] for row in every], path, "keypoints", -1, -1)
    count = flat.shape[1] // 3
    if flat.shape[1] % 3 or (layout and len(layout.joints) != count):
        raise AnnotationError(f"{path}: keypoints of {flat.shape[1]} numbers, which is not three for every joint")
    if count == HALPE_136 and layout is None:
        count, flat = len(HALPE_26.joints), flat[:, : 3 * len(HALPE_26.joints)]
    nameless = Skeleton(f"own, {count} joints", tuple(f"joint_{number}" for number in range(count)), ())
    layout = layout or LAYOUTS.get(count, nameless)
    triples = flat.reshape(len(every), count, 3)
    scores = np.minimum(triples[..., 2], 1) if visibility else triples[..., 2]
    people = scored(triples[..., :2], scores)
    ends = np.cumsum([len(rows) for rows in frames])
    parts = np.split(people, ends[:-1])
    known = (name for name in IDENTITIES if all(isinstance(_one(row.get(name)), int) for row in every))
    identity = next(known, "")
    if identity:
        joints = by_identity(parts, [[int(_one(row[identity])) for row in rows] for rows in frames])
    else:
        joints = linked(parts)
    if not visibility:
        return joints, None, layout
    return _parted(joints, parts, np.split(triples[..., 2] == HIDDEN, ends[:-1]), layout)


def _parted(
    joints: np.ndarray, parts: Sequence[np.ndarray], hidden: Sequence[np.ndarray], layout: Skeleton
) -> tuple[np.ndarray, np.ndarray | None, Skeleton]:
    """The joints that are seen and those that are hidden, apart."""
    if not any(which.any() for which in hidden):
        return joints, None, layout
    occluded = np.zeros_like(joints)
    for frame, (people, which) in enumerate(zip(parts, hidden, strict=True)):
        for person, unseen in zip(people, which, strict=True):
            place = next((p for p in range(joints.shape[1]) if np.array_equal(joints[frame, p], person)), None)
            if place is not None:
                occluded[frame, place, unseen] = joints[frame, place, unseen]
    return joints - occluded, occluded, layout


def _of_categories(categories: Any) -> Skeleton | None:
    """The layout that the first category with joints names."""
    for category in categories if isinstance(categories, list) else ():
        names = category.get("keypoints") if isinstance(category, dict) else None
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return of_names(names)
    return None


def of_names(names: Sequence[str]) -> Skeleton:
    """The known layout of joints of these names, in any convention; or one of their own."""
    common = tuple(common_name(name) for name in names)
    for layout in SKELETONS.values():
        if common == tuple(common_name(name) for name in layout.joints):
            return layout
    return Skeleton(f"own, {len(names)} joints", tuple(names), flip_pairs(names))


def _one(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _place(name: Any, otherwise: Any) -> tuple[int, str]:
    """The number of a frame in its name, for sorting."""
    digits = re.findall(r"\d+", str(name).rpartition("/")[2])
    return int(digits[-1]) if digits else (otherwise if isinstance(otherwise, int) else 0), str(name)

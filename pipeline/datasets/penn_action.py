"""Penn Action (Zhang, Zhu, Derpanis, ICCV 2013): ROOT/frames/0001/000001.jpg and ROOT/labels/0001.mat.

The label files' traps are listed in docs/method.md, "Penn Action": coordinates are stored in whatever integer type
they fit, boxes may have a row more or less than there are frames, joints that nobody saw lie at (<= 1, <= 1), MATLAB
counts from 1, and some actions go by two names.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ...errors import AnnotationError, MissingData
from ...stages.skeletons import PENN_ACTION
from ...untrusted_files import open_file
from .base import Annotation, Manifest, Video, official_only, open_root

if TYPE_CHECKING:
    from ..recipe.schema import DatasetSettings

CLASSES = (
    "baseball_pitch", "baseball_swing", "bench_press", "bowl", "clean_and_jerk", "golf_swing", "jump_rope",
    "jumping_jacks", "pullup", "pushup", "situp", "squat", "strum_guitar", "tennis_forehand", "tennis_serve",
)  # fmt: skip

SPELLINGS = {
    "bowling": "bowl",
    "pull_ups": "pullup",
    "push_ups": "pushup",
    "sit_ups": "situp",
    "squats": "squat",
    "strumming_guitar": "strum_guitar",
}  # the data set's README has these, its label files the others

SPLITS = {1: "train", -1: "test"}


def load(settings: DatasetSettings) -> Manifest:
    """The 2,326 sequences with the official split; a sequence without frames or label is left out and says so.

    Raises DatasetError where ROOT has no `frames` and `labels`.
    """
    official_only(settings.split, settings.kind)
    root = open_root(settings.root)
    labels = {name[:-4] for name in _names(root, "labels") if name.endswith(".mat")}
    frames = set(_names(root, "frames"))
    videos, left_out = [], []
    for name in sorted(labels | frames):
        if name not in frames:
            found = f"labels/{name}.mat has no folder frames/{name}"
        elif name not in labels:
            found = f"frames/{name} has no labels/{name}.mat"
        else:
            found = read_label(root / "labels" / f"{name}.mat")
        if isinstance(found, str):
            left_out.append((f"frames/{name}", found))
        else:
            media, annotation = root / "frames" / name, root / "labels" / f"{name}.mat"
            videos.append(Video(f"frames/{name}", found.label, found.split, media, annotation, found.groups))
    return Manifest(settings.name or root.name, CLASSES, videos, PENN_ACTION, left_out)


def _names(root: Path, folder: str) -> list[str]:
    try:
        return [path.name for path in (root / folder).iterdir() if not path.name.startswith(".")]
    except OSError:
        raise MissingData(
            f"dataset.root: {root} has no folder {folder!r}; Penn Action has frames/ and labels/"
        ) from None


class Label(NamedTuple):
    """What a label file says of its sequence: the class's number, the split, and the viewpoint as a group."""

    label: int
    split: str
    groups: tuple[tuple[str, str], ...]


def read_label(path: Path) -> Label | str:
    """The label, split and viewpoint in a label file, or why it cannot be used."""
    try:
        fields = _fields(path, ["action", "train", "pose"])
        action, train, view = str(fields["action"][0]), int(fields["train"].flat[0]), str(fields["pose"][0])
    except AnnotationError as error:
        return str(error)
    except (KeyError, IndexError, ValueError, TypeError, OverflowError, AttributeError):
        return f"labels/{path.name}: action, train or pose is missing"
    action = SPELLINGS.get(action, action)
    if action not in CLASSES or train not in SPLITS:
        return f"labels/{path.name}: action {action!r} and train {train} are not Penn Action's"
    return Label(CLASSES.index(action), SPLITS[train], (("viewpoint", view),))


def frame_size(path: Path) -> tuple[int, int]:
    """Width and height, px, of the frames that a label file belongs to. Raises AnnotationError where it is missing."""
    try:
        height, width, _ = (int(side) for side in _fields(path, ["dimensions"])["dimensions"].flat)
    except (KeyError, ValueError):
        raise AnnotationError(f"{path}: dimensions is missing or not three numbers; copy it anew") from None
    return width, height


def _fields(path: Path, names: list[str]) -> dict[str, Any]:
    """Fields of a label file by name; only those are unpacked, which makes reading all files five times as fast."""
    from scipy.io import loadmat

    if path.exists() and not path.is_file():
        raise AnnotationError(f"{path}: not a regular file; copy it anew")
    try:
        with open_file(path) as file:
            return loadmat(file, variable_names=names)
    except Exception as error:  # scipy raises whatever its parser trips over
        raise AnnotationError(f"{path}: not a MATLAB file ({type(error).__name__}); copy it anew") from None


def read_annotation(path: Path) -> Annotation:
    """The 13 joints and the box of every frame of one label file, one person.

    Returns keypoints (F, 1, 13, 3), boxes (F, 1, 4) and, apart, the joints that are invisible but no placeholder.
    Raises AnnotationError where the file is broken or its fields do not fit each other.
    """
    fields = _fields(path, ["x", "y", "visibility", "bbox"])
    try:
        x, y, seen = (np.asarray(fields[name], np.float64) for name in ("x", "y", "visibility"))
        box = np.asarray(fields["bbox"], np.float64).reshape(-1, 4)
    except (KeyError, ValueError, TypeError):
        raise AnnotationError(
            f"{path}: x, y, visibility or bbox is missing or no array of numbers; copy it anew"
        ) from None
    if x.ndim != 2 or x.shape[1] != len(PENN_ACTION.joints) or not x.shape == y.shape == seen.shape:
        raise AnnotationError(f"{path}: x {x.shape}, y {y.shape}, visibility {seen.shape}: expected (frames, 13) each")
    with np.errstate(invalid="ignore"):
        placed = np.isfinite(x) & np.isfinite(y) & ~((x <= 1) & (y <= 1))
    places = np.stack([x - 1, y - 1, np.ones_like(x)], axis=-1)  # counted from 0
    shown, occluded = (
        np.where((placed & which)[..., None], places, 0).astype(np.float32)[:, None]
        for which in (seen > 0, ~(seen > 0))
    )
    boxes = np.full((len(x), 4), np.nan, np.float32)
    if len(box):  # the last row serves on where rows are missing, a box without area is none
        box = box[np.minimum(np.arange(len(x)), len(box) - 1)] - 1
        sound = ((box[:, 2:] - box[:, :2]) > 0).all(axis=1)
        boxes[sound] = box[sound]
    return Annotation(shown, boxes[:, None], occluded)

"""`star init joints`: a recipe for joints without videos, by looking at a pickle or a folder of files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import AnnotationError, DatasetError
from ...stages.pose.projection import FRAME, UP
from ...stages.skeletons import Skeleton
from .. import datasets
from ..datasets.base import Annotation, Manifest, Video, one_sided
from ..datasets.joints.dataset import what_is
from ..recipe import presets
from ..recipe.schema import DatasetSettings
from ..utils.text import counted

LOOKED_AT = 40  # sequences by which people, dimensions and size are judged
PEOPLE = 2  # a clip keeps two at most unless its owner wants more
HEIGHT = 0.42  # of the picture: what a body in three dimensions is scaled to
TOP, BOTTOM = ("head", "nose", "eye", "neck"), ("ankle", "foot", "toe", "heel", "hip", "pelvis", "spine_base")
YAW = 60  # degrees
UNMIRRORED = "  flip: false               # no left and right are known among the joints\n"


@dataclass(frozen=True)
class Seen:
    """What a look at some sequences told.

    format: of their files. people: at most, in any of them. is_spatial: whether they have three dimensions. up: the
    axis that points upwards; scale: pixels per unit; of joints in three dimensions.
    """

    format: str
    people: int
    is_spatial: bool
    up: str = "y"
    scale: float = 250.0


def look(root: Path, cache: Path, preset: str | None = None) -> dict[str, Any]:
    """A recipe that works for the joints in ROOT, and what was found there.

    Returns {"recipe": YAML, "videos", "classes", "train", "test", "skeleton", "warnings", ...}. Raises DatasetError
    where ROOT holds no joints.
    """
    protocol, others = _protocol(root, cache)
    settings = DatasetSettings(kind="joints", root=root, split=protocol)
    manifest = datasets.load(settings, cache)
    skeleton = manifest.skeleton
    assert skeleton is not None
    seen = _look(manifest, skeleton)
    split = Counter(video.split for video in manifest.videos)
    found: dict[str, Any] = {
        "taken_for": what_is(settings), "format": seen.format, "videos": len(manifest.videos),
        "classes": list(manifest.classes), "train": split["train"], "test": split["test"],
        "skeleton": skeleton.name, "dimensions": 3 if seen.is_spatial else 2, "people": seen.people,
        "protocols": [protocol, *others],
    }  # fmt: skip
    people = min(seen.people, PEOPLE)
    text = presets.ready("joints", root, cache, preset, people).partition("\n")[2]
    text = text.replace("  test_share:", f"{_protocol_line(protocol, others)}  test_share:")
    if seen.is_spatial:
        text = re.sub(r"^  people: .*\n", lambda line: line[0] + _projection(seen, skeleton), text, count=1, flags=re.M)
    if not skeleton.flip_pairs:
        text = text.replace("decode:\n", f"decode:\n{UNMIRRORED}", 1)
    return {"recipe": _described(found) + text, **found, "warnings": _warnings(manifest, skeleton, others)}


def _protocol(root: Path, cache: Path) -> tuple[str, list[str]]:
    """The protocol that the recipe takes, and others that the data set has."""
    from ..datasets.joints.dataset import protocols

    known = protocols(root, cache)
    if not known or "official" in known:
        return "official", []
    return known[0], known[1:]


def _look(manifest: Manifest, skeleton: Skeleton) -> Seen:
    videos = manifest.videos
    step = max(1, len(videos) // LOOKED_AT)
    found = [annotation for video in videos[::step] if (annotation := _read(video)) is not None]
    if not found:
        raise DatasetError("init joints: none of the sequences looked into can be read; `star scan` says why")
    people = max(annotation.keypoints.shape[1] for annotation in found)
    spatial = [annotation.keypoints for annotation in found if annotation.is_spatial]
    name = datasets.joints_format(videos[0].media, videos[0].part)
    if not spatial:
        return Seen(name, people, False)
    up = _up(spatial, skeleton)
    return Seen(name, people, True, up, _scale(spatial, up))


def _read(video: Video) -> Annotation | None:
    try:
        return datasets.read_annotation("joints", video.media, video.part)
    except AnnotationError:
        return None


def _up(sequences: Sequence[np.ndarray], skeleton: Skeleton) -> str:
    """The axis along which heads lie furthest from feet; y where no joint says what it is."""
    top, bottom = (
        [number for number, name in enumerate(skeleton.joints) if any(word in name for word in words)]
        for words in (TOP, BOTTOM)
    )
    if not top or not bottom:
        return "y"
    total = np.zeros(3)
    for keypoints in sequences:
        both = (keypoints[:, :, top, 3] > 0).all(-1) & (keypoints[:, :, bottom, 3] > 0).all(-1)
        total += (keypoints[:, :, top, :3].mean(2) - keypoints[:, :, bottom, :3].mean(2))[both].sum(0)
    axis = int(np.abs(total).argmax())
    sign = 1 if total[axis] >= 0 else -1
    return next(name for name, meant in UP.items() if meant == (axis, sign))


def _scale(sequences: Sequence[np.ndarray], up: str) -> float:
    """Pixels per unit by which a body's height is a good part of the picture: one factor, of two digits."""
    heights = []
    for keypoints in sequences:
        there = keypoints[..., 3] > 0
        height = np.where(there, keypoints[..., UP[up][0]], np.nan)
        seen = there.any(-1)
        if seen.any():
            heights.append(np.nanmedian(np.nanmax(height[seen], -1) - np.nanmin(height[seen], -1)))
    middle = float(np.median(heights)) if heights else 0.0
    return float(f"{HEIGHT * FRAME[1] / middle:.2g}") if middle > 0 else 250.0


def _protocol_line(protocol: str, others: Sequence[str]) -> str:
    if protocol == "official":
        return ""
    choice = f"or {', '.join(others)}" if others else ""
    return f"  split: {protocol:<19}# {choice}\n" if choice else f"  split: {protocol}\n"


def _projection(seen: Seen, skeleton: Skeleton) -> str:
    """The lines of section `pose` for joints in three dimensions."""
    side = "front" if skeleton.flip_pairs else "camera"
    return (
        f"  projection: {side:<14}# or side, camera: from where joints in three dimensions are seen\n"
        f"  yaw: {YAW:<21}# degrees by which further views turn the body: the camera's place is learned away\n"
        f"  up: {seen.up!r:<22}# the axis that points upwards\n"
        f"  scale: {seen.scale:<19g}# pixels per unit, one for the data set\n"
    )


def _described(found: dict[str, Any]) -> str:
    """The recipe's first lines."""
    classes = found["classes"]
    named = " ".join(", ".join(classes[:5]).split()) + (", …" if len(classes) > 5 else "")
    space = "three dimensions" if found["dimensions"] == 3 else "pixels"
    return (
        f"# {found['taken_for']} ({found['format']}): {counted(found['videos'], 'sequence')}, {len(classes)} classes "
        f"({named}).\n"
        f"# Joints {found['skeleton']} in {space}, up to {found['people']} at a time; "
        f"{found['train']:,} for training, {found['test']:,} for testing.\n"
        "# Every setting that is not here has its default.\n"
    )


def _warnings(manifest: Manifest, skeleton: Skeleton, others: Sequence[str]) -> list[str]:
    """What stands in the way of a good result."""
    found = [one_sided(manifest)]
    if others:
        named = ", ".join(others)
        found.append(f"the pickle has other protocols too ({named}); the recipe takes the first, see dataset.split")
    if not skeleton.flip_pairs:
        found.append("no left and right are known among the joints, so the recipe mirrors no view (decode.flip: false)")
    if manifest.left_out:
        video, reason = manifest.left_out[0]
        found.append(f"left out: {counted(len(manifest.left_out), 'sequence')} ({video}: {reason}, …)")
    return [line for line in found if line]

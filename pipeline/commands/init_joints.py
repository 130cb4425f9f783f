"""`star init joints`: a recipe for joints without videos, by looking at a pickle or a folder of files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import AnnotationError, DatasetError
from ...stages.pose.projection import FRAME, UP
from ...stages.skeletons import Skeleton
from .. import datasets
from ..datasets.base import Annotation, Manifest, one_sided
from ..datasets.custom.csv_list import Entry, csv_files
from ..datasets.custom.splits import seed_for
from ..datasets.joints.dataset import protocols
from ..datasets.joints.entries import list_entries
from ..recipe import presets
from ..recipe.schema import DatasetSettings
from ..utils.text import counted
from .init_recipe import PEOPLE, FoundData, InitRecipe, dataset_lines, refuse_other_kind, the_export

LOOKED_AT = 40  # sequences by which people, dimensions and size are judged
HEIGHT = 0.68  # of the picture: what a body in three dimensions is scaled to; raised arms still fit
TOP, BOTTOM = ("head", "nose", "eye", "neck"), ("ankle", "foot", "toe", "heel", "hip", "pelvis", "spine_base")
YAW = 60  # degrees
UNMIRRORED = "  flip: false               # no left and right are known among the joints\n"


@dataclass(frozen=True)
class Seen:
    """What a look at some sequences told.

    format: of the first's file. frames, people: at most, in any of them. is_spatial: whether they have three
    dimensions. up: the axis that points upwards; scale: pixels per unit; of joints in three dimensions.
    """

    format: str
    frames: int
    people: int
    is_spatial: bool
    up: str = "y"
    scale: float = 250.0


@dataclass(frozen=True)
class FoundJoints(FoundData):
    """What was found at ROOT. seen: in some of its sequences. protocols: the recipe's first."""

    seen: Seen
    protocols: tuple[str, ...]

    @property
    def skeleton(self) -> Skeleton:
        """The layout of the joints."""
        assert self.manifest.skeleton is not None
        return self.manifest.skeleton

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return self.figures() | {
            "format": self.seen.format, "skeleton": self.skeleton.name, "dimensions": 3 if self.seen.is_spatial else 2,
            "people": self.seen.people, "protocols": list(self.protocols),
        }  # fmt: skip

    def lines(self) -> str:
        """The recipe's first lines."""
        space = "three dimensions" if self.seen.is_spatial else "pixels"
        joints = f"{self.seen.format}: joints {self.skeleton.name} in {space}, up to {self.seen.people} at a time"
        return self.header("sequence", f"{joints}; {self.sides()}.")


def look(root: Path, cache: Path, preset: str | None = None) -> InitRecipe:
    """A recipe that works for the joints in ROOT, and what was found there.

    Raises DatasetError where ROOT holds no joints.
    """
    refuse_other_kind("joints", root)
    known = protocols(root, cache)
    protocol, *others = ["official"] if not known or "official" in known else known
    chosen, told = the_export(root) if root.is_dir() and not csv_files(root) else (None, [])
    settings = DatasetSettings(kind="joints", root=root, split=protocol, list=chosen)
    manifest = datasets.load(settings, cache)
    if one_sided(manifest):  # of sequences that chance parts, another seed may do better
        listed = list_entries(settings).entries if root.is_dir() else []
        entries = listed or [
            Entry(video.id, video.named(manifest.classes), "", (), video.id) for video in manifest.videos
        ]
        reseeded = settings.model_copy(update={"split_seed": seed_for(entries, settings.test_share)})
        other = datasets.load(reseeded, cache)
        settings, manifest = (settings, manifest) if one_sided(other) else (reseeded, other)
    skeleton = manifest.skeleton
    assert skeleton is not None
    seen = _look(manifest, skeleton)
    found = FoundJoints(manifest, seen, (protocol, *others))
    text = presets.ready("joints", root, cache, preset, min(seen.people, PEOPLE)).partition("\n")[2]
    text = found.for_labels(text.replace("  test_share:", f"{dataset_lines(settings)}  test_share:"))
    if protocol != "official":
        line = f"  split: {protocol:<19}# or {', '.join(others)}\n" if others else f"  split: {protocol}\n"
        text = text.replace("  test_share:", f"{line}  test_share:")
    if seen.is_spatial:
        side = "front" if skeleton.flip_pairs else "camera"
        lines = (
            f"  projection: {side:<14}# or side, camera: from where joints in three dimensions are seen\n"
            f"  yaw: {YAW:<21}# degrees by which further views turn the body: the camera's place is learned away\n"
            f"  up: {seen.up!r:<22}# the axis that points upwards\n"
            f"  scale: {seen.scale:<19g}# pixels per unit, one for the data set\n"
            f"  centre: {'body':<18}# who walks stays in the picture's middle; or clip: nobody is moved\n"
        )
        text = re.sub(r"^  people: .*\n", lambda line: line[0] + lines, text, count=1, flags=re.M)
        text = text.replace(
            "  crop: person\n", "  crop: frame               # one scale for all, as pose.scale has it\n"
        )
    if not skeleton.flip_pairs:
        text = text.replace("decode:\n", f"decode:\n{UNMIRRORED}", 1)
    return InitRecipe(found.lines() + text, found, (*told, *_warnings(manifest, seen, skeleton, others)))


def _look(manifest: Manifest, skeleton: Skeleton) -> Seen:
    videos = manifest.videos
    step = max(1, len(videos) // LOOKED_AT)
    found: list[Annotation] = []
    name = problem = ""
    for video in videos[::step]:
        try:
            found.append(datasets.read_annotation("joints", video.media, video.part))
            name = name or datasets.joints_format(video.media, video.part)
        except AnnotationError as error:
            problem = problem or str(error)
    if not found:
        raise DatasetError(f"init joints: none of the sequences looked into can be read; the first: {problem}")
    people = max(annotation.keypoints.shape[1] for annotation in found)
    spatial = [annotation.keypoints for annotation in found if annotation.is_spatial]
    frames = max(len(annotation.keypoints) for annotation in found)
    if not spatial:
        return Seen(name, frames, people, False)
    up = _up(spatial, skeleton)
    return Seen(name, frames, people, True, up, _scale(spatial, up))


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


def _warnings(manifest: Manifest, seen: Seen, skeleton: Skeleton, others: Sequence[str]) -> tuple[str, ...]:
    """What stands in the way of a good result."""
    found = [one_sided(manifest)]
    if not manifest.classes:
        found.append("nothing has a label, so there are no classes to learn; a CSV (video,label,split) can name them")
    if seen.frames == 1:
        found.append(
            "every sequence looked into has one frame: are these the frames of videos? put those of a video into a "
            "folder of its own, CLASS/VIDEO/, as OpenPose calls them (NAME_000000000000_keypoints.json)"
        )
    if others:
        named = ", ".join(others)
        found.append(f"the pickle has other protocols too ({named}); the recipe takes the first, see dataset.split")
    if not skeleton.flip_pairs:
        found.append("no left and right are known among the joints, so the recipe mirrors no view (decode.flip: false)")
    if manifest.left_out:
        video, reason = manifest.left_out[0]
        found.append(f"left out: {counted(len(manifest.left_out), 'sequence')} ({video}: {reason}, …)")
    return tuple(line for line in found if line)

"""How well a network's own joints fit those of the data set: the percentage of correct keypoints (PCK)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...cache.checksum import Row
from ...errors import StarError
from ...stages.cropping import visible
from ...stages.pose_head import joint_places
from ..planning.joint_layout import held
from ..planning.selection import Selection
from ..recipe.schema import Recipe
from ..training.dataset import Batch
from ..training.distributed import ProcessGroup

THRESHOLD = 0.2  # of the longer side of a person's box
FAINT = 0.2  # a map whose top is lower shows no joint


def head_of(note: Mapping[str, Any]) -> Mapping[str, int] | None:
    """What a checkpoint's note says of its network's pose head; None where it has none."""
    return note.get("backbone", {}).get("pose_head")


def joints_in_frames(maps: Tensor, sizes: np.ndarray) -> np.ndarray:
    """The joints of heat maps (clips, t, n, y, x), 0 .. 1, that cover whole frames: (clips, t, n, 3) float32, x and y
    px (pixel centres at whole numbers), and the height of the map's top as the score; 0 where that is below 0.2.

    sizes: (clips, 2), width and height of the frames, px.
    """
    places = joint_places(maps).double().cpu().numpy() / maps.shape[-1]
    tops = maps.float().amax((-2, -1)).cpu().numpy()
    pixels = places * sizes[:, None, None] - 0.5
    return np.concatenate([pixels, np.where(tops < FAINT, 0, tops)[..., None]], -1).astype(np.float32)


class JointPlaces:
    """Where a network's pose head finds the joints of clips, gathered batch by batch while the clips are judged.

    clips: how many there are. note: of the network's checkpoint. ranks: the processes that share them out.
    """

    def __init__(self, clips: int, note: Mapping[str, Any], ranks: ProcessGroup) -> None:
        network, head = note["network"], note["backbone"]["pose_head"]
        self.ranks = ranks
        self.places = torch.zeros(clips, network["frames"], head["joints"], 2, device=ranks.device)

    def __call__(self, given: Batch, maps: Tensor) -> None:
        """Take the places of a batch; maps: (b, t, n, y, x) before the sigmoid. They are kept as
        shares of the frame's sides."""
        shares = joint_places(maps.float().sigmoid()) / maps.shape[-1]
        self.places[given["clip"].to(self.places.device)] = shares.to(self.places.device)

    def gathered(self) -> np.ndarray:
        """(clips, t, n, 2) float64: x and y of every joint, 0 .. 1 from the frame's corner; of all processes."""
        return self.ranks.add(self.places).double().cpu().numpy()


@dataclass(frozen=True)
class PoseAccuracy:
    """What a pose head came to.

    share: of the joints that are correct, see `correct_joints`; None where no joint was there to be found. joints: how
    many were. per_joint: the share by the joint's name, and None likewise.
    """

    share: float | None
    joints: int
    per_joint: Mapping[str, float | None]

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "pck": self.share,
            "threshold": THRESHOLD,
            "joints": self.joints,
            "per_joint": dict(self.per_joint),
        }


def pose_accuracy(places: np.ndarray, selection: Selection, recipe: Recipe) -> PoseAccuracy:
    """PCK of the places that a head gave for the selection's clips (clips, t, n, 2), see `JointPlaces.gathered`,
    against the joints that the cache holds of them."""
    joints = _cached(selection, "pose", "keypoints")
    sizes = _cached(selection, "decode", "frame_size").astype(np.float64)
    pairs = zip(joints, sizes.tolist(), strict=True)
    there = np.stack([visible(own, (size[0], size[1]), recipe.heatmaps.score_floor) for own, size in pairs])
    found = places * sizes[:, None, None] - 0.5  # a pose head sees whole frames
    separate = recipe.heatmaps.people == "separate"
    correct, counted = correct_joints(found, joints[..., :2], there, separate=separate)
    names = _names(selection, recipe, joints.shape[3])
    axes = tuple(axis for axis in range(correct.ndim) if axis != correct.ndim - 1)
    right, of = (correct & counted).sum(axes), counted.sum(axes)
    per_joint = {name: float(r / o) if o else None for name, r, o in zip(names, right, of, strict=True)}
    return PoseAccuracy(float(right.sum() / of.sum()) if of.sum() else None, int(of.sum()), per_joint)


def correct_joints(
    found: np.ndarray, joints: np.ndarray, there: np.ndarray, *, separate: bool = False, threshold: float = THRESHOLD
) -> tuple[np.ndarray, np.ndarray]:
    """Which joints are found: (..., n) bool whether it is correct, and (..., n) bool whether it counts.

    found: (..., n, 2) px; of people apart (..., p * n, 2), the first person's joints first, and then both results are
    (..., p, n). joints: (..., p, n, 2) px, of p people. there: (..., p, n) bool, which of them are seen.
    A joint is correct where its distance is at most `threshold` times the longer side of the person's box, max(h, w):
    the PCK of Yang & Ramanan 2013 ("Articulated Human Detection with Flexible Mixtures of Parts", 4), with 0.2 as is
    usual on Penn Action (Nie et al. 2015, Luo et al. 2018). The box is the extent of the person's joints that are seen
    in that frame, the tightest there is. Where one map serves all people, a joint is correct when it is so for any of
    them. Joints that are not seen, and those of a person of whom a single one is, do not count.
    """
    seen = there[..., None]
    low = np.where(seen, joints, np.inf).min(-2)
    high = np.where(seen, joints, -np.inf).max(-2)
    side = np.where(there.any(-1), (high - low).max(-1), 0.0)[..., None]  # (..., p, 1)
    own = found.reshape(*joints.shape) if separate else found[..., None, :, :]
    counted = there & (side > 0)
    correct = counted & (np.linalg.norm(own - joints, axis=-1) <= threshold * side)
    return (correct, counted) if separate else (np.any(correct, axis=-2), np.any(counted, axis=-2))


def _cached(selection: Selection, stage: str, array: str) -> np.ndarray:
    """An array of all clips, as it is cached."""
    clips = zip(selection.videos, selection.sources.get(stage, ()), selection.views, strict=False)
    rows = [Row(video.id, source, view) for video, source, view in clips]
    return selection.stage_stores[stage].read(selection.places[stage], array, rows)


def _names(selection: Selection, recipe: Recipe, joints: int) -> list[str]:
    """What the joints are called; numbers where nobody knows."""
    with suppress(StarError):
        return list(held(recipe, selection.skeleton).joints)
    return [str(number) for number in range(joints)]

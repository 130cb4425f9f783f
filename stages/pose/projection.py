"""Joints in three dimensions, seen from one side: pixels of a picture that nobody took.

Every clip is moved so that its middle lies in the picture's middle, on request with a body that walks held there, and
all of a data set are scaled by one factor, so that sizes compare. Views after the first turn the body about the
vertical axis, so that a network learns the action and not where the camera stood.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from ...errors import AnnotationError
from ..skeletons import Skeleton

ROOT = (
    "hip",
    "pelvis",
    "root",
    "spine_base",
)  # joints, the first kind that a layout has, whose mean is where a body is
FRAME = 1000, 1000  # px: width and height of the picture
UP = {"y": (1, 1), "-y": (1, -1), "z": (2, 1), "-z": (2, -1), "x": (0, 1), "-x": (0, -1)}  # axis and its sign
ACROSS = ("shoulder", "hip")  # joints whose line from right to left says where the body faces


@dataclass(frozen=True)
class Projection:
    """How joints in three dimensions become pixels.

    side: "front": the body is turned to face the camera; "side": it shows its left side; "camera": as recorded, depth
    left away. yaw: views after the first are turned by up to so many degrees more, either way. up: the axis that points
    upwards. scale: pixels per unit of the joints. seed: of the turns. centre: what lies in the picture's middle: the
    "clip"'s, or "body": from left to right the hips of every frame, so that a picture that is full of a body holds it
    wherever it walks; who sits down or jumps still goes down or up.
    """

    side: str
    yaw: float = 0.0
    up: str = "y"
    scale: float = 250.0
    seed: int = 0
    centre: str = "clip"

    def project(self, keypoints: np.ndarray, skeleton: Skeleton | None, video_id: str, view: int) -> np.ndarray:
        """Joints (F, P, N, 4) x, y, z, score as (F, P, N, 3) float32 x px, y px, score, for one view of a video.

        A joint that is absent stays all zero. Raises AnnotationError where `side` needs to know where a body faces, and
        no left and right shoulder or hip is ever there.
        """
        there = np.isfinite(keypoints).all(-1) & (keypoints[..., 3] > 0)
        # a right-handed system but for what camera axes are: there depth points away from the camera, x to the right
        axis, sign = UP[self.up]
        first, second = {1: (0, 2), 2: (0, 1), 0: (1, 2)}[axis]
        places = np.where(there[..., None], keypoints[..., :3], 0).astype(np.float64)
        across, height, depth = places[..., first], sign * places[..., axis], places[..., second]
        turn = 0.0 if self.side == "camera" else _facing(across, depth, there, skeleton)
        turn += {"side": np.pi / 2}.get(self.side, 0.0)
        if view > 0 and self.yaw:
            digest = hashlib.blake2b(f"yaw\0{self.seed}\0{video_id}\0{view}".encode(), digest_size=8).digest()
            turn += np.deg2rad(self.yaw) * (2 * int.from_bytes(digest, "big") / 2**64 - 1)  # alike on every machine
        across = np.cos(turn) * across - np.sin(turn) * depth
        shown = np.stack([across, -height], -1)
        middle = self._middle(shown, there, skeleton)
        placed = (shown - middle) * self.scale
        placed += (np.array(FRAME) - 1) / 2
        found = np.concatenate([placed, keypoints[..., 3:]], -1)
        return np.where(there[..., None], found, 0).astype(np.float32)

    def _middle(self, shown: np.ndarray, there: np.ndarray, skeleton: Skeleton | None) -> np.ndarray:
        """What lies in the picture's middle of joints shown (F, P, N, 2): (2,), or (F, 1, 1, 2) with `centre: body`.

        Of several people it is the mean of all. A frame in which no hip is seen has the mean of its joints.
        """
        if not there.any():
            return np.zeros(2)
        seen = shown[there]
        middle = (seen.min(0) + seen.max(0)) / 2
        if self.centre == "clip":
            return middle
        names = [name.lower() for name in skeleton.joints] if skeleton else []
        root = next((found for word in ROOT if any(found := [word in name for name in names])), None)
        hips = there & np.array(root) if root is not None else there
        counted = np.where(hips.any((1, 2), keepdims=True), hips, there)
        across = (shown[..., 0] * counted).sum((1, 2)) / np.maximum(counted.sum((1, 2)), 1)
        return np.stack([across, np.full_like(across, middle[1])], -1)[:, None, None]


def _facing(across: np.ndarray, depth: np.ndarray, there: np.ndarray, skeleton: Skeleton | None) -> float:
    """The turn, rad, that lays the mean line from a body's right to its left along the picture's x axis."""
    joints = skeleton.joints if skeleton else ()
    line = np.zeros(2)
    for left, right in skeleton.flip_pairs if skeleton else ():
        if any(name in joints[left].lower() for name in ACROSS):
            both = there[..., left] & there[..., right]
            line += [((values[..., left] - values[..., right]) * both).sum() for values in (across, depth)]
    if not line.any():
        raise AnnotationError(
            "pose.projection: front and side need a left and a right shoulder or hip, and there are none; "
            "set it to camera"
        )
    return -float(np.arctan2(line[1], line[0]))

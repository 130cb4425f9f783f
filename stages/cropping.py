"""Which part of the picture the networks see: one square for the whole clip, for frames and joints alike.

Two kinds of coordinates. Joints use pixel centres: the first pixel's centre is x = 0. Regions use edges: pixel i
covers [i, i + 1), so a joint at x lies at X = x + 0.5, and a mirrored frame of width W takes X to W - X.

Regions are whole pixels. A region with a fraction would have to be resampled twice, or rounded by `crop_frame` behind
the back of the heat maps; rounded once, here, the picture and the maps agree exactly.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .base import Settings

PADDING_COLOUR = (
    110,
    101,
    96,
)  # the mean of Kinetics-400 that mc3_18 subtracts (.43216, .394666, .37645), as RGB bytes
MIN_SIDE_SHARE = 1 / 8  # a person's square is at least this share of the frame's short side: one joint is not a picture


@dataclass(frozen=True)
class Crop:
    """The choice of region (docs/method.md, "Crop"; the paper does not state its own).

    crop: "frame", all of it, stretched to a square; or "person", the square around all joints of the clip.
    margin: person: added on each side, as a share of the joints' box.
    jitter_scale, jitter_shift: person, views after the first: the side changes by up to the one share, the centre
        moves by up to the other share of the side; a pure function of (seed, video id, view).
    """

    crop: str = "frame"
    margin: float = 0.15
    jitter_scale: float = 0.0
    jitter_shift: float = 0.0
    seed: int = 0

    def settings(self) -> Settings:
        """What can change a region; what cannot (the margin of a whole frame) stays out of every key."""
        if self.crop == "frame":
            return {"crop": "frame"}
        settings = {"crop": self.crop, "margin": self.margin}
        if not self._jitters:
            return settings
        jitter = {"jitter_scale": self.jitter_scale, "jitter_shift": self.jitter_shift, "seed": self.seed}
        return settings | jitter

    def region(self, keypoints: np.ndarray, frame_size: tuple[int, int], video_id: str, view: int) -> np.ndarray:
        """The region of one clip: (4,) float64 x0 y0 x1 y1, whole numbers, in edge coordinates.

        keypoints: (T, P, N, 3) px of the frame as this view sees it (mirrored if the view is); frame_size: (w, h) px.
        A person's square may reach over the frame's edges. Joints with score 0 or outside the frame do not count;
        without any, it is the square around the whole frame. Mirrored joints give the mirrored region (but for the
        jitter, which is the view's own).
        """
        width, height = (int(side) for side in frame_size)
        if self.crop == "frame":
            return np.array([0, 0, width, height], np.float64)
        x, y, side = width / 2, height / 2, float(max(width, height))
        joints = keypoints[visible(keypoints, (width, height))][:, :2].astype(np.float64) + 0.5
        if len(joints):
            low, high = joints.min(axis=0), joints.max(axis=0)
            x, y = (low + high) / 2
            side = max((high - low).max() * (1 + 2 * self.margin), MIN_SIDE_SHARE * min(width, height))
        if view > 0 and self._jitters:
            name = f"crop\0{self.seed}\0{video_id}\0{view}".encode(errors="surrogateescape")
            seed = int.from_bytes(hashlib.blake2b(name, digest_size=16).digest(), "little")
            draw = np.random.default_rng(seed).uniform(-1, 1, 3)  # the same on every machine, in every order of work
            x += draw[0] * self.jitter_shift * side
            y += draw[1] * self.jitter_shift * side
            side *= 1 + draw[2] * self.jitter_scale
        # The whole-pixel square that holds this one. The centre's x is rounded to half pixels, which treats left and
        # right alike, and the side's parity follows it: mirrored in x, it gives the mirrored square.
        middle, whole = int(np.rint(2 * x)), int(np.ceil(side)) + 1
        whole += (whole - middle) % 2
        left, top = (middle - whole) // 2, int(np.rint(y - whole / 2))
        return np.array([left, top, left + whole, top + whole], np.float64)

    @property
    def _jitters(self) -> bool:
        return self.jitter_scale > 0 or self.jitter_shift > 0


def visible(keypoints: np.ndarray, frame_size: tuple[int, int], floor: float = 0.0) -> np.ndarray:
    """(...) bool for keypoints (..., 3): score above `floor`, and a finite place inside the frame (w, h) px."""
    x, y, score = np.moveaxis(keypoints, -1, 0)
    width, height = frame_size
    return (score > floor) & (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)


def mirror_region(region: np.ndarray, width: int) -> np.ndarray:
    """The same region (x0 y0 x1 y1) of the mirrored frame, `width` px wide."""
    x0, y0, x1, y1 = region
    return np.array([width - x1, y0, width - x0, y1], np.float64)


def crop_frame(frame: np.ndarray, region: np.ndarray, size: int, *, flip: bool = False) -> np.ndarray:
    """Cut a region out of a frame (h, w, 3) uint8 and stretch it to (size, size, 3) uint8.

    Shrunk sides are averaged by area, enlarged ones interpolated linearly; what lies outside the frame has the mean
    colour of Kinetics. region: whole numbers, from `Crop.region`. flip: the region is one of the mirrored frame, and
    the result is mirrored; the frame itself is given as it was decoded.
    """
    import cv2

    height, width = frame.shape[:2]
    x0, y0, x1, y1 = (int(edge) for edge in (mirror_region(region, width) if flip else region))
    inside = frame[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    if min(inside.strides) < 0:  # a mirrored view, which OpenCV does not take
        inside = np.ascontiguousarray(inside)
    edges = max(-y0, 0), max(y1 - height, 0), max(-x0, 0), max(x1 - width, 0)
    if any(edges) and inside.size == 0:
        inside = np.full((y1 - y0, x1 - x0, 3), PADDING_COLOUR, np.uint8)
    elif any(edges):
        inside = cv2.copyMakeBorder(inside, *edges, cv2.BORDER_CONSTANT, value=PADDING_COLOUR)
    # Each side by itself: averaged where it shrinks, then interpolated where it grows. Large pictures are halved first:
    # OpenCV averages 2 x 2 pixels ten times faster than areas with fractions.
    height, width = inside.shape[:2]
    while min(height, width) >= 4 * size and height % 2 == width % 2 == 0:
        height, width = height // 2, width // 2
        inside = cv2.resize(inside, (width, height), interpolation=cv2.INTER_AREA)
    if max(height, width) > size:
        inside = cv2.resize(inside, (min(width, size), min(height, size)), interpolation=cv2.INTER_AREA)
    if min(height, width) < size:
        inside = cv2.resize(inside, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(inside[:, ::-1] if flip else inside)

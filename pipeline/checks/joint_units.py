"""Joints that cannot be where an annotation says they are, and what the likely cause is: units, order, placeholders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

SMALL_PICTURE = 32  # px; in smaller pictures joints may lie anywhere
ENOUGH = 4  # videos from which on one corner for all of them is no chance
CORNER = 0.55  # of width and height: where all joints lie within it, the picture was probably a smaller one
PLACEHOLDERS = 0.02  # from this share of joints at (0, 0) on, the point stands for a missing joint
SWAPPED = 0.02  # from this share of frames on, in which people change places, they are in no order


def impossible(keypoints: np.ndarray, size: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """(kind, message) for the joints (F, P, N, 3) of one video of size (w, h) px."""
    width, height = size
    points = _visible(keypoints)
    if len(points) < 8 or min(size) < SMALL_PICTURE:
        return
    zero = np.asarray((points == 0).all(-1))
    if zero.mean() > PLACEHOLDERS:
        yield "placeholder", f"{zero.mean():.0%} of its joints lie at (0, 0) with a score: a missing joint has score 0"
    points = points[~zero]
    if len(points) < 8:
        return
    low, high = np.percentile(points, [1, 99], axis=0)
    if np.abs(points).max() <= 1.5:
        what = "from -1 to 1" if low.min() < -0.2 else "from 0 to 1"
        yield "unit", f"its joints are numbers {what}, not pixels: multiply x by {width} and y by {height}"
    elif (high - low).max() < 8 and np.abs(points).max() < 16:
        yield (
            "unit",
            "its joints all lie within a few pixels: they are in metres, or another unit; convert them to pixels",
        )
    elif _outside(points, width, height) > 0.1 > 10 * _outside(points, height, width) and width != height:
        yield "unit", f"its joints fit {height}×{width} and not {width}×{height}: x and y seem to be exchanged"
    elif _outside(points, width, height) > 0.1:
        beyond = high / np.array([width, height])
        if low.min() > -0.05 * max(size) and beyond.min() > 1 and beyond.max() > 1.2:
            reach = "×".join(f"{value:.0f}" for value in high)
            yield "unit", f"its joints reach to {reach} px in a picture of {width}×{height}: they are another size's"


def wrong_boxes(keypoints: np.ndarray, boxes: np.ndarray | None) -> Iterator[tuple[str, str]]:
    """The same for boxes (F, P, 4) that are not x0 y0 x1 y1."""
    if boxes is None:
        return
    there = np.asarray((keypoints[..., 2] > 0).sum(-1) >= 3)
    sound = np.asarray(np.isfinite(boxes).all(-1))
    if there.sum() < 2:
        return
    if not (there & sound).any():
        yield "boxes", "none of its boxes has an area: boxes are x0 y0 x1 y1, not x y width height"
        return
    seen = there & sound
    as_corners = _inside(keypoints[seen], boxes[seen])
    sides = np.concatenate([boxes[seen][:, :2], boxes[seen][:, :2] + boxes[seen][:, 2:]], -1)
    if as_corners < 0.5 and _inside(keypoints[seen], sides) > 0.8:
        yield (
            "boxes",
            "its joints lie outside its boxes, and inside where these are read as x y width height; write x0 y0 x1 y1",
        )


def changed_places(keypoints: np.ndarray) -> Iterator[tuple[str, str]]:
    """The same for people who change places along P from one frame to the next."""
    if keypoints.shape[1] < 2 or len(keypoints) < 4:
        return
    seen = keypoints[..., 2:] > 0
    count = seen.sum(2)
    centres = (keypoints[..., :2] * seen).sum(2) / np.maximum(count, 1)
    centres[count[..., 0] < 3] = np.nan
    first, second = centres[:-1], centres[1:]
    stay = np.linalg.norm(first[:, 0] - second[:, 0], axis=-1) + np.linalg.norm(first[:, 1] - second[:, 1], axis=-1)
    swap = np.linalg.norm(first[:, 0] - second[:, 1], axis=-1) + np.linalg.norm(first[:, 1] - second[:, 0], axis=-1)
    with np.errstate(invalid="ignore"):
        jumps, known = (3 * swap < stay) & (stay > 8), np.isfinite(stay)
    if known.any() and jumps.sum() > max(1, SWAPPED * known.sum()):
        message = f"two people change places along P {jumps.sum():,} times in {known.sum():,} frames"
        yield "order", f"{message}; give each the same place in all frames"


def reach(keypoints: np.ndarray, size: tuple[int, int]) -> tuple[float, float]:
    """How far joints reach to the right and down, as shares of the picture; (0, 0) without joints."""
    points = _visible(keypoints)
    if not len(points) or not all(size):
        return 0.0, 0.0
    right, down = np.percentile(points, 99, axis=0) / size
    return float(right), float(down)


def all_in_a_corner(reaches: Sequence[tuple[float, float]]) -> str:
    """A line where the joints of all videos lie in the upper left part of the picture, "" else."""
    known = [pair for pair in reaches if max(pair) > 0.05]
    if len(known) < ENOUGH:
        return ""
    right, down = (max(pair[axis] for pair in known) for axis in (0, 1))
    if max(right, down) > CORNER:
        return ""
    return (
        f"the joints of all {len(known):,} videos lie in the upper left {right:.0%} × {down:.0%} of the picture: they "
        f"are probably in the pixels of one of 1/{max(2, round(1 / max(right, down)))} of the size"
    )


def _visible(keypoints: np.ndarray) -> np.ndarray:
    """(k, 2) places of the joints with a score."""
    finite = np.isfinite(keypoints).all(-1)
    with np.errstate(invalid="ignore"):
        return np.asarray(keypoints[finite & (keypoints[..., 2] > 0)][:, :2], np.float64)


def _outside(points: np.ndarray, width: int, height: int) -> float:
    """The share of points outside a picture, with a pixel of grace."""
    inside = ((points >= -1) & (points <= (width, height))).all(-1)
    return float(1 - inside.mean())


def _inside(keypoints: np.ndarray, boxes: np.ndarray) -> float:
    """The share of joints (k, N, 3) in their boxes (k, 4), widened by a fifth."""
    grace = 0.2 * np.abs(boxes[:, 2:] - boxes[:, :2])[:, None]
    places, seen = keypoints[..., :2], keypoints[..., 2] > 0
    within = ((places >= boxes[:, None, :2] - grace) & (places <= boxes[:, None, 2:] + grace)).all(-1)
    return float((within & seen).sum() / max(1, seen.sum()))

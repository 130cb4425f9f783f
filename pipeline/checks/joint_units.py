"""Joints that cannot be where an annotation says they are, and what the likely cause is: units, order, placeholders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...stages.skeletons import Skeleton

SMALL_PICTURE = 32  # px; in smaller pictures joints may lie anywhere
ENOUGH = 4  # videos from which on one corner for all of them is no chance
CORNER = 0.55  # of width and height: where all joints lie within it, the picture was probably a smaller one
PLACEHOLDERS = 0.02  # from this share of joints at (0, 0) on, the point stands for a missing joint
SWAPPED = 0.02  # from this share of frames on, in which people change places, they are in no order
MANY = 8  # videos from which on it is no chance that all people are upside down
STILL = 8  # frames from which on joints that never change are no chance
MOST_SCORE = 1.5  # networks give scores that exceed 1 by a little
TOP, BOTTOM = ("head", "nose", "eye", "neck"), ("ankle", "foot", "toe", "heel", "hip", "pelvis", "spine_base")
PAIRS = 1_000_000  # of people that are compared at once
SMALL_STEP, NEAR = 4, 0.1  # px, and in sizes of a body: who moves less may be either of two who meet


def impossible(keypoints: np.ndarray, size: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """(kind, message) for the joints (F, P, N, 3) of one video of size (w, h) px."""
    width, height = size
    points = _visible(keypoints)
    if len(points) < 8 or min(size) < SMALL_PICTURE:
        return
    zero = np.asarray((points == 0).all(-1))
    place = (0.0, 0.0) if zero.mean() > PLACEHOLDERS else _shared_place(keypoints)
    if place is not None:
        there = np.asarray((points == place).all(-1))
        yield (
            "placeholder",
            f"{there.mean():.0%} of its joints lie at ({place[0]:g}, {place[1]:g}) with a score: a missing joint has "
            "score 0",
        )
        zero |= there
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
    elif _outside(points, width, height) > 0.1 > 10 * _outside(points * (1, -1), width, height):
        yield "unit", "its y are below 0: they seem to point upwards; write -y, counted from the top"
    elif _outside(points, width, height) > 0.1 > 10 * _outside(points + np.array(size) / 2, width, height):
        yield "unit", f"its joints count from the middle of the picture: add {width / 2:g} to x and {height / 2:g} to y"
    elif _outside(points, width, height) > 0.1:
        beyond = high / np.array([width, height])
        if low.min() > -0.05 * max(size) and beyond.min() > 1 and beyond.max() > 1.2:
            reach = "×".join(f"{value:.0f}" for value in high)
            yield "unit", f"its joints reach to {reach} px in a picture of {width}×{height}: they are another size's"


def doubtful_values(keypoints: np.ndarray) -> Iterator[tuple[str, str]]:
    """(kind, message) for what may be meant so, in joints (F, P, N, 3): scores above 1, joints that never move."""
    finite = np.isfinite(keypoints).all(-1)
    with np.errstate(invalid="ignore"):
        seen = np.asarray(finite & (keypoints[..., 2] > 0))
    if not seen.any():
        return
    most = float(keypoints[..., 2][seen].max())
    if most > MOST_SCORE:
        yield "score", f"its scores reach to {most:g}, not to 1; heatmaps.score_floor and pose.choose count in them"
    same = np.equal(keypoints, keypoints[:1]).all(-1) | ~finite
    if len(keypoints) >= STILL and seen.any((1, 2)).all() and same.all():
        yield "still", f"its joints are the same in all {len(keypoints):,} frames: are they those of one frame?"


def upright(keypoints: np.ndarray, skeleton: Skeleton | None) -> float | None:
    """The share of people, over all frames, whose heads lie above their feet or hips; None where nobody has both."""
    if skeleton is None or keypoints.shape[2] != len(skeleton.joints):
        return None
    top, bottom = (
        [number for number, name in enumerate(skeleton.joints) if any(word in name.lower() for word in words)]
        for words in (TOP, BOTTOM)
    )
    joints = np.where(np.isfinite(keypoints).all(-1, keepdims=True), keypoints, 0)
    both, heights = np.ones(joints.shape[:2], bool), []
    for which in (top, bottom):  # the mean y, (F, P), of the joints that are there
        part = joints[:, :, which]
        seen = part[..., 2] > 0
        heights.append((part[..., 1] * seen).sum(-1) / np.maximum(seen.sum(-1), 1))
        both &= seen.any(-1)
    high, low = heights
    return float((high <= low)[both].mean()) if both.any() else None


def all_upside_down(shares: Sequence[float | None]) -> str:
    """A line where in nearly all videos nearly all people stand on their heads, "" else."""
    known = [share for share in shares if share is not None]
    if len(known) < MANY or np.quantile(known, 0.9) > 0.1:
        return ""
    return (
        f"heads lie below feet in nearly all of the {len(known):,} videos with joints: their y seem to count from the "
        "bottom; write height - y"
    )


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


def changed_places(keypoints: np.ndarray, *, linked: bool = False) -> Iterator[tuple[str, str]]:
    """The same for people who change places along P from one frame to the next.

    linked: whether they were linked over time already, so that `pose.link` is no remedy.
    """
    if keypoints.shape[1] < 2 or len(keypoints) < 4:
        return
    keypoints = np.where(np.isfinite(keypoints).all(-1, keepdims=True), keypoints, 0)
    there = (keypoints[..., 2] > 0).sum(-1) >= 3  # (F, P)
    known = (there[:-1].any(-1) & there[1:].any(-1)).sum()
    step = max(1, PAIRS // keypoints.shape[1] ** 2)
    parts = [slice(start, start + step + 1) for start in range(0, len(keypoints) - 1, step)]
    count = sum(int(_jumps(keypoints[part], there[part]).sum()) for part in parts)
    if count > max(1, SWAPPED * known):
        remedy = "" if linked else "set pose.link: true, or "
        message = f"people change places along P in {count:,} of {known:,} frames"
        yield "order", f"{message}; {remedy}give each the same place in all frames"


def _jumps(keypoints: np.ndarray, there: np.ndarray) -> np.ndarray:
    """(F - 1,) bool: whether somebody who is at one place in a frame is at another in the next.

    That is so where a body lies three times nearer to one of another place in the frame before than either lies to who
    has its own place; an empty place is as far as bodies are large. there: (F, P), who is there.
    """
    seen = keypoints[..., 2:] > 0
    centres = (keypoints[..., :2] * seen).sum(2) / np.maximum(seen.sum(2), 1)
    low = np.where(seen, keypoints[..., :2], np.inf).min(2)
    high = np.where(seen, keypoints[..., :2], -np.inf).max(2)
    sides = np.where(there, np.linalg.norm(np.where(there[..., None], high - low, 0), axis=-1), 0)
    moved = np.linalg.norm(centres[:-1, :, None] - centres[1:, None], axis=-1)  # (F - 1, P before, P after)
    moved[~(there[:-1, :, None] & there[1:, None])] = np.inf
    people = np.arange(keypoints.shape[1])
    stayed = moved[:, people, people]
    stayed = np.where(np.isfinite(stayed), stayed, np.maximum(sides[:-1], sides[1:]))
    instead = np.minimum(stayed[:, :, None], stayed[:, None])
    moved[:, people, people] = np.inf
    near = np.maximum(SMALL_STEP, NEAR * np.maximum(sides[:-1, :, None], sides[1:, None]))
    return ((3 * moved < instead) & (instead > near)).any((1, 2))


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


def _shared_place(keypoints: np.ndarray) -> tuple[float, float] | None:
    """The place at which joints that are different ones lie again and again, None where there is none."""
    points = _visible(keypoints)
    places, counts = np.unique(points[:, 0] + 1j * points[:, 1], return_counts=True)
    place = places[counts.argmax()]
    if counts.max() <= max(8, PLACEHOLDERS * len(points)):
        return None
    there = (keypoints[..., 2] > 0) & (keypoints[..., 0] == place.real) & (keypoints[..., 1] == place.imag)
    together = there.sum(-1)
    if (together >= 2).sum() < max(STILL, (together > 0).sum() / 2) or len(places) < 2:
        return None
    return float(place.real), float(place.imag)


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

"""Boxes of the frames of a clip, linked: which box of one frame and which of the next are the same person.

Sampled frames lie far apart: people have moved by their own width and more, have crossed, left, come in. So a box is
compared with where its person is expected, half a step of the last kind further on (people also stop and turn), and
all links of a frame are chosen together, so that two people do not swap because one of them had the first choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .tracking import Detections

REACH = 1.5  # how far from where it is expected a box may lie, in sides of a square of its area, unlike sizes included
STEP = 0.5  # the share of its last step that a person is expected to go on by
GAP = 4  # frames in a row in which a person may be missed; who comes later is somebody new


class Detection(NamedTuple):
    """A person in one frame: box (4,) x0 y0 x1 y1 px, score in 0 .. 1."""

    box: np.ndarray
    score: float


Track = dict[int, Detection]  # frame -> where the person is


def build_tracks(found: Sequence[Detections]) -> list[Track]:
    """Every box of a clip in exactly one track, in the order in which people appear.

    found: what a detector saw in each frame. The links of a frame are those whose distances have the smallest sum, a
    box that is nobody's before and a person who is not found counting as far as links reach.
    """
    known: list[Track] = []
    for frame, (boxes, scores) in enumerate(found):
        alive = [track for track in known if frame - max(track) <= GAP]
        followed = match_boxes(alive, frame, np.asarray(boxes, np.float64).reshape(-1, 4))
        for number, (box, score) in enumerate(zip(boxes, scores, strict=True)):
            if number in followed:
                alive[followed[number]][frame] = Detection(box, float(score))
            else:
                known.append({frame: Detection(box, float(score))})
    return known


def match_boxes(alive: Sequence[Track], frame: int, boxes: np.ndarray, reach: float = REACH) -> dict[int, int]:
    """Which box of a frame follows which track: box -> track, each at most once; what lies out of reach is not linked.

    alive: tracks that ended before `frame`. boxes: (k, 4) x0 y0 x1 y1 px. reach: as REACH.
    """
    if not alive or not len(boxes):
        return {}
    from scipy.optimize import linear_sum_assignment

    last = np.stack([track[max(track)].box for track in alive]).astype(np.float64)
    distances = _distances(last, np.stack([_expected(track, frame) for track in alive]), boxes)
    rows, columns = linear_sum_assignment(np.minimum(distances, reach))  # no link costs as much as the longest one
    pairs = zip(rows, columns, strict=True)
    return {int(box): int(track) for track, box in pairs if distances[track, box] < reach}


def _expected(track: Track, frame: int) -> np.ndarray:
    """The centre (2,) px at which a person is looked for."""
    seen = sorted(track)
    last = seen[-1]
    here = _centres(track[last].box)
    if len(seen) == 1:
        return here
    before = seen[-2]
    return here + STEP * (here - _centres(track[before].box)) * (frame - last) / (last - before)


def _distances(last: np.ndarray, expected: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """(tracks, boxes): from the expected centres, in sides of the two boxes, and the logarithm of the sides' ratio."""
    a, b = _sides(last)[:, None], _sides(boxes)[None]
    away = np.linalg.norm(expected[:, None] - _centres(boxes)[None], axis=-1)
    return away / ((a + b) / 2) + np.abs(np.log(a / b))


def _centres(boxes: np.ndarray) -> np.ndarray:
    return (np.asarray(boxes, np.float64)[..., :2] + boxes[..., 2:]) / 2


def _sides(boxes: np.ndarray) -> np.ndarray:
    """The side, px, of a square of each box's area."""
    return np.sqrt((boxes[:, 2:] - boxes[:, :2]).clip(1e-3).prod(-1))


class Detections(NamedTuple):
    """The people in one frame: boxes (k, 4) x0 y0 x1 y1 px, scores (k,) in 0 .. 1."""

    boxes: np.ndarray
    scores: np.ndarray

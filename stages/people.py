"""Boxes of people over a clip: the whole frame, or detections linked over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

REACH = 0.5  # a box is grown by this share on each side before overlaps are taken: sampled frames lie far apart
LINKED = 0.3  # intersection over union of the grown boxes from which two count as the same person


class Found(NamedTuple):
    """The people in one frame: boxes (k, 4) x0 y0 x1 y1 px, scores (k,) in 0 .. 1."""

    boxes: np.ndarray
    scores: np.ndarray


class _Sighting(NamedTuple):
    box: np.ndarray
    score: float


_Track = dict[int, _Sighting]  # frame -> where the person is


def whole_frame(frames: int, people: int, size: tuple[int, int]) -> np.ndarray:
    """Boxes (frames, people, 4): all of a frame of `size` (w, h) px for the first person, NaN for the others."""
    boxes = np.full((frames, people, 4), np.nan, np.float32)
    boxes[:, 0] = (0, 0, *size)
    return boxes


def present(boxes: np.ndarray) -> np.ndarray:
    """(...,) bool: which boxes (..., 4) are boxes: finite, and of positive width and height."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.isfinite(boxes).all(-1) & (boxes[..., 2:] > boxes[..., :2]).all(-1))


def linked(found: Sequence[Found], people: int) -> np.ndarray:
    """The boxes of the foremost `people` over a clip: (T, people, 4) float32 px, NaN where one is not seen.

    found: what a detector saw in each frame. Boxes are linked greedily, best overlap first, each to the last box of a
    track. Tracks are ranked by area times score, summed over their frames: large, sure and lasting people first. A
    track that begins after a better one has ended, or lies in its gaps, takes the same place.
    """
    places: list[_Track] = []
    for track in sorted(_tracks(found), key=_weight, reverse=True):
        place = next((place for place in places if place.keys().isdisjoint(track)), None)
        if place is not None:
            place.update(track)
        elif len(places) < people:
            places.append(dict(track))
    boxes = np.full((len(found), people, 4), np.nan, np.float32)
    for person, place in enumerate(places):
        for frame, sighting in place.items():
            boxes[frame, person] = sighting.box
    return boxes


def _tracks(found: Sequence[Found]) -> list[_Track]:
    tracks: list[_Track] = []
    for frame, (boxes, scores) in enumerate(found):
        last = np.array([track[max(track)].box for track in tracks], np.float64).reshape(-1, 4)
        followed = _matches(last, np.asarray(boxes, np.float64).reshape(-1, 4))
        for number, (box, score) in enumerate(zip(boxes, scores, strict=True)):
            if number in followed:
                tracks[followed[number]][frame] = _Sighting(box, float(score))
            else:
                tracks.append({frame: _Sighting(box, float(score))})
    return tracks


def _matches(last: np.ndarray, boxes: np.ndarray) -> dict[int, int]:
    """box -> track, greedily by overlap; every track and every box at most once."""
    overlaps = _overlaps(_grown(last), _grown(boxes))  # (tracks, boxes)
    followed: dict[int, int] = {}
    for flat in np.argsort(-overlaps, axis=None, kind="stable"):
        track, box = np.unravel_index(flat, overlaps.shape)
        if overlaps[track, box] < LINKED:
            break
        if box not in followed and track not in followed.values():
            followed[int(box)] = int(track)
    return followed


def _grown(boxes: np.ndarray) -> np.ndarray:
    margin = REACH * (boxes[:, 2:] - boxes[:, :2])
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], 1)


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of a (m, 4) with every box of b (n, 4): (m, n)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = (high - low).clip(0).prod(-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(-1) for boxes in (a, b)]
    return common / np.maximum(areas[0][:, None] + areas[1][None] - common, 1e-9)


def _weight(track: _Track) -> float:
    return sum(float((s.box[2] - s.box[0]) * (s.box[3] - s.box[1])) * s.score for s in track.values())

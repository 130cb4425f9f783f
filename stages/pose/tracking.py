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
    """A person in one frame: box (4,) x0 y0 x1 y1 px, score in 0 .. 1, number among the boxes of its frame."""

    box: np.ndarray
    score: float
    number: int = 0


Track = dict[int, Detection]  # frame -> where the person is, in the order of the frames


def build_tracks(found: Sequence[Detections]) -> list[Track]:
    """Every box of a clip in exactly one track, in the order in which people appear.

    found: what a detector saw in each frame. The links of a frame are those whose distances have the smallest sum, a
    box that is nobody's before and a person who is not found counting as far as links reach.
    """
    known: list[Track] = []
    alive: list[Track] = []
    for frame, (boxes, scores) in enumerate(found):
        alive = [track for track in alive if frame - next(reversed(track)) <= GAP]
        followed = match_boxes(alive, frame, np.asarray(boxes, np.float64).reshape(-1, 4))
        new: list[Track] = []
        for number, (box, score) in enumerate(zip(boxes, scores, strict=True)):
            track = alive[followed[number]] if number in followed else {}
            if not track:
                new.append(track)
            track[frame] = Detection(box, float(score), number)
        known += new
        alive += new
    return known


class Tracker:
    """Links boxes frame by frame, for films that have no end: who was not seen for GAP frames is forgotten."""

    def __init__(self) -> None:
        self._alive: dict[int, Track] = {}
        self._steps = 0
        self._count = 0

    def follow(self, seen: Detections) -> list[int]:
        """The number, from 0, of the person in each box of the next frame, in the boxes' order."""
        boxes, scores = seen
        step, self._steps = self._steps, self._steps + 1
        self._alive = {number: track for number, track in self._alive.items() if step - max(track) <= GAP}
        numbers, alive = list(self._alive), list(self._alive.values())
        followed = match_boxes(alive, step, np.asarray(boxes, np.float64).reshape(-1, 4))
        found: list[int] = []
        for place, (box, score) in enumerate(zip(boxes, scores, strict=True)):
            if place in followed:
                number = numbers[followed[place]]
            else:
                number, self._count = self._count, self._count + 1
                self._alive[number] = {}
            track = self._alive[number]
            track[step] = Detection(box, float(score), place)
            for old in sorted(track)[:-2]:  # the last two say where a person is going
                del track[old]
            found.append(number)
        return found


def shared_places(tracks: Sequence[Track], people: int) -> list[Track]:
    """At most `people` tracks made of those given, the foremost first: one that begins after a better one has ended,
    or lies in its gaps, takes the same place. Tracks that find no place are left out."""
    places: list[Track] = []
    for track in tracks:
        place = next((place for place in places if place.keys().isdisjoint(track)), None)
        if place is not None:
            place.update(track)
        elif len(places) < people:
            places.append(dict(track))
    return places


def match_boxes(alive: Sequence[Track], frame: int, boxes: np.ndarray, reach: float = REACH) -> dict[int, int]:
    """Which box of a frame follows which track: box -> track, each at most once; what lies out of reach is not linked.

    alive: tracks that ended before `frame`. boxes: (k, 4) x0 y0 x1 y1 px. reach: as REACH.
    """
    if not alive or not len(boxes):
        return {}
    from scipy.optimize import linear_sum_assignment

    last = np.stack([track[next(reversed(track))].box for track in alive]).astype(np.float64)
    expected = np.stack([_expected(track, frame) for track in alive])
    a, b = _sides(last)[:, None], _sides(boxes)[None]
    away = np.linalg.norm(expected[:, None] - _centres(boxes)[None], axis=-1)
    distances = away / ((a + b) / 2) + np.abs(np.log(a / b))  # (tracks, boxes), in sides of the two boxes
    rows, columns = linear_sum_assignment(np.minimum(distances, reach))  # no link costs as much as the longest one
    pairs = zip(rows, columns, strict=True)
    return {int(box): int(track) for track, box in pairs if distances[track, box] < reach}


def _expected(track: Track, frame: int) -> np.ndarray:
    """The centre (2,) px at which a person is looked for."""
    backwards = reversed(track)
    last = next(backwards)
    here = _centres(track[last].box)
    before = next(backwards, None)
    if before is None:
        return here
    return here + STEP * (here - _centres(track[before].box)) * (frame - last) / (last - before)


def _centres(boxes: np.ndarray) -> np.ndarray:
    return (np.asarray(boxes, np.float64)[..., :2] + boxes[..., 2:]) / 2


def _sides(boxes: np.ndarray) -> np.ndarray:
    """The side, px, of a square of each box's area."""
    return np.sqrt((boxes[:, 2:] - boxes[:, :2]).clip(1e-3).prod(-1))


class Detections(NamedTuple):
    """The people in one frame: boxes (k, 4) x0 y0 x1 y1 px, scores (k,) in 0 .. 1."""

    boxes: np.ndarray
    scores: np.ndarray

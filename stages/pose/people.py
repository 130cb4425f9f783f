"""Boxes of people over a clip: the whole frame, or detections linked over time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .tracking import Detections, Track, build_tracks, shared_places


def whole_frame_boxes(frames: int, people: int, size: tuple[int, int]) -> np.ndarray:
    """Boxes (frames, people, 4): all of a frame of `size` (w, h) px for the first person, NaN for the others."""
    boxes = np.full((frames, people, 4), np.nan, np.float32)
    boxes[:, 0] = (0, 0, *size)
    return boxes


def valid_boxes(boxes: np.ndarray) -> np.ndarray:
    """(...,) bool: which boxes (..., 4) are boxes: finite, and of positive width and height."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.isfinite(boxes).all(-1) & (boxes[..., 2:] > boxes[..., :2]).all(-1))


def link_people(found: Sequence[Detections], people: int, choose: str = "auto") -> np.ndarray:
    """The boxes of the foremost `people` over a clip: (T, people, 4) float32 px, NaN where one is not seen.

    found: what a detector saw in each frame. choose: by what tracks are ranked, summed over their frames: "auto", area
    times score (large, sure and lasting people first); "largest", area; "score"; "moving", how far the box's corners
    stray from their mean places. Tracks share places as in `shared_places`.
    """
    tracks = sorted(build_tracks(found), key=lambda track: _weight(track, choose), reverse=True)
    boxes = np.full((len(found), people, 4), np.nan, np.float32)
    for person, place in enumerate(shared_places(tracks, people)):
        for frame, sighting in place.items():
            boxes[frame, person] = sighting.box
    return boxes


def _weight(track: Track, choose: str) -> float:
    boxes = np.stack([sighting.box for sighting in track.values()]).astype(np.float64)
    scores = np.array([sighting.score for sighting in track.values()])
    if choose == "moving":
        corners = boxes.reshape(-1, 2, 2)
        strays = ((corners - corners.mean(0)) ** 2).sum(-1).mean(0)
        return float(np.sqrt(strays).mean() * len(track))
    if choose == "score":
        return float(scores.sum())
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    return float(areas.sum() if choose == "largest" else (areas * scores).sum())

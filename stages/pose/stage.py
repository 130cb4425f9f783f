"""Pose: where the joints of a clip come from, and the joints that a data set annotates.

The networks are in estimator.py, the boxes they look into in people.py and detector.py. Nothing heavy is imported
here: a machine that only trains reads keys and skeletons through this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...errors import AnnotationError
from ..base import Array
from .projection import Projection
from .tracking import Detections, build_tracks, shared_places

LENGTH_TOLERANCE = 0.1, 5  # an annotation may differ from its video by this share of the frames plus so many frames
BOX_MARGIN = 0.1  # joints end at wrists, ankles and eyes: boxes around them are grown by this share on each side


@dataclass(frozen=True)
class PoseStage:
    """The settings of the pose stage that stand in its key.

    source: "annotations", "mmpose", or "auto": annotations where a video has them, mmpose where it has none. model:
    mmpose's name of the network. checkpoint: "official", "random", or the sha256 of a file. detector: "annotations",
    "frame", or the name of a torchvision detector; detector_weights: as checkpoint. people: how many a clip keeps.
    seed: of random weights. occluded: keep annotated joints that are marked as not seen. layout: "own", or the name of
    the layout to which joints are converted. choose: which people are kept, see `annotated_keypoints` and
    `link_people`. link: whether annotated people are linked over time, whatever their places along P are. projection,
    yaw, up, scale, centre: of joints in three dimensions, see `Projection`.
    """

    source: str = "annotations"
    model: str = "rtmpose-m_8xb256-420e_coco-256x192"
    checkpoint: str = "official"
    detector: str = "annotations"
    detector_weights: str = "official"
    people: int = 1
    seed: int = 0
    occluded: bool = False
    layout: str = "own"
    choose: str = "auto"
    link: bool = False
    projection: str | None = None
    yaw: float = 0.0
    up: str = "y"
    scale: float = 250.0
    centre: str = "clip"

    name: ClassVar[str] = "pose"
    version: ClassVar[int] = 1
    arrays: ClassVar[Mapping[str, Array]] = {
        "keypoints": Array(
            "t people joint xyscore",
            "float32",
            "px, px, 1",
            "x and y of every joint in the frame, mirrored where the view is, pixel centres at whole numbers; score 0 "
            "where the joint or the person is absent, whatever x and y are",
        )
    }

    @property
    def estimates(self) -> bool:
        """Whether a pose network may be needed."""
        return self.source != "annotations"

    @property
    def detects(self) -> bool:
        """Whether a network looks for the people."""
        return self.estimates and self.detector not in ("annotations", "frame")

    def settings(self) -> dict[str, Any]:
        """What stands in the key: only what can change the joints."""
        settings: dict[str, Any] = {"source": self.source, "people": self.people}
        if self.source != "mmpose" and self.occluded:
            settings["occluded"] = True
        if self.estimates:
            settings |= {"model": self.model, "checkpoint": self.checkpoint, "detector": self.detector}
            if self.detects:
                settings |= {"detector_weights": self.detector_weights, "linking": "assignment", "crops": "grid"}
            if "random" in (self.checkpoint, settings.get("detector_weights")):
                settings["seed"] = self.seed
        if self.layout != "own":
            settings["layout"] = self.layout
        # `choose` where it is another rule than the source has by itself; a whole frame holds one person
        is_whole = self.source == "mmpose" and self.detector == "frame"
        if self.choose != "auto" and not is_whole and (self.detects or self.choose != "moving"):
            settings["choose"] = self.choose
        if self.link and (self.source != "mmpose" or self.detector == "annotations"):
            settings["link"] = True
        if self.projection:
            settings |= {"projection": self.projection, "up": self.up, "scale": self.scale}
            settings |= {"yaw": self.yaw, "seed": self.seed} if self.yaw else {}
            settings |= {"centre": self.centre} if self.centre != "clip" else {}
        return settings

    @property
    def flattening(self) -> Projection | None:
        """How joints in three dimensions become pixels; None where the recipe does not say."""
        if self.projection is None:
            return None
        return Projection(self.projection, self.yaw, self.up, self.scale, self.seed, self.centre)


def annotated_keypoints(
    keypoints: np.ndarray, frame_index: np.ndarray, count: int, people: int, choose: str = "auto", *, link: bool = False
) -> np.ndarray:
    """The annotated joints of a clip's frames, (T, people, N, 3) float32, the foremost people first.

    keypoints: (F, P0, N, 3) x px, y px, score of every annotated frame. frame_index: (T,) int, the clip's frames.
    count: how many frames the video has. choose: who is foremost over the whole annotation: "auto" and "moving",
    whoever moves most; "largest", by the area around the joints; "score", by the joints' scores; both summed over the
    frames. link: a person is whom `build_tracks` follows over all annotated frames, not who has one place along P0.
    What is not finite, and frames after the annotation's end, are absent (all zero). Raises AnnotationError where the
    annotation's length is far from the video's.
    """
    _check_length(len(keypoints), count)
    keypoints = _finite(keypoints)
    order = _linked(keypoints, None, people, choose) if link else _unlinked(keypoints, people, choose)
    return _rows_at(_picked(keypoints, order, 0.0), frame_index, 0.0)


def annotated_boxes(
    keypoints: np.ndarray,
    boxes: np.ndarray | None,
    frame_index: np.ndarray,
    count: int,
    people: int,
    choose: str = "auto",
    *,
    link: bool = False,
) -> np.ndarray:
    """The annotated boxes of a clip's frames, (T, people, 4) float32 x0 y0 x1 y1 px, in the order of
    `annotated_keypoints`.

    boxes: (F, P0, 4), NaN where there is nobody; without them, the extent of the joints, grown by a tenth on each side.
    link: as there, by these boxes. NaN where there is nobody and after the annotation's end. Raises AnnotationError as
    `annotated_keypoints` does.
    """
    _check_length(len(keypoints), count)
    keypoints = _finite(keypoints)
    order = _linked(keypoints, boxes, people, choose) if link else _unlinked(keypoints, people, choose)
    boxes = _extents(keypoints) if boxes is None else np.asarray(boxes, np.float32)
    return _rows_at(_picked(boxes, order, np.nan), frame_index, np.nan)


def linked_keypoints(keypoints: np.ndarray) -> np.ndarray:
    """The same joints (F, P, N, 3) with people linked over time, each at one place along P as far as that goes."""
    keypoints = _finite(keypoints)
    return _picked(keypoints, _linked(keypoints, None, keypoints.shape[1], "auto"), 0.0)


def _check_length(length: int, count: int) -> None:
    share, frames = LENGTH_TOLERANCE
    if abs(length - count) > share * count + frames:
        raise AnnotationError(
            f"the annotation has {length} frames and the video {count}: they do not belong together; "
            "correct the annotation, or take the joints from pose.source: mmpose"
        )


def _finite(keypoints: np.ndarray) -> np.ndarray:
    """A copy in float32 in which a joint is wholly there or, all zero, absent."""
    keypoints = np.array(keypoints, np.float32)
    keypoints[~(np.isfinite(keypoints).all(-1) & (keypoints[..., 2] > 0))] = 0
    return keypoints


def _unlinked(keypoints: np.ndarray, people: int, choose: str) -> np.ndarray:
    """(F, people) places along P0 of the foremost people, the same in every frame; -1 where there are fewer."""
    weights, seen = _weights(keypoints, choose)
    order = np.lexsort((-seen, -weights))[:people]
    order = np.concatenate([order, np.full(people - len(order), -1)])
    return np.broadcast_to(order, (len(keypoints), people))


def _linked(keypoints: np.ndarray, boxes: np.ndarray | None, people: int, choose: str) -> np.ndarray:
    """(F, people) places along P0 of the foremost people, frame by frame; -1 where one is not seen."""
    around = _extents(keypoints, least=1)
    if boxes is not None:
        around = np.where(np.isfinite(boxes).all(-1, keepdims=True), boxes, around).astype(np.float32)
    there = [np.flatnonzero(np.isfinite(frame).all(-1)) for frame in around]
    tracks = build_tracks([Detections(frame[who], np.ones(len(who))) for frame, who in zip(around, there, strict=True)])
    ranks = []
    for track in tracks:
        places = [there[frame][sighting.number] for frame, sighting in track.items()]
        weights, seen = _weights(keypoints[list(track), places][:, None], choose)
        ranks.append((-weights[0], -seen[0]))
    foremost = sorted(range(len(tracks)), key=ranks.__getitem__)
    order = np.full((len(keypoints), people), -1)
    for person, track in enumerate(shared_places([tracks[number] for number in foremost], people)):
        for frame, sighting in track.items():
            order[frame, person] = there[frame][sighting.number]
    return order


def _picked(values: np.ndarray, order: np.ndarray, absent: float) -> np.ndarray:
    """Of values (F, P0, ...) those of the people in `order` (F, people), (F, people, ...); `absent` for -1."""
    if not values.shape[1]:
        return np.full((*order.shape, *values.shape[2:]), absent, values.dtype)
    picked = values[np.arange(len(values))[:, None], order]
    picked[order < 0] = absent
    return picked


def _weights(keypoints: np.ndarray, choose: str) -> tuple[np.ndarray, np.ndarray]:
    """By what people are ranked, (P0,), and how many joints of each are seen, (P0,): it decides between equals."""
    if choose == "largest":
        boxes = _extents(keypoints).astype(np.float64)
        weights = np.nan_to_num((boxes[..., 2:] - boxes[..., :2]).prod(-1)).sum(0)
    elif choose == "score":
        weights = keypoints[..., 2].sum((0, 2), dtype=np.float64)
    else:
        # The main actor moves most (docs/method.md, "NTU RGB+D"): the standard deviation of a joint's place over the
        # frames in which it is seen, times the share of the frames in which it is, mean over joints: a body that
        # flickers up for a few frames does not count as an actor.
        seen = keypoints[..., 2] > 0  # (F, P0, N)
        frames = np.maximum(seen.sum(0), 1)
        middle = keypoints[..., :2].sum(0, dtype=np.float64) / frames[..., None]
        squares = ((keypoints[..., :2] - middle) ** 2).sum(-1) * seen
        weights = (np.sqrt(squares.sum(0) / frames) * seen.sum(0)).mean(-1)  # of one clip: frames are common to all
    return weights, (keypoints[..., 2] > 0).sum((0, 2))


def _extents(keypoints: np.ndarray, least: int = 2) -> np.ndarray:
    """Boxes (F, P0, 4) around the joints that are there, grown; NaN where fewer than `least` are."""
    seen = keypoints[..., 2:] > 0
    low = np.where(seen, keypoints[..., :2], np.inf).min(-2)
    high = np.where(seen, keypoints[..., :2], -np.inf).max(-2)
    enough = seen.sum((-1, -2)) >= least
    boxes = np.full((*keypoints.shape[:2], 4), np.nan, np.float32)
    grown = BOX_MARGIN * (high - low)[enough]
    boxes[enough] = np.concatenate([low[enough] - grown, high[enough] + grown], -1)
    return boxes


def _rows_at(values: np.ndarray, frame_index: np.ndarray, absent: float) -> np.ndarray:
    """Rows of `values` (F, ...) at the clip's frames (T,); `absent` where the frame is beyond the end."""
    frame_index = np.asarray(frame_index)
    picked = np.full((len(frame_index), *values.shape[1:]), absent, np.float32)
    inside = frame_index < len(values)
    picked[inside] = values[frame_index[inside]]
    return picked

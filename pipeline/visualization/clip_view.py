"""One cached clip beside its video: its frames as the view shows them, and the two pictures drawn of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ...errors import StarError
from ...stages.cropping import crop_frame
from ...stages.decode import open_video
from ...stages.pose.stage import annotated_boxes
from .. import datasets
from ..datasets.base import Video
from ..extraction.video_task import region_of
from ..planning.plan import Plan
from .drawing import overlay, scene

Arrays = dict[str, np.ndarray]


class Viewer:
    """Draws frames of one clip; everything is in the coordinates of the view, mirrored if it is.

    arrays: the clip's cached arrays, `decode`'s at least. region: (4,) of the crop, in edge coordinates.
    """

    def __init__(self, planned: Plan, video: Video, view: int, arrays: Arrays) -> None:
        self.planned, self.video, self.arrays = planned, video, arrays
        crop = planned.graph["heatmaps"].stage.crop
        self.region = region_of(crop, arrays, arrays.get("keypoints"), video.id, view)
        self.skeleton = skeleton(planned)
        self.boxes = self._boxes()

    def frames(self, steps: Iterable[int]) -> dict[int, np.ndarray]:
        """The video's frames (h, w, 3) at some steps of the clip; without those that cannot be had any more."""
        numbers = {int(t): int(self.arrays["frame_index"][t]) for t in steps}
        if not self.video.media.exists():
            return {}
        try:
            with open_video(self.video.media, reader=self.planned.recipe.decode.reader) as reader:
                found = dict(reader.frames(sorted(set(numbers.values()))))
        except (StarError, IndexError):  # the file is another one by now
            return {}
        if self.arrays["flip"]:
            found = {number: np.ascontiguousarray(frame[:, ::-1]) for number, frame in found.items()}
        return {t: found[number] for t, number in numbers.items()}

    def scene(self, frame: np.ndarray, t: int, width: int, height: int) -> np.ndarray:
        """The whole frame with joints, annotated boxes and the crop region, fitted into (width, height) px."""
        nobody = np.zeros((0, 0, 3), np.float32)
        return scene(
            frame,
            self.arrays["keypoints"][t] if "keypoints" in self.arrays else nobody,
            width=width,
            height=height,
            skeleton=self.skeleton,
            floor=self.planned.recipe.heatmaps.score_floor,
            boxes=None if self.boxes is None else self.boxes[t],
            region=self.region,
        )

    def seen(self, frame: np.ndarray | None, t: int, side: int) -> np.ndarray | None:
        """What the network saw of a frame, with all joints' heat maps over it: (side, side, 3).

        Without a frame the heat maps are on black; None where there is neither.
        """
        maps = self.arrays.get("joint_heatmap")
        if frame is None and maps is None:
            return None
        size = self.planned.recipe.backbone.size
        below = np.zeros((size, size, 3), np.uint8) if frame is None else crop_frame(frame, self.region, size)
        heat = np.zeros((1, 1), np.float32) if maps is None else maps[t].astype(np.float32).max(0)
        return overlay(below, heat, side)

    def _boxes(self) -> np.ndarray | None:
        """The annotation's own boxes (T, P, 4), None where it has none."""
        if self.video.annotation is None or not self.video.annotation.exists():
            return None
        index, count = self.arrays["frame_index"], int(self.arrays["frame_count"])
        try:
            found = datasets.read_annotation(self.planned.recipe.dataset.kind, self.video.annotation)
            if found.boxes is None:
                return None
            pose = self.planned.recipe.pose
            boxes = annotated_boxes(
                found.keypoints, found.boxes, index, count, pose.people, pose.choose, link=pose.link
            )
        except StarError:
            return None
        if self.arrays["flip"]:
            boxes[..., [0, 2]] = int(self.arrays["frame_size"][0]) - 1 - boxes[..., [2, 0]]
        return boxes


def skeleton(planned: Plan) -> Mapping[str, Any]:
    """Names, pairs and limbs of the cached joints, as the segments themselves say; empty without any."""
    stage_store = planned.stages["pose"].stage_store if "pose" in planned.stages else None
    names = stage_store.segments() if stage_store else []
    if stage_store is None or not names:
        return {}
    segment = stage_store.segment(names[0])
    found = segment.provenance.get("skeleton", {})
    joints = segment.layout("keypoints").shape[3]
    used = [joint for part in ("flip_pairs", "limbs") for pair in found.get(part, ()) for joint in pair]
    return found if len(found.get("joints", ())) == joints > max(used, default=0) else {}

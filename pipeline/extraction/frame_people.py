"""People and joints of a film's frames, each frame looked at once, however many windows it lies in.

Nothing of it depends on the window: a detector sees a frame, a pose network a box of a frame. What a window makes of
its frames, which box of one and of the next are the same person, it makes itself, as a clip of its own does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...stages.pose.estimator import person_crops
from ...stages.pose.people import link_people, valid_boxes, whole_frame_boxes
from ...stages.pose.tracking import Detections, Tracker
from ...stages.skeletons import SKELETONS
from .models import Models
from .video_task import Arrays, stored

if TYPE_CHECKING:
    pass


SEEN = 0.25  # the share of a window's frames in which somebody must be seen to be answered for


class FrameJoints:
    """The frames in hand, and what networks have found in them.

    models: the networks of the recipe, which says how people are found. tracked: also follow each person over the
    whole film.
    """

    def __init__(self, models: Models, *, tracked: bool = False) -> None:
        self.models, self.settings = models, models.recipe.pose
        self.frames: dict[int, np.ndarray] = {}
        self._tracker = Tracker() if tracked else None
        self._detections: dict[int, Detections] = {}
        self._tracks: dict[int, list[int]] = {}
        self._joints: dict[tuple[int, bytes], np.ndarray] = {}

    @property
    def _detects(self) -> bool:
        return self.settings.detector != "frame"

    def add(self, index: int, picture: np.ndarray) -> None:
        """Take a frame; frames come in order."""
        self.frames[index] = picture

    def forget(self, first: int) -> None:
        """Drop all that is about frames before `first`."""
        for known in (self.frames, self._detections, self._tracks):
            for index in [index for index in known if index < first]:
                del known[index]
        self._joints = {key: found for key, found in self._joints.items() if key[0] >= first}

    def boxes(self, arrays: Arrays) -> np.ndarray:
        """The boxes (T, people, 4) px of a window's foremost people, NaN where one is not seen.

        arrays: of stage decode.
        """
        index = [int(number) for number in arrays["frame_index"]]
        size = int(arrays["frame_size"][0]), int(arrays["frame_size"][1])
        if not self._detects:
            return whole_frame_boxes(len(index), self.settings.people, size)
        self._detect(index, size)
        return link_people([self._detections[number] for number in index], self.settings.people, self.settings.choose)

    def tracked_boxes(self, arrays: Arrays) -> dict[int, np.ndarray]:
        """The boxes of every person in a window by the number of its track, which is the same in all windows:
        (T, people, 4) px, of which only the first person is there. Who is seen in fewer than SEEN of its frames is
        left out."""
        index = [int(number) for number in arrays["frame_index"]]
        self._detect(index, (int(arrays["frame_size"][0]), int(arrays["frame_size"][1])))
        found: dict[int, np.ndarray] = {}
        for t, number in enumerate(index):
            for track, box in zip(self._tracks[number], self._detections[number].boxes, strict=True):
                own = found.setdefault(track, np.full((len(index), self.settings.people, 4), np.nan, np.float32))
                own[t, 0] = box
        return {track: own for track, own in sorted(found.items()) if valid_boxes(own[:, 0]).mean() >= SEEN}

    def keypoints(self, arrays: Arrays, boxes: np.ndarray) -> np.ndarray:
        """The joints (T, people, N, 3) of a window in its boxes, as they would be cached."""
        import torch

        from ...stages.pose.person_crop_gpu import person_crops_gpu

        index = [int(number) for number in arrays["frame_index"]]
        held = valid_boxes(boxes)
        keys = [(index[t], boxes[t, person].tobytes()) for t, person in np.argwhere(held)]
        new = {key: np.frombuffer(key[1], np.float32) for key in keys if key not in self._joints}
        if new:
            numbers, around = [key[0] for key in new], np.stack(list(new.values()))
            window, pictures = self.models.estimator.window, [self.frames[number] for number in numbers]
            if self._detects:  # cut as for clips: where the detector is, or as the decoding child does
                device = self.models.device
                crops = person_crops_gpu(window, torch.from_numpy(np.stack(pictures)).to(device), around[:, None])
            else:
                crops = person_crops(window, pictures, around[:, None])
            found = self.models.estimator.predict(crops, around)
            self._joints.update(zip(new, found, strict=True))
        skeleton = self.models.estimator.skeleton
        joints = np.zeros((*held.shape, len(skeleton.joints), 3), np.float32)
        if keys:
            joints[held] = np.stack([self._joints[key] for key in keys])
        return stored(joints, arrays, skeleton, SKELETONS.get(self.settings.layout))

    def _detect(self, index: list[int], size: tuple[int, int]) -> None:
        # Who is followed is followed in the order of the film, also through frames that only a later window takes.
        seen = index if self._tracker is None else [number for number in self.frames if number <= max(index)]
        new = sorted({number for number in seen if number not in self._detections})
        if not new:
            return
        found = self.models.detector.find(np.stack([self.frames[number] for number in new]), size)
        self._detections.update(zip(new, found, strict=True))
        if self._tracker is not None:
            for number, seen in zip(new, found, strict=True):
                self._tracks[number] = self._tracker.follow(seen)

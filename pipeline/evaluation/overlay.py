"""A film with what a network says of it drawn in: labels with their probability, boxes and skeletons.

The film is decoded a second time, beside the windows and no further than these have come, so that an hour of film takes
no more memory than a minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from ...errors import MissingPackage
from ..datasets.base import Video
from ..extraction.child_stream import ChildStream
from ..extraction.sliding_windows import PictureSource, StreamHeader, read_pictures
from ..planning.joint_layout import held
from ..visualization.drawing import scene
from ..visualization.video_writer import VideoWriter, words_on
from .pose_accuracy import head_of
from .predictor import TrainedPredictor
from .temporal_segments import shown_span
from .timeline import WindowAnswer

LETTERS = 1 / 18  # of a picture's height
LINES = 1 / 240


class VideoOverlay:
    """Draws the answers of a film into it as they come; use it in a `with`, at whose end the film is written.

    skeleton: its `limbs` and `flip_pairs`. floor: joints with this score or less are not shown. every: seconds from
    window to window. Raises VideoError, StorageError, MachineError.
    """

    def __init__(
        self, path: Path, video: Video, every: float, skeleton: Mapping[str, Any], floor: float, timeout: float
    ) -> None:
        self.every, self.skeleton, self.floor = every, skeleton, floor
        self._child = ChildStream(read_pictures, PictureSource(video.id, video.media), video.id, timeout)
        try:
            self._pictures = iter(self._child)
            head = next(self._pictures)
            assert isinstance(head, StreamHeader)
            self._writer = VideoWriter(path, head.size, head.frames / head.seconds)
        except BaseException:
            self._child.close()
            raise
        self._said: list[WindowAnswer] = []  # of the window that is shown
        self._held: tuple[float, np.ndarray] | None = None  # a picture that came too early
        self._begun = self._is_cut = False
        self._index = -1

    def add(self, answer: WindowAnswer) -> None:
        """Take an answer; of several people in a window all come before the next window."""
        if self._said and self._said[0].start != answer.start:
            self._show()
        self._said.append(answer)

    def cut_short(self) -> None:
        """No further answers come: the film ends with what the last one speaks for."""
        self._is_cut = True

    def _show(self, *, last: bool = False) -> None:
        """Draw the pictures for which the window in hand speaks; the last one speaks for the rest of the film."""
        if not self._said:
            return
        end = shown_span(self._said[0], self.every, first=not self._begun)[1]
        while (coming := self._held or next(self._pictures, None)) is not None:
            self._held = coming
            if coming[0] >= end and not last:
                break
            self._held, self._index = None, self._index + 1
            self._writer.add(self._drawn(coming[1]), coming[0])
        self._said, self._begun = [], True

    def _drawn(self, picture: np.ndarray) -> np.ndarray:
        height, width = picture.shape[:2]
        marks = [answer.marks for answer in self._said if answer.marks]
        joints = [at_frame(one.frame_index, one.keypoints, self._index) for one in marks if one.keypoints is not None]
        boxes = [at_frame(one.frame_index, one.boxes, self._index) for one in marks if one.boxes is not None]
        drawn = scene(
            picture, np.concatenate(joints) if joints else np.zeros((0, 0, 3), np.float32), width=width, height=height,
            skeleton=self.skeleton, floor=self.floor, boxes=np.concatenate(boxes) if boxes else None,
            thickness=max(1, round(height * LINES)),
        )  # fmt: skip
        letters = max(9, round(height * LETTERS))
        for answer in self._said:
            text = f"{answer.label}  {answer.probability:.0%}"
            if answer.person is None:
                words_on(drawn, text, (0, 0), letters, answer.probability)
            elif answer.marks is not None and answer.marks.boxes is not None:
                box = at_frame(answer.marks.frame_index, answer.marks.boxes, self._index)[0]
                if np.isfinite(box).all():  # the person is seen: the words stand above the box
                    place = int(box[0]), int(box[1]) - 2 * letters
                    words_on(drawn, f"{answer.person}: {text}", place, max(9, letters * 2 // 3), answer.probability)
        return drawn

    def __enter__(self) -> VideoOverlay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with self._writer:
                if error is not None:
                    raise error
                self._show(last=not self._is_cut)
        finally:
            self._child.close()


def at_frame(index: np.ndarray, values: np.ndarray, frame: int) -> np.ndarray:
    """What a window's values (T, P, ...) come to in one frame of the film: (P, ...).

    index: (T,) the frames that they are of, ascending. Between two of them the values are in between, where both are
    there; a score (the last of three numbers) is the lower one. Before the first and after the last they stay.
    """
    after = int(np.searchsorted(index, frame))
    if after == 0 or after == len(index):
        return values[min(after, len(index) - 1)]
    before = after - 1
    share = (frame - index[before]) / max(index[after] - index[before], 1)
    found = values[before] * (1 - share) + values[after] * share
    if values.shape[-1] == 3:
        found[..., 2] = np.minimum(values[before][..., 2], values[after][..., 2])
    return found


def skeleton_of(predictor: TrainedPredictor) -> Mapping[str, Any]:
    """The names, pairs and limbs of the joints that a predictor's clips have; empty where it looks for none."""
    recipe = predictor.recipe
    if "pose" not in predictor.stages and not head_of(predictor.note):
        return {}
    try:
        return asdict(held(recipe, predictor.skeleton))
    except MissingPackage:
        return {}


def open_overlay(path: Path, video: Video, predictor: TrainedPredictor, every: float) -> VideoOverlay:
    """A VideoOverlay for a predictor's answers."""
    recipe = predictor.recipe
    return VideoOverlay(path, video, every, skeleton_of(predictor), recipe.heatmaps.score_floor, recipe.decode.timeout)

"""Small pictures of clips for reports: frames that the network saw, in the order of reading, with their joints."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from ...errors import StarError
from ...stages.decode import open_video
from ..planning.plan import Plan, plan
from ..recipe import schema as recipes
from .clip_figure import cached, limbs

ROWS, COLUMNS, HEIGHT = 2, 4, 120  # pictures of a strip, and the height of each, px
LIMB, JOINT = (80, 255, 80), (255, 60, 60)


class Thumbnails:
    """video id -> JPEG of one of its clips, None where the video or the cache is not at hand.

    run: folder of the run whose recipe says which data set and which frames.
    """

    def __init__(self, run: Path) -> None:
        self.run = run

    @cached_property
    def planned(self) -> Plan | None:
        """The cache's joints; asked for once, and only if there is a clip to show."""
        try:
            return plan(recipes.load(self.run / "recipe.yaml"), only=("pose",))
        except StarError:
            return None

    def __call__(self, video: str) -> bytes | None:
        """The strip of a video's first view."""
        import cv2

        planned = self.planned
        found = next((known for known in planned.manifest.videos if known.id == video), None) if planned else None
        if planned is None or found is None or not found.media.exists():
            return None
        try:
            arrays = cached(planned, video, 0)
            if "frame_index" not in arrays:
                return None
            steps = np.linspace(0, len(arrays["frame_index"]) - 1, ROWS * COLUMNS).round().astype(int)
            wanted = arrays["frame_index"][steps]
            with open_video(found.media, reader=planned.recipe.decode.reader) as reader:
                frames = dict(reader.frames(sorted({int(index) for index in wanted})))
        except StarError:
            return None
        drawn = [_with_joints(frames[int(arrays["frame_index"][t])], arrays, int(t), planned) for t in steps]
        rows = [np.concatenate(drawn[start : start + COLUMNS], axis=1) for start in range(0, len(drawn), COLUMNS)]
        _, content = cv2.imencode(".jpg", np.concatenate(rows)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
        return content.tobytes()


def _with_joints(frame: np.ndarray, arrays: dict[str, np.ndarray], t: int, planned: Plan) -> np.ndarray:
    """(h, w, 3) -> (HEIGHT, w', 3) with lines between the joints that were found."""
    import cv2

    ratio = HEIGHT / frame.shape[0]
    frame = frame[:, ::-1] if arrays["flip"] else frame
    small = cv2.resize(frame, (max(1, round(frame.shape[1] * ratio)), HEIGHT), interpolation=cv2.INTER_AREA)
    for person in arrays.get("keypoints", np.zeros((t + 1, 0, 0, 3)))[t]:
        seen = person[:, 2] > planned.recipe.heatmaps.score_floor
        places = [(round(float(x) * ratio), round(float(y) * ratio)) for x, y in person[:, :2]]
        for a, b in limbs(planned):
            if seen[a] and seen[b]:
                cv2.line(small, places[a], places[b], LIMB, 1, cv2.LINE_AA)
        for place in np.array(places)[seen]:
            cv2.circle(small, (int(place[0]), int(place[1])), 1, JOINT, -1, cv2.LINE_AA)
    return small

"""What a child process makes of one video: folders of JPEG frames, in full and at a reduced size."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from star.pipeline.datasets.base import Video
from star.pipeline.extraction.video_task import VideoTask, read_video
from star.pipeline.planning.stage_graph import graph
from star.pipeline.recipe import schema as recipes
from star.stages.cropping import Crop, crop_frame
from star.stages.decode import DecodeStage, open_video

SIZE, VIEWS = 32, (0, 1, 2)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> VideoTask:
    """The task of a folder of 20 smooth frames of 321 × 245, three views, people at three sizes."""
    folder = tmp_path_factory.mktemp("frames")
    y, x = np.mgrid[:245, :321]
    for index in range(20):
        picture = np.stack([128 + 90 * np.sin(x / 40 + index), 128 + 90 * np.cos(y / 30), x / 2], -1)
        cv2.imwrite(str(folder / f"{index:03}.jpg"), picture.astype(np.uint8))
    keypoints = {view: np.ones((16, 1, 13, 3), np.float32) for view in VIEWS}
    for view, side in zip(VIEWS, (40, 120, 220), strict=True):
        keypoints[view][..., 0] = np.linspace(10, 10 + side, 13)
        keypoints[view][..., 1] = np.linspace(12, 12 + side, 13)
    video = Video("a", 0, "train", folder)
    return VideoTask(video, "videos", VIEWS, DecodeStage(), Crop("person"), SIZE, keypoints=keypoints)


def test_exact_frames_are_opencvs(job: VideoTask) -> None:
    """By default every frame is decoded in full and cut: bit for bit what `crop_frame` makes of it."""
    found = read_video(job)
    for view in VIEWS:
        arrays = found.chosen[view]
        region = job.crop.region(job.keypoints[view], (321, 245), "a", view)
        with open_video(job.video.media) as video:
            frames = dict(video.frames(arrays["frame_index"]))
        for step, index in enumerate(arrays["frame_index"]):
            expected = crop_frame(frames[int(index)], region, SIZE, flip=bool(arrays["flip"]))
            assert np.array_equal(found.frames[view][step], expected)


def test_scaled_frames_are_nearly_the_exact_ones(job: VideoTask) -> None:
    """The same frames, regions and mirroring; the smallest person needs every pixel and stays exact."""
    exact, scaled = read_video(job), read_video(replace(job, jpeg="scaled"))
    assert np.array_equal(scaled.frames[0], exact.frames[0])
    for view in (1, 2):
        assert scaled.chosen[view]["frame_index"].tolist() == exact.chosen[view]["frame_index"].tolist()
        difference = np.abs(scaled.frames[view].astype(int) - exact.frames[view])
        assert difference.max() > 0
        assert np.median(difference) <= 1


def test_a_view_does_not_depend_on_the_others(job: VideoTask) -> None:
    """Each view chooses its own size of frame: read alone, it gives the same picture."""
    together = read_video(replace(job, jpeg="scaled"))
    for view in VIEWS:
        alone = read_video(replace(job, jpeg="scaled", views=(view,)))
        assert np.array_equal(alone.frames[view], together.frames[view])


def test_exact_is_in_no_key() -> None:
    """Caches made before the setting existed stay valid."""
    text = "dataset: {kind: drawn, root: videos}\ncache: {root: cache}\nbackbone: {weights: random}\n"
    plain, scaled = (graph(recipes.parse(text, overrides=more)) for more in ((), ("decode.jpeg=scaled",)))
    assert all("jpeg" not in node.stage.settings() for node in plain.nodes.values())
    assert {name for name in plain.names if plain[name].key != scaled[name].key} == {"backbone", "tokens"}

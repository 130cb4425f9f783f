"""Windows of a film: which there are, which frames they take, and how few are held at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from star.pipeline.datasets.base import Video
from star.pipeline.extraction.sliding_windows import (
    SharedFrame,
    SlidingWindow,
    SlidingWindowTask,
    StreamHeader,
    _OpenWindows,
    count_windows,
    read_windows,
    window_spans,
)  # fmt: skip
from star.pipeline.extraction.video_task import VideoTask
from star.stages.cropping import Crop
from star.stages.decode import DecodeStage
from star.stages.readers.streaming import open_stream


class Sent:
    """Takes what a child would send."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send(self, message: Any) -> None:
        self.messages.append(message)

    def beat(self) -> None:
        """Nothing waits."""


@pytest.fixture(scope="module")
def minute(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A film of a minute, 20 pictures a second, each of one grey level."""
    path = tmp_path_factory.mktemp("minute") / "minute.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=20, options={"preset": "ultrafast", "qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for number in range(1200):
            picture = np.full((48, 32), number % 200 + 20, np.uint8)
            picture[32:] = 128
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode())
    return path


def task(path: Path, window: float, every: float, *, shared: bool) -> SlidingWindowTask:
    video = Video("minute.mp4", -1, "test", path)
    clip = VideoTask(video, "videos", (0,), DecodeStage(frames=8), Crop(), 16, frames="full" if shared else "cut")
    return SlidingWindowTask(clip, window, every, shared)


@pytest.mark.parametrize(
    ("seconds", "window", "every", "spans"),
    [
        (10.0, 4.0, 3.0, [(0, 4), (3, 7), (6, 10)]),
        (10.0, 4.0, 4.0, [(0, 4), (4, 8)]),
        (3.0, 4.0, 1.0, [(0, 3)]),
        (0.9, 0.3, 0.1, [(0, 0.3), (0.1, 0.4), (0.2, 0.5), (0.3, 0.6), (0.4, 0.7), (0.5, 0.8), (0.6, 0.9)]),
        (7.0, float("inf"), float("inf"), [(0, 7)]),
    ],
)
def test_spans(seconds: float, window: float, every: float, spans: list[tuple[float, float]]) -> None:
    assert [(span.start, span.end) for span in window_spans(seconds, window, every)] == spans
    assert count_windows(seconds, window, every) == len(spans)


def test_windows_take_the_frames_that_their_clips_would(minute: Path) -> None:
    sent = Sent()
    read_windows(task(minute, 2, 0.5, shared=False), sent)  # type: ignore[arg-type]
    head, *windows = sent.messages
    assert isinstance(head, StreamHeader) and (head.frames, head.size, head.windows) == (1200, (32, 32), 117)
    assert head.seconds == pytest.approx(60) and len(windows) == 117
    for number, window in enumerate(windows):
        assert (
            isinstance(window, SlidingWindow)
            and window.task.video.id == f"minute.mp4#t={number / 2:g},{number / 2 + 2:g}"
        )
        chosen = window.result.chosen[0]
        expected = DecodeStage(frames=8).sample("", 0, 40)[0] + number * 10
        assert chosen["frame_index"].tolist() == expected.tolist() and chosen["frame_count"] == 40
        levels = window.result.frames[0][:, 8, 8, 1].astype(int)
        steps = np.diff(expected % 200)
        assert (np.abs(np.diff(levels) - steps * 255 / 219)[np.abs(steps) < 100] < 3).all()


def test_frames_that_networks_must_see_are_sent_once(minute: Path) -> None:
    sent = Sent()
    read_windows(task(minute, 2, 0.5, shared=True), sent)  # type: ignore[arg-type]
    frames = [message.index for message in sent.messages if isinstance(message, SharedFrame)]
    windows = [message for message in sent.messages if isinstance(message, SlidingWindow)]
    wanted = {int(index) for window in windows for index in window.result.chosen[0]["frame_index"]}
    assert frames == sorted(wanted) and len(windows) == 117
    had: set[int] = set()
    for message in sent.messages[1:]:
        if isinstance(message, SharedFrame):
            had.add(message.index)
        else:
            assert {int(index) for index in message.result.chosen[0]["frame_index"]} <= had
            assert not message.result.full and not message.result.frames
            had = {index for index in had if index >= message.first}


def test_few_frames_are_held_however_long_the_film_is(minute: Path) -> None:
    """No more than the open windows take: four of eight frames each."""
    job = task(minute, 2, 0.5, shared=False)
    most = 0
    with open_stream(minute) as film:
        windows = _OpenWindows(job, film, window_spans(60, 2, 0.5))
        for index, picture in film.stream(windows.wants):
            for _window in windows.add(index, picture):
                pass
            most = max(most, len(windows._kept.pictures), len(windows._open))
            if windows.done:
                break
        assert windows.done and not windows._kept.pictures
    assert 4 <= most <= 4 * 8

"""Films that star writes: what a browser needs, the pictures and times that went in, and nothing half written."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from star.errors import StorageError
from star.pipeline.visualization.video_writer import VideoWriter, words_on


def picture(level: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    return np.full((size[1], size[0], 3), (level, 255 - level, 90), np.uint8)


def test_a_browser_plays_it(tmp_path: Path) -> None:
    """H.264, yuv420p, the index before the pictures; colours and times come back."""
    path, times = tmp_path / "deep" / "film.mp4", (0.0, 0.04, 0.1, 0.5)
    with VideoWriter(path, (64, 48), 25) as film:
        for number, seconds in enumerate(times):
            film.add(picture(60 * number), seconds)
        assert not path.exists()
    data = path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    with av.open(str(path)) as container:
        codec = container.streams.video[0].codec_context
        frames = list(container.decode(video=0))
    assert (codec.name, codec.pix_fmt, codec.width, codec.height) == ("h264", "yuv420p", 64, 48)
    assert [frame.time for frame in frames] == pytest.approx(times, abs=1e-4)
    for number, frame in enumerate(frames):
        found = frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()
        assert np.abs(found.astype(int) - picture(60 * number)).max() <= 6
    assert [entry.name for entry in path.parent.iterdir()] == ["film.mp4"]


def test_odd_sizes_are_made_even(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "film.mp4", (33, 21), 10) as film:
        film.add(picture(100, (33, 21)), 0)
    with av.open(str(tmp_path / "film.mp4")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (34, 22)


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="on purpose"), VideoWriter(tmp_path / "film.mp4", (64, 48), 10) as film:
        film.add(picture(0), 0)
        raise ValueError("on purpose")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"film\.mp4: cannot be written"):
        VideoWriter(tmp_path / "file" / "film.mp4", (64, 48), 10)


@pytest.mark.parametrize("corner", [(0, 0), (-50, -50), (500, 500)])
def test_words_lie_in_the_picture(corner: tuple[int, int]) -> None:
    below = picture(100, (200, 80))
    drawn = below.copy()
    words_on(drawn, "wave 93 %", corner, 12, 0.5)
    assert (drawn != below).any() and (drawn == 255).all(-1).sum() > 20
    assert (drawn == below).all(-1).mean() > 0.5
    words_on(drawn, "a name that is much too long for so small a picture, and goes on", corner, 30, None)

"""Folders of pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from star.errors import TruncatedVideo, UnreadableVideo
from star.stages.decode import open_video


@pytest.fixture
def pictures(tmp_path):
    """Twelve numbered PNG files, without leading zeros; the pictures as RGB."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (12, 23, 17, 3), np.uint8)
    for index, picture in enumerate(pictures):
        cv2.imwrite(str(tmp_path / f"{index + 1}.png"), picture[:, :, ::-1])
    (tmp_path / "notes.txt").write_text("not a frame")
    return pictures


@pytest.mark.parametrize("reader", ["auto", "pyav", "decord"])
def test_pictures_come_in_natural_order(pictures, tmp_path, reader):
    """2.png before 10.png, other files passed over, RGB, 30 a second; whatever reader is asked for."""
    with open_video(tmp_path, reader) as video:
        assert (video.frame_count, video.frame_size) == (12, (17, 23))
        assert np.allclose(video.times, np.arange(12) / 30)
        found = dict(video.frames([11, 0, 9, 9]))
    assert list(found) == [0, 9, 11]
    assert all(np.array_equal(found[index], pictures[index]) for index in found)


def test_optical_flow_among_the_frames_is_no_frame(pictures, tmp_path):
    """As tools for two-stream networks leave it; where there is nothing else, x and y are no one series."""
    for index in range(12):
        (tmp_path / f"{index + 1}.png").rename(tmp_path / f"img_{index + 1:05}.png")
        for name in ("flow_x_{:05}.png", "flow_y_{:05}.png", "x_{:05}.jpg", "y_{:05}.jpg"):
            cv2.imwrite(str(tmp_path / name.format(index + 1)), np.zeros((5, 5, 3), np.uint8))
    with open_video(tmp_path) as video:
        found = dict(video.frames(range(12)))
        assert video.frame_count == 12
    assert all(np.array_equal(found[index], pictures[index]) for index in range(12))
    for file in tmp_path.glob("img_*"):
        file.unlink()
    with pytest.raises(UnreadableVideo, match="are frames of different series"):
        open_video(tmp_path)


def test_jpeg_equals_opencv(pictures, tmp_path):
    """A JPEG file is what OpenCV makes of it, in RGB."""
    folder = tmp_path / "frames"
    folder.mkdir()
    cv2.imwrite(str(folder / "000001.jpg"), pictures[0])
    with open_video(folder) as video:
        ((_index, picture),) = video.frames([0])
    assert np.array_equal(picture, cv2.imread(str(folder / "000001.jpg"))[:, :, ::-1])


def test_grey_pictures_become_rgb(tmp_path):
    """One channel is repeated three times."""
    grey = np.arange(23 * 17, dtype=np.uint8).reshape(23, 17)
    cv2.imwrite(str(tmp_path / "1.png"), grey)
    with open_video(tmp_path) as video:
        ((_index, picture),) = video.frames([0])
    assert np.array_equal(picture, np.repeat(grey[:, :, None], 3, axis=2))


def test_only_the_wanted_pictures_are_read(pictures, tmp_path):
    """A broken picture that nobody wants does no harm."""
    (tmp_path / "5.png").write_bytes(b"broken")
    with open_video(tmp_path) as video:
        assert len(list(video.frames([0, 3, 5]))) == 3


def test_a_broken_picture_is_named(pictures, tmp_path):
    """The message names the very file."""
    path = tmp_path / "5.png"
    path.write_bytes(b"broken")
    with open_video(tmp_path) as video, pytest.raises(UnreadableVideo) as caught:
        list(video.frames([4]))
    assert str(caught.value) == f"{path}: not a picture that OpenCV can decode; fetch it again"


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_picture_that_is_cut_off_is_truncated(pictures, tmp_path, kind):
    """OpenCV would fill the rest with grey."""
    path = tmp_path / f"0.{kind}"
    cv2.imwrite(str(path), pictures[0])
    path.write_bytes(path.read_bytes()[:-100])
    for other in tmp_path.glob("*.png") if kind == "jpg" else ():
        other.unlink()
    with pytest.raises(TruncatedVideo) as caught:
        open_video(tmp_path)
    assert str(caught.value) == f"{path}: the picture is cut off; fetch it again"


def test_photographs_are_turned_as_exif_says(tmp_path):
    """A quarter turn: width and height change places, and the picture comes in full where a smaller one would do."""
    data = cv2.imencode(".jpg", np.zeros((40, 64, 3), np.uint8))[1].tobytes()
    exif = b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    (tmp_path / "1.jpg").write_bytes(data[:2] + exif + data[2:])
    with open_video(tmp_path) as video:
        assert video.frame_size == (40, 64)
        assert [picture.shape for _, picture in video.reduced([0], 2)] == [(64, 40, 3)]
        assert [picture.shape for _, picture in video.frames([0])] == [(64, 40, 3)]


@pytest.mark.parametrize("factor", [1, 2])
def test_jpeg_files_of_another_size_are_refused_at_any_factor(tmp_path, factor):
    """Also where their reduced size would be the same."""
    for name, width in (("1.jpg", 64), ("2.jpg", 63)):
        cv2.imwrite(str(tmp_path / name), np.zeros((40, width, 3), np.uint8))
    with open_video(tmp_path) as video, pytest.raises(UnreadableVideo, match="frame 1 is 63×40 but the first is 64×40"):
        list(video.reduced([0, 1], factor))


def test_pictures_of_another_size_are_refused(pictures, tmp_path):
    """The message names the first picture that differs."""
    cv2.imwrite(str(tmp_path / "7.png"), np.zeros((30, 40, 3), np.uint8))
    with open_video(tmp_path) as video, pytest.raises(UnreadableVideo) as caught:
        list(video.frames([0, 6]))
    advice = "bring all to one size (ffmpeg -i IN -vf scale=17:23 OUT)"
    assert str(caught.value) == f"{tmp_path}: frame 6 is 40×30 but the first is 17×23; {advice}"

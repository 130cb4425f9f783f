"""Stage `decode`: which frames make a clip, and what is refused before a decoder sees it."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import numpy as np
import pytest

from star.errors import MissingPackage, NoVideoStream, TruncatedVideo, UnreadableVideo
from star.stages.base import Array
from star.stages.decode import DecodeStage, open_video


@pytest.mark.parametrize("count", [16, 17, 57, 103, 280, 355])
def test_view_0_of_segments_is_the_centre_of_16_equal_parts(count):
    """Each index is where the middle of its sixteenth of the video falls; nothing is mirrored."""
    chosen, flip = DecodeStage().sample("a.mp4", 0, count)
    assert chosen.dtype == np.int32
    assert chosen.tolist() == [int((part + 0.5) * count / 16) for part in range(16)]
    assert flip is False


@pytest.mark.parametrize("count", [1, 5, 16, 103])
@pytest.mark.parametrize("view", [1, 2, 7])
def test_other_views_take_one_frame_from_each_segment(count, view):
    """Index t lies in segment t; segments of less than one frame give the frame they lie in."""
    chosen, _flip = DecodeStage().sample("a.mp4", view, count)
    for part, index in enumerate(chosen):
        first = part * count // 16
        assert first <= index < max((part + 1) * count // 16, first + 1)


def test_choice_is_the_same_for_ever():
    """Pinned: a choice that changes would make rows of the cache stale without anybody noticing."""
    chosen, flip = DecodeStage(seed=7).sample("S001C001P001R001A001_rgb.avi", 3, 103)
    assert chosen.tolist() == [3, 7, 17, 23, 25, 33, 38, 47, 54, 57, 66, 76, 81, 85, 92, 96]
    assert flip is True


def test_choice_depends_on_seed_video_and_view_alone():
    """Repeating a call repeats its result; another seed, video or view gives another."""
    first = DecodeStage().sample("a.mp4", 1, 10_000)[0]
    assert np.array_equal(first, DecodeStage().sample("a.mp4", 1, 10_000)[0])
    others = [DecodeStage(seed=1).sample("a.mp4", 1, 10_000)[0], DecodeStage().sample("b.mp4", 1, 10_000)[0]]
    for other in [*others, DecodeStage().sample("a.mp4", 2, 10_000)[0]]:
        assert not np.array_equal(first, other)


def test_half_of_the_other_views_are_mirrored():
    """Over 2,000 views the share is within four standard deviations of one half; with flip off it is none."""
    mirrored = sum(DecodeStage().sample(f"{number}.mp4", 1, 50)[1] for number in range(2000))
    assert abs(mirrored - 1000) < 4 * np.sqrt(2000 / 4)
    assert not any(DecodeStage(flip=False).sample(f"{number}.mp4", 1, 50)[1] for number in range(50))


def test_every_frame_of_a_segment_is_equally_likely():
    """Over 4,000 videos each of the 10 frames of the first segment comes up within five standard deviations of 400."""
    firsts = [DecodeStage().sample(f"{number}.mp4", 1, 160)[0][0] for number in range(4000)]
    counts = np.bincount(firsts, minlength=10)
    assert len(counts) == 10
    assert np.abs(counts - 400).max() < 5 * np.sqrt(400)


@pytest.mark.parametrize("count", [1, 2, 16, 17, 103])
def test_linspace_includes_both_ends(count):
    """First and last frame are taken, the rest lies evenly between them, in every view."""
    stage = DecodeStage(sampling="linspace")
    chosen, _flip = stage.sample("a.mp4", 0, count)
    assert chosen[0] == 0
    assert chosen[-1] == count - 1
    assert np.abs(chosen - np.linspace(0, count - 1, 16)).max() <= 0.5
    assert np.array_equal(chosen, stage.sample("a.mp4", 5, count)[0])


def test_window_is_contiguous_and_centred_for_view_0():
    """16 frames in a row: in the middle for view 0, everywhere for the others."""
    stage = DecodeStage(sampling="window")
    assert stage.sample("a.mp4", 0, 20)[0].tolist() == list(range(2, 18))
    starts = set()
    for view in range(1, 60):
        chosen, _flip = stage.sample("a.mp4", view, 20)
        assert np.array_equal(np.diff(chosen), np.ones(15))
        starts.add(int(chosen[0]))
    assert starts == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("sampling", ["segments", "linspace", "window"])
@pytest.mark.parametrize("view", [0, 1])
@pytest.mark.parametrize("count", [1, 3, 15])
def test_fewer_frames_repeat_in_order(sampling, view, count):
    """A short video gives all its frames, ascending, each one or several times."""
    chosen, _flip = DecodeStage(sampling=sampling).sample("a.mp4", view, count)
    assert len(chosen) == 16
    assert (np.diff(chosen) >= 0).all()
    assert set(chosen.tolist()) == set(range(count))


def test_wrong_arguments_are_named():
    """A sampling that does not exist, and a video without frames."""
    with pytest.raises(ValueError, match=r"^sampling: 'middle'; known are segments, linspace, window$"):
        DecodeStage(sampling="middle").sample("a.mp4", 0, 20)
    with pytest.raises(ValueError, match=r"^count: 0; a video without frames has no clips$"):
        DecodeStage().sample("a.mp4", 0, 0)


def test_settings_are_all_that_stands_in_the_key():
    """Plain JSON of the fields; the arrays are described for a reader who has only the file."""
    assert DecodeStage(seed=3).settings() == {"frames": 16, "sampling": "segments", "seed": 3, "flip": True}
    assert set(DecodeStage.arrays) == {"frame_index", "time", "frame_size", "frame_count", "flip"}
    assert all(isinstance(array, Array) and array.about for array in DecodeStage.arrays.values())


def refusal(path: Path, reader: str = "auto") -> tuple[type, str]:
    """The class and the message, without the path, with which opening fails."""
    with pytest.raises((NoVideoStream, UnreadableVideo, TruncatedVideo)) as caught:
        open_video(path, reader)
    start, _, message = str(caught.value).partition(": ")
    assert start == str(path)
    return type(caught.value), message


@pytest.mark.parametrize("reader", ["auto", "pyav", "decord"])
class TestRefused:
    """What is no video is refused at once, by every reader, with one line that says what to do."""

    def test_missing(self, tmp_path, reader):
        """A file that is not there."""
        message = "no such file; check the list and the root of the data set"
        assert refusal(tmp_path / "a.mp4", reader) == (UnreadableVideo, message)

    def test_empty(self, tmp_path, reader):
        """A file of no bytes."""
        (tmp_path / "a.mp4").touch()
        assert refusal(tmp_path / "a.mp4", reader) == (NoVideoStream, "the file is empty (0 bytes); fetch it again")

    def test_named_pipe(self, tmp_path, reader):
        """Opening a named pipe that nobody writes to would never return."""
        os.mkfifo(tmp_path / "a.mp4")
        message = "is a named pipe, not a video file; name the file itself"
        assert refusal(tmp_path / "a.mp4", reader) == (NoVideoStream, message)

    def test_device(self, reader):
        """A device that gives zeros for ever."""
        message = "is a device, not a video file; name the file itself"
        assert refusal(Path("/dev/zero"), reader) == (NoVideoStream, message)

    def test_socket(self, tmp_path, monkeypatch, reader):
        """A socket."""
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("a.mp4")
            message = "is a socket, not a video file; name the file itself"
            assert refusal(tmp_path / "a.mp4", reader) == (NoVideoStream, message)

    def test_link_to_itself(self, tmp_path, reader):
        """A symbolic link that leads nowhere but back."""
        (tmp_path / "a.mp4").symlink_to(tmp_path / "a.mp4")
        message = "a symbolic link that leads back to itself; replace it by the file"
        assert refusal(tmp_path / "a.mp4", reader) == (NoVideoStream, message)

    def test_folder_without_pictures(self, tmp_path, reader):
        """A folder that holds something else."""
        (tmp_path / "notes.txt").write_text("no frames")
        (tmp_path / "._000001.jpg").write_bytes(b"a shadow that another system left")
        kinds = ".bmp, .jpeg, .jpg, .png, .tif, .tiff, .webp"
        message = f"a folder without pictures; put its frames there as {kinds}"
        assert refusal(tmp_path, reader) == (NoVideoStream, message)

    def test_text(self, tmp_path, reader):
        """Text under a video's name: FFmpeg would draw it as a terminal."""
        (tmp_path / "a.mp4").write_text("not a video\n" * 100)
        message = "not a video file that FFmpeg knows (Invalid argument); fetch it again or leave it out"
        found = refusal(tmp_path / "a.mp4", reader)
        assert found in {
            (UnreadableVideo, message),
            (UnreadableVideo, message.replace("Invalid argument", "Invalid data found when processing input")),
        }

    def test_play_list(self, tmp_path, reader):
        """A play list would make FFmpeg open other files and addresses."""
        (tmp_path / "a.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nb.ts\n#EXT-X-ENDLIST\n")
        kind, message = refusal(tmp_path / "a.m3u8", reader)
        assert kind is UnreadableVideo
        assert message.startswith("not a video file that FFmpeg knows (")

    def test_mp4_without_its_index(self, tmp_path, shared, reader):
        """An MP4 whose end, with the index in it, was never fetched."""
        whole = (shared / "data" / "videos" / "mmpose_demo.mp4").read_bytes()
        (tmp_path / "a.mp4").write_bytes(
            whole[: whole.index(b"moov") - 4] if whole.index(b"moov") > 999 else whole[:40]
        )
        message = "the index of this MP4 file is missing or damaged; fetch the file again"
        assert refusal(tmp_path / "a.mp4", reader) == (TruncatedVideo, message)

    def test_corrupted_sample(self, shared, reader):
        """The broken one of the real samples says where it breaks off and what can be done."""
        path = shared / "data" / "videos" / "corrupted.mp4"
        message = (
            "decoding breaks off after 28 of 50 frames (Invalid data found when processing input); "
            "fetch the file again, or save what is left of it with ffmpeg -i IN OUT"
        )
        assert refusal(path, reader) == (TruncatedVideo, message)


def test_unknown_reader_is_named(tmp_path):
    """A reader that does not exist is a mistake of the caller's."""
    with pytest.raises(ValueError, match=r"^reader: 'opencv'; known are auto, pyav, decord$"):
        open_video(tmp_path, "opencv")


def test_missing_package_is_named(tmp_path, monkeypatch):
    """Where PyAV is not installed the message says what to install."""
    (tmp_path / "a.mp4").write_bytes(b"something")
    for name in [name for name in sys.modules if name.startswith("star.stages.readers")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingPackage, match=r"^av is not installed; pip install av opencv-python-headless$"):
        open_video(tmp_path / "a.mp4")

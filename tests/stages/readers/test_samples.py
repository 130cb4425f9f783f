"""Every reader against a plain sequential decode, on real videos."""

from __future__ import annotations

import contextlib
import gc

import numpy as np
import pytest

from star.errors import TruncatedVideo
from star.stages.decode import DecodeStage, open_video
from star.stages.readers.selective import SelectiveReader

SAMPLES = {
    "S001C001P001R001A001_rgb.avi": (103, (1920, 1080)),
    "armwrestling.mp4": (280, (427, 256)),
    "mmpose_demo.mp4": (5, (960, 540)),
    "stdet.mp4": (57, (340, 256)),
    "v_GGSY1Qvo990.mp4": (355, (320, 240)),
}
SETS = ("centre", "view 1", "view 2", "view 3", "ends", "one")


def choices(count: int) -> dict[str, list[int]]:
    """The clips of four views, the first and the last frame, and one in the middle."""
    views = [DecodeStage().sample("a.mp4", view, count)[0].tolist() for view in range(4)]
    return dict(zip(SETS, [*views, [0, count - 1], [count // 2]], strict=True))


@pytest.fixture(scope="module", params=SAMPLES)
def sample(request, shared, plain):
    """A video's path and the frames that any choice needs, decoded plainly."""
    path = shared / "data" / "videos" / request.param
    frames = plain(path)
    needed = sorted(set().union(*choices(len(frames)).values()))
    return path, len(frames), {index: frames[index] for index in needed}


@pytest.mark.parametrize("reader", ["auto", "pyav", "decord"])
def test_frames_equal_a_sequential_decode(sample, reader):
    """Bit for bit, for every choice of frames, the last one of the NTU clip included; each index once, ascending."""
    path, count, frames = sample
    with open_video(path, reader) as video:
        assert (video.frame_count, video.frame_size) == SAMPLES[path.name]
        assert video.frame_count == video.claimed == count
        for name, chosen in choices(count).items():
            if reader != "auto" and name not in {"view 1", "ends"}:
                continue  # these decode everything each time
            found = list(video.frames(chosen))
            assert [index for index, _picture in found] == sorted(set(chosen))
            for index, picture in found:
                assert picture.dtype == np.uint8
                assert picture.flags.c_contiguous
                assert np.array_equal(picture, frames[index]), (name, index)


def test_auto_takes_the_fast_way(sample, monkeypatch):
    """The order of every real sample is proved and no decode falls back to the sequential one."""
    path, count, _frames = sample

    def fail(self, wanted):
        raise AssertionError(f"sequential decode of {wanted}")

    monkeypatch.setattr(SelectiveReader, "_in_sequence", fail)
    with open_video(path) as video:
        assert type(video) is SelectiveReader
        assert len(list(video.frames(choices(count)["centre"]))) == min(16, count)


def test_times_are_those_of_the_sequential_decode(sample):
    """Seconds from the first frame, the same from both readers; the NTU clip has none, so they follow its rate."""
    path, count, _frames = sample
    with open_video(path) as fast, open_video(path, "pyav") as slow:
        assert fast.times.shape == (count,)
        assert fast.times[0] == 0
        assert np.array_equal(fast.times, slow.times)
        if path.suffix == ".avi":
            assert np.allclose(fast.times, np.arange(103) / 30, atol=1e-9)


def test_an_index_beyond_the_end_is_refused(shared):
    """No reader makes up a frame."""
    for reader in ("auto", "pyav", "decord"):
        with open_video(shared / "data" / "videos" / "mmpose_demo.mp4", reader) as video:
            for wrong in (5, -1):
                with pytest.raises(IndexError, match="of a video with 5"):
                    list(video.frames([0, wrong]))


def test_one_video_gives_many_clips(shared):
    """Asking again, in between and after an abandoned call, gives the same pictures."""
    with open_video(shared / "data" / "videos" / "stdet.mp4") as video:
        first = dict(video.frames([3, 30, 56]))
        next(iter(video.frames([20, 40])))
        again = dict(video.frames([56, 30, 3, 3]))
    assert list(again) == [3, 30, 56]
    assert all(np.array_equal(first[index], again[index]) for index in first)


@pytest.mark.parametrize("reader", ["auto", "pyav"])
def test_a_closed_video_leaves_nothing_behind(shared, reader):
    """No cycle holds a decoder's buffers until Python looks for it: thousands of videos are opened in one process."""
    names = ("mmpose_demo.mp4", "corrupted.mp4")
    gc.collect()
    gc.disable()
    try:
        for name in names:
            with contextlib.suppress(TruncatedVideo), open_video(shared / "data" / "videos" / name, reader) as video:
                assert len(list(video.frames([0, 4]))) == 2
        left = gc.collect()
    finally:
        gc.enable()
    assert left == 0

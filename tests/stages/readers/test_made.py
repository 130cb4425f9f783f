"""Every kind of video that PyAV's encoders can write, against a plain sequential decode."""

from __future__ import annotations

import av
import numpy as np
import pytest

from star.errors import NoVideoStream, TruncatedVideo, UnreadableVideo
from star.stages.decode import open_video
from star.stages.readers import selective, sequential
from star.stages.readers.selective import SelectiveReader
from star.stages.readers.sequential import SequentialReader

# name: (reader that auto takes, how it is encoded)
VIDEOS = {
    "pyramid.mp4": (SelectiveReader, {"params": "bframes=5:b-pyramid=normal:keyint=20:ref=4"}),
    "no_pyramid.mp4": (SelectiveReader, {"params": "bframes=3:b-pyramid=none:keyint=20"}),
    "weighted_cavlc.mp4": (SelectiveReader, {"params": "cabac=0:weightp=2:bframes=2:keyint=15"}),
    "slices.mp4": (SelectiveReader, {"params": "slices=4:bframes=3:keyint=20"}),
    "one_group.mp4": (SelectiveReader, {"params": "bframes=3:keyint=infinite", "count": 90}),
    "low_delay.mp4": (SelectiveReader, {"options": {"tune": "zerolatency"}}),
    "intra.mp4": (SelectiveReader, {"params": "keyint=1"}),
    "no_stamps.avi": (SelectiveReader, {"params": "bframes=3:keyint=20"}),
    "stream.ts": (SelectiveReader, {"params": "bframes=3:keyint=20"}),
    "box.mkv": (SelectiveReader, {"params": "bframes=3:keyint=20"}),
    "bare.h264": (SelectiveReader, {"params": "bframes=3:keyint=20"}),
    "odd.mp4": (SelectiveReader, {"params": "bframes=3", "size": (17, 23), "pixels": "yuv444p"}),
    "grey.mp4": (SelectiveReader, {"params": "bframes=3", "pixels": "gray"}),
    "ten_bit.mp4": (SelectiveReader, {"params": "bframes=3", "pixels": "yuv420p10le"}),
    "full_range.mp4": (SelectiveReader, {"params": "bframes=3", "pixels": "yuvj420p"}),
    "one.mp4": (SelectiveReader, {"count": 1}),
    "two.mp4": (SelectiveReader, {"count": 2}),
    "varying.mp4": (SelectiveReader, {"params": "bframes=2", "count": 6, "ticks": [0, 40, 45, 200, 1000, 1007]}),
    "open_groups.mp4": (SelectiveReader, {"params": "open-gop=1:bframes=3:keyint=10:min-keyint=10"}),
    "intra_refresh.mp4": (SelectiveReader, {"params": "intra-refresh=1:keyint=10"}),
    "interlaced.mp4": (SequentialReader, {"params": "tff=1:bframes=3:keyint=20"}),
    "edited.mp4": (
        SequentialReader,
        {
            "params": "bframes=2:keyint=20",
            "shift": -10,
            "muxing": {"avoid_negative_ts": "disabled", "use_editlist": "1"},
        },
    ),
    "mpeg4.avi": (SelectiveReader, {"codec": "mpeg4", "size": (17, 23), "count": 90}),
    "mpeg4_b.mp4": (SelectiveReader, {"codec": "mpeg4", "options": {"bf": "2"}, "count": 90}),
    "mpeg4_short.avi": (SequentialReader, {"codec": "mpeg4", "count": 48}),
    "mjpeg.avi": (SequentialReader, {"codec": "mjpeg", "size": (17, 23), "pixels": "yuvj444p"}),
    "vp9.webm": (SequentialReader, {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}}),
    "hevc.mp4": (SequentialReader, {"codec": "libx265", "count": 12, "options": {"x265-params": "log-level=none"}}),
}


@pytest.fixture(scope="module", params=VIDEOS)
def video(request, make, plain, tmp_path_factory):
    """The path, the reader that auto takes, all frames decoded plainly."""
    kind, settings = VIDEOS[request.param]
    path = make(tmp_path_factory.mktemp("made") / request.param, **settings)
    return path, kind, plain(path)


def test_auto_equals_a_sequential_decode(video):
    """Whatever the encoder did, any choice of frames is bit-identical; what cannot be proved is decoded in sequence."""
    path, kind, frames = video
    count = len(frames)
    with open_video(path) as opened:
        assert type(opened) is kind
        assert opened.frame_count == count
        assert opened.frame_size == frames[0].shape[1::-1]
        for chosen in ([0, count - 1], [count // 2], range(0, count, 7), range(count)):
            found = dict(opened.frames(chosen))
            assert list(found) == sorted(set(chosen))
            assert all(np.array_equal(found[index], frames[index]) for index in found)


@pytest.mark.parametrize("reader", ["pyav", "decord"])
def test_other_readers_equal_it_too(video, reader):
    """pyav is the sequential decode; decord is used only where its pictures are the same."""
    path, _kind, frames = video
    with open_video(path, reader) as opened, open_video(path) as fast:
        assert opened.frame_count == len(frames)
        assert np.array_equal(opened.times, fast.times)
        assert opened.frame_size == fast.frame_size
        for index, picture in opened.frames([0, len(frames) // 2, len(frames) - 1]):
            assert np.array_equal(picture, frames[index])


def test_nothing_is_decoded_to_open_a_video(make, tmp_path, monkeypatch):
    """Length, size of the file's frames and times come from the packets alone."""
    for name, codec in (("a.mp4", "libx264"), ("a.avi", "mpeg4")):
        path = make(tmp_path / name, codec, count=60)
        sent = sent_to_decoders(monkeypatch)
        with open_video(path) as video:
            assert (video.frame_count, len(video.times)) == (60, 60)
        assert sent == []


def test_skipping_skips_in_mpeg_4(make, tmp_path, monkeypatch):
    """B-pictures are left out, a wanted one needs its two references, and a group begins anew at its key picture."""
    path = make(tmp_path / "a.avi", "mpeg4", count=60, options={"bf": "2", "g": "12"})
    sent = sent_to_decoders(monkeypatch)
    with open_video(path) as video:
        assert dict(video.frames([46])).keys() == {46}
    packets = [packet for packet in sent if packet is not None]
    assert packets[0].pts == 0
    assert all(packet.pts >= 33 for packet in packets[1:])
    assert len(packets) <= 7


def test_skipping_skips(make, tmp_path, monkeypatch):
    """Of a group of pictures only references up to the last wanted picture are decoded, and no group without one."""
    path = make(tmp_path / "a.mp4", count=60, params="bframes=3:b-pyramid=none:keyint=20:scenecut=0")
    sent = sent_to_decoders(monkeypatch)
    with open_video(path) as video:
        references = [picture for picture in video._plan._pictures if picture.reference]
        assert len(references) < 30
        assert dict(video.frames([45])).keys() == {45}
    packets = [packet for packet in sent if packet is not None]
    assert packets[0].pts == 0
    assert all(packet.pts >= 40 for packet in packets[1:])
    assert len(packets) <= 5


@pytest.mark.parametrize("module", [sequential, selective])
def test_large_files_are_read_twice(make, plain, tmp_path, monkeypatch, module):
    """What does not fit the memory limit is read again, to the same pictures."""
    path = make(tmp_path / "a.mp4", params="bframes=3:keyint=20")
    frames = plain(path)
    monkeypatch.setattr(module, "KEPT_BYTES", 2000)
    with open_video(path, "auto" if module is selective else "pyav") as video:
        assert video._kept is None
        for chosen in ([0, 39], range(5, 30)):
            assert all(np.array_equal(picture, frames[index]) for index, picture in video.frames(chosen))


def sent_to_decoders(monkeypatch) -> list:
    """All packets that any decoder gets from now on."""
    sent = []
    decode = sequential.VideoFile.decode
    monkeypatch.setattr(
        sequential.VideoFile, "decode", lambda self, packet: sent.append(packet) or decode(self, packet)
    )
    return sent


@pytest.mark.parametrize("name", ["vp9.webm", "mjpeg.avi", "interlaced.mp4"])
def test_likely_frames_are_decoded_once(make, plain, tmp_path, monkeypatch, name):
    """What is said to be wanted is kept while frames are counted; others are decoded again, to the same pictures."""
    path = make(tmp_path / name, **VIDEOS[name][1])
    frames = plain(path)
    sent = sent_to_decoders(monkeypatch)
    with open_video(path, selector=lambda count: {0, count // 2, count - 1}) as video:
        assert len(video._kept) == 3
        once = len(sent)
        for index, picture in video.frames([0, 20, 39]):
            assert np.array_equal(picture, frames[index])
        assert len(sent) == once
        for index, picture in video.frames([0, 19, 39]):
            assert np.array_equal(picture, frames[index])
        assert once < len(sent) <= 2 * once


def test_a_wrong_guess_of_the_length_does_no_harm(make, plain, tmp_path):
    """Frames beyond the end are thought likely: those that are there are delivered."""
    path = make(tmp_path / "a.avi", "mjpeg", pixels="yuvj420p", count=20)
    frames = plain(path)
    with open_video(path, selector=lambda count: {2 * count - 1}) as video:
        assert all(np.array_equal(picture, frames[index]) for index, picture in video.frames([0, 19]))


def test_times_of_a_varying_rate(make, tmp_path):
    """Times are the video's own, in seconds."""
    ticks = VIDEOS["varying.mp4"][1]["ticks"]
    path = make(tmp_path / "a.mp4", count=6, params="bframes=2", ticks=ticks)
    for reader in ("auto", "pyav", "decord"):
        with open_video(path, reader) as video:
            assert np.allclose(video.times, np.array(ticks) / 1000, atol=1e-4)


MATRICES = {
    "upright": ((1, 0, 0, 1), lambda picture: picture),
    "90 clockwise": ((0, 1, -1, 0), lambda picture: np.rot90(picture, -1)),
    "180": ((-1, 0, 0, -1), lambda picture: np.rot90(picture, 2)),
    "90 counter-clockwise": ((0, -1, 1, 0), lambda picture: np.rot90(picture, 1)),
    "mirrored": ((-1, 0, 0, 1), lambda picture: picture[:, ::-1]),
}


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("reader", ["auto", "pyav", "decord"])
def test_phone_videos_are_turned_upright(make, plain, tmp_path, name, reader):
    """The display matrix of the file is applied, and frame_size is that of the turned pictures."""
    (a, b, c, d), turn = MATRICES[name]
    path = make(tmp_path / "a.mp4", count=12, params="bframes=3")
    frames = plain(path)
    _write_matrix(path, (a, b, c, d))
    with open_video(path, reader) as video:
        assert video.frame_size == turn(frames[0]).shape[1::-1]
        for index, picture in video.frames([0, 5, 11]):
            assert picture.flags.c_contiguous
            assert np.array_equal(picture, turn(frames[index]))


def _write_matrix(path, signs) -> None:
    """Put a display matrix into the track header (ISO/IEC 14496-12, 8.3.2) of an MP4 file."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    a, b, c, d = (sign * 0x10000 for sign in signs)
    numbers = (a, b, 0, c, d, 0, 0, 0, 0x40000000)
    data[place : place + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in numbers)
    path.write_bytes(data)


def test_a_claim_of_too_many_frames_is_not_believed(make, plain, tmp_path):
    """An AVI header that claims a million frames: counted are those that are there."""
    path = make(tmp_path / "a.avi", params="bframes=2")
    data = bytearray(path.read_bytes())
    place = data.index(b"strh") + 8 + 32
    data[place : place + 4] = (1_000_000).to_bytes(4, "little")
    path.write_bytes(data)
    for reader in ("auto", "pyav"):
        with open_video(path, reader) as video:
            assert video.claimed == 1_000_000
            assert video.frame_count == 40


@pytest.mark.parametrize("rate", [(0, 0), (0, 1), (1, 0)])
def test_a_rate_that_is_no_number(make, tmp_path, rate):
    """An AVI header whose rate is 0/0 or n/0: the times are still finite and increase."""
    path = make(tmp_path / "a.avi", params="bframes=2")
    data = bytearray(path.read_bytes())
    place = data.index(b"strh") + 8 + 20
    data[place : place + 8] = b"".join(number.to_bytes(4, "little") for number in rate)
    path.write_bytes(data)
    with open_video(path) as video:
        assert video.frame_count == 40
        assert np.isfinite(video.times).all()
        assert (np.diff(video.times) > 0).all()


def test_ten_hours_claimed(make, tmp_path):
    """A movie header that claims ten hours changes nothing."""
    path = make(tmp_path / "a.mp4")
    data = bytearray(path.read_bytes())
    place = data.index(b"mvhd") + 4 + 4 + 8
    scale = int.from_bytes(data[place : place + 4], "big")
    data[place + 4 : place + 8] = (36_000 * scale).to_bytes(4, "big")
    path.write_bytes(data)
    with open_video(path) as video:
        assert video.frame_count == 40
        assert np.allclose(video.times, np.arange(40) / 25)


ADVICE = "fetch the file again, or save what is left of it with ffmpeg -i IN OUT"
CUT = {
    "a.mp4": f"decoding breaks off after {{}} of 40 frames (Invalid data found when processing input); {ADVICE}",
    "a.avi": f"the file ends in the middle of frame {{}}; {ADVICE}",
}


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("reader", ["auto", "pyav"])
def test_a_file_that_ends_in_mid_picture_is_truncated(make, tmp_path, name, reader):
    """The message says how far the video goes."""
    path = make(
        tmp_path / name, params="bframes=0:keyint=20", muxing={"movflags": "faststart"} if name == "a.mp4" else {}
    )
    with av.open(str(path)) as container:
        packet = list(container.demux(video=0))[20]
    path.write_bytes(path.read_bytes()[: packet.pos + 8 + packet.size // 2])
    with pytest.raises(TruncatedVideo) as caught:
        open_video(path, reader)
    assert str(caught.value) == f"{path}: {CUT[name].format(20)}"


def test_a_name_of_another_kind_does_not_matter(make, plain, tmp_path):
    """The content decides, not the extension."""
    frames = plain(make(tmp_path / "a.mp4"))
    (tmp_path / "a.mp4").rename(tmp_path / "a.avi")
    with open_video(tmp_path / "a.avi") as video:
        assert all(np.array_equal(picture, frames[index]) for index, picture in video.frames([0, 39]))


def test_names_that_look_like_addresses_are_files(make, tmp_path):
    """FFmpeg reads "concat:a|b" or "http:…" as an address; a path is a path."""
    path = make(tmp_path / "a.mp4").rename(tmp_path / "concat:a|b.mp4")
    with open_video(path) as video:
        assert video.frame_count == 40


def test_a_title_that_is_not_utf8_does_not_matter(make, plain, tmp_path):
    """Cameras write titles in any encoding; they are none of our business."""
    path = make(tmp_path / "a.mkv", muxing={"write_crc32": "0"}, title="Frühling")
    frames = plain(path)
    content = path.read_bytes()
    assert content.count("Frühling".encode()) == 1
    path.write_bytes(content.replace("Frühling".encode(), b"Fr\xfchling."))
    with open_video(path) as video:
        assert all(np.array_equal(picture, frames[index]) for index, picture in video.frames([0, 39]))


def test_sound_alone_is_no_video(tmp_path):
    """A file with nothing to see says what is in it."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.rate = 16000
        container.mux([*stream.encode(frame), *stream.encode()])
    with pytest.raises(NoVideoStream) as caught:
        open_video(path)
    assert str(caught.value) == f"{path}: no video in it, only audio; leave it out of the data set"


@pytest.mark.parametrize("reader", ["auto", "pyav"])
def test_a_size_that_changes_is_refused(make, tmp_path, reader):
    """Joints need one frame; the message names the first picture of another size."""
    first = make(tmp_path / "a.h264", count=10, params="bframes=0")
    second = make(tmp_path / "b.h264", count=10, params="bframes=0", size=(64, 48))
    path = tmp_path / "both.h264"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(UnreadableVideo) as caught:
        open_video(path, reader)
    advice = "bring all to one size (ffmpeg -i IN -vf scale=96:64 OUT)"
    assert str(caught.value) == f"{path}: frame 10 is 64×48 but the first is 96×64; {advice}"

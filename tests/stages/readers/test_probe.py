"""Lengths and sizes from packets are those of a decode, and what would break a decode is named."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from star.errors import NoVideoStream, TruncatedVideo, UnreadableVideo
from star.stages.decode import open_video, probe_video
from star.stages.readers import probe as module
from star.stages.readers.bitstream.h264_packets import length_size
from star.stages.readers.container import VideoFile

SAMPLES = {
    "armwrestling.mp4": 280,
    "mmpose_demo.mp4": 5,
    "S001C001P001R001A001_rgb.avi": 103,
    "stdet.mp4": 57,
    "v_GGSY1Qvo990.mp4": 355,
}


@pytest.mark.parametrize("name", SAMPLES)
def test_packets_count_what_decodes(shared, name):
    """Length, size and duration of the real samples are those of a decode; the AVI has no time stamps."""
    path = shared / "data" / "videos" / name
    found = probe_video(path, upright=True)
    with open_video(path) as video:
        assert found.frames == SAMPLES[name] == video.frame_count
        assert found.size == video.frame_size
        assert found.claimed == video.claimed
        assert found.seconds == pytest.approx(video.times[-1] * video.frame_count / (video.frame_count - 1))


def test_the_broken_sample_is_named_without_decoding(shared):
    """Its container and its packets claim 50 frames, of which 28 decode: the damaged packet tells."""
    path = shared / "data" / "videos" / "corrupted.mp4"
    with pytest.raises(TruncatedVideo) as caught:
        probe_video(path)
    assert str(caught.value) == (
        f"{path}: packet 31 of 50 is damaged, so that decoding will break off there; "
        "fetch the file again, or save what is left of it with ffmpeg -i IN OUT"
    )


KINDS = {
    "pyramid.mp4": {"params": "bframes=5:b-pyramid=normal:keyint=20:ref=4"},
    "no_stamps.avi": {"params": "bframes=3:keyint=20"},
    "stream.ts": {"params": "bframes=3:keyint=20"},
    "bare.h264": {"params": "bframes=3:keyint=20"},
    "one.mp4": {"count": 1},
    "open_groups.mp4": {"params": "open-gop=1:bframes=3:keyint=10:min-keyint=10"},
    "interlaced.mp4": {"params": "tff=1:bframes=3:keyint=20"},
    "edited.mp4": {
        "params": "bframes=2:keyint=20",
        "shift": -10,
        "muxing": {"avoid_negative_ts": "disabled", "use_editlist": "1"},
    },
    "mpeg4_b.mp4": {"codec": "mpeg4", "options": {"bf": "2"}},
    "mjpeg.avi": {"codec": "mjpeg", "size": (17, 23), "pixels": "yuvj444p"},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "hevc.mp4": {"codec": "libx265", "count": 12, "options": {"x265-params": "log-level=none"}},
}


@pytest.mark.parametrize("name", KINDS)
def test_packets_of_many_kinds_are_what_decodes(make, plain, tmp_path, name):
    """Reordered, without time stamps, interlaced, or with pictures that an edit list hides: one packet, one frame."""
    path = make(tmp_path / name, **KINDS[name])
    frames = plain(path)
    found = probe_video(path)
    assert found.frames == len(frames)
    assert found.size == frames[0].shape[1::-1]
    assert found.seconds == pytest.approx(len(frames) / 25, abs=0.01)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_damaged_packet_is_named_and_a_decode_breaks_off_at_it(make, tmp_path, codec):
    """The length of a NAL unit in the 20th packet is overwritten: the survey says which, extraction fails too."""
    params = {"x265-params": "log-level=none"} if codec == "libx265" else {"bf": "0"}
    path = make(tmp_path / "a.mp4", codec, options=params)
    file = VideoFile(path)
    places = [packet.pos for packet in file.packets() if packet.size]
    assert length_size(file.decoder.name, bytes(file.decoder.extradata)) == 4
    file.close()
    data = bytearray(path.read_bytes())
    data[places[19] : places[19] + 4] = b"\xff" * 4
    path.write_bytes(data)
    with pytest.raises(TruncatedVideo, match="packet 20 of 40 is damaged"):
        probe_video(path)
    with pytest.raises(TruncatedVideo, match="decoding breaks off after"), open_video(path) as video:
        video.frame_size  # noqa: B018


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
def test_a_file_that_ends_in_mid_picture_is_truncated(make, tmp_path, name):
    """As after a broken download: the survey refuses what extraction would refuse."""
    muxing = {"movflags": "faststart"} if name == "a.mp4" else {}
    path = make(tmp_path / name, params="bframes=0:keyint=20", muxing=muxing)
    file = VideoFile(path)
    packet = list(file.packets())[20]
    file.close()
    path.write_bytes(path.read_bytes()[: packet.pos + 8 + packet.size // 2])
    with pytest.raises(TruncatedVideo) as caught:
        probe_video(path)
    assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(TruncatedVideo):
        open_video(path)


def test_only_an_upright_survey_decodes_and_then_one_picture(make, tmp_path, monkeypatch):
    """A phone video's size is turned if asked for; otherwise, and in AVI files, the decoder is not even called."""
    path, avi = make(tmp_path / "a.mp4"), make(tmp_path / "a.avi", "mpeg4")
    matrix = np.array([0, 1 << 16, 0, -1 << 16, 0, 0, 64 << 16, 0, 1 << 30], ">i4").tobytes()
    plain = np.array([1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    data = path.read_bytes()
    head, _, tail = data.partition(b"tkhd")
    path.write_bytes(head + b"tkhd" + tail.replace(plain, matrix, 1))
    assert probe_video(path, upright=True).size == (64, 96)
    with open_video(path) as video:
        assert video.frame_size == (64, 96)
    monkeypatch.setattr(module.VideoFile, "decode", lambda *_: pytest.fail("decoded"))
    assert probe_video(path).size == (96, 64)
    assert probe_video(avi, upright=True).size == (96, 64)


def test_a_folder_is_listed_and_its_first_picture_read(tmp_path):
    """Pictures are counted, others files are not; an empty picture is named."""
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((20, 30, 3), np.uint8))
    (tmp_path / "notes.txt").write_text("")
    found = probe_video(tmp_path)
    assert (found.frames, found.size, found.seconds) == (3, (30, 20), 0.1)
    (tmp_path / "2.png").write_bytes(b"")
    with pytest.raises(UnreadableVideo) as caught:
        probe_video(tmp_path)
    assert str(caught.value) == f"{tmp_path / '2.png'}: the picture is empty (0 bytes); fetch it again"


def test_what_is_no_video_is_refused_as_extraction_refuses_it(tmp_path):
    """An empty file and a text file, with the messages of `open_video`."""
    for name, content, kind in (("a.mp4", b"", NoVideoStream), ("b.mp4", b"words", UnreadableVideo)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(kind) as surveyed:
            probe_video(tmp_path / name)
        with pytest.raises(kind) as opened:
            open_video(tmp_path / name)
        assert str(surveyed.value) == str(opened.value)


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_pictures_that_nobody_is_shown_are_not_counted(make, plain, tmp_path, codec):
    """Alternate references of VP8 and VP9 are packets of their own, or share one."""
    options = {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "good", "cpu-used": "5", "b": "200k"}
    path = make(tmp_path / "a.webm", codec, count=40, options=options)
    assert probe_video(path).frames == len(plain(path)) == 40


def test_an_animated_webp_is_named(tmp_path):
    """FFmpeg cannot decode one, however often it is fetched."""
    pictures = [Image.fromarray(np.full((16, 16, 3), 80 * number, np.uint8)) for number in range(3)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:])
    for look in (probe_video, open_video):
        with pytest.raises(UnreadableVideo, match="an animated WebP, which FFmpeg cannot decode; convert it"):
            look(tmp_path / "a.webp")


def remuxed(path, source, start):
    """The packets of a file from number `start` on, as cutting without decoding (ffmpeg -ss N -c copy) leaves them."""
    with av.open(str(source)) as read, av.open(str(path), "w") as write:
        stream = write.add_stream_from_template(read.streams.video[0])
        for number, packet in enumerate(read.demux(video=0)):
            if number >= start and packet.size:
                packet.stream = stream
                write.mux(packet)
    return path


OPEN = {"x265-params": "log-level=none:open-gop=1:keyint=10:min-keyint=10:bframes=3"}
MIDDLES = {
    "h264": ("libx264", {"params": "keyint=12:bframes=3:open-gop=0:scenecut=0"}),
    "h264_open": ("libx264", {"params": "keyint=12:min-keyint=12:bframes=3:open-gop=1:scenecut=0"}),
    "h264_refresh": ("libx264", {"params": "intra-refresh=1:keyint=12"}),
    "hevc_open": ("libx265", {"options": OPEN}),
    "mpeg2": ("mpeg2video", {"options": {"g": "12", "bf": "2"}}),
}


@pytest.mark.parametrize("suffix", ["ts", "mkv", "mp4"])
@pytest.mark.parametrize("name", MIDDLES)
def test_files_that_begin_between_key_pictures(make, plain, tmp_path, name, suffix):
    """Cut anywhere out of a longer file: scan counts the pictures that are shown, not the packets."""
    codec, settings = MIDDLES[name]
    if suffix == "ts" and name in ("h264_open", "h264_refresh"):
        pytest.skip("what was made for MP4 has its parameters outside of the stream")
    source = make(tmp_path / "whole.mp4", codec, count=60, **settings)
    for start in (1, 5, 10, 12, 13, 20, 24):
        path = remuxed(tmp_path / f"{start}.{suffix}", source, start)
        shown = len(plain(path))
        assert probe_video(path).frames == probe_video(path, upright=True).frames == shown, start
        with open_video(path) as video:
            assert video.frame_count == shown


@pytest.mark.parametrize("name", ["h264", "mpeg2"])
def test_recordings_that_begin_in_mid_stream(make, plain, tmp_path, name):
    """A transport stream from any of its packets on, as a receiver records it."""
    codec, settings = MIDDLES[name]
    whole = make(tmp_path / "whole.ts", codec, count=60, **settings).read_bytes()
    path = tmp_path / "a.ts"
    for share in (0.1, 0.3, 0.5):
        path.write_bytes(whole[int(share * len(whole)) // 188 * 188 :])
        assert probe_video(path).frames == len(plain(path))


GIFS = {
    "plain": {},
    "no time": {"duration": 0},
    "times": {"duration": [10, 200, 30, 1000, 20, 50]},
    "restored": {"disposal": 3},
    "cleared": {"disposal": 2, "transparency": 0},
    "looped": {"loop": 0, "comment": b"x" * 300},
}


@pytest.mark.parametrize("name", GIFS)
def test_gifs_have_the_frames_that_are_shown(plain, tmp_path, name):
    """Whatever the times, the disposal and the comments between them."""
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 255, (16, 20, 3), np.uint8)) for _ in range(6)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], **GIFS[name])
    with open_video(tmp_path / "a.gif") as video:
        assert probe_video(tmp_path / "a.gif").frames == video.frame_count == len(plain(tmp_path / "a.gif"))

"""Files of every container that PyAV writes, whole and cut: scan and every reader say the same of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from star.errors import TruncatedVideo
from star.stages.decode import open_video, probe_video

SIZE = (96, 64)
H264 = {"x264-params": "keyint=6:bframes=2"}
FAST = {"deadline": "realtime", "cpu-used": "8"}
# name: format, codec, its options, codec of the sound, options of the container
KINDS: dict[str, tuple[str, str, dict[str, str], str, dict[str, str]]] = {
    "fast.mp4": ("mp4", "libx264", H264, "aac", {"movflags": "faststart"}),
    "end.mp4": ("mp4", "libx264", H264, "aac", {}),
    "parts.mp4": ("mp4", "libx264", H264, "", {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    "a.mov": ("mov", "mpeg4", {}, "pcm_s16le", {"movflags": "faststart"}),
    "a.3gp": ("3gp", "mpeg4", {}, "", {}),
    "a.avi": ("avi", "mpeg4", {}, "mp2", {}),
    "a.mkv": ("matroska", "libx264", H264, "aac", {}),
    "live.mkv": ("matroska", "libx264", H264, "", {"live": "1"}),
    "a.webm": ("webm", "libvpx", FAST, "libopus", {}),
    "a.ts": ("mpegts", "libx264", H264, "aac", {}),
    "silent.ts": ("mpegts", "libx264", H264, "", {}),
    "mpeg2.ts": ("mpegts", "mpeg2video", {}, "mp2", {}),
    "a.m2ts": ("mpegts", "libx264", H264, "aac", {"mpegts_m2ts_mode": "1"}),
    "a.mpg": ("mpeg", "mpeg1video", {}, "mp2", {}),
    "a.vob": ("vob", "mpeg2video", {}, "mp2", {}),
    "a.wmv": ("asf", "wmv2", {}, "mp2", {}),
    "a.ogv": ("ogg", "libvpx", FAST, "libopus", {}),
    "a.gif": ("gif", "gif", {}, "", {}),
    "a.dv": ("dv", "dvvideo", {}, "", {}),
    "a.flv": ("flv", "flv", {}, "", {}),
    "h264.flv": ("flv", "libx264", H264, "aac", {}),
    "a.mxf": ("mxf", "mpeg2video", {}, "", {}),
    "a.ivf": ("ivf", "libvpx", FAST, "", {}),
    "a.nut": ("nut", "mpeg4", {}, "", {}),
    "a.apng": ("apng", "apng", {}, "", {}),
    "a.y4m": ("yuv4mpegpipe", "wrapped_avframe", {}, "", {}),
    "a.h264": ("h264", "libx264", H264, "", {}),
    "a.m4v": ("m4v", "mpeg4", {}, "", {}),
    "a.mjpeg": ("mjpeg", "mjpeg", {}, "", {}),
}
PIXELS = {"gif": "rgb8", "apng": "rgb24", "mjpeg": "yuvj420p"}
# Containers without any length: a cut between two pictures leaves a whole file, one that is only shorter.
_STREAMS = "parts.mp4 live.mkv a.ts silent.ts mpeg2.ts a.m2ts a.mpg a.vob a.dv a.y4m a.h264 a.m4v a.mjpeg"
NO_LENGTHS = frozenset(_STREAMS.split())
NEAR = 48  # bytes from the border of a picture: a decoder does not miss so few, and headers lie there


def write(path: Path, kind: str, count: int = 14) -> Path:
    """A video of moving texture, with sound where the kind has it."""
    form, codec, options, sound, muxing = KINDS[kind]
    width, height = (720, 576) if codec == "dvvideo" else SIZE
    rng = np.random.default_rng(0)
    wall = rng.integers(0, 255, (height // 8 + 3, width // 8 + 3, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w", format=form, options=muxing) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, PIXELS.get(codec, "yuv420p")
        stream.thread_count, stream.options = 1, options
        if codec in ("mpeg4", "mpeg2video", "mpeg1video", "flv"):
            stream.gop_size = 6
        audio = container.add_stream(sound, rate=48000) if sound else None
        for index in range(count):
            picture = wall[index % 8 : index % 8 + height, 2 * index % 8 : 2 * index % 8 + width]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
            if audio:
                container.mux(audio.encode(silence(audio.codec_context.format.name, index)))
        container.mux(stream.encode())
        if audio:
            container.mux(audio.encode())
    return path


def silence(form: str, index: int) -> av.AudioFrame:
    """40 ms of it."""
    frame = av.AudioFrame(format=form, layout="stereo", samples=1920)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.sample_rate, frame.pts, frame.time_base = 48000, 1920 * index, Fraction(1, 48000)
    return frame


def verdicts(path: Path) -> set[str]:
    """What the survey and two readers make of a file."""
    found = set()
    for look in (lambda: probe_video(path).frames, lambda: count(path, "auto"), lambda: count(path, "pyav")):
        try:
            found.add(str(look()))
        except TruncatedVideo:
            found.add("truncated")
        except Exception as error:
            found.add(type(error).__name__)
    return found


def count(path: Path, reader: str) -> int:
    with open_video(path, reader) as video:
        return video.frame_count


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_passes_and_a_cut_one_is_truncated(tmp_path: Path, kind: str) -> None:
    """Wherever it is cut: within a picture, within the sound, between packets, in the index."""
    path = write(tmp_path / kind, kind)
    whole = path.read_bytes()
    assert verdicts(path) == {"14"}
    with av.open(str(path)) as container:
        places = {packet.pos for packet in container.demux() if packet.pos and packet.size}
    last = max(place for place in places if place < len(whole))
    chance = random.Random(kind)
    cuts = {chance.randrange(len(whole) // 3, last) for _ in range(8)} | set(chance.sample(sorted(places), 2))
    cut = path.with_name("cut" + path.suffix)
    said = {}
    for length in cuts:
        cut.write_bytes(whole[:length])
        said[length] = verdicts(cut)
    fails = {"truncated", "UnreadableVideo", "NoVideoStream", "14"}  # 14: only sound, or the index, is missing
    missed = {length: found for length, found in said.items() if not found <= fails}
    near = {length for length in missed if min(abs(length - place) for place in places) <= NEAR}
    if kind == "a.h264":  # not even a container: of pictures that differ so little, a decoder may not miss the end
        assert len(missed) <= 4
    else:
        assert not missed or (kind in NO_LENGTHS and near == missed.keys()), missed
    assert "truncated" in set().union(*said.values())


def test_a_fragment_of_which_only_the_first_bytes_are_there(tmp_path: Path) -> None:
    """Fewer than a box's length and kind take: what is whole before them would pass for the film."""
    path = write(tmp_path / "parts.mp4", "parts.mp4")
    whole = path.read_bytes()
    start = whole.index(b"moof", whole.index(b"mdat")) - 4
    for more in range(1, 8):
        path.write_bytes(whole[: start + more])
        assert verdicts(path) == {"truncated"}, more


def test_the_message_says_what_tells(tmp_path: Path) -> None:
    """How many frames there are, why the file must have been longer, what to do."""
    path = write(tmp_path / "a.mkv", "a.mkv")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(TruncatedVideo) as error:
        probe_video(path)
    assert "the file was cut short after" in str(error.value)
    assert "its segment goes on to byte" in str(error.value)
    assert "fetch the file again" in str(error.value)
    with pytest.raises(TruncatedVideo) as opened:
        open_video(path)
    assert str(opened.value) == str(error.value)


@pytest.mark.parametrize("options", [{}, {"movflags": "faststart"}])
def test_a_trimming_edit_list_is_no_cut(make: Callable[..., Path], tmp_path: Path, options: dict[str, str]) -> None:
    """Frames that a list of edits leaves out are there all the same."""
    muxing = {"avoid_negative_ts": "disabled", "use_editlist": "1", **options}
    path = make(tmp_path / "a.mp4", params="bframes=2:keyint=20", shift=-10, muxing=muxing)
    assert verdicts(path) == {"30"}


def test_junk_behind_a_whole_file_is_no_cut(tmp_path: Path) -> None:
    """Zeros that a download manager left."""
    for kind in ("fast.mp4", "a.mkv", "a.avi", "a.wmv", "a.gif", "h264.flv"):
        path = write(tmp_path / kind, kind)
        path.write_bytes(path.read_bytes() + bytes(1000))
        assert "truncated" not in verdicts(path), kind

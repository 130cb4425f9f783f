"""What a reader chooses where a file leaves a choice: the stream, how it is turned, the shape of its pixels."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from star.errors import NoVideoStream
from star.stages.decode import open_video, probe_video

MAIN, SMALL, LARGE = (96, 64), (48, 32), (192, 128)


def streams(path: Path, *kinds: tuple[str, tuple[int, int], int, bool]) -> Path:
    """A file with several video streams: (codec, size, frames, marked as default)."""
    with av.open(str(path), "w") as container:
        made = []
        for codec, size, count, default in kinds:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height = size
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.thread_count = 1
            stream.disposition = Disposition.default if default else Disposition(0)
            made.append((stream, size, count))
        for stream, (width, height), count in made:
            for index in range(count):
                picture = np.full((height, width, 3), 20 * index % 255, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
    return path


CASES = {
    "the default one": ([("libx264", LARGE, 9, False), ("libx264", MAIN, 9, True)], MAIN),
    "the larger": ([("libx264", SMALL, 9, True), ("libx264", LARGE, 9, True), ("libx264", MAIN, 9, True)], LARGE),
    "many pictures before one": ([("mjpeg", LARGE, 1, True), ("libx264", MAIN, 9, True)], MAIN),
    "many, and none is default": ([("mjpeg", LARGE, 1, False), ("libx264", MAIN, 9, False)], MAIN),
    "the first of equals": ([("libx264", MAIN, 9, True), ("libx264", MAIN, 7, True)], MAIN),
}


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov"])
@pytest.mark.parametrize("case", CASES)
def test_which_stream_is_the_video(tmp_path: Path, case: str, suffix: str) -> None:
    """Default flag, then many pictures, then size; the survey says that there was a choice, and all readers agree."""
    kinds, size = CASES[case]
    if suffix != "mkv" and case == "the default one":
        pytest.skip("no track of MP4 is unmarked unless another is marked")
    path = streams(tmp_path / f"a.{suffix}", *kinds)
    for reader in ("auto", "pyav", "decord"):
        with open_video(path, reader) as video:
            assert (video.frame_size, video.frame_count) == (size, 9)
    found = probe_video(path)
    assert (found.size, found.frames) == (size, 9)
    assert f"{len(kinds)} video streams" in found.notes[0]
    assert f"{size[0]}×{size[1]}" in found.notes[0].partition("is taken")[0]


def test_one_stream_needs_no_note(tmp_path: Path) -> None:
    """Nothing was chosen."""
    assert probe_video(streams(tmp_path / "a.mp4", ("libx264", MAIN, 3, True)), upright=True).notes == ()


def test_a_cover_alone_is_no_video(tmp_path: Path) -> None:
    """The message says what is in the file, and not that video is."""
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("mp2", rate=48000, layout="mono")
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = *MAIN, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), format="rgb24")))
        container.mux(cover.encode())
        frame = av.AudioFrame(format="s16", layout="mono", samples=1152)
        frame.sample_rate = 48000
        for part in (frame, None):
            container.mux(sound.encode(part))
    with pytest.raises(NoVideoStream, match="no video in it, only audio and a cover picture; leave"):
        probe_video(path)


def photographs(path: Path, orientation: int, count: int = 4) -> list[np.ndarray]:
    """Photographs that EXIF turns, as the pictures of a MOV file; as Pillow shows them."""
    shown = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuvj444p"
        for index in range(count):
            picture = np.zeros((32, 48, 3), np.uint8)
            picture[:16, :24] = 255
            picture[16:, :24] = 40 * index
            exif = Image.Exif()
            exif[0x112] = orientation
            buffer = io.BytesIO()
            Image.fromarray(picture).save(buffer, "JPEG", exif=exif, quality=95, subsampling=0)
            shown.append(cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_COLOR_RGB))
            packet = av.Packet(buffer.getvalue())
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, index, index, True
            packet.time_base = Fraction(1, 10)
            container.mux(packet)
    return shown


@pytest.mark.parametrize("suffix", ["mov", "avi", "mkv"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photographs_in_a_video_are_turned_as_exif_says(tmp_path: Path, orientation: int, suffix: str) -> None:
    """All eight ways, mirrored ones too, in every reader; PyAV has no name for EXIF among the data of a picture."""
    path = tmp_path / f"a.{suffix}"
    shown = photographs(path, orientation)
    for reader in ("auto", "pyav", "decord"):
        with open_video(path, reader) as video:
            found = dict(video.frames(range(4)))
            assert video.frame_size == shown[0].shape[1::-1]
        assert all(np.abs(found[index].astype(int) - shown[index]).mean() < 3 for index in range(4))
    survey = probe_video(path, upright=True)
    assert survey.size == shown[0].shape[1::-1]
    assert bool(survey.notes) == (orientation in (2, 4, 5, 7))


MATRICES = {
    "upside down": ((1, 0, 0, -1), lambda picture: picture[::-1]),
    "mirrored": ((-1, 0, 0, 1), lambda picture: picture[:, ::-1]),
    "half a turn": ((-1, 0, 0, -1), lambda picture: picture[::-1, ::-1]),
    "a quarter": ((0, 1, -1, 0), lambda picture: np.rot90(picture, -1)),
    "transposed": ((0, 1, 1, 0), lambda picture: picture.transpose(1, 0, 2)),
}


@pytest.mark.parametrize("name", MATRICES)
def test_a_matrix_of_mp4_is_applied(make: Callable[..., Path], plain, tmp_path: Path, name: str) -> None:
    """Also one that only swaps top and bottom, which has no angle."""
    path = make(tmp_path / "a.mp4", count=6)
    frames = plain(path)
    (a, b, c, d), turned = MATRICES[name]
    matrix = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    head, _, tail = path.read_bytes().partition(b"tkhd")
    unit = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(head + b"tkhd" + tail.replace(unit, matrix, 1))
    for reader in ("auto", "pyav", "decord"):
        with open_video(path, reader) as video:
            found = dict(video.frames(range(6)))
        assert all(np.array_equal(found[index], turned(frames[index])) for index in range(6)), reader
    assert bool(probe_video(path, upright=True).notes) == (a * d - b * c < 0)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "avi", "ts", "mpg"])
@pytest.mark.parametrize(("aspect", "size"), [((4, 3), (128, 64)), ((1, 2), (96, 128)), ((16, 11), (140, 64))])
def test_pixels_that_are_not_square_are_made_square(
    tmp_path: Path, suffix: str, aspect: tuple[int, int], size: tuple[int, int]
) -> None:
    """The side that is too short is made longer, as players do; the survey says so, and readers agree."""
    if suffix == "mpg":
        aspect, size = (16, 15), (102, 64)
    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as container:
        codec = {"mpg": "mpeg2video", "avi": "mpeg4"}.get(suffix, "libx264")
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *MAIN, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(*aspect)
        for index in range(6):
            picture = np.full((64, 96, 3), 30 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        if container.streams.video[0].sample_aspect_ratio != Fraction(*aspect):
            pytest.skip("this encoder does not write it")
    for reader in ("auto", "pyav", "decord"):
        with open_video(path, reader) as video:
            assert video.frame_size == size
            assert {picture.shape for _, picture in video.frames(range(6))} == {(*size[::-1], 3)}
    found = probe_video(path, upright=True)
    assert found.size == size
    assert f"stored as 96×64, shown, and taken, as {size[0]}×{size[1]}" in found.notes[0]


def folder(root: Path, *names: str) -> Path:
    """A folder of pictures; each has the number of its name as its grey."""
    root.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        cv2.imwrite(str(root / name), np.full((8, 8, 3), number, np.uint8))
    return root


ORDERED = {
    "natural order": ["9.png", "10.png", "11.png"],
    "every fifth": ["f_0005.png", "f_0010.png", "f_0015.png"],
    "decimals": ["0.04.png", "0.96.png", "1.00.png", "10.00.png"],
    "a version": ["v1.0009.png", "v1.0010.png", "v1.0011.png"],
    "a time": ["2024-01-01_12-59-58.png", "2024-01-01_12-59-59.png", "2024-01-01_13-00-00.png"],
    "a name with a number": ["g01_c02_0001.png", "g01_c02_0002.png"],
    "capitals": ["IMG_1.PNG", "img_2.png", "Img_3.png"],
    "no numbers": ["a.png", "b.png", "c.png"],
}


@pytest.mark.parametrize("case", ORDERED)
def test_one_series_is_taken_in_its_order(tmp_path: Path, case: str) -> None:
    """Whatever its names are made of."""
    names = ORDERED[case]
    path = folder(tmp_path / "a", *names)
    with open_video(path) as video:
        assert [picture[0, 0, 0] for _, picture in video.frames(range(len(names)))] == list(range(len(names)))
    assert bool(probe_video(path).notes) == (case == "no numbers")


LEFT_OUT = {
    "a copy as JPEG": ([f"{n:04}.jpg" for n in range(3)], [f"{n:04}.png" for n in range(3)]),
    "fewer of another kind": ([f"{n:04}.png" for n in range(4)], ["0001.jpg", "0002.jpg"]),
    "masks": ([f"rgb_{n}.png" for n in range(3)], [f"mask_{n}.png" for n in range(3)]),
    "masks of the same name": ([f"{n:04}.png" for n in range(3)], [f"{n:04}_mask.png" for n in range(3)]),
    "depth": ([f"color{n:04}.png" for n in range(3)], [f"depth{n:04}.png" for n in range(3)]),
    "a cover": ([f"{n:04}.png" for n in range(3)], ["cover.png"]),
    "a lone one": ([f"{n:04}.png" for n in range(3)], ["poster2.png"]),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_of_two_kinds_of_pictures_one_is_taken_and_said(tmp_path: Path, case: str) -> None:
    """Never interleaved."""
    names, others = LEFT_OUT[case]
    path = folder(tmp_path / "a", *names, *others)
    with open_video(path) as video:
        assert video.frame_count == len(names)
        seen = [int(picture[0, 0, 0]) for _, picture in video.frames(range(len(names)))]
        assert all(abs(grey - number) < 3 for number, grey in enumerate(seen))
    (note,) = probe_video(path).notes
    assert sorted(others)[0] in note
    assert "left out of its frames" in note


REFUSED = {
    "two cameras": [f"cam{camera}_{n:04}.png" for camera in (1, 2) for n in range(4)],
    "two cameras behind": [f"{n:04}_c{camera}.png" for camera in (1, 2) for n in range(4)],
    "left and right": [f"{side}_{n:04}.png" for side in ("left", "right") for n in range(4)],
    "two takes": [f"take{take}-{n}.png" for take in (1, 2, 3) for n in range(5)],
    "one number twice": ["1.png", "01.png", "2.png"],
    "two ways to read": ["1.9.png", "1.10.png", "2.1.png"],
}


@pytest.mark.parametrize("case", REFUSED)
def test_two_series_are_refused_in_one_line(tmp_path: Path, case: str) -> None:
    """With two of their names, by the survey as by the readers."""
    path = folder(tmp_path / "a", *REFUSED[case])
    said = set()
    for look in (lambda: probe_video(path), lambda: open_video(path)):
        with pytest.raises(Exception, match=r"\.png and .*\.png") as error:
            look()
        assert type(error.value).__name__ == "UnreadableVideo"
        said.add(str(error.value))
    assert len(said) == 1


def test_a_gap_in_the_numbers_is_said(tmp_path: Path) -> None:
    """How many are missing, and where."""
    (note,) = probe_video(folder(tmp_path / "a", "1.png", "2.png", "5.png", "6.png", "8.png")).notes
    assert note.startswith("3 numbers are missing among its frames, the first behind 2;")

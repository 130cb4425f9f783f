"""Small H.264 and MPEG-4 videos of many kinds, encoded here with PyAV, for `decode.py` and the tests of the readers.

`films(n)` draws n kinds by a fixed seed: containers, groups of pictures (open and closed), B-pictures and pyramids of
them, references, slices, variable frame rates, 1 to 600 frames. Every film of the same number is the same everywhere
but for the version of the encoders.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (320, 240)
COUNTS = (1, 2, 3, 5, 9, 16, 17, 31, 60, 100, 150, 240, 300, 600)


@dataclass(frozen=True)
class Film:
    """One video to be encoded. bframes: how many B-pictures may follow each other; varying: no constant frame rate."""

    name: str
    codec: str
    count: int
    bframes: int
    varying: bool = False
    options: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path, size: tuple[int, int] = SIZE) -> Path:
        """Encode it into a folder; its path."""
        chance, path, ticks = random.Random(self.name), folder / self.name, 0
        with av.open(str(path), "w") as container:
            stream = container.add_stream(self.codec, rate=25)
            stream.width, stream.height = size
            stream.pix_fmt, stream.thread_count, stream.options = "yuv420p", 1, dict(self.options)
            if self.varying:
                stream.codec_context.time_base = Fraction(1, 1000)
            convert = av.video.reformatter.VideoReformatter()
            for picture in scene(self.count, *size):
                frame = convert.reformat(
                    av.VideoFrame.from_ndarray(picture, format="rgb24"), format="yuv420p", threads=1
                )
                if self.varying:
                    frame.pts, frame.time_base = ticks, Fraction(1, 1000)
                    ticks += chance.choice((20, 40, 41, 300))
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path


def scene(count: int, width: int, height: int) -> Iterator[np.ndarray]:
    """A textured wall that moves, with cuts, a bright square and a little noise."""
    rng = np.random.default_rng(0)
    for index in range(count):
        if index % 90 == 0:
            wall = rng.integers(0, 200, (height // 8 + 6, width // 8 + 6, 3), np.uint8).repeat(8, 0).repeat(8, 1)
        picture = wall[index % 32 : index % 32 + height, 2 * index % 40 : 2 * index % 40 + width].copy()
        picture += rng.integers(0, 6, picture.shape, np.uint8)
        top, left = 3 * index % height, 5 * index % width
        picture[top : top + 16, left : left + 16] = 255
        yield picture


def typical(folder: Path) -> list[Path]:
    """Three videos made as those of well-known data sets are: size, codec, frames, B-pictures. Their paths."""
    kinds = (
        (Film("1920x1080 MPEG-4 B.avi", "mpeg4", 103, 1, options={"bf": "1", "g": "12", "b": "2000000"}), (1920, 1080)),
        (Film("340x256 H.264 B.mp4", "libx264", 280, 3, options={"preset": "medium", "crf": "23"}), (340, 256)),
        (Film("320x240 H.264 no B.mp4", "libx264", 355, 0, options={"preset": "medium", "bf": "0"}), (320, 240)),
    )
    return [film.write(folder, size) for film, size in kinds]


def films(count: int, seed: int = 0) -> list[Film]:
    """`count` kinds of films: three of five in H.264, the others in MPEG-4."""
    chance = random.Random(seed)
    return [_h264(chance, number) if number % 5 < 3 else _mpeg4(chance, number) for number in range(count)]


def _h264(chance: random.Random, number: int) -> Film:
    bframes, group = chance.choice((0, 1, 2, 3, 3, 5)), chance.choice((1, 12, 25, 50, 250, 600))
    settings = {
        "bframes": bframes,
        "b-pyramid": chance.choice(("none", "strict", "normal", "normal")),
        "keyint": group,
        "open-gop": chance.choice((0, 0, 1)),
        "scenecut": chance.choice((0, 40)),
        "ref": chance.choice((1, 2, 3, 5)),
        "weightp": chance.choice((0, 1, 2)),
        "cabac": chance.choice((0, 1, 1)),
        "slices": chance.choice((1, 1, 1, 4)),
        "b-adapt": chance.choice((0, 1, 2)),
        "crf": chance.choice((18, 26, 34)),
    }
    params = ":".join(f"{name}={value}" for name, value in settings.items())
    options = {"preset": "veryfast", "x264-params": params}
    if chance.random() < 0.1:
        options["tune"] = "zerolatency"
    kind = chance.choice(("mp4", "mp4", "mkv", "avi"))
    return _film(chance, number, kind, "libx264", 0 if "tune" in options or group == 1 else bframes, options)


def _mpeg4(chance: random.Random, number: int) -> Film:
    bframes = chance.choice((0, 1, 2, 3))
    flags = chance.choice(("", "+cgop", "+qpel", "+mv4", "+mv4+aic", "+qpel+mv4+cgop", "+ildct+ilme"))
    options = {
        "bf": str(bframes),
        "g": str(chance.choice((1, 12, 30, 250))),
        "b_strategy": str(chance.choice((0, 1))) if bframes else "0",
        "b": str(chance.choice((200_000, 800_000))),
        **({"flags": flags} if flags else {}),
        **({"sc_threshold": "1000000000"} if "cgop" in flags else {}),  # FFmpeg closes groups only without scene cuts
    }
    kind = chance.choice(("avi", "avi", "mp4", "mkv"))
    return _film(chance, number, kind, "mpeg4", 0 if options["g"] == "1" else bframes, options)


def _film(chance: random.Random, number: int, kind: str, codec: str, bframes: int, options: dict[str, str]) -> Film:
    """kind: the container; AVI files have one rate."""
    varying = kind != "avi" and chance.random() < 0.25
    return Film(f"{number:03}_{codec}.{kind}", codec, chance.choice(COUNTS), bframes, varying, options)

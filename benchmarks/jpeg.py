"""Question: how much sooner is a JPEG frame at 112 px with `decode.jpeg: scaled` than by OpenCV's full decode?

OpenCV's way is the usual one: IMREAD_COLOR, BGR to RGB, crop, resize by area to 112 px. star's `exact` gives the same
bits; `scaled` lets libjpeg leave out what the crop does not need. "decode" is reading and decoding alone, OpenCV's
without BGR to RGB. Pictures are made here: waves and noise, blurred as a lens blurs them, in two qualities. CPU
milliseconds a picture, medians; the ways take turns. The goal is 3 times, from 1920 × 1080. What is left is Huffman
decoding, which no reduced size spares: the more bytes a picture has, the less can be won.

    python benchmarks/jpeg.py [--rounds 15] [--pictures 8]
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from claims import claim
from common import options, turns

from star.stages.cropping import crop_frame
from star.stages.decode import open_video
from star.stages.jpeg_cropping import crop_reduced_frame, reduction_factor

SIZE = 112
CASES = {  # size of the pictures, region
    "1920×1080, whole frame": ((1920, 1080), (0, 0, 1920, 1080)),
    "1920×1080, person of 701 px": ((1920, 1080), (603, 201, 1304, 902)),
    "1920×1080, person of 301 px": ((1920, 1080), (603, 201, 904, 502)),
    "480×360, whole frame": ((480, 360), (0, 0, 480, 360)),
    "480×360, person of 251 px": ((480, 360), (101, 51, 352, 302)),
}


def make(folder: Path, count: int, size: tuple[int, int], quality: int) -> float:
    """Write pictures; bits per pixel."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: size[1], : size[0]]
    waves = 128 + 90 * np.stack([np.sin(x / 37 + y / 91), np.cos(y / 53), np.sin((x + y) / 71)], -1)
    for index in range(count):
        noise = cv2.GaussianBlur(rng.normal(0, 60, waves.shape), (0, 0), 2.0) * 2
        picture = cv2.GaussianBlur(np.clip(waves + noise, 0, 255).astype(np.uint8), (0, 0), 1.5)
        cv2.imwrite(str(folder / f"{index}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return 8 * sum(path.stat().st_size for path in folder.iterdir()) / (count * size[0] * size[1])


def plain(path: Path) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)


def ways(folder: Path, size: tuple[int, int], region: np.ndarray) -> dict[str, Callable[[], object]]:
    """Every way over all pictures of a folder."""
    paths, factor = sorted(folder.iterdir()), reduction_factor(region, SIZE)
    video = open_video(folder)
    every = range(video.frame_count)
    x0, y0, x1, y1 = (int(edge) for edge in region)

    def by_opencv() -> None:
        for path in paths:
            picture = cv2.cvtColor(plain(path), cv2.COLOR_BGR2RGB)[y0:y1, x0:x1]
            cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA)

    return {
        "decode, OpenCV": lambda: [plain(path) for path in paths],
        "decode, scaled": lambda: list(video.reduced(every, factor)),
        "to 112, OpenCV": by_opencv,
        "to 112, exact": lambda: [crop_frame(frame, region, SIZE) for _, frame in video.frames(every)],
        "to 112, scaled": lambda: [
            crop_reduced_frame(frame, region, SIZE, size, factor) for _, frame in video.reduced(every, factor)
        ],
    }


def compare(case: str, quality: int, ms: list[float]) -> None:
    """Milliseconds of each way -> the claims; the goal is for pictures of 1920×1080."""
    for way, other, mine in (("decoding alone", ms[0], ms[1]), ("to 112 px", ms[2], ms[4])):
        if way == "to 112 px" or case.startswith("1920×1080, whole"):
            claim(
                f"JPEG, {case}, quality {quality}, {way}",
                mine,
                "ms",
                against="OpenCV, decoded in full",
                other=other,
                ratio=other / mine,
                goal=(">=", 3) if case.startswith("1920") else None,
                why="Huffman decoding is half of libjpeg's work, grows with the bytes, and no reduced size spares it; "
                "a crop that is a part of the picture allows less of a reduction.",
            )


def main() -> None:
    asked = options(__doc__, rounds=15, pictures=8).parse_args()
    heads = ["pictures", "quality, bits a pixel", "factor", "decode: OpenCV, scaled", "to 112: OpenCV, exact, scaled"]
    print("| " + " | ".join([*heads, "OpenCV / scaled: decode, to 112"]) + " |\n|" + "---|" * 6)
    for name, (size, region) in CASES.items():
        for quality in (75, 90):
            with tempfile.TemporaryDirectory() as folder:
                bits = make(Path(folder), asked.pictures, size, quality)
                box = np.array(region, np.float64)
                taken = turns(ways(Path(folder), size, box), asked.rounds, clock=time.process_time)
            ms = [1e3 * seconds / asked.pictures for seconds in taken.values()]
            times = [f"{ms[0]:.2f}, {ms[1]:.2f}", f"{ms[2]:.2f}, {ms[3]:.2f}, {ms[4]:.2f}"]
            ratios = f"{ms[0] / ms[1]:.2f}, {ms[2] / ms[4]:.2f}"
            row = [name, f"{quality}, {bits:.1f}", f"{reduction_factor(box, SIZE)}", *times, ratios]
            print("| " + " | ".join(row) + " |", flush=True)
            compare(name, quality, ms)


if __name__ == "__main__":
    main()

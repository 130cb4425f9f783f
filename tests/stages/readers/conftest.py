"""Videos made with PyAV's encoders, and the plain decode that every reader is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

SIZE = (96, 64)


def scene(count: int, width: int, height: int) -> Iterator[np.ndarray]:
    """Moving texture and a bright square, so that pictures differ and refer to each other."""
    rng = np.random.default_rng(0)
    wall = rng.integers(0, 255, (height // 8 + 3, width // 8 + 3, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    for index in range(count):
        picture = wall[index % 8 : index % 8 + height, 2 * index % 8 : 2 * index % 8 + width].copy()
        top, left = 3 * index % height, 5 * index % width
        picture[top : top + 6, left : left + 6] = 255
        yield picture


def encode(
    path: Path,
    codec: str = "libx264",
    *,
    count: int = 40,
    size: tuple[int, int] = SIZE,
    pixels: str = "yuv420p",
    params: str = "",
    options: dict[str, str] | None = None,
    ticks: list[int] | None = None,
    muxing: dict[str, str] | None = None,
    shift: int = 0,
    title: str = "",
) -> Path:
    """Write `count` pictures. ticks: their times in ms, 25 a second by default. shift: all stamps, in frames."""
    with av.open(str(path), "w", options=muxing or {}) as container:
        container.metadata["title"] = title
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        stream.thread_count = 1
        stream.options = {**({"x264-params": params} if params else {}), **(options or {})}
        if ticks:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index, picture in enumerate(scene(count, *size)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if ticks:
                frame.pts, frame.time_base = ticks[index], Fraction(1, 1000)
            _mux(container, stream.encode(frame), shift)
        _mux(container, stream.encode(), shift)
    return path


def _mux(container, packets, shift: int) -> None:
    for packet in packets:
        if shift:
            step = round(shift / 25 / float(packet.time_base))
            packet.pts, packet.dts = packet.pts + step, packet.dts + step
        container.mux(packet)


def plain_decode(path: Path) -> list[np.ndarray]:
    """Every frame of a video by PyAV alone: one thread, no skipping, nothing of star's; wide pixels made square."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        if (stream.sample_aspect_ratio or 1) > 1.01:
            size = round(stream.width * stream.sample_aspect_ratio), stream.height
            shown = (frame.reformat(*size, "rgb24", interpolation="BICUBIC") for frame in container.decode(video=0))
            return [frame.to_ndarray() for frame in shown]
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture(scope="session")
def make() -> Callable[..., Path]:
    """`encode` above."""
    return encode


@pytest.fixture(scope="session")
def plain() -> Callable[[Path], list[np.ndarray]]:
    """`plain_decode` above."""
    return plain_decode

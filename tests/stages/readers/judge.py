"""Breaks videos and judges what the readers make of them; imported by test_fuzz.py and by its child processes."""

from __future__ import annotations

import random
from pathlib import Path

import av
import numpy as np

from star.errors import VideoError
from star.stages.decode import open_video
from star.stages.readers.container import NOT_UTF8

KINDS = ("flip", "flips", "zeros", "noise", "cut", "head", "header", "empty", "swap")


def broken(source: Path, target: Path, kind: str, seed: int) -> Path:
    """Write a broken copy of a video: bits flipped, ranges zeroed or overwritten, cut, picture headers changed."""
    chance = random.Random(seed)
    data = bytearray(source.read_bytes())
    place, length = chance.randrange(len(data)), chance.randrange(1, 4000)
    end = min(place + length, len(data))
    if kind in {"flip", "flips"}:
        for _ in range(1 if kind == "flip" else 30):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == "zeros":
        data[place:end] = bytes(end - place)
    elif kind == "noise":
        data[place:end] = chance.randbytes(end - place)
    elif kind == "cut":
        del data[place:]
    elif kind == "head":
        for _ in range(4):
            data[chance.randrange(min(4096, len(data)))] = chance.randrange(256)
    elif kind == "header":
        start = chance.choice(_places(source))
        data[start + chance.randrange(20)] ^= 1 << chance.randrange(8)
    elif kind == "swap":
        data[place:end] = data[end:][: end - place]
    elif kind == "empty":
        data.clear()
    target.write_bytes(data)
    return target


def _places(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [packet.pos for packet in container.demux(video=0) if packet.size > 20]


def plain_decode(path: Path) -> tuple[dict[int, np.ndarray], str]:
    """What a sequential decode gives until it fails, and why it failed.

    Errors before the first frame do not count, as for the ffmpeg program: whether FFmpeg complains of packets before
    the first key frame is up to chance (it does or does not as MALLOC_PERTURB_ fills fresh memory).
    """
    frames: dict[int, np.ndarray] = {}
    with av.open(str(path), **NOT_UTF8) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            try:
                for frame in packet.decode():
                    frames[len(frames)] = frame.to_ndarray(format="rgb24", threads=1)
            except av.FFmpegError as error:
                if frames:
                    return frames, str(error)
    return frames, ""


def verdict(path: Path) -> str:
    """The kind of the error that `auto` raises, "exact" for the frames of a plain decode, else "WRONG …"."""
    try:
        with open_video(path) as video:
            count = video.frame_count
            chosen = {(2 * part + 1) * count // 32 for part in range(16)} | {0, count - 1}
            found = dict(video.frames(chosen))
    except VideoError as error:
        return error.kind if "\n" not in str(error) else f"WRONG message: {error}"
    expected, error = plain_decode(path)
    wrong = [index for index in found if index not in expected or not np.array_equal(found[index], expected[index])]
    if wrong or len(expected) != count:
        return f"WRONG frames {wrong}, {count} counted, {len(expected)} decode {error}"
    return "exact"

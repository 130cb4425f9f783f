"""One drawn clip: motion, figure and scene put together, and the H.264 file."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ....errors import MissingPackage
from .figure import Appearance, Figure
from .motion import ACTIONS, Body, perform
from .scene import BACKDROPS, backdrop, film, project

RATE = 25  # frames per second


class DrawnClip(NamedTuple):
    """Everything that a clip is made from; equal clips give equal pixels.

    number: of the clip among its action's. figure: who is in it; a name that no clip of the other split has.
    frames: (fewest, most). size: (width, height) px.
    """

    action: str
    number: int
    split: str
    figure: str
    seed: int
    frames: tuple[int, int]
    size: tuple[int, int]


def shoot(clip: DrawnClip) -> tuple[Iterator[np.ndarray], np.ndarray]:
    """The frames, (h, w, 3) uint8 RGB one by one, and the joints (F, 1, 13, 3) float32: x px, y px, score."""
    action = ACTIONS[clip.action]
    body = Body.drawn(_random(clip.seed, "figure", clip.figure))
    moving = _random(clip.seed, "motion", action.motion, clip.number)
    frames = int(moving.integers(clip.frames[0], clip.frames[1] + 1))
    points = perform(action, body, frames, moving)
    shot = film(frames, clip.size, moving)
    pixels, depth, scale = project(points, shot)
    if action.reverse:
        pixels, depth, scale, moves = pixels[::-1], depth[::-1], scale[::-1], shot.moves[::-1]
    else:
        moves = shot.moves
    looks = _random(clip.seed, "look", clip.action, clip.number)
    scene = backdrop(clip.size, BACKDROPS[clip.split], looks)
    higher = 5 if pixels[:, 5, 1].mean() < pixels[:, 6, 1].mean() else 6  # the wrist that waves
    flag = higher if action.flag else None
    figure = Figure(body, Appearance.drawn(clip.split, looks), pixels, depth, scale, shot.yaw, flag)
    shown = pixels[:, :13]
    inside = ((shown >= 0) & (shown <= np.array(clip.size) - 1)).all(axis=-1, keepdims=True)
    joints = np.where(inside, np.concatenate([shown.round(3), inside], axis=-1), 0).astype(np.float32)[:, None]
    return _frames(scene, moves, figure, clip.size), joints


def _random(*names: str | int) -> np.random.Generator:
    """A generator of its own for every list of names."""
    return np.random.default_rng(zlib.crc32("/".join(str(name) for name in names).encode()))


def _frames(scene: np.ndarray, moves: np.ndarray, figure: Figure, size: tuple[int, int]) -> Iterator[np.ndarray]:
    for number, move in enumerate(moves):
        frame = cv2.warpAffine(scene, move, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        figure.paint(frame, number)
        yield frame


def encode(path: Path, frames: Iterable[np.ndarray], size: tuple[int, int]) -> None:
    """Write frames as an H.264 file with B frames; one thread, so that no byte depends on the machine's cores.

    Raises MissingPackage where PyAV was built without libx264.
    """
    import av

    if "libx264" not in av.codecs_available:
        raise MissingPackage("drawing needs PyAV with libx264; `pip install --force-reinstall av` brings it")
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "20", "preset": "ultrafast", "x264-params": "threads=1:bframes=2"}
        for frame in frames:
            planes = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode())

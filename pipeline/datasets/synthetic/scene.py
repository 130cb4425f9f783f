"""Where the drawn figure stands: a textured backdrop, a floor, light, and a camera that pans, zooms and shakes."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import cv2
import numpy as np

Hues = tuple[tuple[float, float], ...]

# Clothes and backdrops of training and test share no hue; neither has the flag's (0.85 to 0.95).
CLOTHES: dict[str, Hues] = {
    "train": ((0.0, 0.06), (0.27, 0.38), (0.55, 0.62)),
    "test": ((0.1, 0.17), (0.44, 0.51), (0.66, 0.73)),
}
BACKDROPS: dict[str, Hues] = {
    "train": ((0.06, 0.12), (0.24, 0.32), (0.54, 0.6)),
    "test": ((0.14, 0.2), (0.4, 0.48), (0.63, 0.7)),
}
MARGIN = 1.5  # the backdrop is this much larger than a frame, so that the camera can move
HORIZON = 0.66  # of the backdrop's height


Colour = tuple[float, float, float]


def colour(rng: np.random.Generator, hues: Hues, saturation: tuple[float, float], value: tuple[float, float]) -> Colour:
    """Red, green, blue in 0..255: a random colour of one of the hues."""
    hue = rng.uniform(*hues[rng.integers(len(hues))])
    return shade(colorsys.hsv_to_rgb(hue, rng.uniform(*saturation), rng.uniform(*value)), 255)


def shade(tint: Colour, light: float) -> Colour:
    """A colour made lighter or darker."""
    red, green, blue = (min(255.0, float(value) * light) for value in tint)
    return red, green, blue


@dataclass(frozen=True)
class Shot:
    """How a clip is filmed.

    yaw, tilt: from where, in radians. scale: px of the backdrop per metre at the figure. foot: (2,) px where it stands.
    moves: (frames, 2, 3), backdrop px -> frame px.
    """

    yaw: float
    tilt: float
    scale: float
    foot: np.ndarray
    moves: np.ndarray


def film(frames: int, size: tuple[int, int], rng: np.random.Generator) -> Shot:
    """A random shot for frames of (width, height) px."""
    width, height = size
    time = np.linspace(0, 1, frames)
    centre = np.array([MARGIN * width / 2, MARGIN * height / 2]) + rng.uniform(-0.03, 0.03, 2) * size
    pan = rng.uniform(-0.05, 0.05, 2) * np.outer(time - 0.5, size)
    shake = np.stack([_drift(time, rng, 0.006 * width), _drift(time, rng, 0.006 * width)], axis=1)
    zoom = rng.uniform(0.95, 1.08) * (1 + rng.uniform(-0.1, 0.1) * (time - 0.5))
    roll = _drift(time, rng, 0.01)
    turn = zoom[:, None, None] * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]]).transpose(
        2, 0, 1
    )
    shift = np.array(size) / 2 - np.einsum("fij,fj->fi", turn, centre + pan + shake)
    return Shot(
        yaw=rng.uniform(-0.6, 0.6),
        tilt=rng.uniform(0.0, 0.2),
        scale=height * rng.uniform(0.36, 0.42),
        foot=np.array([MARGIN * width * rng.uniform(0.45, 0.55), height * MARGIN * rng.uniform(0.76, 0.8)]),
        moves=np.concatenate([turn, shift[..., None]], axis=2),
    )


def _drift(time: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """A smooth wobble around zero."""
    waves = (np.sin(2 * np.pi * rng.uniform(0.5, 4) * time + rng.uniform(0, 6.28)) for _ in range(3))
    return amount * np.sum(list(waves), axis=0)


def project(points: np.ndarray, shot: Shot) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (F, J, 3) in metres -> frame px (F, J, 2), depth (F, J) metres towards the camera, px per metre (F,)."""
    turn = np.array([[np.cos(shot.yaw), 0, np.sin(shot.yaw)], [0, 1, 0], [-np.sin(shot.yaw), 0, np.cos(shot.yaw)]])
    nod = np.array([[1, 0, 0], [0, np.cos(shot.tilt), -np.sin(shot.tilt)], [0, np.sin(shot.tilt), np.cos(shot.tilt)]])
    seen = points @ (nod @ turn).T
    scale = shot.scale * 6 / (6 - seen[..., 2:])  # seen from 6 m
    flat = shot.foot + seen[..., :2] * (1, -1) * scale
    pixels = np.einsum("fij,fnj->fni", shot.moves[..., :2], flat) + shot.moves[:, None, :, 2]
    zoom = np.sqrt(np.linalg.det(shot.moves[..., :2]))
    return pixels, seen[..., 2], shot.scale * zoom


def backdrop(size: tuple[int, int], hues: Hues, rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8: one of four kinds of wall or landscape over a floor, under light from one side."""
    width, height = int(size[0] * MARGIN), int(size[1] * MARGIN)
    horizon = int(height * HORIZON)
    canvas = np.empty((height, width, 3), np.uint8)
    (_bricks, _room, _hills, _planks)[rng.integers(4)](canvas[:horizon], hues, rng)
    floor, tint = canvas[horizon:], colour(rng, hues, (0.15, 0.5), (0.3, 0.6))
    floor[:] = tint
    if rng.random() < 0.5:  # boards that run towards the horizon, else a carpet with stripes across
        for x in np.linspace(-2 * width, 3 * width, int(rng.integers(24, 50))):
            far = (int(width / 2 + (x - width / 2) / 3), 0)
            cv2.line(floor, far, (int(x), len(floor)), shade(tint, 0.8), 1, cv2.LINE_AA)
    else:
        for y in np.cumsum(np.geomspace(3, len(floor) / 3, int(rng.integers(5, 10)))):
            cv2.rectangle(floor, (0, int(y)), (width, int(y * 1.25)), shade(tint, rng.uniform(0.8, 1.15)), -1)
    texture = cv2.resize(rng.normal(0, 12, (7, 9)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)[
        ..., None
    ]
    texture = texture + rng.normal(0, 3, (height, width, 1)).astype(np.float32)
    light = 1 + rng.uniform(-0.25, 0.25) * np.linspace(-1, 1, width, dtype=np.float32)
    return np.clip((canvas + texture) * light[:, None] * np.float32(rng.uniform(0.85, 1.1)), 0, 255).astype(np.uint8)


def _bricks(canvas: np.ndarray, hues: Hues, rng: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    tint = colour(rng, hues, (0.15, 0.45), (0.5, 0.8))
    canvas[:] = shade(tint, 0.85)
    course = int(rng.integers(height // 16, height // 9))
    for row, y in enumerate(range(0, height, course)):
        for x in range(-course * (row % 2), width, 2 * course):
            far = (x + 2 * course - 2, y + course - 2)
            cv2.rectangle(canvas, (x, y), far, shade(tint, rng.uniform(0.92, 1.08)), -1)


def _planks(canvas: np.ndarray, hues: Hues, rng: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    tint = colour(rng, hues, (0.15, 0.45), (0.5, 0.85))
    canvas[:] = shade(tint, 0.7)
    step = int(rng.integers(width // 24, width // 10))
    for x in range(0, width, step):
        cv2.rectangle(canvas, (x, 0), (x + step - 2, height), shade(tint, rng.uniform(0.88, 1.08)), -1)


def _room(canvas: np.ndarray, hues: Hues, rng: np.random.Generator) -> None:
    """Windows and pictures on a plain wall, with a skirting board."""
    height, width = canvas.shape[:2]
    tint = colour(rng, hues, (0.1, 0.4), (0.55, 0.9))
    canvas[:] = tint
    for _ in range(int(rng.integers(3, 7))):
        w, h = int(width * rng.uniform(0.08, 0.2)), int(height * rng.uniform(0.15, 0.4))
        x, y = int(rng.uniform(0, width - w)), int(rng.uniform(0.05, 0.55) * height)
        cv2.rectangle(canvas, (x, y), (x + w, y + h), colour(rng, hues, (0.2, 0.6), (0.2, 0.5)), -1)
        cv2.rectangle(canvas, (x + 4, y + 4), (x + w - 4, y + h - 4), colour(rng, hues, (0.1, 0.5), (0.5, 0.9)), -1)
    canvas[-max(3, height // 30) :] = shade(tint, 0.7)


def _hills(canvas: np.ndarray, hues: Hues, rng: np.random.Generator) -> None:
    """Sky, hills one behind the other, and some trees."""
    height, width = canvas.shape[:2]
    canvas[:] = colour(rng, hues, (0.1, 0.35), (0.75, 0.95))
    x = np.linspace(0, 1, width)
    for layer in range(3):
        waves = np.sin(x * rng.uniform(3, 12) + rng.uniform(0, 6.28)) + np.sin(x * rng.uniform(9, 25))
        crest = height * (0.5 + 0.15 * layer + 0.05 * waves)
        outline = np.concatenate([np.stack([x * width, crest], axis=1), [[width, height], [0, height]]])
        cv2.fillPoly(canvas, [outline.astype(np.int32)], colour(rng, hues, (0.2, 0.5), (0.35, 0.65)), cv2.LINE_AA)
    for _ in range(int(rng.integers(0, 6))):
        at, size = (
            (int(rng.uniform(0, width)), int(height * rng.uniform(0.55, 0.8))),
            int(height * rng.uniform(0.06, 0.14)),
        )
        trunk = (at[0], at[1] + 2 * size)
        cv2.line(canvas, at, trunk, colour(rng, hues, (0.3, 0.5), (0.2, 0.3)), max(1, size // 4), cv2.LINE_AA)
        cv2.circle(canvas, at, size, colour(rng, hues, (0.3, 0.6), (0.25, 0.5)), -1, cv2.LINE_AA)

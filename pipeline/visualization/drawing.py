"""Small pictures of one frame, drawn pixel by pixel: joints and boxes on it, heat maps over it, maps as colours.

All pictures are (h, w, 3) uint8 RGB. Joints use pixel centres and regions edges, as in stages/cropping.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

LEFT, RIGHT, MIDDLE = (255, 140, 0), (0, 176, 255), (255, 255, 255)  # joints of each side, and those of neither
BOX, REGION = (255, 221, 51), (64, 255, 96)
NOT_A_NUMBER = (255, 0, 255)
OPACITY = 0.75  # of a heat map at a joint; the frame shines through


def scene(
    frame: np.ndarray,
    people: np.ndarray,
    *,
    width: int,
    height: int,
    skeleton: Mapping[str, Any],
    floor: float = 0.0,
    boxes: np.ndarray | None = None,
    region: np.ndarray | None = None,
    thickness: int = 1,
) -> np.ndarray:
    """A frame, scaled to fit into (width, height) px, with what is known of it drawn in.

    frame: (h, w, 3). people: (P, N, 3) x px, y px, score; drawn where the score is above `floor`. skeleton: its `limbs`
    and `flip_pairs`, left joint first. boxes: (P, 4) x0 y0 x1 y1 px, NaN where there is none. region: (4,) of the crop.
    thickness: of lines, px. A joint at (x, y) is a square of 2 * thickness + 1 pixels at `place` of it.
    """
    import cv2

    ratio = min(width / frame.shape[1], height / frame.shape[0])
    picture = _resized(frame, max(1, round(frame.shape[1] * ratio)), max(1, round(frame.shape[0] * ratio)))
    if region is not None:
        x0, y0, x1, y1 = (round(float(edge) * ratio) for edge in region)
        cv2.rectangle(picture, (x0, y0), (x1 - 1, y1 - 1), REGION, thickness)
    for box in boxes if boxes is not None else ():
        if np.isfinite(box).all():
            cv2.rectangle(picture, place(box[:2], ratio), place(box[2:], ratio), BOX, thickness)
    for person in people:
        colours = [MIDDLE] * len(person)
        for left, right in skeleton.get("flip_pairs", ()):
            colours[left], colours[right] = LEFT, RIGHT
        seen = np.isfinite(person).all(-1) & (person[:, 2] > floor)
        places = [place(joint, ratio) if there else (0, 0) for joint, there in zip(person, seen, strict=True)]
        for a, b in skeleton.get("limbs", ()):
            if seen[a] and seen[b]:
                colour = colours[a] if colours[a] == colours[b] else MIDDLE
                cv2.line(picture, places[a], places[b], colour, thickness, cv2.LINE_AA)
        for joint in np.flatnonzero(seen):
            x, y = places[joint]
            cv2.rectangle(picture, (x - thickness, y - thickness), (x + thickness, y + thickness), colours[joint], -1)
    return picture


def place(joint: np.ndarray, ratio: float) -> tuple[int, int]:
    """The pixel of a scaled picture in which a joint (x, y) of the frame lies."""
    x, y = (np.asarray(joint[:2], np.float64) + 0.5) * ratio - 0.5
    return round(float(x)), round(float(y))


def overlay(picture: np.ndarray, heat: np.ndarray, side: int) -> np.ndarray:
    """A square picture with a heat map laid over it, the more opaque the hotter: (side, side, 3).

    picture: (s, s, 3), what the network saw. heat: (g, g) in 0 .. 1 over the same region.
    """
    import cv2

    below = _resized(picture, side, side).astype(np.float32)
    values = cv2.resize(heat.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
    values = np.nan_to_num(values, nan=1.0).clip(0, 1)
    share = OPACITY * values[..., None]
    return (below * (1 - share) + coloured(values) * share).round().astype(np.uint8)


def energy(values: np.ndarray, side: int, top: float) -> np.ndarray:
    """A map (y, x) as colours from 0, black, to `top`, bright, every cell as it is: (side, side, 3); NaN is magenta."""
    scaled = np.nan_to_num(values / top if top > 0 else np.zeros_like(values)).clip(0, 1)
    picture = coloured(scaled)
    picture[~np.isfinite(values)] = NOT_A_NUMBER
    rows, columns = (np.arange(side) * length // side for length in values.shape)
    return np.ascontiguousarray(picture[rows][:, columns])


def coloured(values: np.ndarray) -> np.ndarray:
    """Values in 0 .. 1 as colours of OpenCV's inferno: (..., 3) uint8."""
    import cv2

    levels = (np.atleast_2d(values) * 255).round().astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1]).reshape(*values.shape, 3)


def _resized(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    import cv2

    shrinks = width < picture.shape[1]
    kind = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(picture), (width, height), interpolation=kind)

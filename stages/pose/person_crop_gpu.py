"""What a pose network sees of a clip, cut on the device where the frames are, around people whom a detector found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .people import valid_boxes
from .person_crop import PersonCropper

if TYPE_CHECKING:
    from torch import Tensor


def person_crops_gpu(window: PersonCropper, frames: Tensor, boxes: np.ndarray) -> Tensor:
    """All crops of a clip by one bilinear grid sample: (k, height, width, 3) uint8, in the order of `person_crops`.

    frames: (T, h, w, 3) uint8. boxes: (T, people, 4) px of these frames, NaN where there is nobody. Black outside the
    frame, as `PersonCropper.crop`, and rounded to whole grey levels as there: a network gets the same crop, but for a
    level where the last bits decide, whoever cut it.

    torch's own grid_sample wants all frames as float32 first, 0.4 GB for 16 frames of full HD; this reads the four
    pixels around each place as they are, in a quarter of the time on a CPU (benchmarks/pose_parts.py).
    """
    import torch

    held = valid_boxes(boxes)
    if not held.any():
        return frames.new_zeros((0, window.height, window.width, 3))
    _, height, width, _ = frames.shape
    maps = np.stack([window.affine(box) for box in boxes[held]])  # none of them turns: an axis is a scale and a shift
    rows, above_below = _taps(maps[:, 1, 1], maps[:, 1, 2], window.height, height)
    columns, left_right = _taps(maps[:, 0, 0], maps[:, 0, 2], window.width, width)
    lines = np.nonzero(held)[0][:, None] * height + rows  # of the frames one below the other
    lines, above_below, columns, left_right = (
        torch.from_numpy(one).to(frames.device) for one in (lines, above_below, columns, left_right)
    )
    pixels = frames.reshape(-1, 3)
    mixed = torch.zeros((len(maps), window.height, window.width, 3), device=frames.device)
    for line, down in zip(lines, above_below, strict=True):
        for column, across in zip(columns, left_right, strict=True):
            places = line[:, :, None] * width + column[:, None, :]
            values = pixels.index_select(0, places.flatten()).view(mixed.shape).float()
            mixed.addcmul_(values, (down[:, :, None] * across[:, None, :])[..., None])
    return mixed.round_().to(torch.uint8)


def _taps(scale: np.ndarray, shift: np.ndarray, size: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The two pixels of a frame's axis between which each pixel of a crop's axis lies, and the share of each.

    scale, shift: (k,), frame px -> crop px, both counted between pixel centres. size, length: px of the crop's axis and
    of the frame's. Indices (2, k, size) int64, within the frame; weights (2, k, size) float32, 0 where it ends.
    """
    places = (np.arange(size) - shift[:, None]) / scale[:, None]
    first = np.floor(places)
    index = np.stack([first, first + 1])
    weight = np.stack([first + 1 - places, places - first]) * ((index >= 0) & (index < length))
    return index.clip(0, length - 1).astype(np.int64), weight.astype(np.float32)

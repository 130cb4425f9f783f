"""JPEG frames decoded no larger than the crop needs: by how much, and cutting a region out of such a frame.

libjpeg makes a picture 2, 4 or 8 times smaller while it decodes it. Pixel i of the small picture covers
[factor i, factor (i + 1)) of the full one, so a region of whole pixels may begin and end inside small pixels. It is
sampled at its true place, once: neither edge is rounded.
"""

from __future__ import annotations

import numpy as np

from .cropping import PADDING_COLOUR, crop_frame, mirror_region

FACTORS = (8, 4, 2)


def reduction_factor(region: np.ndarray, size: int) -> int:
    """The largest of 1, 2, 4, 8 at which each side of a region (x0 y0 x1 y1, px) is still `size` pixels or more."""
    x0, y0, x1, y1 = region
    side = min(x1 - x0, y1 - y0)
    return next((factor for factor in FACTORS if side >= factor * size), 1)


def crop_reduced_frame(
    frame: np.ndarray, region: np.ndarray, size: int, frame_size: tuple[int, int], factor: int, *, flip: bool = False
) -> np.ndarray:
    """What `crop_frame` gives, from a frame that may have come out at 1/factor of its size.

    frame: (h, w, 3) uint8 RGB, see `VideoReader.reduced`; region: in px of the full frame, whose (width, height) is
    frame_size. Returns (size, size, 3) uint8: of a full frame exactly the same, of a small one samples between its
    pixels, linear in both directions.
    """
    import cv2

    if factor == 1 or frame.shape[1::-1] == frame_size:
        return crop_frame(frame, region, size, flip=flip)
    place = (mirror_region(region, frame_size[0]) if flip else region) / factor
    # average 2, 4 … pixels of a side while the place has twice the pixels that are wanted
    x, y = (1 << max(int(side).bit_length() - 1, 0) for side in (place[2:] - place[:2]) / size)
    if max(x, y) > 1:
        height, width = frame.shape[:2]
        frame = cv2.copyMakeBorder(frame, 0, -height % y, 0, -width % x, cv2.BORDER_REPLICATE)  # keeps places exact
        frame = cv2.resize(frame, (-(-width // x), -(-height // y)), interpolation=cv2.INTER_AREA)
        place = place / (x, y, x, y)
    (x, y), (width, height) = place[:2], (place[2:] - place[:2]) / size
    # OpenCV counts from the first pixel's centre: sample i lies at x + (i + 1/2) width in edge coordinates
    matrix = np.array([[width, 0, x + width / 2 - 0.5], [0, height, y + height / 2 - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    small = cv2.warpAffine(frame, matrix, (size, size), flags=flags, borderValue=PADDING_COLOUR)
    return np.ascontiguousarray(small[:, ::-1]) if flip else small

"""From heat maps to points: mmpose's codecs, for a whole batch at once and on the device.

mmpose's heads ask their codec for `batch_decode`; as its codecs have none, they copy all maps to the host and decode
them map by map. What stands here finds the same points, and only those leave the device. What a codec does, and the
papers that it follows, is described in mmpose's codecs folder, in the file of its name.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..precision import float64_device

if TYPE_CHECKING:
    from torch import Tensor


def batch_decoder(codec: Any) -> Any:
    """What decodes as `codec` of mmpose does, a batch at a time; `codec` itself where there is nothing of that kind."""
    kind = type(codec).__name__
    if kind == "MSRAHeatmap":
        return DarkDecoder(codec) if codec.unbiased else QuarterPixelDecoder(codec)
    if kind == "UDPHeatmap" and codec.heatmap_type == "gaussian":
        return DarkUdpDecoder(codec)
    if kind == "SimCCLabel" and not (codec.use_dark or codec.decode_visibility):
        return SimCCDecoder(codec)
    return codec


class HeatmapDecoder:
    """One map per joint: the place of its maximum, moved by what the pixels around it say."""

    support_batch_decoding = True  # mmpose's heads look for it

    def __init__(self, codec: Any) -> None:
        self.codec = codec

    def batch_decode(self, maps: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Points (B, 1, N, 2) px of the input and scores (B, 1, N), from heat maps (B, N, h, w) float32.

        A point whose score is not above 0 is nobody's: its place means nothing.
        """
        import torch

        maps = maps.to(float64_device(maps.device))
        scores, place = maps.flatten(2).max(-1)  # of equal values the first, as numpy's argmax
        x, y = place % maps.shape[-1], place // maps.shape[-1]
        points = torch.stack([x, y], -1) + self.offsets(maps, x, y, scores)
        found = torch.cat([points.float(), scores[..., None]], -1).cpu().numpy()[:, None]
        return self.scaled(found[..., :2]), found[..., 2]

    def offsets(self, maps: Tensor, x: Tensor, y: Tensor, scores: Tensor) -> Tensor:
        """How far, in px of the maps, (B, N, 2), the points are from the maxima `scores` at `x`, `y`, (B, N) each."""
        raise NotImplementedError

    def scaled(self, points: np.ndarray) -> np.ndarray:
        """Px of the maps as px of the input."""
        return points * self.codec.scale_factor


class QuarterPixelDecoder(HeatmapDecoder):
    """MSRAHeatmap: a quarter of a pixel towards the larger neighbour, on each axis."""

    def offsets(self, maps: Tensor, x: Tensor, y: Tensor, scores: Tensor) -> Tensor:
        """None at the edges, and none in the first pixel beside the left and the upper one, as in mmpose."""
        import torch

        height, width = maps.shape[-2:]
        near = _around(maps, x, y, 1)
        dx = (near[..., 1, 2] - near[..., 1, 0]).sign() * ((x > 1) & (x < width - 1) & (y > 0))
        dy = (near[..., 2, 1] - near[..., 0, 1]).sign() * ((y > 1) & (y < height - 1) & (x > 0))
        return 0.25 * torch.stack([dx, dy], -1)


class DarkDecoder(HeatmapDecoder):
    """MSRAHeatmap, unbiased: the top of the Gaussian whose logarithm has the derivatives of the blurred map's."""

    def offsets(self, maps: Tensor, x: Tensor, y: Tensor, scores: Tensor) -> Tensor:
        """Derivatives over two pixels; none within two pixels of an edge."""
        import torch

        height, width = maps.shape[-2:]
        near = _blurred_around(maps, x, y, scores, 2, self.codec.blur_kernel_size).clamp(min=1e-10).log().double()
        dx, dy = 0.5 * (near[..., 2, 3] - near[..., 2, 1]), 0.5 * (near[..., 3, 2] - near[..., 1, 2])
        dxx = 0.25 * (near[..., 2, 4] - 2 * near[..., 2, 2] + near[..., 2, 0])
        dyy = 0.25 * (near[..., 4, 2] - 2 * near[..., 2, 2] + near[..., 0, 2])
        dxy = 0.25 * (near[..., 3, 3] - near[..., 1, 3] - near[..., 3, 1] + near[..., 1, 1])
        inside = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2) & (dxx * dyy - dxy**2 != 0)
        return torch.where(inside[..., None], _newton(dx, dy, dxx, dxy, dyy), 0)


class DarkUdpDecoder(HeatmapDecoder):
    """UDPHeatmap: the same over one pixel, everywhere; pixels count between centres."""

    def offsets(self, maps: Tensor, x: Tensor, y: Tensor, scores: Tensor) -> Tensor:
        """Beyond its edges a map goes on as it ends."""
        near = _blurred_around(maps, x, y, scores, 1, self.codec.blur_kernel_size).clamp(1e-3, 50).log().double()
        middle, left, right = near[..., 1, 1], near[..., 1, 0], near[..., 1, 2]
        above, below = near[..., 0, 1], near[..., 2, 1]
        dxy = 0.5 * (near[..., 2, 2] - right - below + 2 * middle - left - above + near[..., 0, 0])
        tiny = float(np.finfo(np.float32).eps)  # mmpose's guard against a flat map
        dxx, dyy = right - 2 * middle + left + tiny, below - 2 * middle + above + tiny
        return _newton(0.5 * (right - left), 0.5 * (below - above), dxx, dxy, dyy)

    def scaled(self, points: np.ndarray) -> np.ndarray:
        """Px of the maps as px of the input, by mmpose's own formula."""
        width, height = self.codec.heatmap_size
        return points / [width - 1, height - 1] * self.codec.input_size


class SimCCDecoder:
    """SimCCLabel: one vector per joint and axis; the places of their maxima, and the smaller maximum."""

    support_batch_decoding = True

    def __init__(self, codec: Any) -> None:
        self.codec = codec

    def batch_decode(self, along_x: Tensor, along_y: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Points (B, 1, N, 2) px of the input and scores (B, 1, N), from vectors (B, N, columns), (B, N, rows)."""
        import torch

        (right, x), (down, y) = along_x.max(-1), along_y.max(-1)
        scores = torch.where(right > down, down, right)
        found = torch.stack([x, y, scores], -1).cpu().numpy()[:, None]
        return found[..., :2] / self.codec.simcc_split_ratio, found[..., 2]


def _around(maps: Tensor, x: Tensor, y: Tensor, reach: int) -> Tensor:
    """The pixels (B, N, 2 reach + 1, 2 reach + 1) of maps (B, N, h, w) around x, y (B, N); edges are repeated."""
    import torch

    steps = torch.arange(-reach, reach + 1, device=maps.device)
    rows = (y[..., None] + steps).clamp(0, maps.shape[-2] - 1)
    columns = (x[..., None] + steps).clamp(0, maps.shape[-1] - 1)
    places = rows[..., :, None] * maps.shape[-1] + columns[..., None, :]
    return maps.flatten(2).gather(2, places.flatten(2)).view(places.shape)


def _blurred_around(maps: Tensor, x: Tensor, y: Tensor, scores: Tensor, reach: int, kernel: int) -> Tensor:
    """The same of the blurred maps, each brought back to the maximum (B, N) that it had."""
    import torch

    rows, columns = (torch.from_numpy(_band(side, kernel)).to(maps.device) for side in maps.shape[-2:])
    blurred = rows @ maps @ columns
    return _around(blurred, x, y, reach) * (scores / blurred.amax((-2, -1)))[..., None, None]


@lru_cache(maxsize=8)
def _band(side: int, kernel: int) -> np.ndarray:
    """(side, side) float32: the matrix that blurs a column by OpenCV's Gaussian of `kernel` px, black beyond its ends.

    A product of matrices is the fastest blur of many small maps, and each map's does not depend on the others'.
    """
    import cv2

    weights = cv2.getGaussianKernel(kernel, 0)[:, 0]  # not by the formula where the kernel is small
    diagonals = [weight * np.eye(side, k=k - kernel // 2) for k, weight in enumerate(weights)]
    return np.sum(diagonals, 0).astype(np.float32)


def _newton(dx: Tensor, dy: Tensor, dxx: Tensor, dxy: Tensor, dyy: Tensor) -> Tensor:
    """One step (B, N, 2) to where the gradient vanishes: minus the Hessian's inverse times the gradient."""
    import torch

    return torch.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], -1) / (dxx * dyy - dxy**2)[..., None]

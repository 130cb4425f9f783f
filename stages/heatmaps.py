"""Joint heat maps: where each joint is, on the local map's grid (docs/method.md, "Heat maps")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from .base import Array, Settings
from .cropping import Crop, visible
from .float16 import to_float16


@dataclass(frozen=True)
class HeatmapsStage:
    """One Gaussian with peak 1 per joint and frame.

    sigma: its scale in cells of the map. score_floor: joints with this score or less are absent.
    people: "merge", the largest value of all people at each joint (N maps); or "separate", people * N maps, the first
        person's joints first.
    grid: cells on each side of the map; crop: the region that the map covers. Both are the backbone's
        (`BackboneStage.grid`, `BackboneStage.cropping`): heat maps lie on its local map, but do not depend on its
        weights.
    """

    name: ClassVar[str] = "heatmaps"
    version: ClassVar[int] = 1
    arrays: ClassVar[Mapping[str, Array]] = {
        "joint_heatmap": Array(
            "t n y x", "float16", "1", "a Gaussian with peak 1 at each joint; zero for an absent one"
        ),
    }

    sigma: float = 1.0
    score_floor: float = 0.0
    people: str = "merge"
    grid: int = 28
    crop: Crop = field(default_factory=Crop)

    def settings(self) -> Settings:
        """What stands in the key."""
        own = {"sigma": self.sigma, "score_floor": self.score_floor, "people": self.people}
        return own | {"grid": self.grid, "crop": self.crop.settings()}

    def compute(self, keypoints: np.ndarray, frame_size: tuple[int, int], region: np.ndarray) -> np.ndarray:
        """Heat maps (T, N, y, x) float16 of keypoints (T, P, N, 3); (T, P * N, y, x) for people apart.

        frame_size: (w, h) px; region: (4,) x0 y0 x1 y1 in edge coordinates, of `Crop.region`.
        h[y, x] = exp(-((x + 1/2 - u)^2 + (y + 1/2 - v)^2) / (2 sigma^2)) with the joint at (u, v) cells from the
        region's corner, sampled at the cells' centres. All zero: a joint that is absent, outside the frame or outside
        the region.
        """
        x0, y0, x1, y1 = (float(edge) for edge in region)
        u = (keypoints[..., 0].astype(np.float64) + 0.5 - x0) / (x1 - x0) * self.grid
        v = (keypoints[..., 1].astype(np.float64) + 0.5 - y0) / (y1 - y0) * self.grid
        there = visible(keypoints, frame_size, self.score_floor)
        there &= (u >= 0) & (u <= self.grid) & (v >= 0) & (v <= self.grid)
        maps = self._bell(v, there)[..., :, None] * self._bell(u, there)[..., None, :]
        return to_float16(maps.max(axis=1) if self.people == "merge" else maps.reshape(len(maps), -1, *maps.shape[-2:]))

    def _bell(self, centre: np.ndarray, there: np.ndarray) -> np.ndarray:
        """(..., grid) float32: the Gaussian along one side at centres (...) in cells; zero where nobody is there."""
        cells = np.arange(self.grid) + 0.5
        distance = (cells - np.where(there, centre, 0.0)[..., None]) / self.sigma
        return np.where(there[..., None], np.exp(-0.5 * distance**2), 0.0).astype(np.float32)

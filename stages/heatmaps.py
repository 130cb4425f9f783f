"""Heat maps: where each joint, or each limb, is on the local map's grid (docs/method.md, "Heat maps")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from .base import Array, Settings
from .cropping import Crop, visible
from .float16 import to_float16


@dataclass(frozen=True)
class HeatmapsStage:
    """One Gaussian with peak 1 per joint and frame; with `limbs`, one per limb, of the distance to it.

    limbs: pairs of joints; with them the N maps are those of the limbs (PoseC3D, Duan et al., CVPR 2022, section 3.2),
        and a limb is there when both its joints are.
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
            "t n y x",
            "float16",
            "1",
            "a Gaussian with peak 1 at each joint, or along each limb; zero for an absent one",
        ),
    }

    sigma: float = 1.0
    score_floor: float = 0.0
    people: str = "merge"
    grid: int = 28
    crop: Crop = field(default_factory=Crop)
    limbs: tuple[tuple[int, int], ...] = ()

    def settings(self) -> Settings:
        """What stands in the key."""
        own: dict[str, Any] = {"sigma": self.sigma, "score_floor": self.score_floor, "people": self.people}
        own |= {"limbs": [list(limb) for limb in self.limbs]} if self.limbs else {}  # keys of joints are as ever
        return own | {"grid": self.grid, "crop": self.crop.settings()}

    def maps(self, joints: int, people: int) -> int:
        """The number N of maps of a frame: joints of one person, and how many people a clip keeps."""
        return (len(self.limbs) or joints) * (people if self.people == "separate" else 1)

    def compute(self, keypoints: np.ndarray, frame_size: tuple[int, int], region: np.ndarray) -> np.ndarray:
        """Heat maps (T, N, y, x) float16 of keypoints (T, P, N, 3); (T, P * N, y, x) for people apart; N counts limbs
        where there are limbs.

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
        if self.limbs:
            maps = self._along_limbs(u, v, there)
        else:
            maps = self._bell(v, there)[..., :, None] * self._bell(u, there)[..., None, :]
        return to_float16(maps.max(axis=1) if self.people == "merge" else maps.reshape(len(maps), -1, *maps.shape[-2:]))

    def _bell(self, centre: np.ndarray, there: np.ndarray) -> np.ndarray:
        """(..., grid) float32: the Gaussian along one side at centres (...) in cells; zero where nobody is there."""
        cells = np.arange(self.grid) + 0.5
        distance = (cells - np.where(there, centre, 0.0)[..., None]) / self.sigma
        return np.where(there[..., None], np.exp(-0.5 * distance**2), 0.0).astype(np.float32)

    def _along_limbs(self, u: np.ndarray, v: np.ndarray, there: np.ndarray) -> np.ndarray:
        """(..., L, grid, grid) float32 of joints (..., N) in cells: exp(-d² / 2 sigma²), d from a cell to the limb."""
        first, last = np.array(self.limbs).T
        both = (there[..., first] & there[..., last])[..., None, None]
        u, v = (np.where(there, places, 0.0)[..., None, None] for places in (u, v))
        cells = np.arange(self.grid) + 0.5
        right, down = cells - u[..., first, :, :], cells[:, None] - v[..., first, :, :]  # from the limb's first joint
        across, along = (places[..., last, :, :] - places[..., first, :, :] for places in (u, v))
        length = np.maximum(across**2 + along**2, np.finfo(np.float64).tiny)  # two joints at one place: a point
        share = ((right * across + down * along) / length).clip(0, 1)
        squares = (right - share * across) ** 2 + (down - share * along) ** 2
        return np.where(both, np.exp(-0.5 * squares / self.sigma**2), 0.0).astype(np.float32)

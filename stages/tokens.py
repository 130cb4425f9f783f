"""Joint map tokens: the local map joined with each joint's heat map (docs/method.md, "Tokens").

With F (c, y, x) the local map and h_n (y, x) the heat map of joint n:
    pool         sum_yx F h_n / sum_yx h_n                   c numbers
    pool_map     the pooled channels, then the flat h_n      c + y x
    map          mean_c F h_n, flattened                     y x
    heatmap      h_n, flattened: the control that leaves F out   y x     (the heat maps are cached already)
    concat_conv  [F; h_n] -> 1x1 convolution -> h_n-weighted pool: learned, so nothing is cached
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Array, Settings
from .float16 import to_float16, to_float32

SMALL_PRODUCT = 2**18  # multiplications up to which OpenBLAS stays on one core: its threads are slow on a busy machine


@dataclass(frozen=True)
class TokensStage:
    """The form of the joint map tokens; `heatmap` and `concat_conv` take what the other stages cached as it is."""

    name: ClassVar[str] = "tokens"
    version: ClassVar[int] = 1
    arrays: ClassVar[Mapping[str, Array]] = {
        "joint_map": Array(
            "t n c", "float16", "1", "one token per joint: local map and heat map joined; zero if absent"
        ),
    }

    form: str = "map"

    @property
    def cached(self) -> bool:
        """Whether this form has anything to store."""
        return self.form in {"pool", "pool_map", "map"}

    def settings(self) -> Settings:
        """What stands in the key."""
        return {"form": self.form}

    def compute(self, local_map: np.ndarray, joint_heatmap: np.ndarray) -> np.ndarray:
        """Tokens (T, N, C) float16 of a local map (T, c, y, x) and heat maps (T, N, y, x), both float16.

        Further axes may lead, as (b, T, ...). Summed in float32. An absent joint (heat map all zero) gives zeros. C is
        that of `token_channels`.
        """
        local, heat = (to_float32(maps.reshape(*maps.shape[:-2], -1)) for maps in (local_map, joint_heatmap))
        if self.form == "map":  # the mean channel of F h_n, which is h_n times the mean channel of F
            return to_float16(heat * local.mean(axis=-2, keepdims=True))
        total = heat.sum(axis=-1, keepdims=True)
        weights = heat / np.where(total > 0, total, 1)
        pooled = np.empty((*heat.shape[:-1], local.shape[-2]), np.float32)
        some = max(1, SMALL_PRODUCT // (heat.shape[-2] * heat.shape[-1]))
        for first in range(0, local.shape[-2], some):  # the mean of the local map under each joint's heat map
            pooled[..., first : first + some] = weights @ local[..., first : first + some, :].swapaxes(-1, -2)
        return to_float16(np.concatenate([pooled, heat], axis=-1) if self.form == "pool_map" else pooled)


def token_channels(form: str, local_channels: int, cells: int) -> int:
    """The numbers C in one cached token, for a local map of so many channels and cells (y x)."""
    return {"pool": local_channels, "pool_map": local_channels + cells, "map": cells}[form]

"""Claim: joint map tokens of a whole clip at once take a small part of the time of a loop over frames and joints.

The loop is what one writes from the equations, one joint of one frame after the other, each a numpy expression over
the map. Same arrays, same form, A B A B, medians; the largest difference between the two is printed beside.

    python benchmarks/joint_map.py [--frames 16] [--joints 13] [--channels 128] [--side 28] [--repeat 5]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from claims import claim
from common import options, turns

from star.stages.tokens import TokensStage


def pool(local_map: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """sum_yx F h / sum_yx h of one joint."""
    total = heatmap.sum()
    return (local_map * heatmap).sum(axis=(1, 2)) / total if total else np.zeros(len(local_map), np.float32)


def pool_map(local_map: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """The pooled channels and the flat heat map of one joint."""
    return np.concatenate([pool(local_map, heatmap), heatmap.ravel()])


def mean_map(local_map: np.ndarray, heatmap: np.ndarray) -> np.ndarray:
    """mean_c F h of one joint, flattened."""
    return (local_map * heatmap).mean(axis=0).ravel()


LOOPS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "pool": pool,
    "pool_map": pool_map,
    "map": mean_map,
}


def loop(form: str, local_map: np.ndarray, joint_heatmap: np.ndarray) -> np.ndarray:
    """Tokens (T, N, C), one joint of one frame at a time."""
    tokens = [
        [LOOPS[form](local.astype(np.float32), heatmap.astype(np.float32)) for heatmap in heatmaps]
        for local, heatmaps in zip(local_map, joint_heatmap, strict=True)
    ]
    return np.array(tokens, np.float16)


def main() -> None:
    o = options(__doc__, frames=16, joints=13, channels=128, side=28, repeat=5).parse_args()

    rng = np.random.default_rng(0)
    local_map = rng.uniform(0, 4, (o.frames, o.channels, o.side, o.side)).astype(np.float16)
    joint_heatmap = rng.uniform(0, 1, (o.frames, o.joints, o.side, o.side)).astype(np.float16)
    print(f"{o.frames} frames, {o.joints} joints, local map {o.channels} x {o.side}^2: ms a clip")
    for form in LOOPS:
        ways = {
            "loop": partial(loop, form, local_map, joint_heatmap),
            "star": partial(TokensStage(form).compute, local_map, joint_heatmap),
        }
        slow, fast = (1e3 * seconds for seconds in turns(ways, o.repeat).values())
        expected, found = (way().astype(np.float32) for way in ways.values())
        apart = np.abs(found - expected).max()
        print(f"{form:9s} loop {slow:7.1f}   star {fast:6.2f}   {slow / fast:6.1f} x faster   ", end="")
        print(f"largest difference {apart:.1e}")
        what = f"joint tokens of a clip, form `{form}`"
        claim(what, fast, "ms", against="a loop over frames and joints", other=slow, ratio=slow / fast)


if __name__ == "__main__":
    main()

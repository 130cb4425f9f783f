"""Claim: joint map tokens of a whole clip at once take a small part of the time of a loop over frames and joints.

The loop is what one writes from the equations, one joint of one frame after the other, each a numpy expression over
the map. Same arrays, same form, A B A B, medians; the largest difference between the two is printed beside.

    python benchmarks/joint_map.py [--frames 16] [--joints 13] [--channels 128] [--side 28] [--repeat 5]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from star.stages.tokens import Tokens


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


def timed(run: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Seconds, and what came out."""
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("frames", 16), ("joints", 13), ("channels", 128), ("side", 28), ("repeat", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    o = parser.parse_args()

    rng = np.random.default_rng(0)
    local_map = rng.uniform(0, 4, (o.frames, o.channels, o.side, o.side)).astype(np.float16)
    joint_heatmap = rng.uniform(0, 1, (o.frames, o.joints, o.side, o.side)).astype(np.float16)
    print(f"{o.frames} frames, {o.joints} joints, local map {o.channels} x {o.side}^2: ms a clip")
    for form in LOOPS:
        slow, fast = [], []
        for _ in range(o.repeat):
            seconds, expected = timed(lambda form=form: loop(form, local_map, joint_heatmap))
            slow.append(seconds)
            seconds, found = timed(lambda form=form: Tokens(form).compute(local_map, joint_heatmap))
            fast.append(seconds)
        ratio = median(slow) / median(fast)
        apart = np.abs(found.astype(np.float32) - expected.astype(np.float32)).max()
        times = f"loop {median(slow) * 1000:7.1f}   star {median(fast) * 1000:6.2f}"
        print(f"{form:9s} {times}   {ratio:6.1f} x faster   largest difference {apart:.1e}")


if __name__ == "__main__":
    main()

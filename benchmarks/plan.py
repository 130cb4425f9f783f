"""Claim: catalogue, plan and status of 100,000 videos x 5 stages take under 3 s and 500 MB; growth is linear (a video
of the largest data set costs at most 1.25 times one of the smallest).

Makes a folder of N (empty) videos with a CSV, the list with their digests that an extraction leaves in the cache, and
real segments of tiny arrays, 64 clips each, under the keys of the five stages. Then runs `star status` in fresh
processes: reading the CSV, a stat of every file, finding every row of every stage, the table. With one video the
command takes what starting Python and importing take: subtract it.

    python benchmarks/plan.py [--videos 1 10000 100000] [--folder DIR]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from claims import claim
from common import options

from star.cache.segment import Row
from star.pipeline.planning.plan import plan, remember
from star.pipeline.planning.source_changes import Digests
from star.pipeline.recipe import schema as recipes

RECIPE = """
dataset: {{kind: videos, root: {root}/data}}
pose: {{source: mmpose}}
cache: {{root: {root}/cache}}
backbone: {{weights: random}}
"""
MEASURE = """
import json, os, resource, subprocess, sys, time
began = time.perf_counter()
done = subprocess.run(sys.argv[1:], check=True, capture_output=True, text=True)
missing = json.loads(done.stdout)["missing"]
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps({"seconds": time.perf_counter() - began, "megabytes": peak, "missing": missing}))
"""


def make(root: Path, count: int) -> Path:
    """Write data set, list and cache; returns the recipe."""
    data = root / "data"
    (data / "v").mkdir(parents=True)
    names = [f"v/S{number % 32 + 1:03d}C001P{number:07d}R001A001_rgb.avi" for number in range(count)]
    for name in names:
        os.close(os.open(data / name, os.O_CREAT | os.O_WRONLY))
    lines = (f"{name},{number % 60},{'test' if number % 5 == 0 else 'train'}" for number, name in enumerate(names))
    (data / "videos.csv").write_text("\n".join(["video,label,split", *lines]) + "\n")
    file = root / "star.yaml"
    file.write_text(RECIPE.format(root=root))
    recipe = recipes.load(file)
    recipe.cache.root.mkdir()
    empty = plan(recipe)  # learns the digest of every file; no stage is there yet
    for number, video in enumerate(empty.manifest.videos):
        empty.sources.learn(video.id, Digests(f"{number * 2654435761:032x}"))
    remember(empty)
    for name, stage in empty.stages.items():
        rows = [
            Row(clip.video.id, empty.sources.known[clip.video.id].digests.row(empty.graph[name].annotated), clip.view)
            for clip in stage.missing
        ]
        stage.stage_store.describe(empty.graph[name].description())
        for start in range(0, len(rows), 64):
            part = rows[start : start + 64]
            stage.stage_store.write(part, {"x": np.arange(len(part), dtype=np.int32)}, {}, {})
    return file


def measured(recipe: Path) -> dict[str, float]:
    """One `star status`: seconds, the largest size of the process, rows missing."""
    command = [sys.executable, "-m", "star.cli", "status", str(recipe), "--json"]
    return json.loads(subprocess.check_output([sys.executable, "-c", MEASURE, *command], text=True))


def main() -> None:
    """Print a row of the table for each size."""
    parser = options(__doc__)
    parser.add_argument("--videos", type=int, nargs="+", default=[1, 10_000])
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    print("| videos x stages | star status | peak memory | the first time, when indices are made |")
    print("|---|---|---|---|")
    taken: dict[int, float] = {}
    held: dict[int, float] = {}
    for count in asked.videos:
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            recipe = make(Path(folder), count)
            began = time.perf_counter()
            first = measured(recipe)
            began = time.perf_counter() - began
            later = [measured(recipe) for _ in range(3)]
            assert not any(found["missing"] for found in [first, *later])
            seconds, peak = (median(found[name] for found in later) for name in ("seconds", "megabytes"))
            print(f"| {count:,} x 5 | {seconds:.2f} s | {peak:.0f} MB | {began:.1f} s |", flush=True)
        taken[count], held[count] = seconds, peak
    most = max(held)
    claim(f"memory of `star status`, {most:,} videos", held[most], "MB", goal=("<", 500) if most == 100_000 else None)
    compare(taken)


def compare(taken: dict[int, float]) -> None:
    """Videos -> seconds of `star status` -> the claims; the time of one video, which is the start, is taken off."""
    start = taken.pop(1, 0.0)
    fewest, most = min(taken), max(taken)
    goal = ("<", 3) if most == 100_000 else None
    claim(f"`star status`, {most:,} videos × 5 stages, after its start", taken[most] - start, "s", goal=goal)
    if fewest < most:
        few, many = (1e6 * (taken[count] - start) / count for count in (fewest, most))
        what, against = f"`star status`, a video of {most:,}", f"a video of {fewest:,}"
        claim(what, many, "µs", against=against, other=few, ratio=many / few, goal=("<=", 1.25))


if __name__ == "__main__":
    main()

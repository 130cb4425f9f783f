"""Claim: finding every clip of every stage in a cache takes seconds, little memory, and grows linearly (a clip of the
largest cache costs at most 1.25 times one of the smallest).

Makes a synthetic cache (real segments of tiny arrays, 64 clips each, five stages), then looks all clips up in fresh
processes, as a plan does: list the folders, read the indices, find every row. Compared with what there is without an
index: opening every segment (not tried beyond 100,000). The goal: 100,000 videos x 5 stages in under 3 s and 500 MB.

    python benchmarks/index.py [--rows 10000 100000 1000000] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from claims import claim
from common import largest_size, options

from star.cache.index import row_keys
from star.cache.segment import Row
from star.cache.store import StageStore, Store

STAGES = ("decode", "pose", "backbone", "heatmaps", "tokens")
KEY = "0123456789abcdef" * 2


def columns(count: int) -> tuple[list[str], list[int], list[str]]:
    """Ids like those of NTU RGB+D, views, and digests of `count` clips."""
    ids = [f"nturgb+d_rgb/S{number % 32 + 1:03d}C001P{number:07d}R001A001_rgb.avi" for number in range(count)]
    return ids, [0] * count, [f"{number * 2654435761:032x}" for number in range(count)]


def make(root: Path, count: int) -> None:
    """Write the cache: real segments, one number a clip."""
    rows = [Row(video, source, view) for video, view, source in zip(*columns(count), strict=True)]
    for stage in STAGES:
        stage_store = Store(root).stage_store(stage, KEY)
        for start in range(0, count, 64):
            part = rows[start : start + 64]
            stage_store.write(part, {"x": np.arange(len(part), dtype=np.int32)}, {}, {})


def measure(root: Path, count: int, way: str) -> None:
    """Look everything up in this process; print seconds and the growth of its largest size as JSON."""
    ids, views, sources = columns(count)
    stage_stores = [Store(root).stage_store(stage, KEY) for stage in STAGES]
    before = largest_size()
    start = time.perf_counter()
    found = WAYS[way](stage_stores, ids, views, sources)
    seconds = time.perf_counter() - start
    after = largest_size()
    assert found == len(STAGES) * count
    print(json.dumps({"seconds": seconds, "megabytes": (after - before) / 2**20}))


def opened(stage_stores: list[StageStore], ids: list[str], views: list[int], sources: list[str]) -> int:
    """Without an index: every segment is opened, its rows go into a dict."""
    found = 0
    for stage_store in stage_stores:
        rows = {
            row: (name, number)
            for name in stage_store.segments()
            for number, row in enumerate(stage_store.segment(name).rows)
        }
        found += sum(row in rows for row in map(Row, ids, sources, views))
    return found


def one_by_one(stage_stores: list[StageStore], ids: list[str], views: list[int], sources: list[str]) -> int:
    """`Index.find`, a clip at a time; every place is kept."""
    found = 0
    places = []
    for stage_store in stage_stores:
        index = stage_store.index()
        places.append([index.find(row) for row in map(Row, ids, sources, views)])
        found += sum(place is not None for place in places[-1])
    return found


def all_at_once(stage_stores: list[StageStore], ids: list[str], views: list[int], sources: list[str]) -> int:
    """`row_keys` once, `Index.find_keys` for every stage; every place is kept."""
    keys = row_keys(ids, views, sources)
    places = [stage_store.index().find_keys(keys) for stage_store in stage_stores]
    return sum(place is not None for stage in places for place in stage)


WAYS = {"opened": opened, "one_by_one": one_by_one, "all_at_once": all_at_once}


def in_a_process(root: Path, count: int, way: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", way, "--rows", str(count), "--folder", str(root)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def report(root: Path, count: int) -> dict[str, dict[str, float]]:
    """Print a row of the table; seconds and megabytes of each way that was tried."""
    make(root, count)
    start = time.perf_counter()
    for stage in STAGES:
        Store(root).stage_store(stage, KEY).index()
    first = time.perf_counter() - start
    ways: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(3):  # interleaved
        for way, results in ways.items():
            if way != "opened" or (not results and count <= 100_000):
                results.append(in_a_process(root, count, way))
    found = {way: middle(results) for way, results in ways.items() if results}
    cells = {way: f"{one['seconds']:.2f} s, {one['megabytes']:.0f} MB" for way, one in found.items()}
    row = " | ".join(cells.get(way, "-") for way in WAYS)
    print(f"| {count:,} x {len(STAGES)} | {row} | {first:.1f} s |", flush=True)
    return found


def middle(results: list[dict[str, float]]) -> dict[str, float]:
    """The run of median time."""
    return sorted(results, key=lambda result: result["seconds"])[len(results) // 2]


def compare(found: dict[int, dict[str, dict[str, float]]]) -> None:
    """Clips -> way -> seconds and megabytes -> the claims."""
    fewest, most = min(found), max(found)
    large = most >= 100_000  # what the goals are for
    what, mine = f"finding {most:,} clips of five stages", found[most]["all_at_once"]
    claim(what, mine["seconds"], "s", goal=("<", 3) if large else None)
    claim(f"memory for {what}", mine["megabytes"], "MB", goal=("<", 500) if large else None)
    if "opened" in found[most]:
        mine, other = (found[most][way]["seconds"] for way in ("all_at_once", "opened"))
        against = "every segment opened"
        claim(what, mine, "s", against=against, other=other, ratio=other / mine)
    each = [1e6 * found[count]["all_at_once"]["seconds"] / count for count in (fewest, most)]
    what, against = f"finding a clip among {most:,}", f"among {fewest:,}"
    claim(what, each[1], "µs", against=against, other=each[0], ratio=each[1] / each[0], goal=("<=", 1.25))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000, 10_000])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--measure", choices=list(WAYS), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        measure(asked.folder, asked.rows[0], asked.measure)
        return
    print("| clips x stages | every segment opened | one by one | all at once | index made once |")
    print("|---|---|---|---|---|")
    found = {}
    for count in asked.rows:
        with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
            found[count] = report(Path(folder), count)
    compare(found)


if __name__ == "__main__":
    main()

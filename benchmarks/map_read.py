"""Claim: reading clips in random order from mapped segments is as fast as np.memmap over plain .npy files.

The same clips lie in star's segments and in .npy files of 64 clips each. Batches of 32 are copied in random order,
in turn from (a) star's maps, (b) np.memmap, (c) star's reads, (d) h5py with its files kept open, in one process and
in several, forked and spawned. Goal: (a) at least 0.9 of (b).

    python benchmarks/map_read.py [--clips 256] [--rounds 7] [--workers 2] [--folder DIR]
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from claims import faster
from common import READERS, options

from star.cache.segment import Row
from star.cache.store import RowLocation, StageStore, Store

KEY = "0123456789abcdef" * 2
SHAPE = (16, 512, 7, 7)
BATCH = 32
Copy = Callable[[np.ndarray, np.ndarray], None]


def make(folder: Path, clips: int) -> None:
    """Write every 64 clips as a segment and as an .npy file of the same bytes."""
    stage_store = Store(folder).stage_store("backbone", KEY)
    for start in range(0, clips, 64):
        count = min(64, clips - start)
        array = np.random.default_rng(start).standard_normal((count, *SHAPE), np.float32).astype(np.float16)
        path = stage_store.write([Row(str(start + row), "", 0) for row in range(count)], {"global_grid": array}, {}, {})
        np.save(folder / f"{path.stem}.npy", array)


def by_map(stage_store: StageStore, names: list[str]) -> Copy:
    def copy(clips: np.ndarray, out: np.ndarray) -> None:
        for slot, clip in enumerate(clips):
            out[slot] = stage_store.map(names[clip // 64], "global_grid")[clip % 64]

    return copy


def by_read(stage_store: StageStore, names: list[str]) -> Copy:
    def copy(clips: np.ndarray, out: np.ndarray) -> None:
        stage_store.read(
            [RowLocation(names[clip // 64], clip % 64) for clip in clips.tolist()], "global_grid"
        )  # makes its own

    return copy


def by_memmap(stage_store: StageStore, names: list[str]) -> Copy:
    arrays = [np.load(stage_store.path.parents[1] / f"{name}.npy", mmap_mode="r") for name in names]

    def copy(clips: np.ndarray, out: np.ndarray) -> None:
        for slot, clip in enumerate(clips):
            out[slot] = arrays[clip // 64][clip % 64]

    return copy


def by_h5py(stage_store: StageStore, names: list[str]) -> Copy:
    datasets = [h5py.File(stage_store.file(name), "r", locking=False)["global_grid"] for name in names]

    def copy(clips: np.ndarray, out: np.ndarray) -> None:
        for slot, clip in enumerate(clips):
            datasets[clip // 64].read_direct(out, np.s_[clip % 64], np.s_[slot])

    return copy


WAYS = {"star, mapped": by_map, "np.memmap": by_memmap, "star, read": by_read, "h5py": by_h5py}


def rates(root: Path, clips: int, rounds: int, seed: int) -> dict[str, float]:
    """GB/s of every way, from the median time of a batch; the ways take turns, batch by batch, after a warm-up."""
    stage_store = Store(root).stage_store("backbone", KEY)
    names, out = in_order(stage_store), np.empty((BATCH, *SHAPE), np.float16)
    ways = {way: make_copy(stage_store, names) for way, make_copy in WAYS.items()}
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(rounds + 1):
        order = np.random.default_rng([seed, number]).permutation(clips)
        for first in range(0, clips - BATCH + 1, BATCH):
            for way in np.random.default_rng([seed, number, first]).permutation(list(ways)):  # nobody is always first
                start = time.perf_counter()
                ways[way](order[first : first + BATCH], out)
                times[way].append(time.perf_counter() - start)
    warm_up = clips // BATCH
    return {way: out.nbytes / float(np.median(found[warm_up:])) / 1e9 for way, found in times.items()}


def in_order(stage_store: StageStore) -> list[str]:
    """The names of the segments in the order in which they were written."""
    return sorted(stage_store.segments(), key=lambda name: int(stage_store.segment(name).rows[0].video_id))


def together(root: Path, asked: argparse.Namespace, workers: int, start: str) -> dict[str, float]:
    """GB/s of several processes that each read all clips, added up; no start: in this process."""
    if not start:
        return rates(root, asked.clips, asked.rounds, 0)
    jobs = [(root, asked.clips, asked.rounds, number) for number in range(workers)]
    with multiprocessing.get_context(start).Pool(workers) as pool:
        found = pool.starmap(rates, jobs, chunksize=1)
    return {way: sum(one[way] for one in found) for way in WAYS}


def report(root: Path, asked: argparse.Namespace) -> None:
    print(f"| GB/s | {' | '.join(WAYS)} | mapped / memmap | mapped / h5py |")
    print("|---|---|---|---|---|---|---|")
    for workers, start in ((1, ""), (asked.workers, "fork"), (asked.workers, "spawn")):
        found = together(root, asked, workers, start)
        name = f"{workers} processes, {start}" if start else "1 process"
        ratios = (found["star, mapped"] / found[other] for other in ("np.memmap", "h5py"))
        numbers = " | ".join(f"{number:.2f}" for number in (*found.values(), *ratios))
        print(f"| {name} | {numbers} |", flush=True)
        faster(f"mapped reads in random order, {name}", found, "GB/s", "star, mapped", READERS)


def main() -> None:
    parser = options(__doc__, clips=256, rounds=7, workers=2)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        make(Path(folder), asked.clips)
        report(Path(folder), asked)


if __name__ == "__main__":
    main()

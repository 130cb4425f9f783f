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

from star.cache.segment import Row
from star.cache.store import Place, Shelf, Store

KEY = "0123456789abcdef" * 2
SHAPE = (16, 512, 7, 7)
BATCH = 32
Copy = Callable[[np.ndarray, np.ndarray], None]


def make(folder: Path, clips: int) -> None:
    """Write every 64 clips as a segment and as an .npy file of the same bytes."""
    shelf = Store(folder).shelf("backbone", KEY)
    for start in range(0, clips, 64):
        count = min(64, clips - start)
        array = np.random.default_rng(start).standard_normal((count, *SHAPE), np.float32).astype(np.float16)
        path = shelf.write([Row(str(start + row), "", 0) for row in range(count)], {"global_grid": array}, {}, {})
        np.save(folder / f"{path.stem}.npy", array)


def by_map(shelf: Shelf, names: list[str]) -> Copy:
    def copy(clips: np.ndarray, out: np.ndarray) -> None:
        for slot, clip in enumerate(clips):
            out[slot] = shelf.map(names[clip // 64], "global_grid")[clip % 64]

    return copy


def by_read(shelf: Shelf, names: list[str]) -> Copy:
    def copy(clips: np.ndarray, out: np.ndarray) -> None:
        shelf.read([Place(names[clip // 64], clip % 64) for clip in clips.tolist()], "global_grid")  # makes its own

    return copy


def by_memmap(shelf: Shelf, names: list[str]) -> Copy:
    arrays = [np.load(shelf.path.parents[1] / f"{name}.npy", mmap_mode="r") for name in names]

    def copy(clips: np.ndarray, out: np.ndarray) -> None:
        for slot, clip in enumerate(clips):
            out[slot] = arrays[clip // 64][clip % 64]

    return copy


def by_h5py(shelf: Shelf, names: list[str]) -> Copy:
    datasets = [h5py.File(shelf.file(name), "r", locking=False)["global_grid"] for name in names]

    def copy(clips: np.ndarray, out: np.ndarray) -> None:
        for slot, clip in enumerate(clips):
            datasets[clip // 64].read_direct(out, np.s_[clip % 64], np.s_[slot])

    return copy


WAYS = {"star, mapped": by_map, "np.memmap": by_memmap, "star, read": by_read, "h5py": by_h5py}


def rate(way: str, root: Path, clips: int, seed: int) -> float:
    """GB/s of one pass over all clips in random order, in batches; the files were read before."""
    shelf = Store(root).shelf("backbone", KEY)
    names = in_order(shelf)
    copy, out = WAYS[way](shelf, names), np.empty((BATCH, *SHAPE), np.float16)
    order = np.random.default_rng(seed).permutation(clips)
    for _ in range(2):  # the first pass warms up
        start = time.perf_counter()
        for first in range(0, clips - BATCH + 1, BATCH):
            copy(order[first : first + BATCH], out)
        seconds = time.perf_counter() - start
        order = np.random.default_rng(seed + 1).permutation(clips)
    return clips // BATCH * out.nbytes / seconds / 1e9


def in_order(shelf: Shelf) -> list[str]:
    """The names of the segments in the order in which they were written."""
    return sorted(shelf.segments(), key=lambda name: int(shelf.segment(name).rows[0].video_id))


def together(way: str, root: Path, clips: int, seed: int, workers: int, start: str) -> float:
    """GB/s of several processes that each read all clips, added up; no start: in this process."""
    if not start:
        return rate(way, root, clips, seed)
    jobs = [(way, root, clips, seed + number) for number in range(workers)]
    with multiprocessing.get_context(start).Pool(workers) as pool:
        return sum(pool.starmap(rate, jobs, chunksize=1))


def report(root: Path, options: argparse.Namespace) -> None:
    print(f"| GB/s, median of {options.rounds} | {' | '.join(WAYS)} | mapped / memmap |")
    print("|---|---|---|---|---|---|")
    for workers, start in ((1, ""), (options.workers, "fork"), (options.workers, "spawn")):
        rates: dict[str, list[float]] = {way: [] for way in WAYS}
        for seed in range(options.rounds):  # interleaved
            for way, found in rates.items():
                found.append(together(way, root, options.clips, seed, workers, start))
        middle = {way: float(np.median(found)) for way, found in rates.items()}
        ratio = np.median(np.array(rates["star, mapped"]) / np.array(rates["np.memmap"]))
        name = f"{workers} processes, {start}" if start else "1 process"
        print(f"| {name} | {' | '.join(f'{middle[way]:.2f}' for way in WAYS)} | {ratio:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        make(Path(folder), options.clips)
        report(Path(folder), options)


if __name__ == "__main__":
    main()

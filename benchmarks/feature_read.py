"""Claim: Features reads random batches at no less than 90 % of the rate of np.memmap over plain .npy files.

The same clips (global grid and joint map, float16) lie in star's segments and in one .npy file an array. Batches of
random clips are copied into fresh tensors: by Features, from np.memmap, and through h5py with all segments kept open.
In this process, and in worker processes of a DataLoader, started by fork and by spawn. All from the page cache;
A B C A B C, medians over the rounds.

    python benchmarks/feature_read.py [--clips 512] [--batch 32] [--workers 2] [--rounds 7] [--folder DIR]
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
import torch
from claims import faster
from common import READERS, options
from torch.utils.data import DataLoader, Dataset

from star.cache.segment import Row
from star.cache.store import Store
from star.pipeline.datasets.base import Video
from star.pipeline.planning.selection import Selection
from star.pipeline.training.dataset import Features

SHAPES = {"global_grid": (16, 512, 7, 7), "joint_map": (16, 13, 784)}
STAGES = {"backbone": "global_grid", "tokens": "joint_map"}
SEGMENT = 64


def build(
    folder: Path, clips: int, *, classes: int = 15, shapes: Mapping[str, tuple[int, ...]] = MappingProxyType(SHAPES)
) -> Selection:
    """Write a cache of random clips and, beside it, the same as .npy files; returns the selection of all clips."""
    videos = [Video(f"{number:06d}", number % classes, "train", folder) for number in range(clips)]
    rows = [Row(video.id, "0" * 32, 0) for video in videos]
    places, stage_stores = {}, {}
    random = np.random.default_rng(0)
    for stage, name in STAGES.items():
        stage_store = stage_stores[stage] = Store(folder / "cache").stage_store(stage, stage[0].encode().hex() * 16)
        plain = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float16, (clips, *shapes[name]))
        for start in range(0, clips, SEGMENT):
            part = rows[start : start + SEGMENT]
            plain[start : start + len(part)] = random.random((len(part), *shapes[name]), np.float32)
            stage_store.write(part, {name: np.array(plain[start : start + len(part)])}, {}, {})
        plain.flush()
        index = stage_store.index()
        places[stage] = [index.find(row) for row in rows]
    return Selection(videos, [0] * clips, places, stage_stores, [], tuple(map(str, range(classes))))


class Plain(Dataset):
    """np.memmap over one .npy file an array."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.files = folder, {}

    def __getitems__(self, clips: Any) -> dict[str, torch.Tensor]:
        self.files = self.files or {name: np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in SHAPES}
        found = {}
        for name, file in self.files.items():
            out = torch.empty((len(clips), *SHAPES[name]), dtype=torch.float16)
            rows = out.numpy()
            for slot, clip in enumerate(clips):
                rows[slot] = file[clip]
            found[name] = out
        return found


class Hdf5(Dataset):
    """The segments read through h5py, every file opened once and kept open."""

    def __init__(self, selection: Selection) -> None:
        self.selection, self.files = selection, {}

    def _file(self, stage: str, segment: str) -> h5py.File:
        if (stage, segment) not in self.files:
            self.files[stage, segment] = h5py.File(self.selection.stage_stores[stage].file(segment), "r", locking=False)
        return self.files[stage, segment]

    def __getitems__(self, clips: Any) -> dict[str, torch.Tensor]:
        found = {}
        for stage, name in STAGES.items():
            out = torch.empty((len(clips), *SHAPES[name]), dtype=torch.float16)
            rows = out.numpy()
            for slot, clip in enumerate(clips):
                segment, row = self.selection.places[stage][clip]
                self._file(stage, segment)[name].read_direct(rows, np.s_[row], np.s_[slot])
            found[name] = out
        return found


def order(clips: int, batch: int, seed: int) -> list[np.ndarray]:
    """All clips once, at random, in whole batches."""
    shuffled = np.random.default_rng(seed).permutation(clips)
    return [shuffled[start : start + batch] for start in range(0, clips - batch + 1, batch)]


class Batches:
    """A batch sampler whose batches are drawn anew in each round."""

    def __init__(self, clips: int, batch: int) -> None:
        self.clips, self.batch, self.round = clips, batch, 0

    def __iter__(self) -> Iterator[np.ndarray]:
        self.round += 1
        return iter(order(self.clips, self.batch, self.round))

    def __len__(self) -> int:
        return self.clips // self.batch


def as_it_is(batch: Any) -> Any:
    """Collates nothing: a batch is a batch already."""
    return batch


def here(source: Any, clips: int, batch: int, seed: int) -> float:
    """Clips per second in this process."""
    batches = order(clips, batch, seed)
    began = time.perf_counter()
    for chosen in batches:
        source.__getitems__(chosen)
    return len(batches) * batch / (time.perf_counter() - began)


def through(loader: DataLoader, batch: int) -> float:
    """Clips per second through worker processes."""
    began = time.perf_counter()
    count = sum(1 for _ in loader)
    return count * batch / (time.perf_counter() - began)


def table(title: str, rates: dict[str, list[float]], megabytes: float) -> None:
    """Print the medians and their ratio to np.memmap."""
    print(f"{title}\n{'':<22}{'clips/s':>10}{'GB/s':>8}{'x memmap':>10}")
    for name, values in rates.items():
        rate = median(values)
        print(f"{name:<22}{rate:>10.0f}{rate * megabytes / 1000:>8.2f}{rate / median(rates['np.memmap']):>10.2f}")
    found = {name: median(values) for name, values in rates.items()}
    faster(f"random batches of training, {title}", found, "clips/s", "star Features", READERS)


def main() -> None:
    """Print one table for this process and one for each way of starting workers."""
    parser = options(__doc__, clips=512, batch=32, workers=2, rounds=7)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        selection = build(Path(folder), asked.clips)
        sources = {
            "np.memmap": Plain(Path(folder)),
            "star Features": Features(selection, tuple(SHAPES)),
            "h5py": Hdf5(selection),
        }
        megabytes = sum(np.prod(shape) for shape in SHAPES.values()) * 2 / 1e6
        print(f"{asked.clips} clips of {megabytes:.2f} MB, batches of {asked.batch}, random order, page cache")
        rates = {name: [] for name in sources}
        for turn in range(asked.rounds + 1):
            for name, source in sources.items():
                rates[name].append(here(source, asked.clips, asked.batch, turn))
        table("in this process", {name: values[1:] for name, values in rates.items()}, megabytes)
        sources["h5py"] = Hdf5(selection)  # without open files, which workers must not share
        for context in ("fork", "spawn"):
            loaders = {
                name: DataLoader(
                    source,
                    batch_sampler=Batches(asked.clips, asked.batch),
                    num_workers=asked.workers,
                    collate_fn=as_it_is,
                    persistent_workers=True,
                    multiprocessing_context=context,
                )
                for name, source in sources.items()
            }
            rates = {name: [] for name in sources}
            for _ in range(asked.rounds + 1):
                for name, loader in loaders.items():
                    rates[name].append(through(loader, asked.batch))
            title = f"{asked.workers} workers by {context}"
            table(title, {name: values[1:] for name, values in rates.items()}, megabytes)


if __name__ == "__main__":
    main()

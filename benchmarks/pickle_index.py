"""Claim: a pickle of NTU RGB+D 120's size (114,480 sequences) is indexed once, in under a minute and 4 GB of memory;
the next command reads an index of it.

Makes a pickle as pyskl publishes them: one or two people, 60 to 100 frames, 17 joints, float16, about 1 GB. Then, each
in a fresh process: the data set as the first command loads it, and as the second one does, which must not read the
pickle (Linux counts a process's bytes); and pickle.load, which any other program of this data begins with, every time.

    python benchmarks/pickle_index.py [--sequences 20000] [--folder DIR]
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from claims import claim
from common import largest_size, options

from star.pipeline import datasets
from star.pipeline.recipe.schema import DatasetSettings

NTU_120 = 114_480


def write(path: Path, count: int) -> None:
    """The pickle: random joints of a few sequences, taken again and again from other frames on."""
    random = np.random.default_rng(0)
    pool = random.uniform(0, 1080, (2, 4096, 17, 2)).astype(np.float16)
    scores = random.uniform(0, 1, (2, 4096, 17)).astype(np.float16)
    annotations = []
    for number in range(count):
        people, frames, start = 1 + number % 3 // 2, 60 + number % 41, number * 7 % 3900
        name = f"S{number % 32 + 1:03d}C{number % 3 + 1:03d}P{number % 106 + 1:03d}R001A{number % 120 + 1:03d}"
        annotations.append(
            {
                "frame_dir": f"{name}_{number}", "label": number % 120, "img_shape": (1080, 1920),
                "original_shape": (1080, 1920), "total_frames": frames,
                "keypoint": pool[:people, start : start + frames].copy(),
                "keypoint_score": scores[:people, start : start + frames].copy(),
            }
        )  # fmt: skip
    names = [one["frame_dir"] for one in annotations]
    split = {"xsub_train": names[: count // 2], "xsub_val": names[count // 2 :]}
    with path.open("wb") as file:
        pickle.dump({"split": split, "annotations": annotations}, file, 4)


def index(path: Path, cache: Path) -> int:
    """The data set as a command loads it."""
    return len(datasets.load(DatasetSettings(kind="joints", root=path, split="xsub"), cache).videos)


def load(path: Path, cache: Path) -> int:
    """What pyskl and mmaction2 begin with."""
    with path.open("rb") as file:
        return len(pickle.load(file)["annotations"])


WAYS = {"index": index, "load": load}


def measure(way: str, path: Path, cache: Path) -> None:
    """Print seconds, megabytes of this process at its largest, and how many sequences there were, as JSON."""
    before = largest_size()
    began = time.perf_counter()
    found = WAYS[way](path, cache)
    seconds = time.perf_counter() - began
    largest = largest_size()
    counted = Path("/proc/self/io")
    read = int(counted.read_text().split()[1]) if counted.exists() else 0
    print(json.dumps({"seconds": seconds, "megabytes": (largest - before) / 2**20, "sequences": found, "read": read}))


def in_a_process(way: str, path: Path, cache: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", way, "--folder", str(cache), "--pickle", str(path)]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def report(folder: Path, count: int) -> dict[str, dict[str, float]]:
    """Print the table; what each way took."""
    path, cache = folder / "made.pkl", folder / "cache"
    cache.mkdir()
    write(path, count)
    size = path.stat().st_size
    print(f"{count:,} sequences, {size / 1e6:.0f} MB\n\n| | seconds | MB | \n|---|---|---|")
    found: dict[str, dict[str, float]] = {}
    for name, way in (("pickle.load", "load"), ("first", "index"), ("again", "index")):
        found[name] = one = in_a_process(way, path, cache)
        assert one["sequences"] == count
        print(f"| {name} | {one['seconds']:.1f} | {one['megabytes']:.0f} |", flush=True)
    assert count < NTU_120 or found["again"]["read"] < size, "a later command reads the pickle"
    return found


def main() -> None:
    parser = options(__doc__, sequences=20_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--measure", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--pickle", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        measure(asked.measure, asked.pickle, asked.folder)
        return
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        found = report(Path(folder), asked.sequences)
    whole = asked.sequences >= NTU_120  # what the goals are for
    what = f"indexing a pickle of {asked.sequences:,} sequences"
    claim(what, found["first"]["seconds"], "s", goal=("<", 60) if whole else None)
    claim(f"memory for {what}", found["first"]["megabytes"], "MB", goal=("<", 4000) if whole else None)
    again, other = found["again"]["seconds"], found["pickle.load"]["seconds"]
    claim("the same in every later command", again, "s", against="pickle.load", other=other, ratio=other / again)


if __name__ == "__main__":
    main()

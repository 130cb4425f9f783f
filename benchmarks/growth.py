"""Claim: `star extract` costs the same a clip, and the same memory, whether it makes 100 clips or 10,000.

The real pipeline, decoding children, shared memory and checksummed segments of all five stages, on drawn H.264 clips
of 16 frames in 25 views each at 32 px; only the video network is another one, here and nowhere else: one
multiplication, so that all that is measured is everything around it. Every run is a process of its own. The rate is
taken between the first segment and the last, from their files' times. On a machine with other work to do, look at the
processor's time instead (of the process and its children): the cost of each clip more than the run before had, which
leaves out the start. Memory is Linux's "Pss" of the process and its children, twenty times a second: the most that a
run held, and, of the longest, the medians of its second and of its last third (a short run is over before all that a
long one keeps is there). Of runs that last seconds there are three, and the medians count.

    python benchmarks/growth.py [--most 10000]        at least 1000
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from claims import claim
from common import options
from memory import megabytes, needs_linux, tree

from star.pipeline.datasets.synthetic.dataset import draw
from star.pipeline.extraction.execution import ExecutionConfig
from star.pipeline.extraction.models import Models
from star.pipeline.extraction.runner import extract
from star.pipeline.recipe import schema as recipes
from star.stages.backbone.stage import BackboneNetwork

RECIPE = """
dataset: {{kind: drawn, root: {root}}}
cache: {{root: {folder}/cache, segment: 16}}
decode: {{views: {{train: {views}, test: {views}}}}}
backbone: {{weights: random, size: 32, crop: person, batch: 16}}
"""
VIEWS = 25


class Multiply(BackboneNetwork):
    """A stand-in for the video network: its features are one frame's bytes, times a number."""

    def __init__(self, models: Models) -> None:
        self.stage, self.batch = models.graph["backbone"].stage, models.recipe.backbone.batch
        self.device, self.precision = torch.device("cpu"), "float32"

    def run(self, batch: np.ndarray, features: dict[str, np.ndarray]) -> None:
        """One multiplication for each feature."""
        for array in features.values():
            flat = array.reshape(len(array), -1)
            np.multiply(np.resize(batch[0, 0], flat.shape[1]), 0.5, out=flat, casting="unsafe")


def part(data: Path, root: Path, videos: int) -> None:
    """A data set of the first so many videos of another."""
    root.mkdir(parents=True)
    for name in ("videos", "joints", "drawn.json"):
        (root / name).symlink_to(data / name)
    rows = (data / "clips.csv").read_text().splitlines(keepends=True)
    (root / "clips.csv").write_text("".join(rows[: videos + 1]))


def run(path: Path) -> None:
    """In a process of its own: extract, and print what it cost."""
    Models.network = property(Multiply)  # in this process alone
    held: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            held.append(megabytes(tree(int(Path("/proc/self").resolve().name))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    _, outcome = extract(recipes.load(path), execution=ExecutionConfig(device="cpu"), quiet=True)
    done.set()
    watcher.join()
    print(json.dumps({"clips": outcome.clips, "processor": outcome.processor, "held": held}))


class Run(NamedTuple):
    """Clips, clips/s, processor's seconds, and MB: at most, in the second and in the last third of a run."""

    clips: int
    rate: float
    used: float
    most: float
    second: float
    last: float


def measure(folder: Path, data: Path, clips: int) -> Run:
    """One run, in a process of its own."""
    own = folder / str(clips)
    part(data, own / "data", clips // VIEWS)
    recipe = own / "star.yaml"
    recipe.write_text(RECIPE.format(root=own / "data", folder=own, views=VIEWS))
    command = [sys.executable, __file__, "--run", str(recipe)]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    assert found["clips"] == clips
    times = sorted(file.stat().st_mtime_ns for file in (own / "cache" / "tokens").rglob("*.h5"))
    rate = (clips - 16) / (times[-1] - times[0]) * 1e9
    third = max(len(found["held"]) // 3, 1)
    second, last = found["held"][third : 2 * third] or found["held"], found["held"][-third:]
    shutil.rmtree(own)
    return Run(clips, rate, found["processor"], max(found["held"]), median(second), median(last))


def main() -> None:
    parser = options(__doc__, most=10_000)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    needs_linux()
    if asked.run:
        return run(asked.run)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "data"
        draw(data, clips_per_class=-(-asked.most // (8 * VIEWS)), frames=(16, 16), size=(64, 48))
        print("clips    clips/s   core ms a further clip   MB, at most   second third   last third", flush=True)
        found: list[Run] = []
        for clips in (number for number in (100, 1_000, 10_000) if number <= asked.most):
            runs = [measure(folder, data, clips) for _ in range(1 if clips > 1_000 else 3)]
            found.append(Run(*map(median, zip(*runs, strict=True))))
            now, before = found[-1], found[-2] if len(found) > 1 else None
            cost = f"{(now.used - before.used) / (clips - before.clips) * 1000:.2f}" if before else ""
            print(
                f"{clips:6,} {now.rate:9.1f} {cost:>24} {now.most:13.0f} {now.second:14.0f} {now.last:12.0f}",
                flush=True,
            )
    compare(found)
    return None


def compare(found: list[Run]) -> None:
    """The claims: the longest run against the one before it, and against itself."""
    short, long = found[-2:]
    what, against = f"`star extract` without its network, {long.clips:,} clips", f"{short.clips:,} clips"
    rates = {"other": short.rate, "ratio": long.rate / short.rate}
    why = (
        "By tenths of a run the rate is flat (404, 360, 380 clips/s in one), or falls by a third at one moment, also "
        "with the cache on tmpfs: a virtual machine's host takes memory back, probably. Runs lie 10 % apart."
    )
    claim(f"{what}: rate", long.rate, "clips/s", against=against, **rates, goal=(">=", 0.9), why=why)
    memory = {"other": short.most, "ratio": long.most / short.most}
    claim(f"{what}: memory at most", long.most, "MB", against=against, **memory, goal=("<=", 1.05))
    memory = {"other": long.second, "ratio": long.last / long.second}
    claim(f"{what}: memory in the last third", long.last, "MB", against="the second third", **memory, goal=("<=", 1.05))


if __name__ == "__main__":
    main()

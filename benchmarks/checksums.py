"""Claim: proving every cached row by its checksum costs less than 2 % of one epoch of training.

`train.checksums` proves a row when it is read for the first time, so that a run pays once for all its epochs. The same
random clips are read into memory with and without it, A B A B, medians over the rounds; then the recipe's default
network is trained on them for one epoch. Only a loader that reads the files anew in each process pays more than once.

    python benchmarks/checksums.py [--clips 256] [--rounds 5] [--width 512] [--batch 4] [--folder DIR]
"""

from __future__ import annotations

import tempfile
from math import prod
from pathlib import Path

from claims import claim
from common import options, turns
from feature_read import SHAPES, build

from star.pipeline.recipe import schema as recipes
from star.pipeline.training.dataset import Features
from star.pipeline.training.trainer import train

RECIPE = """
dataset: {kind: videos, root: videos}
cache: {root: cache}
train: {epochs: 1, tensorboard: false, checksums: false, preload: memory}
"""


def main() -> None:
    """Print seconds of the proof, of an epoch, and the share."""
    parser = options(__doc__, clips=256, rounds=5, width=512, batch=4)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        selection = build(Path(folder), asked.clips)

        def read(*, checksums: bool) -> None:
            Features(selection, tuple(SHAPES), preload="memory", checksums=checksums).load()

        found = turns({"with": lambda: read(checksums=True), "without": lambda: read(checksums=False)}, asked.rounds)
        overrides = (f"model.width={asked.width}", f"train.batch={asked.batch}")
        recipe = recipes.parse(RECIPE, overrides=overrides, base=Path(folder))
        testing = selection.pick(range(0, asked.clips, max(1, asked.clips // 8)))
        summary = train(recipe, selection, testing, Path(folder) / "run", device="auto", progress=False)
    proof, epoch = found["with"] - found["without"], summary["seconds"]
    megabytes = asked.clips * sum(2 * prod(shape) for shape in SHAPES.values()) / 1e6
    print(f"{asked.clips} clips, {megabytes:.0f} MB, from the page cache")
    print(f"read into memory  {found['without']:8.3f} s without, {found['with']:.3f} s with checksums")
    print(f"one epoch         {epoch:8.1f} s on {summary['device']}")
    print(f"share             {proof / epoch:8.2%}")
    claim(
        f"every row of {asked.clips} clips proved by its checksum, once a run", proof, "s",
        against="one epoch of training on them", other=epoch, ratio=proof / epoch, goal=("<", 0.02),
    )  # fmt: skip


if __name__ == "__main__":
    main()

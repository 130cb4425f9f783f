"""Question: what does a step of `star finetune` take, against one of `star train` on the same clips' cached features,
and against one with `finetune.checkpointing`, which computes the backbone clip by clip and twice?

All three read the same clips of one cache, take turns, and compute in train.precision: auto; medians over the rounds.
The network is mc3_18 with random weights, and a STAR-Transformer.

    python benchmarks/finetune_step.py [--batch 4] [--rounds 5] [--size 64] [--width 128]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from claims import claim
from common import options, turns

from star.pipeline.datasets.synthetic.dataset import draw
from star.pipeline.extraction.execution import ExecutionConfig
from star.pipeline.extraction.runner import extract
from star.pipeline.planning.inputs import STAGE_OF
from star.pipeline.planning.train_test_selection import selections
from star.pipeline.recipe import schema as recipes
from star.pipeline.training.distributed import ProcessGroup
from star.pipeline.training.finetune import FinetuneTraining
from star.pipeline.training.sampler import MicroBatch
from star.pipeline.training.trainer import Training

RECIPE = """
dataset: {{kind: drawn, root: {folder}/data}}
cache: {{root: {folder}/cache}}
decode: {{keep: frames}}
backbone: {{weights: random, size: {size}, crop: person}}
model: {{width: {width}, heads: 4, encoder_layers: 1, decoder_layers: 1}}
train: {{optimizer: adamw, learning_rate: 0.0003, batch: {batch}, preload: none, tensorboard: false}}
"""
WAYS: dict[str, tuple[type[Training], tuple[str, ...]]] = {
    "star finetune": (FinetuneTraining, ()),
    "star train": (Training, ()),
    "with checkpointing": (FinetuneTraining, ("finetune.checkpointing=true",)),
}


def step(folder: Path, asked: argparse.Namespace, way: str) -> Callable[[], object]:
    """What a command does for a batch, its data included."""
    kind, overrides = WAYS[way]
    recipe = recipes.load(folder / "star.yaml", overrides)
    stages = tuple(dict.fromkeys(STAGE_OF.values()))
    training, testing = selections(recipe, ("train", "test"), True, stages)
    run = kind(recipe, training, testing, folder / way.replace(" ", "-"), ProcessGroup(), quiet=True)
    clips, picks = np.arange(asked.batch), np.arange(asked.batch)

    def work() -> None:
        micro_batch = MicroBatch(0, clips, picks, asked.batch, 1 / asked.batch, True)
        (batch,) = run.stream([clips])
        run.learner.learn(micro_batch, batch, 0).tolist()
        run.learner.update(0)

    return work


def main() -> None:
    """Print milliseconds a step of each way."""
    asked = options(__doc__, batch=4, rounds=5, size=64, width=128).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "data", clips_per_class=3)
        (folder / "star.yaml").write_text(RECIPE.format(folder=folder, **vars(asked)))
        extract(recipes.load(folder / "star.yaml"), execution=ExecutionConfig(device="cpu", workers=1), quiet=True)
        times = turns({way: step(folder, asked, way) for way in WAYS}, asked.rounds)
    own, *others = (1e3 * times[way] for way in WAYS)
    print(f"batch {asked.batch}, {asked.size} px, width {asked.width}")
    for way, seconds in times.items():
        print(f"{way:<20}{1e3 * seconds:>8.0f} ms a step")
    what = f"a step of `star finetune`: mc3_18, {asked.batch} clips at {asked.size} px"
    for way, other in zip(
        ("`star train` on the same clips' features", "itself with checkpointing"), others, strict=True
    ):
        claim(what, own, "ms", against=way, other=other, ratio=other / own)


if __name__ == "__main__":
    main()

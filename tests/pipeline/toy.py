"""A small real cache for the tests of stage two, and a command line for tests that kill or share out a training.

python toy.py CACHE RUN [--resume] [section.key=value …]     train on the toy cache in CACHE (made if absent)
"""

import sys
from pathlib import Path

import numpy as np

from star.cache.segment import Row
from star.cache.store import Store
from star.pipeline.datasets.base import Video
from star.pipeline.planning.selection import Selection
from star.pipeline.recipe import schema as recipes
from star.stages.skeletons import Skeleton

CLASSES = ("bow", "jump", "wave")
SHAPES = {
    "backbone": {"global_grid": (4, 6, 2, 2), "local_map": (4, 5, 8, 8)},
    "heatmaps": {"joint_heatmap": (4, 3, 8, 8)},
    "tokens": {"joint_map": (4, 3, 64)},
}
KEYS = {"backbone": "b" * 32, "heatmaps": "a" * 32, "tokens": "c" * 32}
SKELETON = Skeleton("toy", ("head", "left", "right"), ((1, 2),), ((0, 1), (0, 2)))

RECIPE = """
dataset: {kind: videos, root: videos}
cache: {root: cache}
decode: {frames: 4}
backbone: {size: 32}
model: {width: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, dropout: 0.1}
train:
  {epochs: 2, batch: 4, optimizer: adamw, learning_rate: 0.003, precision: float32, preload: none, tensorboard: false}
test: {batch: 5, bootstrap: 100}
"""


def recipe(*overrides):
    """A tiny recipe for the toy cache."""
    return recipes.parse(RECIPE, overrides=overrides, base=Path("/toy"))


def videos(split, per_class=8):
    """`per_class` videos of each class, with a subject each."""
    return [
        Video(f"{split}/{name}{number}.mp4", label, split, Path("gone.mp4"), groups=(("subject", f"P{number % 2}"),))
        for number in range(per_class)
        for label, name in enumerate(CLASSES)
    ]


def clip(video, view, shape):
    """Numbers in which the class can be seen: noise, and a bump whose place is the label's."""
    random = np.random.default_rng([*video.id.encode(), view])
    array = random.random(shape, np.float32) * 0.3
    array.reshape(shape[0], -1)[:, video.label :: len(CLASSES)] += 1
    return array.astype(np.float16)


def build(root, *, views=(2, 1), per_class=8, segment=20, compression="none"):
    """Write the cache if it is not there, and return the selections of its two splits: (training, testing)."""
    store, found = Store(root), []
    for split, count in zip(("train", "test"), views, strict=True):
        clips = [(video, view) for video in videos(split, per_class) for view in range(count)]
        stage_stores = {stage: store.stage_store(stage, key) for stage, key in KEYS.items()}
        places = {
            stage: _places(stage_store, clips, segment, compression) for stage, stage_store in stage_stores.items()
        }
        own = [video for video, _ in clips]
        found.append(Selection(own, [view for _, view in clips], places, stage_stores, [], CLASSES, SKELETON))
    return tuple(found)


def _places(stage_store, clips, segment, compression):
    rows = [Row(video.id, "0" * 32, view) for video, view in clips]
    if any(stage_store.index().find(row) is None for row in rows):
        for start in range(0, len(rows), segment):
            part = clips[start : start + segment]
            arrays = {n: np.stack([clip(*c, shape) for c in part]) for n, shape in SHAPES[stage_store.stage].items()}
            stage_store.write(rows[start : start + segment], arrays, {}, {}, compression)
    index = stage_store.index()
    return [index.find(row) for row in rows]


def main(cache, run, *words):
    """Train as the command line says and print the summary."""
    import json

    from star.errors import StarError
    from star.pipeline.training.trainer import train

    overrides = [word for word in words if "=" in word]
    try:
        summary = train(
            recipe(*overrides), *build(Path(cache)), Path(run), device="cpu", resume="--resume" in words, progress=False
        )
    except StarError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    print(json.dumps(summary))


if __name__ == "__main__":
    main(*sys.argv[1:])

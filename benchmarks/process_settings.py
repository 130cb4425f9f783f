"""Claim: what star sets for a whole process earns 5 % or more of the work that it is set for.

`reuse_freed_memory` (glibc's malloc keeps freed memory) is measured on the video network, on a training step and on
decoding a video of 1920 x 1080; the held garbage collector on `plan` of many videos. Each way runs in a fresh process,
with and without taking turns, and the processor's time is compared: the system's share is what is saved.

    python benchmarks/process_settings.py [--rounds 3] [--batch 4] [--videos 100000]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from time import process_time
from types import SimpleNamespace

import numpy as np
from claims import claim
from common import options

GOAL = (">=", 1.05)
WHY = (
    "What is saved is the system's own time for clearing pages, the same in every arithmetic; where that takes twice "
    "as long (float32 with AVX2), or a layer's activations fit what is kept anyway, it is a smaller share."
)


def network(batch: int) -> None:
    """The video network on clips of 112 px."""
    from star.stages.backbone.stage import BackboneNetwork, BackboneStage

    run = BackboneNetwork(BackboneStage(weights="random", size=112), device="cpu", batch=batch)
    frames = np.zeros((batch, 16, 112, 112, 3), np.uint8)
    run(frames)
    _timed(lambda: [run(frames) for _ in range(4)])


def training(batch: int) -> None:
    """Steps of training of one layer of each kind at the full width, as `benchmarks/train_step.py` makes them."""
    import train_step

    asked = SimpleNamespace(batch=batch, layers=1, width=512, workers=0, clips=16)
    with tempfile.TemporaryDirectory() as folder:
        steps = train_step.star(train_step.build(Path(folder), asked.clips), asked, "auto")
        next(steps)
        _timed(lambda: [next(steps) for _ in range(4)])


def decoding(batch: int) -> None:
    """A video of 1920 x 1080 read from its first picture to its last."""
    import av

    from star.stages.readers.sequential import SequentialReader

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        with av.open(str(path), "w") as film:
            stream = film.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
            picture = np.random.default_rng(0).integers(0, 255, (1080, 1920, 3), np.uint8) // 32
            for number in range(32):
                frame = av.VideoFrame.from_ndarray(np.roll(picture, 8 * number, 1), format="rgb24")
                film.mux(stream.encode(frame))
            film.mux(stream.encode(None))
        reader = SequentialReader(path)
        _timed(lambda: [list(reader.frames(range(32))) for _ in range(2)])


def planning(folder: Path) -> None:
    """The plan of a data set of many videos, all cached."""
    from star.pipeline.planning.plan import plan
    from star.pipeline.recipe import schema as recipes

    recipe = recipes.load(folder / "star.yaml")
    _timed(lambda: plan(recipe))


def _timed(work: Callable[[], object]) -> None:
    before = process_time()
    work()
    print(process_time() - before)


def child(what: str, argument: str, with_it: str) -> None:
    """What a fresh process does: one kind of work, with the setting or without."""
    from star.pipeline.utils import process_settings

    if what == "planning":
        if with_it != "with":
            from star.pipeline.planning import plan

            plan._no_garbage = nullcontext
        planning(Path(argument))
        return
    if with_it == "with":
        process_settings.reuse_freed_memory()
    {"network": network, "training": training, "decoding": decoding}[what](int(argument))


def main() -> None:
    """A row for each kind of work: seconds of processor time with the setting and without."""
    parser = options(__doc__, rounds=3, batch=4, videos=100_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        import plan as many_videos

        many_videos.make(Path(folder), asked.videos)
        many_videos.measured(Path(folder) / "star.yaml")
        rows = {
            "network": ("freed memory is kept: the video network", str(asked.batch)),
            "training": ("freed memory is kept: a training step", str(asked.batch)),
            "decoding": ("freed memory is kept: decoding 1920 × 1080", "1"),
            "planning": (f"the garbage collector is held: the plan of {asked.videos:,} videos", folder),
        }
        for what, (text, argument) in rows.items():
            taken: dict[str, list[float]] = {"with": [], "without": []}
            for _ in range(asked.rounds):
                for way, seconds in taken.items():
                    command = [sys.executable, __file__, "--child", json.dumps([what, argument, way])]
                    seconds.append(float(subprocess.check_output(command, text=True, env=os.environ)))
            mine, other = median(taken["with"]), median(taken["without"])
            print(f"{text}: {mine:.2f} s with it, {other:.2f} without, {other / mine:.2f}", flush=True)
            claim(text, mine, "CPU s", against="without", other=other, ratio=other / mine, goal=GOAL, why=WHY)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*json.loads(sys.argv[2]))
    else:
        main()

"""Claim: the memory of `star inspect --worst N` does not grow with the clips in the cache, only with N.

Draws eight clips and extracts them; then, for each size, gives as many videos (links to the eight) rows made of the
same arrays, each scaled a little, under the keys of their recipe, and runs the command in a fresh process over them.
Prints the peak of its resident memory, and what more clips added to it beside what their arrays weigh.

    python benchmarks/worst_memory.py [--clips 200 2000] [--count 20] [--folder DIR]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from claims import claim
from common import options

from star.cache.segment import Row
from star.pipeline.datasets.synthetic.dataset import draw
from star.pipeline.extraction.execution import ExecutionConfig
from star.pipeline.extraction.runner import extract
from star.pipeline.planning.plan import plan, remember
from star.pipeline.planning.source_changes import Digests
from star.pipeline.recipe import schema as recipes

RECIPE = """
dataset: {{kind: videos, root: {root}/data}}
cache: {{root: {root}/cache}}
decode: {{frames: 8}}
pose: {{source: mmpose, model: drawn-13, detector: frame}}
backbone: {{weights: random, size: 48, precision: float32}}
"""
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, capture_output=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
Arrays = dict[str, dict[str, np.ndarray]]


def listed(root: Path, films: list[Path], count: int) -> Path:
    """A data set of `count` videos, links to the films in turn; returns its recipe."""
    (root / "data").mkdir(parents=True)
    lines = ["video,label,split"]
    for number in range(count):
        film = films[number % len(films)]
        (root / "data" / f"{number:06}.mp4").symlink_to(film)
        lines.append(f"{number:06}.mp4,{film.stem},{'test' if number % 5 == 0 else 'train'}")
    (root / "data" / "videos.csv").write_text("\n".join(lines) + "\n")
    path = root / "star.yaml"
    path.write_text(RECIPE.format(root=root))
    return path


def extracted(path: Path) -> tuple[Arrays, int]:
    """Stage -> array -> the rows of the eight films, in order; and what the arrays of one film weigh in bytes."""
    planned, _ = extract(recipes.load(path), execution=ExecutionConfig(workers=1), quiet=True)
    planned = plan(planned.recipe)
    found: Arrays = {}
    for name, stage in planned.stages.items():
        places = [stage.places[video.id, 0] for video in planned.manifest.videos]
        found[name] = {array: stage.stage_store.read(places, array) for array in planned.graph[name].stage.arrays}
    weight = sum(values[0].nbytes for arrays in found.values() for values in arrays.values())
    return found, weight


def fill(path: Path, arrays: Arrays) -> None:
    """Write rows for every video of a recipe, as an extraction would."""
    recipe = recipes.load(path)
    recipe.cache.root.mkdir()
    empty = plan(recipe)
    for number, video in enumerate(empty.manifest.videos):
        empty.sources.learn(video.id, Digests(f"{number * 2654435761:032x}"))
    remember(empty)
    scale = np.random.default_rng(0).lognormal(0, 0.1, len(empty.manifest.videos)).astype(np.float32)
    for name, stage in empty.stages.items():
        stage.stage_store.describe(empty.graph[name].description())
        for start in range(0, len(stage.missing), 64):
            clips = range(start, min(start + 64, len(stage.missing)))
            part = {array: _rows(values, clips, scale) for array, values in arrays[name].items()}
            ids = [stage.missing[number].video.id for number in clips]
            rows = [Row(video, empty.sources.known[video].digests.video, 0) for video in ids]
            stage.stage_store.write(rows, part, {}, {})


def _rows(values: np.ndarray, clips: range, scale: np.ndarray) -> np.ndarray:
    """The films' rows in turn; features are scaled, so that clips differ."""
    picked = values[[number % len(values) for number in clips]]
    if values.dtype != np.float16:
        return picked
    return (picked * scale[list(clips)].reshape(-1, *[1] * (values.ndim - 1))).astype(np.float16)


def peak(path: Path, count: int) -> float:
    """Peak resident memory of one command, MB."""
    command = [sys.executable, "-m", "star.cli", "inspect", str(path), "--worst", str(count), "-o"]
    command.append(str(path.with_suffix(".png")))
    return int(subprocess.check_output([sys.executable, "-c", MEASURE, *command], text=True)) / 1024


def main() -> None:
    """Print a line for each size and, against the first, the ratio."""
    parser = options(__doc__, count=20)
    parser.add_argument("--clips", type=int, nargs="+", default=[200, 2000])
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        draw(folder / "drawn", clips_per_class=1, frames=(20, 24), size=(96, 80), workers=1)
        films = sorted((folder / "drawn" / "videos").glob("*.mp4"))
        arrays, weight = extracted(listed(folder / "eight", films, len(films)))
        first = 0.0
        for clips in asked.clips:
            path = listed(folder / str(clips), films, clips)
            fill(path, arrays)
            found = peak(path, asked.count)
            first = first or found
            grown = (found - first) * 1024 / max(1, clips - asked.clips[0])
            print(
                f"{clips:,} clips, {weight / 1e6 * clips:,.0f} MB cached: {found:.0f} MB, ratio {found / first:.3f}; ",
                end="",
            )
            print(f"{grown:.2f} kB more a clip, of whose arrays there are {weight / 1024:.0f} kB", flush=True)
    what, against = f"memory of `star inspect --worst {asked.count}`, {clips:,} clips", f"{asked.clips[0]:,} clips"
    claim(what, found, "MB", against=against, other=first, ratio=found / first, goal=("<=", 1.05))


if __name__ == "__main__":
    main()

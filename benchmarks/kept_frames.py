"""Question: what does it take to recompute a backbone from kept frames (`decode.keep: frames`), against the videos?

Both are commands of their own, `star extract --stage backbone`, in turns, on the same drawn H.264 clips of 640 × 480:
the same image network, with other random weights in every round, so that all of its rows are missing. One cache has the
frames, the other has not, and decodes the videos again. Counted are seconds of the processor, less those that the same
command takes once nothing is missing: starting Python, importing torch, planning.

    python benchmarks/kept_frames.py [--clips 3] [--rounds 2] [--size 64]        clips per action, of eight actions
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median

from claims import claim
from common import options, run

from star.pipeline.datasets.synthetic.dataset import draw

RECIPE = """
dataset: {{kind: drawn, root: {folder}/data}}
cache: {{root: {folder}/{keep}}}
decode: {{keep: {keep}}}
backbone: {{model: resnet18, weights: random, size: {size}, crop: person, precision: float32}}
"""
WAYS, SIZE = ("frames", "none"), (640, 480)


def main() -> None:
    """Print milliseconds a clip of both, and the ratio."""
    asked = options(__doc__, clips=3, rounds=2, size=64).parse_args()
    taken: dict[str, list[float]] = {keep: [] for keep in WAYS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = draw(folder / "data", clips_per_class=asked.clips, size=SIZE)
        for turn in range(asked.rounds + 1):
            for keep in WAYS:
                recipe = folder / f"{keep}.yaml"
                recipe.write_text(RECIPE.format(folder=folder, keep=keep, size=asked.size))
                command = [sys.executable, "-m", "star.cli", "extract", str(recipe), "--device", "cpu", "-q"]
                if turn:
                    command += ["--stage", "backbone", "--set", f"backbone.seed={turn}"]
                worked = run(command).cores
                if turn:  # the first fills the caches
                    taken[keep].append(1e3 * (worked - run(command).cores) / count)
    kept, videos = (median(taken[keep]) for keep in WAYS)
    print(
        f"{count} clips, {asked.rounds} rounds: {kept:.0f} CPU ms a clip from kept frames, {videos:.0f} from the videos"
    )
    what = f"a clip's backbone anew, resnet18 at {asked.size} px, from kept frames"
    against = "from the videos, 640 × 480"
    claim(what, kept, "CPU ms", against=against, other=videos, ratio=videos / kept)


if __name__ == "__main__":
    main()

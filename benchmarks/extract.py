"""Question: at what rate does `star extract` make all five stages, against a plain float32 script for features alone?

Both read the same drawn H.264 clips with random mc3_18 weights at 112 px, each as a command of its own, taking turns;
starting Python and importing torch is within the time of both. The plain script is what one writes on a free afternoon:
a loop over videos, decord's get_batch for 16 frames, cv2.resize, torchvision's network in float32 and its default
memory layout, one clip at a time, arrays kept with h5py. star also crops to the person, makes joints, heat maps and
tokens, and writes checksummed segments.

    python benchmarks/extract.py [--clips 20] [--rounds 3]        clips per action, of eight actions
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from star.pipeline.datasets.drawn import draw

RECIPE = """
dataset: {{kind: drawn, root: {root}}}
cache: {{root: {cache}}}
backbone: {{weights: random, crop: person, precision: {precision}}}
"""
PLAIN = """
import sys
from pathlib import Path

import cv2
import decord
import h5py
import numpy as np
import torch
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.models.video import mc3_18

folder, out = sys.argv[1:]
network = create_feature_extractor(mc3_18(weights=None).eval(), {"layer2": "local_map", "layer4": "global_grid"})
mean = torch.tensor((0.43216, 0.394666, 0.37645)).view(1, 3, 1, 1, 1)
deviation = torch.tensor((0.22803, 0.22145, 0.216989)).view(1, 3, 1, 1, 1)
with h5py.File(out, "w") as file, torch.inference_mode():
    for video in sorted(Path(folder).iterdir()):
        reader = decord.VideoReader(str(video))
        index = ((np.arange(16) + 0.5) * len(reader) / 16).astype(int)
        frames = [cv2.resize(frame, (112, 112)) for frame in reader.get_batch(index).asnumpy()]
        x = torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)[None].float() / 255
        for name, value in network((x - mean) / deviation).items():
            file.create_dataset(f"{video.stem}/{name}", data=value[0].numpy())
"""


def timed(command: list[str]) -> float:
    """Seconds of wall time that a command takes."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def main() -> None:
    """Take turns, then print clips/s and the ratio of every round's neighbours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rates: dict[str, list[float]] = {"plain script, float32": [], "star, float32": [], "star, bfloat16": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "data", clips_per_class=options.clips)
        videos = folder / "data" / "videos"
        count = len(list(videos.iterdir()))
        (folder / "plain.py").write_text(PLAIN)
        for turn in range(options.rounds):
            for what, times in rates.items():
                if what.startswith("plain"):
                    command = [sys.executable, str(folder / "plain.py"), str(videos), str(folder / f"{turn}.h5")]
                else:
                    recipe, precision = folder / "star.yaml", what.split()[-1]
                    cache = folder / f"{turn}-{precision}"
                    recipe.write_text(RECIPE.format(root=folder / "data", cache=cache, precision=precision))
                    command = [sys.executable, "-m", "star.cli", "extract", str(recipe), "--device", "cpu"]
                times.append(count / timed(command))
    base = rates["plain script, float32"]
    print(f"{count} clips, {options.rounds} rounds")
    for what, times in rates.items():
        ratio = median(a / b for a, b in zip(times, base, strict=True))
        print(f"{what:24} {median(times):6.2f} clips/s   {ratio:5.2f} x the plain script")


if __name__ == "__main__":
    main()

"""Question: at what rate does `star extract` make all five stages, against a plain float32 script for features alone?

Both read the same drawn H.264 clips with random mc3_18 weights at 112 px, in one process, taking turns. The plain
script is what one writes on a free afternoon: a loop over videos, decord's get_batch for 16 frames, cv2.resize,
torchvision's network in float32 and its default memory layout, one clip at a time, arrays kept with h5py. star
also crops to the person, makes joints, heat maps and tokens, writes checksummed segments, and starts and stops its
decoding processes within the time.

    python benchmarks/extract.py [--clips 8] [--rounds 3]        clips per action, of eight actions
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import cv2
import h5py
import numpy as np
import torch
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.models.video import mc3_18

from star.pipeline import recipe as recipes
from star.pipeline.datasets.drawn import draw
from star.pipeline.extract import Where, extract
from star.stages.backbone import DEVIATION, MEAN

RECIPE = """
dataset: {{kind: drawn, root: {root}}}
cache: {{root: {cache}}}
backbone: {{weights: random, crop: person, precision: {precision}}}
"""


def plain(network, videos, out):
    import decord

    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1, 1) for values in (MEAN, DEVIATION))
    with h5py.File(out, "w") as file, torch.inference_mode():
        for video in videos:
            reader = decord.VideoReader(str(video))
            count = len(reader)
            index = ((np.arange(16) + 0.5) * count / 16).astype(int)
            frames = [cv2.resize(frame, (112, 112)) for frame in reader.get_batch(index).asnumpy()]
            x = torch.from_numpy(np.stack(frames)).permute(3, 0, 1, 2)[None].float() / 255
            for name, value in network((x - mean) / deviation).items():
                file.create_dataset(f"{video.stem}/{name}", data=value[0].numpy())


def star(root, cache, precision):
    text = RECIPE.format(root=root, cache=cache, precision=precision)
    return extract(recipes.parse(text), where=Where(device="cpu"), quiet=True)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    network = create_feature_extractor(mc3_18(weights=None).eval(), {"layer2": "local_map", "layer4": "global_grid"})
    rates = {"plain script, float32": [], "star, float32": [], "star, bfloat16": []}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        draw(root, clips_per_class=options.clips)
        videos = sorted((root / "videos").iterdir())
        plain(network, videos[:2], Path(folder) / "warm.h5")
        for turn in range(options.rounds):
            for name, times in rates.items():
                cache, began = Path(folder) / f"{turn}-{name[-8:].strip()}", time.perf_counter()
                if name.startswith("plain"):
                    plain(network, videos, cache.with_suffix(".h5"))
                else:
                    star(root, cache, name.split()[-1])
                times.append(len(videos) / (time.perf_counter() - began))
    base = rates["plain script, float32"]
    print(f"{len(videos)} clips, {options.rounds} rounds, {torch.get_num_threads()} threads")
    for name, times in rates.items():
        ratio = median(a / b for a, b in zip(times, base, strict=True))
        print(f"{name:24} {median(times):6.2f} clips/s   {ratio:5.2f} x the plain script")


if __name__ == "__main__":
    main()

"""Question: at what rate does `star extract` make all five stages, against a plain float32 script for features alone?

Both read the same drawn H.264 clips with random mc3_18 weights at 112 px, each as a command of its own, taking turns;
starting Python and importing torch is within the time of both. The plain script is what one writes on a free afternoon:
a loop over videos, decord's get_batch for 16 frames, cv2.resize, torchvision's network in float32 and its default
memory layout, one clip at a time, arrays kept with h5py. star also crops to the person, makes joints, heat maps and
tokens, and writes checksummed segments.

The third is a plain script that goes about it as video_features does (its `r21d`, which is no package that can be
installed, and needs a torchvision that could still read videos): every frame of the video is decoded, the whole video
is shrunk to 171 × 128 and cut to 112 px in float32, stacks of 16 frames pass through the network one at a time, pooled
features go to a .npy file. The network is mc3_18 here as everywhere, and `step_size` leaves one stack a video.

    python benchmarks/extract.py [--clips 20] [--rounds 3]        clips per action, of eight actions
"""

import sys
import tempfile
from pathlib import Path
from statistics import median

from claims import claim
from common import options, run

from star.pipeline.datasets.synthetic.dataset import draw

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
AS_VIDEO_FEATURES = """
import sys
from pathlib import Path

import av
import numpy as np
import torch
from torchvision.models.video import mc3_18

STACK, STEP = 16, 48
folder, out = map(Path, sys.argv[1:])
out.mkdir()
network = mc3_18(weights=None).eval()
network.fc = torch.nn.Identity()
mean = torch.tensor((0.43216, 0.394666, 0.37645)).view(3, 1, 1, 1)
deviation = torch.tensor((0.22803, 0.22145, 0.216989)).view(3, 1, 1, 1)
for video in sorted(folder.iterdir()):
    with av.open(str(video)) as file:
        rgb = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])
    rgb = torch.from_numpy(rgb).permute(3, 0, 1, 2).float() / 255
    rgb = torch.nn.functional.interpolate(rgb, size=(128, 171), mode="bilinear", align_corners=False)
    rgb = ((rgb - mean) / deviation)[None, :, :, 8:120, 30:142]
    features = []
    with torch.no_grad():
        for start in range(0, rgb.shape[2] - STACK + 1, STEP):
            features += network(rgb[:, :, start : start + STACK]).tolist()
    np.save(out / f"{video.stem}.npy", np.array(features))
"""
SCRIPTS = {
    "plain script, float32": PLAIN,
    "plain script, as video_features does it": AS_VIDEO_FEATURES,
}


def ways(folder: Path, turn: int) -> dict[str, list[str]]:
    """What is compared: a command each, with new folders in every turn."""
    found = {}
    for number, (what, text) in enumerate(SCRIPTS.items()):
        script = folder / f"plain{number}.py"
        script.write_text(text)
        out = folder / f"{number}-{turn}"
        found[what] = [sys.executable, str(script), str(folder / "data" / "videos"), str(out)]
    for precision in ("float32", "bfloat16"):
        recipe = folder / f"{precision}.yaml"
        cache = folder / f"{turn}-{precision}"
        recipe.write_text(RECIPE.format(root=folder / "data", cache=cache, precision=precision))
        command = [sys.executable, "-m", "star.cli", "extract", str(recipe), "--device", "cpu"]
        found[f"star, {precision}"] = command
    return found


def main() -> None:
    """Take turns, then print clips/s and the ratio of every round's neighbours."""
    asked = options(__doc__, clips=20, rounds=3).parse_args()
    rates: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = draw(folder / "data", clips_per_class=asked.clips)
        for turn in range(asked.rounds):
            for what, command in ways(folder, turn).items():
                rates.setdefault(what, []).append(count / run(command).wall)
    print(f"{count} clips, {asked.rounds} rounds")
    for what, times in rates.items():
        ratio = times_as_fast(times, rates["plain script, float32"])
        print(f"{what:40} {median(times):6.2f} clips/s   {ratio:5.2f} x the plain script")
    for precision in ("bfloat16", "float32"):
        mine = rates[f"star, {precision}"]
        for script in SCRIPTS:
            claim(
                f"`star extract`, all five stages of video files, {precision}",
                median(mine),
                "clips/s",
                against=f"{script}; features alone",
                other=median(rates[script]),
                ratio=times_as_fast(mine, rates[script]),
            )


def times_as_fast(mine: list[float], other: list[float]) -> float:
    """The median of the ratios of every round's neighbours."""
    return median(one / two for one, two in zip(mine, other, strict=True))


if __name__ == "__main__":
    main()

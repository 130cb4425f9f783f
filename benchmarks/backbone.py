"""Claim: star's backbone takes less than half the time of a plain float32 script, both features included.

Where the processor has no units for bfloat16 it computes in float32, and is no slower than the script.

Plain is what torchvision's documentation shows: `create_feature_extractor` on mc3_18, default memory layout, float32,
the two layers moved to the CPU as float16. star's is `BackboneNetwork` as `star extract` calls it: bfloat16,
channels_last_3d, uint8 frames in, float16 arrays out. Same clips, same batch, random weights, A B A B, medians.

    python benchmarks/backbone.py [--batch 8] [--repeat 3] [--frames 16] [--size 112] [--device cpu]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from claims import claim
from common import options, turns
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.models.video import mc3_18

from star.stages.backbone.architectures import KINETICS_DEVIATION, KINETICS_MEAN
from star.stages.backbone.stage import BackboneNetwork, BackboneStage
from star.stages.precision import compute_precision


def plain(device: str) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """The script one writes first: frames (b, T, y, x, 3) uint8 -> the features of layer4 and layer2."""
    model = create_feature_extractor(mc3_18().eval(), {"layer4": "global_grid", "layer2": "local_map"}).to(device)
    mean, deviation = torch.tensor(KINETICS_MEAN, device=device), torch.tensor(KINETICS_DEVIATION, device=device)

    @torch.no_grad()
    def run(frames: np.ndarray) -> dict[str, np.ndarray]:
        pixels = (torch.from_numpy(frames).to(device).float() / 255 - mean) / deviation
        outputs = model(pixels.permute(0, 4, 1, 2, 3).contiguous())
        return {name: output.transpose(1, 2).half().cpu().numpy() for name, output in outputs.items()}

    return run


def main() -> None:
    parser = options(__doc__, batch=8, repeat=3, frames=16, size=112)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()

    shape = (asked.batch, asked.frames, asked.size, asked.size, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    networks = {"plain float32": plain(asked.device)}
    for precision in ("float32", "bfloat16"):
        stage = BackboneStage(weights="random", size=asked.size, precision=precision)
        networks[f"star {precision}"] = BackboneNetwork(stage, device=asked.device, batch=asked.batch)
    seconds = turns({name: partial(run, frames) for name, run in networks.items()}, asked.repeat)

    reference = seconds["plain float32"]
    print(f"{asked.batch} clips of {asked.frames} x {asked.size}^2, {torch.get_num_threads()} threads")
    for name, taken in seconds.items():
        rate, each = asked.batch / taken, taken / asked.batch * 1000
        print(f"{name:14s} {rate:8.2f} clips/s {each:8.1f} ms a clip   {reference / taken:5.2f} x plain")
    fast = compute_precision("bfloat16", asked.device) == "bfloat16"
    for precision, goal in (("float32", None), ("bfloat16", (">", 2) if fast else (">=", 1))):
        mine = seconds[f"star {precision}"]
        claim(
            f"the backbone alone, precision: {precision} (computed in {compute_precision(precision, asked.device)})",
            asked.batch / mine,
            "clips/s",
            against="torchvision's mc3_18 as documented, float32",
            other=asked.batch / reference,
            ratio=reference / mine,
            goal=goal,
        )


if __name__ == "__main__":
    main()

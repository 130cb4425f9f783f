"""Claim: star decodes a batch of a pose network's maps faster than mmpose's own codecs, and cuts crops faster than
torch's grid_sample.

Crops of 16 frames of full HD with two people each: OpenCV one by one (on the host), torch's grid_sample over the frames
as float32, and star's person_crops_gpu over the frames as they are. Decoding of 32 crops: mmpose's head as it comes,
map by map, and with star's codec in it. Milliseconds, medians; rounds alternate.

    python benchmarks/pose_parts.py [--rounds 5] [--threads 1] [--device cpu]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from claims import claim
from common import options, turns

from star.stages.pose import mmpose_compat
from star.stages.pose.codecs import batch_decoder
from star.stages.pose.estimator import person_crops
from star.stages.pose.person_crop import PersonCropper
from star.stages.pose.person_crop_gpu import person_crops_gpu

WINDOW = PersonCropper(192, 256)
FRAMES, PEOPLE, HEIGHT, WIDTH = 16, 2, 1080, 1920
BATCH, JOINTS = 32, 17


def cutting(device: str) -> dict[str, Callable[[], object]]:
    random = np.random.default_rng(0)
    frames = random.integers(0, 256, (FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    low = random.uniform(100, 500, (FRAMES, PEOPLE, 2))
    boxes = np.concatenate([low, low + random.uniform(150, 500, low.shape)], -1).astype(np.float32)
    there = torch.from_numpy(frames).to(device)
    return {
        "crops: OpenCV, one by one": lambda: person_crops(WINDOW, list(frames), boxes),
        "crops: torch's grid_sample": lambda: by_torch(there, boxes),
        "crops: person_crops_gpu": lambda: person_crops_gpu(WINDOW, there, boxes),
    }


def by_torch(frames: torch.Tensor, boxes: np.ndarray) -> torch.Tensor:
    """The crops of each frame as one tall grid."""
    maps = np.stack([WINDOW.affine(box) for box in boxes.reshape(-1, 4)])
    x = (np.arange(WINDOW.width) - maps[:, 0, 2:]) / maps[:, 0, :1]
    y = (np.arange(WINDOW.height) - maps[:, 1, 2:]) / maps[:, 1, 1:2]
    shape = len(maps), WINDOW.height, WINDOW.width
    ends = (
        np.broadcast_to((2 * x[:, None] + 1) / WIDTH - 1, shape),
        np.broadcast_to((2 * y[..., None] + 1) / HEIGHT - 1, shape),
    )
    grid = torch.from_numpy(np.stack(ends, -1, dtype=np.float32)).to(frames.device)
    pixels = frames.permute(0, 3, 1, 2).float()
    cut = torch.nn.functional.grid_sample(pixels, grid.view(FRAMES, -1, WINDOW.width, 2), align_corners=False)
    return cut.round().to(torch.uint8)


def decoding(device: str) -> dict[str, Callable[[], object]]:
    codecs = mmpose_compat.import_module("mmpose.codecs")
    random = np.random.default_rng(0)
    x, y = (random.uniform(0, side, (BATCH, JOINTS)) for side in (48, 64))
    away = (np.arange(48) - x[..., None])[..., None, :] ** 2 + (np.arange(64) - y[..., None])[..., None] ** 2
    maps = torch.from_numpy(np.exp(-away / 8).astype(np.float32)).to(device)
    vectors = tuple(torch.rand(BATCH, JOINTS, 2 * side, device=device) for side in (192, 256))
    size, grid = (192, 256), (48, 64)
    given = {
        "MSRAHeatmap": (codecs.MSRAHeatmap(size, grid, 2), maps),
        "MSRAHeatmap, unbiased": (codecs.MSRAHeatmap(size, grid, 2, unbiased=True), maps),
        "UDPHeatmap": (codecs.UDPHeatmap(size, grid), maps),
        "SimCCLabel": (codecs.SimCCLabel(size, sigma=(4.9, 5.66), normalize=False), vectors),
    }
    calls: dict[str, Callable[[], object]] = {}
    for name, (codec, outputs) in given.items():
        calls[f"{name}: mmpose's"] = lambda head=headed(codec), outputs=outputs: head.decode(outputs)
        calls[f"{name}: batched"] = lambda head=headed(batch_decoder(codec)), outputs=outputs: head.decode(outputs)
    return calls


def headed(codec: object):
    """What decodes in all of mmpose's heads, with this codec."""
    head = mmpose_compat.import_module("mmpose.models.heads").HeatmapHead(1, JOINTS, deconv_out_channels=None)
    head.decoder = codec
    return head


def through(call: Callable[[], object]) -> None:
    """Call, and wait for the GPU."""
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def main() -> None:
    parser = options(__doc__, rounds=5, threads=1)
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    calls = cutting(asked.device) | decoding(asked.device)
    taken = {
        name: 1000 * seconds
        for name, seconds in turns({name: partial(through, call) for name, call in calls.items()}, asked.rounds).items()
    }
    print(f"{FRAMES} frames of {WIDTH} x {HEIGHT}, {FRAMES * PEOPLE} crops; {BATCH} crops to decode; {asked.device}")
    for name, milliseconds in taken.items():
        print(f"{name:36} {milliseconds:8.2f} ms")
    ours, goal = taken["crops: person_crops_gpu"], (">", 1)
    for other, aim in (("torch's grid_sample", goal), ("OpenCV, one by one", None)):
        theirs = taken[f"crops: {other}"]
        what = f"{FRAMES * PEOPLE} crops of full HD"
        claim(what, ours, "ms", against=other, other=theirs, ratio=theirs / ours, goal=aim)
    for name in (name.removesuffix(": batched") for name in taken if name.endswith(": batched")):
        ours, theirs = taken[f"{name}: batched"], taken[f"{name}: mmpose's"]
        what = f"decoding a batch, {name}"
        claim(what, ours, "ms", against="mmpose's codec", other=theirs, ratio=theirs / ours, goal=goal)


if __name__ == "__main__":
    main()

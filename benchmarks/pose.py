"""Claim: one batched call over the crops of a clip is faster than mmpose's inference_topdown, called crop by crop.

Both run the same network with the same weights on the same crops of the same frames; mmpose's side is built and called
by mmpose alone, once as its configuration has it (flip test on: each crop twice) and once with the flip test off, where
it gives the very joints that the batched call gives. Rounds alternate; the medians are compared.

    python benchmarks/pose.py [--model NAME] [--crops 16] [--rounds 3] [--device cpu]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from star.stages import mmpose_adapter, pose_models
from star.stages.estimator import Estimator, crops
from star.stages.pose import Pose


def theirs(
    estimator: Estimator, model: str, device: str, frames: np.ndarray, boxes: np.ndarray, flip: bool
) -> Callable[[], object]:
    inference = mmpose_adapter.module("mmpose.apis")
    mmpose_adapter.module("mmpose.datasets.transforms")
    network = inference.init_model(str(pose_models.published(model).config), device=device)
    network.load_state_dict(estimator.network.state_dict())
    network.test_cfg["flip_test"] = flip
    images = [np.ascontiguousarray(frame[..., ::-1]) for frame in frames]
    return lambda: [inference.inference_topdown(network, image, box) for image, box in zip(images, boxes, strict=True)]


def ours(estimator: Estimator, frames: np.ndarray, boxes: np.ndarray) -> Callable[[], object]:
    return lambda: estimator.keypoints([crops(estimator.window, frames, boxes)], [boxes])


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="rtmpose-m_8xb256-420e_coco-256x192")
    parser.add_argument("--crops", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    frames = np.random.default_rng(0).integers(0, 256, (options.crops, 270, 480, 3), np.uint8)
    boxes = np.tile(np.array([[100, 20, 300, 250]], np.float32), (options.crops, 1, 1))
    pose = Pose("mmpose", options.model, "random")
    estimator = Estimator(pose, device=options.device, batch=options.crops)
    given = estimator, options.model, options.device, frames, boxes
    calls = {
        "inference_topdown, flip test": theirs(*given, flip=True),
        "inference_topdown": theirs(*given, flip=False),
        "one batched call": ours(estimator, frames, boxes),
    }
    for call in calls.values():  # first calls choose kernels
        call()
    taken = {name: [] for name in calls}
    for _ in range(options.rounds):
        for name, call in calls.items():
            taken[name].append(seconds(call))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    fastest = medians["one batched call"]
    print(f"{options.crops} crops, {options.model}, {options.device}")
    for name, median in medians.items():
        print(f"{name:30} {1000 * median:8.1f} ms   ratio {median / fastest:.1f}")


if __name__ == "__main__":
    main()

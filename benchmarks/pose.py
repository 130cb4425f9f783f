"""Claim: one batched call over the crops of a clip is faster than mmpose's inference_topdown, called crop by crop, and
than its MMPoseInferencer.

All run the same network with the same weights on the same crops of the same frames, which are whole frames, since the
inferencer takes no boxes without a detector. mmpose's side is built and called by mmpose alone: inference_topdown once
as its configuration has it (flip test on: each crop twice) and once with the flip test off, where it gives the very
joints that the batched call gives; the inferencer without the flip test, in batches of one, as is its default, and in
one batch of all. Rounds alternate, with one thread and with as many as there are cores; the medians of the faster are
compared, since on a machine with other work to do threads that wait for each other can take ten times as long.

    python benchmarks/pose.py [--model NAME] [--crops 16] [--rounds 3] [--device cpu]
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from claims import claim, skipped
from common import options, turns
from torch import nn

from star.errors import MissingPackage
from star.stages.pose import mmpose_compat, mmpose_models
from star.stages.pose.estimator import PoseEstimator, person_crops
from star.stages.pose.stage import PoseStage


def theirs(
    estimator: PoseEstimator, model: str, device: str, frames: np.ndarray, boxes: np.ndarray, flip: bool
) -> Callable[[], object]:
    inference = mmpose_compat.import_module("mmpose.apis")
    mmpose_compat.import_module("mmpose.datasets.transforms")
    network = inference.init_model(str(mmpose_models.published_model(model).config), device=device)
    images = prepared(network, estimator, frames, flip)
    return lambda: [inference.inference_topdown(network, image, box) for image, box in zip(images, boxes, strict=True)]


def prepared(network: nn.Module, estimator: PoseEstimator, frames: np.ndarray, flip: bool) -> list[np.ndarray]:
    """Give mmpose's network star's weights and a flip test or none; the frames as mmpose takes them."""
    network.load_state_dict(estimator.network.state_dict())
    network.test_cfg["flip_test"] = flip
    return [np.ascontiguousarray(frame[..., ::-1]) for frame in frames]


def ours(estimator: PoseEstimator, frames: np.ndarray, boxes: np.ndarray) -> Callable[[], object]:
    return lambda: estimator.keypoints([person_crops(estimator.window, frames, boxes)], [boxes])


def inferencer(
    estimator: PoseEstimator, model: str, device: str, frames: np.ndarray, batch: int
) -> Callable[[], object] | str:
    """mmpose's own loop over pictures, which takes the whole picture as the box; why not, where it cannot be built."""
    try:
        found = mmpose_compat.import_module("mmpose.apis.inferencers")
        built = found.MMPoseInferencer(
            str(mmpose_models.published_model(model).config), device=device, det_model="whole_image"
        )
    except (MissingPackage, ImportError) as error:
        return str(error)
    images = prepared(built.inferencer.model, estimator, frames, flip=False)
    return lambda: list(built(images, batch_size=batch))


def on(threads: int, call: Callable[[], object]) -> None:
    torch.set_num_threads(threads)
    call()


def main() -> None:
    parser = options(__doc__, crops=16, rounds=3)
    parser.add_argument("--model", default="rtmpose-m_8xb256-420e_coco-256x192")
    parser.add_argument("--device", default="cpu")
    asked = parser.parse_args()
    frames = np.random.default_rng(0).integers(0, 256, (asked.crops, 270, 480, 3), np.uint8)
    boxes = np.tile(np.array([[0, 0, 480, 270]], np.float32), (asked.crops, 1, 1))
    pose = PoseStage("mmpose", asked.model, "random")
    estimator = PoseEstimator(pose, device=asked.device, batch=asked.crops)
    given = estimator, asked.model, asked.device, frames
    calls = {
        "inference_topdown, flip test": theirs(*given, boxes, flip=True),
        "inference_topdown": theirs(*given, boxes, flip=False),
        "MMPoseInferencer": inferencer(*given, batch=1),
        "MMPoseInferencer, one batch": inferencer(*given, batch=asked.crops),
        "one batched call": ours(estimator, frames, boxes),
    }
    found = turns(
        {
            (name, threads): partial(on, threads, call)
            for name, call in calls.items()
            for threads in (1, torch.get_num_threads())
            if not isinstance(call, str)
        },
        asked.rounds,
    )
    medians = {name: min(found[way] for way in found if way[0] == name) for name, _ in found}
    fastest = medians.pop("one batched call")
    print(f"{asked.crops} crops, {asked.model}, {asked.device}")
    print(f"{'one batched call':30} {1000 * fastest:8.1f} ms")
    for name, call in calls.items():
        if isinstance(call, str):
            print(f"{name:30} {call}")
            skipped(f"joints of {asked.crops} crops, against mmpose's {name}", call)
    for name, median in medians.items():
        print(f"{name:30} {1000 * median:8.1f} ms   ratio {median / fastest:.1f}")
        claim(
            f"joints of {asked.crops} crops in one batched call",
            1e3 * fastest,
            "ms",
            against=f"mmpose's {name}",
            other=1e3 * median,
            ratio=median / fastest,
            goal=(">", 1),
        )


if __name__ == "__main__":
    main()

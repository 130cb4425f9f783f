#!/usr/bin/env python3
"""Train the pose network that star brings for its drawn figures: train_demo_pose.py FOLDER.

mmpose's own training (mmengine's Runner, mmpose's losses, transforms and PCKAccuracy) of the network that
stages/pose/shipped/drawn-13.yaml describes, on figures drawn into FOLDER with a seed that `star demo` never uses. Only
training clips are trained on, so clothes and backdrops of the demo's test clips have hues that the network never saw.
The weights go beside the configuration in float16; what they reach on figures never seen is printed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import save_file

from star.pipeline import datasets
from star.pipeline.datasets.synthetic import dataset as drawn
from star.pipeline.recipe.schema import DatasetSettings
from star.stages import weights
from star.stages.decode import open_video
from star.stages.pose import mmpose_compat
from star.stages.pose.mmpose_models import BUNDLED_FOLDER

mmpose = {
    name: mmpose_compat.import_module(f"mmpose.{name}") for name in ("datasets", "models", "evaluation", "registry")
}
BaseCocoStyleDataset = mmpose["datasets"].datasets.base.BaseCocoStyleDataset
BaseTransform = mmpose_compat.import_module("mmcv.transforms").BaseTransform
Config = mmpose_compat.import_module("mmengine.config").Config
Runner = mmpose_compat.import_module("mmengine.runner").Runner

NAME = "drawn-13"
SEED, CLIPS = 100, 120  # of the drawing; clips per action, two thirds of them for training
SIZE = (128, 96)  # what the network sees, px
SCHEDULE = 24  # epochs in which the learning rate would fall to nothing; the weights that star brings are of epoch 16


@mmpose["registry"].DATASETS.register_module()
class DrawnFigures(BaseCocoStyleDataset):
    """Frames of the drawn clips of one split, `each` of a clip at even distances, held in memory.

    No COCO file stands behind them; everything else is mmpose's base class. `bbox` is the extent of the joints.
    """

    def __init__(self, *, root: str, split: str, each: int, **settings: Any) -> None:
        self.root, self.split, self.each = Path(root), split, each
        super().__init__(serialize_data=False, **settings)

    def load_data_list(self) -> list[dict[str, Any]]:
        """What mmpose would read from a COCO file."""
        videos = datasets.load(DatasetSettings(kind="drawn", root=self.root)).videos
        return [sample for video in videos if video.split == self.split for sample in self._samples(video)]

    def _samples(self, video: Any) -> list[dict[str, Any]]:
        keypoints = datasets.read_annotation("drawn", video.annotation).keypoints  # (F, 1, 13, 3)
        wanted = ((np.arange(self.each) + 0.5) * len(keypoints) / self.each).astype(int).tolist()
        with open_video(video.media) as reader:
            frames = dict(reader.frames(wanted))
        return [_sample(frames[index], keypoints[index]) for index in wanted]


def _sample(frame: np.ndarray, keypoints: np.ndarray) -> dict[str, Any]:
    """A frame (h, w, 3) RGB and its joints (1, 13, 3), as mmpose's transforms expect them."""
    seen = keypoints[0, :, 2] > 0
    places = keypoints[0, seen, :2]
    return {
        "img": cv2.cvtColor(frame, cv2.COLOR_RGB2BGR),
        "keypoints": keypoints[..., :2].copy(),
        "keypoints_visible": keypoints[..., 2].copy(),
        "bbox": np.concatenate([places.min(0), places.max(0)])[None].astype(np.float32),
        "bbox_score": np.ones(1, np.float32),
    }


@mmpose["registry"].TRANSFORMS.register_module()
class RandomBox(BaseTransform):
    """Choose the box that the network looks into: from around the person (0) to the whole frame (1).

    It stands for GetBBoxCenterScale; `bbox` stays the person's, since PCK counts in shares of that.
    """

    def __init__(self, share: tuple[float, float], grown: float = 0.1) -> None:
        self.share, self.grown = share, grown

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Sets bbox_center and bbox_scale."""
        height, width = results["img_shape"]
        low, high = np.split(results["bbox"][0], 2)
        margin = self.grown * (high - low)
        person, frame = np.concatenate([low - margin, high + margin]), np.array([0, 0, width, height])
        share = np.random.uniform(*self.share)  # mmengine seeds numpy's global generator
        box = ((1 - share) * person + share * frame).astype(np.float32)
        results["bbox_center"], results["bbox_scale"] = (box[2:] + box[:2])[None] / 2, (box[2:] - box[:2])[None]
        return results


@mmpose["registry"].TRANSFORMS.register_module()
class ColorJitter(BaseTransform):
    """Change saturation, contrast and brightness, and never a hue: those of the test clips stay unseen."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Half of the crops lose colour, a fifth of all have none left."""
        image = results["img"].astype(np.float32)
        kept = np.clip(np.random.uniform(-0.65, 1), 0, 1) if np.random.rand() < 0.5 else np.random.uniform(1, 1.4)
        grey = image @ np.array([0.114, 0.587, 0.299], np.float32)
        image = kept * image + (1 - kept) * grey[..., None]
        image = np.random.uniform(0.7, 1.3) * (image - 128) + 128 + np.random.uniform(-30, 30)
        results["img"] = np.clip(image, 0, 255).astype(np.uint8)
        return results


def training(folder: Path, epochs: int, batch: int, rate: float) -> Any:
    """The Runner's Config: all that it needs, around the network that is shipped."""
    shipped = Config.fromfile(str(BUNDLED_FOLDER / f"{NAME}.yaml"))
    warm = {"type": "LinearLR", "start_factor": 0.01, "by_epoch": False, "begin": 0, "end": 200}
    fall = {"type": "CosineAnnealingLR", "T_max": SCHEDULE, "eta_min": rate / 200, "convert_to_iter_based": True}
    settings = {
        "model": shipped.model,
        "default_scope": "mmpose",
        "work_dir": str(folder / "run"),
        "randomness": {"seed": 0},
        "env_cfg": {"mp_cfg": {"mp_start_method": "fork", "opencv_num_threads": 0}},
        "train_cfg": {"by_epoch": True, "max_epochs": epochs, "val_interval": 4},
        "val_cfg": {},
        "train_dataloader": loader(shipped, folder, "train", augmented(shipped), batch),
        "val_dataloader": loader(shipped, folder, "test", looked_at((1.0, 1.0)), batch),
        "val_evaluator": [{"type": "PCKAccuracy", "thr": thr, "prefix": f"within {thr}"} for thr in (0.05, 0.1)],
        "optim_wrapper": {
            "optimizer": {"type": "AdamW", "lr": rate, "weight_decay": 0.05},
            "paramwise_cfg": {"norm_decay_mult": 0, "bias_decay_mult": 0},
            "clip_grad": {"max_norm": 5.0},
        },
        "param_scheduler": [warm, fall],
        "default_hooks": {
            "logger": {"type": "LoggerHook", "interval": 20},
            "checkpoint": {"type": "CheckpointHook", "interval": 2, "max_keep_ckpts": 2},
        },
    }
    return Config(settings)


def loader(shipped: Any, folder: Path, split: str, pipeline: list[dict[str, Any]], batch: int) -> dict[str, Any]:
    """Six frames of every training clip, or two of every clip for testing."""
    training = split == "train"
    return {
        "batch_size": batch,
        "num_workers": 1,
        "persistent_workers": True,
        "drop_last": training,
        "sampler": {"type": "DefaultSampler", "shuffle": training},
        "dataset": {
            "type": "DrawnFigures",
            "root": str(folder / "figures"),
            "split": split,
            "each": 6 if training else 2,
            "metainfo": shipped.dataset_info,
            "pipeline": pipeline,
            "test_mode": not training,
        },
    }


def looked_at(share: tuple[float, float]) -> list[dict[str, Any]]:
    """Crops as they are."""
    look, affine = {"type": "LookFrom", "share": share}, {"type": "TopdownAffine", "input_size": SIZE}
    return [{"type": "LoadImage"}, look, affine, {"type": "PackPoseInputs"}]


def augmented(shipped: Any) -> list[dict[str, Any]]:
    """Crops mirrored, of half bodies, moved, scaled, turned and faded, with the targets to learn."""
    load, look, affine, pack = looked_at((0.0, 1.0))
    return [
        load,
        look,
        {"type": "RandomFlip", "direction": "horizontal"},
        {"type": "RandomHalfBody", "prob": 0.1},
        {"type": "RandomBBoxTransform", "shift_factor": 0.1, "scale_factor": (0.8, 1.25), "rotate_factor": 20.0},
        affine,
        {"type": "Fade"},
        {"type": "GenerateTarget", "encoder": shipped.codec},
        pack,
    ]


def halved(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The weights as they are shipped: float16, batch norm's counters left out."""
    state = network.state_dict().items()
    return {name: value.half().contiguous() for name, value in state if not name.endswith("num_batches_tracked")}


def main() -> int:
    """Draw, train, ship, measure; a broken training goes on with --resume. Exit status 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="what is drawn and trained goes here")
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1.5e-3, help="the highest learning rate")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in FOLDER")
    given = parser.parse_args()
    drawn.draw(given.folder / "figures", clips_per_class=CLIPS, seed=SEED)
    config = training(given.folder.absolute(), given.epochs, given.batch, given.rate)
    config.resume = given.resume
    runner = Runner.from_cfg(config)
    runner.train()
    file = BUNDLED_FOLDER / f"{NAME}.safetensors"
    state = halved(runner.model)
    save_file(state, file)
    file.chmod(0o644)  # safetensors writes it for its owner alone
    weights.load_into(runner.model, state, file, NAME)
    found = runner.val_loop.run()
    print(f"{file}: {file.stat().st_size:,} bytes, sha256 {weights.sha256(file)}")
    print(", ".join(f"PCK {name.partition('/')[0]}: {share:.1%}" for name, share in sorted(found.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Joints by one of mmpose's top-down networks: all crops of many clips through one network, in batches of one size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import MachineError, WeightsError
from .. import weights
from ..determinism import deterministic_kernels
from . import mmpose_models
from .codecs import batch_decoder
from .people import valid_boxes
from .person_crop import PersonCropper
from .stage import PoseStage

if TYPE_CHECKING:
    from torch import Tensor

    from ..skeletons import Skeleton

CPU_BATCH = 16  # crops: with 32 of RTMPose-m at a time a processor is slower by 5 to 30 %


class PoseEstimator:
    """A pose network with its weights, on one device.

    pose: the stage's settings. checkpoint: the weights file, where pose.checkpoint is the sha256 of one. device: of
    torch. batch: crops at a time, CPU_BATCH at most on a processor, halved for good where the device's memory does not
    hold them; no result depends on which crops share a batch, and on its size only in the last bits of float32.
    Raises RecipeError, WeightsError, DownloadError or MissingPackage.
    """

    def __init__(
        self, pose: PoseStage, *, checkpoint: Path | None = None, device: str = "cpu", batch: int = 32
    ) -> None:
        import torch

        self.device, self.batch = device, min(batch, CPU_BATCH) if device == "cpu" else batch
        self.design = mmpose_models.model_spec(pose.model)
        file = checkpoint
        if pose.checkpoint in ("random", "official"):
            file = mmpose_models.official_weights(pose.model) if pose.checkpoint == "official" else None
        elif checkpoint is None:
            raise WeightsError(
                f"pose.checkpoint: the file with sha256 {pose.checkpoint[:12]}… is needed; give its path"
            )
        elif (found := weights.sha256(checkpoint)) != pose.checkpoint:
            raise WeightsError(
                f"{checkpoint}: its sha256 begins with {found[:12]}, the recipe's with {pose.checkpoint[:12]}; "
                "put the old file back, or take pose.checkpoint_sha256 out of the recipe to extract anew"
            )
        network: Any = mmpose_models.build(pose.model, pose.seed, draw=file is None)
        if file is not None:
            weights.load_into(network, weights.load_state_dict(file), file, mmpose_models.display_name(pose.model))
        network.head.decoder = batch_decoder(network.head.decoder)
        self.network = network.to(device=device, memory_format=torch.channels_last)

    @property
    def window(self) -> PersonCropper:
        """How people are cut out of frames for this network."""
        return self.design.window

    @property
    def skeleton(self) -> Skeleton:
        """The joints that it gives."""
        return self.design.skeleton

    def keypoints(self, crops: Sequence[np.ndarray | Tensor], boxes: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The joints of many clips, each (T, people, N, 3) float32: x px and y px of the whole frame, score.

        crops: of each clip (k, height, width, 3) uint8 RGB, as `person_crops` cuts them, or as `person_crops_gpu` does,
        on the device. boxes: of each clip (T, people, 4) px, NaN where there is nobody: there x, y and score are 0, as
        they are for a joint whose score is not above 0. The score is the network's own: about 0 to 1, not a
        probability.
        """
        import torch

        held = [valid_boxes(one) for one in boxes]
        around = np.concatenate([one[here] for one, here in zip(boxes, held, strict=True)])
        found = self.predict(torch.cat([torch.as_tensor(one) for one in crops]), around)
        ends = np.cumsum([here.sum() for here in held])[:-1]
        clips = []
        for here, joints in zip(held, np.split(found, ends), strict=True):
            clip = np.zeros((*here.shape, *found.shape[1:]), np.float32)
            clip[here] = joints
            clips.append(clip)
        return clips

    def predict(self, crops: np.ndarray | Tensor, boxes: np.ndarray) -> np.ndarray:
        """The joints (k, N, 3) float32 px, px, score in crops (k, height, width, 3) uint8 RGB around boxes (k, 4)."""
        import torch

        joints = len(self.skeleton.joints)
        if not len(crops):
            return np.zeros((0, joints, 3), np.float32)
        crops = torch.as_tensor(crops)
        while True:  # smaller batches until they fit into memory
            try:
                points = np.concatenate([self._forward(part) for part in full_batches(crops, self.batch)])[: len(crops)]
                break
            except torch.cuda.OutOfMemoryError:
                if self.batch == 1:
                    raise MachineError(
                        f"{self.device}: no memory for a single crop of the pose network; free the device, or use cpu"
                    ) from None
                self.batch //= 2
                torch.cuda.empty_cache()
        places = self.window.to_frame(points[..., :2], boxes)
        found = np.concatenate([places, points[..., 2:]], -1).astype(np.float32)
        found[~(np.isfinite(found).all(-1) & (found[..., 2] > 0))] = 0
        return found

    def _forward(self, crops: Tensor) -> np.ndarray:
        """One batch (B, height, width, 3) -> (B, N, 3)."""
        import torch

        with torch.inference_mode(), deterministic_kernels():
            pixels = crops.to(self.device).permute(0, 3, 1, 2)
            features = self.network.extract_feat(normalised(pixels, self.network.data_preprocessor))
            found = self.network.head.predict(features, None, test_cfg=self.network.test_cfg)
        kept = self.network.test_cfg.get("output_keypoint_indices")
        points = np.stack([_array(one.keypoints)[0] for one in found])[..., :2]
        scores = np.stack([_array(one.keypoint_scores)[0] for one in found])
        joined = np.concatenate([points, scores[..., None]], -1)
        return joined if kept is None else joined[:, kept]


def person_crops(window: PersonCropper, frames: Sequence[np.ndarray], boxes: np.ndarray) -> np.ndarray:
    """What a network sees of a clip: (k, height, width, 3) uint8, one crop per box that is there, frame by frame.

    frames: T of (h, w, 3) uint8. boxes: (T, people, 4) px of these frames, NaN where there is nobody.
    """
    held = valid_boxes(boxes)
    cut = [window.crop(frames[t], boxes[t, person]) for t, person in np.argwhere(held)]
    return np.stack(cut) if cut else np.zeros((0, window.height, window.width, 3), np.uint8)


def normalised(pixels: Tensor, preprocessor: Any) -> Tensor:
    """RGB pixels (B, 3, h, w) uint8 as mmpose's pre-processor would give them to the network.

    mmpose reads files as BGR and turns them to RGB where the configuration says so; otherwise the network wants BGR.
    """
    if not preprocessor._channel_conversion:
        pixels = pixels.flip(1)
    pixels = pixels.float()
    if not preprocessor._enable_normalize:
        return pixels
    return (pixels - preprocessor.mean) / preprocessor.std


def full_batches(crops: Tensor, size: int) -> Iterator[Tensor]:
    """Parts of `crops` (k, ...) of exactly `size`; the last is filled up with black."""
    import torch

    for start in range(0, len(crops), size):
        part = crops[start : start + size]
        if len(part) < size:
            part = torch.cat([part, part.new_zeros((size - len(part), *part.shape[1:]))])
        yield part


def _array(values: Any) -> np.ndarray:
    """Decoders give numpy arrays or tensors."""
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()

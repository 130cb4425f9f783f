"""People in frames, found by a torchvision detector."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import weights
from ..determinism import deterministic_kernels
from .tracking import Detections

if TYPE_CHECKING:
    from torch import Tensor, nn

# The shorter and the longer side, px, to which each network brings a frame.
SIDES = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": (320, 640),
    "fasterrcnn_resnet50_fpn_v2": (800, 1333),
}
PERSON = 1  # of torchvision's COCO categories
MIN_SCORE = 0.3  # score from which a detection counts, mmpose's own threshold for people
BATCH = 4  # in one batch; always full, so that the boxes of a frame do not depend on how long its clip is


def shrunk(frame: np.ndarray, name: str) -> np.ndarray:
    """A frame (h, w, 3) uint8 no larger than the detector `name` looks at: (h', w', 3), averaged over areas.

    Needs no torch: the process that decodes a video can send this instead of the frame.
    """
    import cv2

    height, width = frame.shape[:2]
    short, long = SIDES[name]
    scale = min(short / min(height, width), long / max(height, width))
    if scale >= 1:
        return frame
    return cv2.resize(frame, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)


class Detector:
    """One of the networks in SIDES, ready to look for people.

    source: "official" (torchvision's COCO weights, fetched once), "random" (drawn from seed), or a weights file.
    Raises DownloadError or WeightsError.
    """

    def __init__(self, name: str, source: str | Path = "official", *, seed: int = 0, device: str = "cpu") -> None:
        import torch
        from torchvision.models import detection, get_model_weights

        self.name, self.device = name, device
        published: Any = get_model_weights(name)
        build: Any = getattr(detection, name)
        what = f"torchvision's {name}"
        file = weights.fetch(published.DEFAULT.url, what) if source == "official" else Path(source)
        state = weights.load_state_dict(file) if source != "random" else None
        with torch.random.fork_rng(devices=[]):  # torch's own random state is left as it was
            torch.manual_seed(seed)
            network: nn.Module = build(weights=None, weights_backbone=None)
        if state is not None:
            weights.load_into(network, state, file, what)
        self.network = network.eval().to(device)

    def find(self, frames: np.ndarray | Tensor, size: tuple[int, int]) -> list[Detections]:
        """The people in each frame (T, h, w, 3) uint8 RGB, `shrunk` or not, as boxes in px of a frame of `size` (w, h).

        Frames may be on the device already. Sorted by score, the surest first; those below SURE are left out.
        """
        import torch

        scale = np.array([size[0] / frames.shape[2], size[1] / frames.shape[1]] * 2, np.float32)
        frames, found = torch.as_tensor(frames), []
        with torch.inference_mode(), deterministic_kernels():
            for start in range(0, len(frames), BATCH):
                part = frames[start : start + BATCH]
                full = torch.cat([part, part[-1:].expand(BATCH - len(part), -1, -1, -1)])
                pixels = full.to(self.device).permute(0, 3, 1, 2).float() / 255
                answers = self.network(list(pixels))[: len(part)]
                for answer in answers:
                    people = (answer["labels"] == PERSON) & (answer["scores"] >= MIN_SCORE)
                    boxes, scores = answer["boxes"][people].cpu().numpy(), answer["scores"][people].cpu().numpy()
                    found.append(Detections((boxes * scale).astype(np.float32), scores.astype(np.float32)))
        return found

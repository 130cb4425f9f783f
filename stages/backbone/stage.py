"""The backbone: which network, on which part of the picture, and what it gives (docs/method.md, "Backbone").

Nothing in any of them strides over time, so all T frames keep a grid of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ...errors import MachineError
from ..base import Array, Settings
from ..cropping import Crop
from ..determinism import deterministic_kernels
from ..precision import compute_precision
from .architectures import LayerShape
from .layer_shapes import layer_shape
from .weights import load

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FLOAT16_MAX = 65504.0


@dataclass(frozen=True)
class BackboneStage:
    """Which network, on which part of the picture, and which of its layers are kept.

    model: one of ARCHITECTURES, or "package.module:function" of one's own; code: then the sha256 of its file.
    weights: the name of official ones, "default" (one's own), "random" (drawn from `seed`), or the sha256 of a file.
    size: side of the square input, px, a multiple of 16. crop, margin, jitter_scale, jitter_shift, crop_seed: see Crop.
    precision: "bfloat16", "float16" or "float32": the type of its convolutions' inputs, at least; sums are float32.
    Where a device has no units for it they are float32, see `compute_precision`; features differ by TOLERANCE at most.
    jpeg: "exact", or "scaled" for JPEG frames that were decoded at a reduced size, see `reduced`.
    keep: "all", or "grid": the local map is made and used, not stored.
    """

    name: ClassVar[str] = "backbone"
    version: ClassVar[int] = 2  # 2: batch norms are folded into the convolutions
    arrays: ClassVar[Mapping[str, Array]] = {
        "global_grid": Array("t c y x", "float16", "1", "activations of the last layer, one grid per frame"),
        "local_map": Array("t c y x", "float16", "1", "activations of a middle layer, one map per frame"),
    }

    model: str = "mc3_18"
    weights: str = "kinetics400"
    seed: int = 0
    size: int = 112
    crop: str = "frame"
    margin: float = 0.15
    jitter_scale: float = 0.0
    jitter_shift: float = 0.0
    crop_seed: int = 0
    global_layer: str = "layer4"
    local_layer: str = "layer2"
    precision: str = "bfloat16"
    jpeg: str = "exact"
    keep: str = "all"
    code: str = ""

    @property
    def stored(self) -> Mapping[str, Array]:
        """Those of its arrays that are stored."""
        return {name: array for name, array in self.arrays.items() if self.keep == "all" or name == "global_grid"}

    @property
    def cropping(self) -> Crop:
        """The choice of region, shared with the heat maps."""
        return Crop(self.crop, self.margin, self.jitter_scale, self.jitter_shift, self.crop_seed)

    @property
    def layers(self) -> dict[str, str]:
        """The layer behind each of its arrays."""
        return {"global_grid": self.global_layer, "local_map": self.local_layer}

    def shape(self, array: str) -> LayerShape:
        """Channels and cells of one frame's global_grid or local_map. Raises RecipeError where the network has no such
        layer."""
        setting = {"global_grid": "backbone.global_layer", "local_map": "backbone.local_layer"}[array]
        return layer_shape(self.model, self.layers[array], self.size, setting)

    def geometry(self) -> Settings:
        """What heat maps share with this stage: the region, and the cells of the local map; not the weights."""
        return {"grid": self.shape("local_map").side, "crop": self.cropping.settings()}

    def settings(self) -> Settings:
        """What stands in the key; the seed only where it draws the weights, jpeg and keep only where they are not as by
        default."""
        return {
            "model": self.model,
            "weights": self.weights,
            **({"seed": self.seed} if self.weights == "random" else {}),
            "size": self.size,
            "crop": self.cropping.settings(),
            "global_layer": self.global_layer,
            "local_layer": self.local_layer,
            "precision": self.precision,
            **({"jpeg": self.jpeg} if self.jpeg != "exact" else {}),
            **({"keep": self.keep} if self.keep != "all" else {}),
            **({"code": self.code} if self.code else {}),
        }


class BackboneNetwork:
    """The network of one `BackboneStage`, ready on a device.

    Every forward pass has the same shape: `batch` clips, filled up with black ones, or a single clip on a CPU.
    Kernels are chosen by shape, so a clip's features do not depend on which clips, or how many, it shares a pass with.
    (Another `batch`, device, number of threads or version of torch may move them by rounding.)
    """

    def __init__(self, stage: BackboneStage, *, file: Path | None = None, device: str = "cpu", batch: int = 8) -> None:
        """Build it and load its weights; `features` is what runs it; `precision` is what it computes in on this device.

        file: the weights' file, where `stage.weights` is a sha256.
        Raises WeightsError for a file that is not the one in the key, or of another network; DownloadError where
        official weights cannot be fetched.
        """
        import torch

        from .features import frozen, pixel_statistics

        self.stage, self.batch, self.device = stage, batch, torch.device(device)
        network = load(stage.weights, stage.seed, file, model=stage.model, size=stage.size)
        self.precision = compute_precision(stage.precision, self.device)
        self._dtype: torch.dtype = getattr(torch, self.precision)
        self.features = frozen(stage.model, network, tuple(stage.layers.values()), self._dtype, self.device)
        # (x / 255 - mean) / deviation, in one multiplication and one addition
        mean, deviation = (values.to(self.device) for values in pixel_statistics(stage.model))
        self._scale, self._shift = 1 / (255 * deviation), -mean / deviation

    def __call__(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """Features of clips (b, T, size, size, 3) uint8 RGB, any b, each passing in batches of `batch`.

        Returns global_grid (b, T, c, y, x) and local_map (b, T, c, y, x), float16; activations beyond float16's range
        are cut to its largest number. Raises MachineError if the device's memory does not hold a batch.
        """
        features = self.allocate_features(len(frames), frames.shape[1])
        for start in range(0, len(frames), self.batch):
            part = frames[start : start + self.batch]
            batch = self.allocate_clips(frames.shape[1])
            batch[: len(part)] = part
            self.run(batch, {name: array[start : start + len(part)] for name, array in features.items()})
        return features

    def allocate_clips(self, frames: int) -> np.ndarray:
        """Memory for one batch of black clips (batch, T, size, size, 3) uint8, from which the device copies fast."""
        size = self.stage.size
        return self._memory((self.batch, frames, size, size, 3), "uint8", zero=True)

    def allocate_features(self, clips: int, frames: int) -> dict[str, np.ndarray]:
        """Memory for the features of so many clips, not yet filled, to which the device copies fast."""
        shapes = {name: self.stage.shape(name) for name in self.stage.layers}
        return {
            name: self._memory((clips, frames, shape.channels, shape.side, shape.side), "float16")
            for name, shape in shapes.items()
        }

    def run(self, batch: np.ndarray, features: Mapping[str, np.ndarray]) -> None:
        """One pass: a full batch of clips, made by `allocate_clips`; their features go into `features`, rows made by
        `allocate_features`.

        Where these are fewer than the batch, the rest of it is padding. For several threads at once; on a GPU each
        should have a stream of its own.
        Raises MachineError if the device's memory does not hold a batch.
        """
        import torch

        # A GPU takes the batch whole; a CPU clip by clip: it needs the least memory, and no clip pays for padding. On a
        # CPU two to eight clips together were 0 to 2 % faster at 112 pixels, 4 % at 80 and 10 % at 48.
        wanted = len(next(iter(features.values())))
        singly = [slice(row, row + 1) for row in range(wanted)]
        try:
            with torch.inference_mode():
                for part in singly if self.device.type == "cpu" else [slice(len(batch))]:
                    for name, output in self._forward(torch.from_numpy(batch[part])).items():
                        _store(output, torch.from_numpy(features[name][part]))
                if self.device.type == "cuda":
                    torch.cuda.current_stream(self.device).synchronize()
        except torch.cuda.OutOfMemoryError:
            raise MachineError(
                f"backbone.batch: {self.batch} clips of {batch.shape[1]} frames do not fit into the memory of "
                f"{self.device}; lower backbone.batch"
            ) from None

    def _memory(self, shape: tuple[int, ...], dtype: str, *, zero: bool = False) -> np.ndarray:
        """Main memory; page-locked where there is a GPU: the copies would otherwise take longer than the network."""
        import torch

        make = torch.zeros if zero else torch.empty
        return make(shape, dtype=getattr(torch, dtype), pin_memory=self.device.type == "cuda").numpy()

    def _forward(self, frames: Tensor) -> dict[str, Tensor]:
        """(b, T, y, x, 3) uint8 -> the two layers' activations (b, c, T, y, x)."""
        with deterministic_kernels():
            x = frames.to(self.device, non_blocking=True).float() * self._scale + self._shift
            outputs = self.features(x.permute(0, 4, 1, 2, 3))
        return {name: outputs[layer] for name, layer in self.stage.layers.items()}


def _store(output: Tensor, target: Tensor) -> None:
    """(b, c, T, y, x) of any float type -> (k, T, c, y, x) float16 in main memory, k <= b.

    From a GPU only float16 is copied, and at once; `target` is filled when the stream has got there.
    """
    wanted = output[: len(target)].permute(0, 2, 1, 3, 4)
    if not output.is_cuda:
        target.copy_(wanted).clamp_(-FLOAT16_MAX, FLOAT16_MAX)
        return
    stored = target.new_empty(target.shape, device=output.device).copy_(wanted)
    target.copy_(stored.clamp_(-FLOAT16_MAX, FLOAT16_MAX), non_blocking=True)

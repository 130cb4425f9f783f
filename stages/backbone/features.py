"""Networks as they are run: normalised clips -> the maps of the layers that are wanted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .architectures import ARCHITECTURES, LAYERS, is_custom
from .custom import as_maps
from .extractor import FeatureExtractor
from .fused import FusedLayer


class FusedVideoNetwork:
    """One of torchvision's video networks, batch norms folded, as far as the last of the layers; for evaluation.

    layers: (name, layer), in the order in which they run.
    """

    def __init__(self, network: nn.Module, wanted: Sequence[str], dtype: torch.dtype, device: torch.device) -> None:
        depth = max(map(LAYERS.index, wanted)) + 1
        self.wanted, self.dtype = frozenset(wanted), dtype
        self.layers = [(name, FusedLayer(getattr(network, name), dtype, device)) for name in LAYERS[:depth]]

    def __call__(self, clips: Tensor) -> dict[str, Tensor]:
        """(b, 3, T, y, x) float32 -> by layer (b, c, T, y, x) of `dtype`."""
        outputs, before = {}, ""
        x = clips.to(self.dtype)  # in memory this is channels_last_3d already
        for name, layer in self.layers:
            x = layer(x, keep=before in self.wanted)
            before = name
            if name in self.wanted:
                outputs[name] = x
        return outputs


class MixedPrecisionNetwork:
    """Any network, its convolutions and products in `dtype` and the rest in float32; for evaluation."""

    def __init__(self, network: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        self.network, self.dtype, self.device = network.to(device).eval(), dtype, device

    def __call__(self, clips: Tensor) -> dict[str, Tensor]:
        """(b, 3, T, y, x) float32 -> by layer (b, c, T, y, x)."""
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.network(clips)


class CustomExtractor(nn.Module):
    """A network of one's own with the order of axes that the others have."""

    def __init__(self, model: str, network: nn.Module, layers: Sequence[str]) -> None:
        super().__init__()
        self.model, self.network, self.wanted = model, network, tuple(dict.fromkeys(layers))

    def forward(self, clips: Tensor) -> dict[str, Tensor]:
        """(b, 3, T, y, x) in [0, 1] -> by layer (b, c, T, y, x)."""
        maps = as_maps(self.model, self.network(clips.transpose(1, 2)), clips.shape[2])
        return {name: maps[name].transpose(1, 2) for name in self.wanted}


def extractor(model: str, network: nn.Module, layers: Sequence[str]) -> nn.Module:
    """A network (see `weights.load`) as a module that gives its layers, also for training."""
    kind = CustomExtractor if is_custom(model) else FeatureExtractor
    return kind(model, network, layers)


def frozen(
    model: str, network: nn.Module, layers: Sequence[str], dtype: torch.dtype, device: torch.device
) -> FusedVideoNetwork | MixedPrecisionNetwork:
    """The same as fast as it can be had for evaluation alone."""
    fused = not is_custom(model) and ARCHITECTURES[model].is_video and set(layers) <= set(LAYERS)
    if fused:
        return FusedVideoNetwork(network, layers, dtype, device)
    return MixedPrecisionNetwork(extractor(model, network, layers), dtype, device)


def pixel_statistics(model: str) -> tuple[Tensor, Tensor]:
    """Mean (3) and deviation (3) of pixels in [0, 1] that a network expects to be taken off and divided by."""
    if is_custom(model):  # it sees pixels as they are
        return torch.zeros(3), torch.ones(3)
    return torch.tensor(ARCHITECTURES[model].mean), torch.tensor(ARCHITECTURES[model].deviation)

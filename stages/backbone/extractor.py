"""Layers of torchvision's networks, taken out by the names of its nodes (`create_feature_extractor`)."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from .architectures import ARCHITECTURES, LayerShape

FRAMES = 2  # of a clip that shapes are traced with


class NoMap(ValueError):
    """A layer's output is not a map of each frame."""


class FeatureExtractor(nn.Module):
    """A network of torchvision's, up to the layers that are wanted. `network`: see `weights.load`; it is not copied."""

    def __init__(self, model: str, network: nn.Module, layers: Sequence[str]) -> None:
        super().__init__()
        self.architecture = ARCHITECTURES[model]
        self.wanted = tuple(dict.fromkeys(layers))
        self.taken = create_feature_extractor(network, list(self.wanted))

    def forward(self, clips: Tensor) -> dict[str, Tensor]:
        """(b, 3, T, y, x), normalised -> of each layer (b, c, T, y, x). An image network sees all frames as a batch.

        Raises NoMap where a layer gives something else.
        """
        outputs: Mapping[str, Tensor]
        if self.architecture.is_video:
            outputs = self.taken(clips)
            return {name: _checked(outputs[name], clips) for name in self.wanted}
        batch, _, frames = clips.shape[:3]
        outputs = self.taken(clips.transpose(1, 2).flatten(0, 1))
        maps = {name: self._map(outputs[name], batch * frames) for name in self.wanted}
        return {name: found.unflatten(0, (batch, frames)).transpose(1, 2) for name, found in maps.items()}

    def _map(self, output: Tensor, frames: int) -> Tensor:
        """(frames, c, y, x) of a map in torchvision's order, or of tokens; of these the class token is left out."""
        shape = output.shape
        if output.ndim == 4 and shape[0] == frames:
            if self.architecture.channels_last and shape[1] == shape[2]:
                return output.permute(0, 3, 1, 2)
            if shape[2] == shape[3]:
                return output
        if output.ndim == 3 and shape[0] == frames:
            side = int((shape[1] - 1) ** 0.5)
            if side > 0 and side * side == shape[1] - 1:
                return output[:, 1:].transpose(1, 2).unflatten(2, (side, side))
        raise NoMap(f"gives {_size(output)} for {frames} frames, no map of each of them")


def _checked(output: Tensor, clips: Tensor) -> Tensor:
    """A video network's output, if it is (b, c, T, y, x)."""
    shape = output.shape
    if output.ndim != 5 or shape[2] != clips.shape[2] or shape[3] != shape[4]:
        raise NoMap(f"gives {_size(output)} for {clips.shape[2]} frames, no map of each of them")
    return output


def _size(output: Tensor) -> str:
    return " × ".join(map(str, output.shape))


@functools.cache
def _on_meta(model: str, size: int) -> nn.Module:
    """The network without weights: it computes nothing but shapes."""
    with torch.device("meta"):
        if ARCHITECTURES[model].is_video:
            from .video_resnet import build as build_video

            return build_video(model).eval()
        from .image_network import build as build_image

        return build_image(model, size).eval()


@functools.cache
def node_names(model: str, size: int) -> tuple[str, ...]:
    """What a layer may be called: torchvision's nodes, and the modules that hold them."""
    _, nodes = get_graph_node_names(_on_meta(model, size))
    names: dict[str, None] = {}
    for node in nodes:
        parts = node.split(".")
        names |= dict.fromkeys(".".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return tuple(names)


def traced_shape(model: str, layer: str, size: int) -> LayerShape:
    """The shape of a layer's maps. Raises NoMap."""
    with torch.no_grad():
        output = _extractor(model, (layer,), size)(torch.empty(1, 3, FRAMES, size, size, device="meta"))[layer]
    return LayerShape(output.shape[1], output.shape[-1])


def traced_flops(model: str, layers: tuple[str, ...], size: int, frames: int) -> float:
    """FLOP of one clip, as far as the last of the layers."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        _extractor(model, layers, size)(torch.empty(1, 3, frames, size, size, device="meta"))
    return float(counter.get_total_flops())


def traced_parameters(model: str, layers: tuple[str, ...], size: int) -> int:
    """Parameters of the modules that the layers need."""
    return sum(parameter.numel() for parameter in _extractor(model, layers, size).parameters())


def _extractor(model: str, layers: tuple[str, ...], size: int) -> FeatureExtractor:
    return FeatureExtractor(model, _on_meta(model, size), layers).eval()

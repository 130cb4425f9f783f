"""Torchvision's image networks: what is needed to run them at any size, without their classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .architectures import ARCHITECTURES

if TYPE_CHECKING:
    from torch import Tensor, nn

POSITIONS = "encoder.pos_embedding"  # of a vision transformer: one for each cell of one picture size


def build(model: str, size: int) -> nn.Module:
    """The network for pictures of size x size, with weights as torchvision draws them, its classifier taken off."""
    from torch import nn
    from torchvision.models import get_model

    kwargs = {"image_size": size} if model.startswith("vit") else {}
    network: nn.Module = get_model(model, weights=None, **kwargs)
    parent, _, last = ARCHITECTURES[model].classifier.rpartition(".")
    setattr(network.get_submodule(parent), last, nn.Identity())
    return network


def fitted(model: str, network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with a vision transformer's positions spread over the network's own number of cells."""
    found = dict(state)
    if POSITIONS in found and found[POSITIONS].ndim == 3:
        from torchvision.models.vision_transformer import interpolate_embeddings

        side = int(network.get_parameter(POSITIONS).shape[1] - 1) ** 0.5
        patch = int(model.rpartition("_")[2])
        return dict(interpolate_embeddings(round(side) * patch, patch, found))  # type: ignore[arg-type]
    return found

"""The networks that `backbone.model` names: what is known of each before it is built. Importing this costs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from ...errors import RecipeError

KINETICS_MEAN = (
    0.43216,
    0.394666,
    0.37645,
)  # of pixels in [0, 1]: of torchvision's video networks
KINETICS_DEVIATION = (0.22803, 0.22145, 0.216989)
IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of its image networks
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
LAYERS = ("stem", "layer1", "layer2", "layer3", "layer4")  # of the video networks, in their order
STRIDES = {"stem": 2, "layer1": 2, "layer2": 4, "layer3": 8, "layer4": 16}  # pixels of a cell's side
CHANNELS = {"stem": 64, "layer1": 64, "layer2": 128, "layer3": 256, "layer4": 512}


class LayerShape(NamedTuple):
    """Of one frame's map: its channels, and its cells on each side."""

    channels: int
    side: int


@dataclass(frozen=True)
class Architecture:
    """One of torchvision's networks."""

    weights: str
    """What its official weights are called in a key."""
    enum: str
    """Torchvision's name of these weights."""
    classifier: str
    """The module that gives the classes, which is taken off."""
    layers: tuple[str, str]
    """Layers to take for the global grid and the local map."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    deviation: tuple[float, float, float] = IMAGENET_DEVIATION
    is_video: bool = False
    """Whether it sees clips; the others see frame by frame."""
    channels_last: bool = False
    """Whether its maps are (y, x, c)."""


def _video(enum: str) -> Architecture:
    return Architecture(
        "kinetics400", enum, "fc", ("layer4", "layer2"), KINETICS_MEAN, KINETICS_DEVIATION, is_video=True
    )


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "mc3_18": _video("MC3_18_Weights.KINETICS400_V1"),
        "r3d_18": _video("R3D_18_Weights.KINETICS400_V1"),
        "r2plus1d_18": _video("R2Plus1D_18_Weights.KINETICS400_V1"),
        "resnet18": Architecture(
            "imagenet1k_v1", "ResNet18_Weights.IMAGENET1K_V1", "fc", ("layer4", "layer2")
        ),
        "resnet50": Architecture(
            "imagenet1k_v2", "ResNet50_Weights.IMAGENET1K_V2", "fc", ("layer4", "layer2")
        ),
        "convnext_tiny": Architecture(
            "imagenet1k_v1", "ConvNeXt_Tiny_Weights.IMAGENET1K_V1", "classifier.2", ("features.7", "features.3")
        ),
        "swin_t": Architecture(
            "imagenet1k_v1", "Swin_T_Weights.IMAGENET1K_V1", "head", ("features.7", "features.3"), channels_last=True
        ),
        "vit_b_16": Architecture(
            "imagenet1k_v1", "ViT_B_16_Weights.IMAGENET1K_V1", "heads",
            ("encoder.layers.encoder_layer_11", "encoder.layers.encoder_layer_5"),
        ),
    }
)  # fmt: skip


def is_custom(model: str) -> bool:
    """Whether `model` names a function of one's own, `package.module:function`."""
    return ":" in model


def weights_in_key(model: str, weights: str) -> str:
    """What stands in a key for `backbone.weights`: official ones under their own name, "random" and digests as given.

    Raises RecipeError for a name that this network's official weights do not have.
    """
    official = "default" if is_custom(model) else ARCHITECTURES[model].weights
    if weights in ("default", "official"):
        return official
    if weights == "kinetics400" != official:
        raise RecipeError(
            f"backbone.weights: kinetics400: there are none of {model}; set it to default, to random, or to a file"
        )
    return weights

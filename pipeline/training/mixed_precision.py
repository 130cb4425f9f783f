"""Mixed precision, and the attention kernels of a device."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Matrix products in `precision` ("float32" or "bfloat16"), sums and norms in float32."""
    return torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "float32")


def quickest_attention(device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """On a GPU cuDNN's attention where it can be had: on Hopper it is faster than torch's first choice."""
    order = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
    return sdpa_kernel(order, set_priority=True) if device.type == "cuda" else contextlib.nullcontext()

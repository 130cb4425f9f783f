"""What a network costs: parameters and floating-point operations by module, counted on the very code that runs."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from .model import STARTransformer


class ModuleCost(NamedTuple):
    """One module. flops: of one clip's forward pass, 2 × multiply-adds of all products; a training step takes three
    times as many. attention: those of QKᵀ and of the weighted sum of V alone."""

    module: str
    parameters: int
    flops: int
    attention: int


def module_costs(network: STARTransformer) -> list[ModuleCost]:
    """Parameters and FLOPs of one clip, module by module in the order of work; the last row is the total.

    Nothing is computed: a copy of the network runs on torch's meta device under torch's own counter.
    """
    ghost = copy.deepcopy(network).to("meta").eval()
    counter = FlopCounterMode(display=False, depth=99)
    with counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        ghost(**ghost.example())
    root = type(network).__name__
    counts = {name: sum(ops.values()) for name, ops in counter.get_flop_counts().items()}

    def row(label: str, place: str) -> ModuleCost:
        """What was counted inside one part of the network."""
        inside = f"{root}.{place}" if place else root
        attention = sum(n for name, n in counts.items() if name.startswith(inside + ".") and name.endswith(".attend"))
        parameters = sum(parameter.numel() for parameter in network.get_submodule(place).parameters())
        return ModuleCost(label, parameters, counts.get(inside, 0), attention)

    places = [("concat_conv", "concat_conv")] if network.concat_conv else []
    places.append(("tokens", "tokens"))
    for name, layer in network.layers:
        places += [(f"{name}.{b.inner.letter}", f"{name}.attention.{i}") for i, b in enumerate(layer.blocks)]
        places.append((f"{name}.mlp", f"{name}.mlp"))
    norm = [("norm", "norm")] if list(network.norm.parameters()) else []
    return [row(label, place) for label, place in [*places, *norm, ("head", "head"), ("total", "")]]


def activation_bytes(network: STARTransformer) -> int:
    """Bytes that a training step keeps of each clip for its way back, in bfloat16; weights and their gradients aside.

    Nothing is computed: a copy of the network runs on torch's fake tensors, and what it saves is counted.
    """
    ghost = copy.deepcopy(network).train()
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with FakeTensorMode(allow_non_fake_inputs=True):
        ghost._apply(lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype))  # pyright: ignore[reportPrivateUsage]
        with saved_tensors_hooks(keep, lambda tensor: tensor), torch.autocast("cpu", torch.bfloat16):
            ghost(**ghost.example())
        weights = {parameter.untyped_storage()._cdata for parameter in ghost.parameters()}  # pyright: ignore[reportPrivateUsage]
        sizes = {storage._cdata: storage.nbytes() for storage in (tensor.untyped_storage() for tensor in kept)}  # pyright: ignore[reportPrivateUsage]
    return sum(size for place, size in sizes.items() if place not in weights)


def cost_table(costs: list[ModuleCost]) -> str:
    """The rows as text, in columns."""
    lines = [f"{'module':<16}{'parameters':>12}{'GFLOP a clip':>14}{'of it attention':>17}"]
    for cost in costs:
        lines.append(f"{cost.module:<16}{cost.parameters:>12,}{cost.flops / 1e9:>14.3f}{cost.attention / 1e9:>17.3f}")
    return "\n".join(lines)

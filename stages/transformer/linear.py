"""Linear layers, drawn the same way everywhere: Xavier's uniform weights, zero biases.

What a module adds to its residual starts with RESIDUAL_GAIN: 50 times smaller, so that every layer begins as little
more than its norm. Post-norm needs it. Test accuracy with 3 + 3 layers of width 64, AdamW without warm-up, after 12
epochs on Penn Action's annotated joints: at 1e-3 37 % without and 69 % with it (210 training clips); at 3e-3 8 %, that
is chance, without it (420 clips) and 73 % with it (210).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

RESIDUAL_GAIN = 0.02


def linear(inputs: int, outputs: int, *, parts: int = 1, gain: float = 1.0) -> nn.Linear:
    """A linear layer; `parts` says how many matrices lie stacked in it, each drawn as if it stood alone."""
    layer = nn.Linear(inputs, outputs)
    for part in layer.weight.detach().chunk(parts):
        nn.init.xavier_uniform_(part, gain)
    nn.init.zeros_(layer.bias)
    return layer


def learned_token(*axes: int) -> nn.Parameter:
    """A learned token or position: truncated normal, deviation 0.02, as in ViT."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(*axes), std=0.02))


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor as float32 where it is narrower: sums are taken of float32."""
    return x.float() if x.element_size() < 4 else x


class BranchLinear(nn.Module):
    """Two linear layers side by side, one for each branch, in one batched product: no loop over branches."""

    def __init__(self, inputs: int, outputs: int, *, parts: int = 1, gain: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(2, outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(2, outputs))
        for part in self.weight.detach().flatten(0, 1).chunk(2 * parts):
            nn.init.xavier_uniform_(part, gain)

    def forward(self, x: Tensor) -> Tensor:
        """(b, 2, t, s, c) -> (b, 2, t, s, d): y_i = x_i W_iᵀ + b_i for branch i."""
        return torch.einsum("bitsc,idc->bitsd", x, self.weight) + self.bias[:, None, None]

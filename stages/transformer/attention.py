"""The attention modules: who asks, and whom.

Every module maps z (b, t, s, d) to (b, t, s, d) and computes softmax(QKᵀ/√(d/h))V with h heads, the scaled dot
product of `torch.nn.functional`, over the token sets of docs/method.md, "Attention":

    F  FAttn    Q = K = V = all t·s tokens
    Z  ZAttn    a′: Q = odd frames, K, V = even frames; a″: the reverse; a′ ⊕ a″    (frame 1 is odd)
    B  BAttn    b′: Q = first half, K, V = second half; b″: the reverse; b′ ⊕ b″
    A  Average  Q and K are gone: every token gets the plain average over all tokens of all frames

Both branches of Z and B ride on the batch axis of one call, and each costs a quarter of F's. With order "restore" ⊕
puts every token back at its own frame; with "concatenate" it is literal: Z's outputs are frames 1, 3, 5 … 2, 4, 6 ….

Beside `forward` every module has `arrange` (the query tokens in the order in which the outputs come: what a residual
is added to) and `frame_weights` (how its attention spreads over the frames, for pictures).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import UsageError
from .linear import RESIDUAL_GAIN, BranchLinear, linear


class TokenMixer(nn.Module):
    """What all modules of a layer share; `letter` is what recipes call an attention module."""

    letter = ""

    def forward(self, z: Tensor, queries: Tensor | None = None) -> Tensor:
        """z (b, t, s, d) -> (b, t, s, d); with queries (b, t, q, d) only those ask: -> (b, t, q, d)."""
        raise NotImplementedError

    def arrange(self, z: Tensor) -> Tensor:
        """z (b, t, s, d) -> (b, t, s, d): the tokens in the order of the outputs."""
        return z

    def frame_weights(self, z: Tensor, queries: Tensor) -> Tensor:
        """z (b, t, s, d), queries (b, t, q, d) -> (b, t, q, t): each query's attention to each frame, mean over heads.

        Rows stand in the order of the outputs, columns in that of z's frames; each row adds up to 1.
        """
        raise NotImplementedError


class DotProduct(nn.Module):
    """softmax(QKᵀ/√(d/h))V, heads split and joined again; a module so that its FLOPs can be counted apart."""

    def __init__(self, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (b, l, d), k and v (b, m, d) -> (b, l, d)."""
        dropout = self.dropout if self.training else 0.0
        if q.device.type == "cpu" and q.dtype == torch.bfloat16:
            # torch's fused kernel for CPUs is slower in bfloat16 than in float32, its backward pass up to three times
            with torch.autocast("cpu", enabled=False):
                wide = (self._split(x.float()) for x in (q, k, v))
                return self._joined(*wide, dropout=dropout).to(q.dtype)
        return self._joined(self._split(q), self._split(k), self._split(v), dropout=dropout)

    def weights(self, q: Tensor, k: Tensor) -> Tensor:
        """q (b, l, d), k (b, m, d) -> (b, l, m): the softmax alone, mean over heads; slow, for pictures."""
        q, k = self._split(q), self._split(k)
        return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1).mean(1)

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    @staticmethod
    def _joined(q: Tensor, k: Tensor, v: Tensor, *, dropout: float) -> Tensor:
        """The dot product of split heads (b, h, l, d/h) -> (b, l, d)."""
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout).transpose(1, 2).flatten(2)


class FAttn(TokenMixer):
    """Full attention: all t·s tokens ask all t·s tokens."""

    letter = "F"

    def __init__(self, width: int, heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.query = linear(width, width)
        self.key_value = linear(width, 2 * width, parts=2)
        self.output = linear(width, width, gain=RESIDUAL_GAIN)
        self.attend = DotProduct(heads, dropout)

    def forward(self, z: Tensor, queries: Tensor | None = None) -> Tensor:
        """z (b, t, s, d) -> (b, t, s, d), or queries (b, t, q, d) -> (b, t, q, d)."""
        q = self.query(z if queries is None else queries)
        k, v = self.key_value(z).flatten(1, 2).chunk(2, -1)
        return self.output(self.attend(q.flatten(1, 2), k, v).view(q.shape))

    def frame_weights(self, z: Tensor, queries: Tensor) -> Tensor:
        """See `TokenMixer.frame_weights`."""
        (t, s), q = z.shape[1:3], queries.shape[2]
        k, _ = self.key_value(z).flatten(1, 2).chunk(2, -1)
        weights = self.attend.weights(self.query(queries).flatten(1, 2), k)
        return weights.unflatten(2, (t, s)).sum(-1).unflatten(1, (t, q))


class AverageAttention(TokenMixer):
    """FAttn with every weight 1/(t·s): the plain average over frames (docs/method.md, "Open questions").

    Value and output projections stay, so that what is compared is the weighting alone. The average commutes with
    both, so it is taken first and costs next to nothing.
    """

    letter = "A"

    def __init__(self, width: int) -> None:
        super().__init__()
        self.value = linear(width, width)
        self.output = linear(width, width, gain=RESIDUAL_GAIN)

    def forward(self, z: Tensor, queries: Tensor | None = None) -> Tensor:
        """z (b, t, s, d) -> (b, t, s, d), or queries (b, t, q, d) -> (b, t, q, d)."""
        mean = z.mean((1, 2), keepdim=True)
        return self.output(self.value(mean)).expand_as(z if queries is None else queries)

    def frame_weights(self, z: Tensor, queries: Tensor) -> Tensor:
        """See `TokenMixer.frame_weights`: the same for all frames."""
        b, t, q, _ = queries.shape
        return z.new_full((b, t, q, t), 1 / t)


class _TwoBranchAttention(TokenMixer):
    """Z and B: the frames fall into two parts, and each part asks the other.

    share_branches: one set of projections for both, or one for each.
    order: "restore" or "concatenate", see the top of this file.
    """

    about = ""

    def __init__(
        self, width: int, heads: int, *, dropout: float = 0.0, share_branches: bool = True, order: str = "restore"
    ) -> None:
        super().__init__()
        project = linear if share_branches else BranchLinear
        self.query = project(width, width)
        self.key_value = project(width, 2 * width, parts=2)
        self.output = project(width, width, gain=RESIDUAL_GAIN)
        self.attend = DotProduct(heads, dropout)
        self.restore = order == "restore"

    def decouple(self, z: Tensor) -> Tensor:
        """z (b, t, s, d) -> (b, 2, t/2, s, d): the two parts. Raises UsageError where t is odd."""
        if z.shape[1] % 2:
            raise UsageError(f"{z.shape[1]} frames: {self.about}; give an even number of frames")
        return self._parts(z).contiguous()  # of a strided view, a linear layer would make its own copy and be slower

    def forward(self, z: Tensor, queries: Tensor | None = None) -> Tensor:
        """z (b, t, s, d) -> (b, t, s, d), or queries (b, t, q, d) -> (b, t, q, d). Raises UsageError where t is odd."""
        parts = self.decouple(z)
        q = self.query(parts if queries is None else self.decouple(queries))
        k, v = self.key_value(parts.flip(1)).flatten(2, 3).flatten(0, 1).chunk(2, -1)
        found = self.attend(q.flatten(2, 3).flatten(0, 1), k, v).view(q.shape)
        return self._couple(self.output(found))

    def arrange(self, z: Tensor) -> Tensor:
        """See `TokenMixer.arrange`."""
        return z if self.restore else self._couple(self.decouple(z))

    def frame_weights(self, z: Tensor, queries: Tensor) -> Tensor:
        """See `TokenMixer.frame_weights`; a frame's own part gets 0."""
        q = self.query(self.decouple(queries))
        k, _ = self.key_value(self.decouple(z).flip(1)).flatten(2, 3).flatten(0, 1).chunk(2, -1)
        weights = self.attend.weights(q.flatten(2, 3).flatten(0, 1), k)  # (2b, t/2·q, t/2·s)
        by_frame = weights.unflatten(2, (-1, z.shape[2])).sum(-1).view(*q.shape[:4], -1)  # (b, 2, t/2, q, t/2)
        asked = self._parts(torch.eye(z.shape[1], device=z.device, dtype=z.dtype)[None, :, None]).flip(1)[0, :, :, 0]
        return self._couple(torch.einsum("biuqk,ikt->biuqt", by_frame, asked))

    def _parts(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def _couple(self, parts: Tensor) -> Tensor:
        """(b, 2, t/2, s, d) -> (b, t, s, d): the ⊕ of the equations."""
        return self._together(parts) if self.restore else parts.flatten(1, 2)

    def _together(self, parts: Tensor) -> Tensor:
        raise NotImplementedError


class ZAttn(_TwoBranchAttention):
    """Zigzag attention: odd frames ask even frames, and the reverse."""

    letter = "Z"

    about = "zigzag attention needs as many odd frames as even ones"

    def _parts(self, z: Tensor) -> Tensor:
        return z.unflatten(1, (-1, 2)).transpose(1, 2)

    def _together(self, parts: Tensor) -> Tensor:
        return parts.transpose(1, 2).flatten(1, 2)


class BAttn(_TwoBranchAttention):
    """Binary attention: the first half of the frames asks the second, and the reverse."""

    letter = "B"

    about = "binary attention needs two halves of equal length"

    def _parts(self, z: Tensor) -> Tensor:
        return z.unflatten(1, (2, -1))

    def _together(self, parts: Tensor) -> Tensor:
        return parts.flatten(1, 2)


def attention(
    letter: str, *, width: int, heads: int, dropout: float, share_branches: bool, order: str
) -> FAttn | ZAttn | BAttn | AverageAttention:
    """The module that a letter of a recipe stands for: F, Z, B or A. Raises UsageError for any other."""
    if letter == "F":
        return FAttn(width, heads, dropout=dropout)
    if letter == "Z":
        return ZAttn(width, heads, dropout=dropout, share_branches=share_branches, order=order)
    if letter == "B":
        return BAttn(width, heads, dropout=dropout, share_branches=share_branches, order=order)
    if letter == "A":
        return AverageAttention(width)
    raise UsageError(f"{letter!r} is no attention module; known are F (full), Z (zigzag), B (binary), A (average)")

"""The layer: attention modules and an MLP, each with its residual and its layer norm.

For the modules (FSTA, STA) of one layer, post-norm (docs/method.md, "Layer"):

    Z̄ = LN(FSTA(z) + z)
    Ẑ = LN((STA(z′) + z′) ⊕ (STA(z″) + z″))       the residual is the query tokens, in the order of the outputs
    z = LN(MLP(Ẑ) + Ẑ)

Any list of modules may stand for (FSTA, STA). Dropout falls on what a module adds, before it is added (Vaswani et al.,
5.4), not on hidden units and, unless asked for, not on attention weights: that would leave the fused kernels on CPUs.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from .attention import TokenMixer
from .linear import RESIDUAL_GAIN, at_least_float32, linear


def select_tokens(z: Tensor, only: Tensor | None) -> Tensor:
    """z (b, t, s, d), only (q): positions in s -> (b, t, q, d); all of z where only is None."""
    return z if only is None else z.index_select(2, only)


class MLP(TokenMixer):
    """Linear, GELU, linear; every token by itself."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.widen = linear(width, hidden)
        self.activation = nn.GELU()
        self.narrow = linear(hidden, width, gain=RESIDUAL_GAIN)

    def forward(self, z: Tensor, queries: Tensor | None = None) -> Tensor:
        """z (b, t, s, d) -> (b, t, s, d), or queries (b, t, q, d) -> (b, t, q, d)."""
        return self.narrow(self.activation(self.widen(z if queries is None else queries)))


class Sublayer(nn.Module):
    """A module f (`inner`) with its residual and its norm."""

    def __init__(self, inner: TokenMixer, width: int, dropout: float) -> None:
        super().__init__()
        self.inner = inner
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, z: Tensor, only: Tensor | None = None) -> Tensor:
        """z (b, t, s, d) -> (b, t, s, d); only (q): positions in s of the tokens wanted, -> (b, t, q, d)."""
        raise NotImplementedError

    def view(self, z: Tensor) -> Tensor:
        """What f is given of z (b, t, s, d)."""
        return z


class PostNormSublayer(Sublayer):
    """LN(f(z) + z), z in the order of f's outputs.

    Sum and norm are float32's; what they give has the type of f's own outputs, bfloat16 under autocast: the products
    that follow would cast it anyway, one by one, and half the bytes move between the modules.
    """

    def forward(self, z: Tensor, only: Tensor | None = None) -> Tensor:
        """z (b, t, s, d) -> (b, t, s, d); only (q): positions in s of the tokens wanted, -> (b, t, q, d)."""
        queries = None if only is None else z.index_select(2, only)
        found = self.inner(z, queries)
        residual = at_least_float32(self.inner.arrange(z if queries is None else queries))
        return self.norm(residual + self.dropout(found)).to(found.dtype)


class PreNormSublayer(Sublayer):
    """f(LN(z)) + z, z in the order of f's outputs."""

    def forward(self, z: Tensor, only: Tensor | None = None) -> Tensor:
        """z (b, t, s, d) -> (b, t, s, d); only (q): positions in s of the tokens wanted, -> (b, t, q, d)."""
        seen = self.norm(z)
        queries = None if only is None else seen.index_select(2, only)
        return self.inner.arrange(select_tokens(z, only)) + self.dropout(self.inner(seen, queries))

    def view(self, z: Tensor) -> Tensor:
        """What f is given of z (b, t, s, d)."""
        return self.norm(z)


NORMS = {"post": PostNormSublayer, "pre": PreNormSublayer}


class TransformerLayer(nn.Module):
    """One layer of the encoder or the decoder.

    mixers: the attention modules, in order; at least one. hidden: units of the MLP. norm: "post" or "pre".
    """

    def __init__(self, mixers: Sequence[TokenMixer], *, width: int, hidden: int, dropout: float, norm: str) -> None:
        super().__init__()
        block = NORMS[norm]
        self.attention = nn.ModuleList(block(mixer, width, dropout) for mixer in mixers)
        self.mlp = block(MLP(width, hidden), width, dropout)

    @property
    def blocks(self) -> list[Sublayer]:
        """The attention modules with their norms, in order."""
        return [block for block in self.attention if isinstance(block, Sublayer)]

    def forward(self, z: Tensor, only: Tensor | None = None) -> Tensor:
        """z (b, t, s, d) -> (b, t, s, d).

        only (q): positions in s of the tokens that are wanted of this layer, -> (b, t, q, d); the others are still
        asked, but the last module and the MLP are not computed for them.
        """
        *before, last = self.attention
        for block in before:
            z = block(z)
        return self.mlp(last(z, only))

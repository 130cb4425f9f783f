"""The STAR-Transformer put together: the one place where all its numbers live."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import UsageError
from .attention import attention
from .embedding import ClipClassTokens, ConcatConv, GridEmbedding, JointEmbedding, TokenEmbedding, check_shape
from .layer import NORMS, TransformerLayer, select_tokens
from .linear import at_least_float32, linear

READOUTS = {
    "class_tokens": ("cls_global", "cls_joint", "cls_total"),
    "total": ("cls_total",),
    "mean": ("grid", "joint"),
}
CHOICES = {
    "norm": tuple(NORMS),
    "order": ("restore", "concatenate"),
    "modalities": ("both", "global", "joint"),
    "class_tokens": ("frame", "clip", "none"),
    "position": ("joint", "all", "none"),
    "readout": tuple(READOUTS),
    "head": ("mlp", "linear"),
}


class STARTransformer(nn.Module):
    """STAR-Transformer (WACV 2023, arXiv 2210.07503); what its sources leave open is a setting, see docs/method.md.

    What comes in:
        classes: classes to tell apart. joints: joints of a frame (people side by side count as more joints).
        frames: frames of a clip. grid_channels, grid_cells: of the global grid. joint_channels: of the joint map.
        concat_conv: compute joint map tokens in here, from the local map (local_channels) and the heat maps, to
        conv_channels; joint_channels then counts for nothing. pooled_channels: how many of joint_channels, the first,
        are pooled channels with a heat map behind them (form pool_map). heatmaps: joint map tokens are the heat maps
        alone, of joint_channels cells.
        modalities: "both", "global" or "joint". standardize: bring the grid's channels to mean 0 and deviation 1 and
        the joint map tokens (but conv_channels) to one length, by what `Standardize` and `Rescale` of the tokens are
        told of the training clips; pooled channels like the grid's.
    The network:
        width, heads, encoder_layers, decoder_layers, mlp_ratio, dropout. attention_dropout: on attention weights.
        encoder, decoder: the attention modules of one layer, letters of F, Z, B, A. norm: "post" or "pre".
        share_branches: one set of projections for both branches of Z and B. order: their ⊕, "restore" or "concatenate".
        class_tokens: per "frame", per "clip", or "none". position: learned, on "joint" tokens, on "all" (grid tokens
        too; class tokens never), or "none".
        readout: the mean over frames of the "class_tokens", of CLS_"total", or the "mean" of all other tokens.
        head: "mlp" (one hidden layer of width units) or "linear".
    Raises UsageError for settings that do not go together.
    """

    only: Tensor | None

    def __init__(
        self,
        *,
        classes: int,
        joints: int,
        frames: int = 16,
        grid_channels: int = 512,
        grid_cells: int = 49,
        joint_channels: int = 784,
        pooled_channels: int = 0,
        concat_conv: bool = False,
        heatmaps: bool = False,
        local_channels: int = 128,
        conv_channels: int = 128,
        width: int = 512,
        heads: int = 8,
        encoder_layers: int = 3,
        decoder_layers: int = 3,
        encoder: Sequence[str] = ("F", "Z"),
        decoder: Sequence[str] = ("F", "B"),
        mlp_ratio: float = 4.0,
        dropout: float = 0.1,
        attention_dropout: float = 0.0,
        norm: str = "post",
        share_branches: bool = True,
        order: str = "restore",
        modalities: str = "both",
        standardize: bool = False,
        class_tokens: str = "frame",
        position: str = "joint",
        readout: str = "class_tokens",
        head: str = "mlp",
    ) -> None:
        super().__init__()
        self.width = width
        _check_words(norm=norm, order=order, modalities=modalities, class_tokens=class_tokens, position=position)
        _check_words(readout=readout, head=head)
        if width % heads:
            raise UsageError(f"width: {width} is not a multiple of heads ({heads})")
        if frames % 2 and {"Z", "B"} & {*encoder, *decoder}:
            raise UsageError(f"frames: {frames} is odd; zigzag and binary attention need an even number of frames")
        if class_tokens == "none" and readout != "mean":
            raise UsageError(
                f"readout {readout!r} needs class tokens and class_tokens is 'none'; set readout to 'mean'"
            )
        with_grid, with_joints = modalities != "joint", modalities != "global"
        self.concat_conv = ConcatConv(local_channels, conv_channels) if concat_conv and with_joints else None
        self.heatmaps = heatmaps
        channels = conv_channels if concat_conv else joint_channels
        grid = {"position": position == "all", "standardize": standardize}
        maps: dict[str, Any] = {
            "position": position != "none",
            "standardize": standardize and not concat_conv,
            "pooled": pooled_channels,
        }
        self.tokens = TokenEmbedding(
            GridEmbedding(frames, grid_channels, grid_cells, width, **grid) if with_grid else None,
            JointEmbedding(frames, channels, joints, width, **maps) if with_joints else None,
            width=width,
            class_tokens=class_tokens != "none",
        )
        mixer = {"heads": heads, "dropout": attention_dropout, "share_branches": share_branches, "order": order}
        block = {"width": width, "hidden": max(1, round(width * mlp_ratio)), "dropout": dropout, "norm": norm}
        self.encoder = _stack(encoder_layers, encoder, mixer, block)
        self.decoder = _stack(decoder_layers, decoder, mixer, block)
        layout = self.tokens.layout()
        self.carry = ClipClassTokens(layout) if class_tokens == "clip" else nn.Identity()
        self.norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()
        hidden = [] if head == "linear" else [linear(width, width), nn.GELU(), nn.Dropout(dropout)]
        self.head = nn.Sequential(*hidden, linear(width, classes)) if hidden else linear(width, classes)
        wanted = [place for place, name in enumerate(layout) if name in READOUTS[readout]]
        self.register_buffer("only", torch.tensor(wanted) if len(wanted) < len(layout) else None, persistent=False)

    @property
    def layers(self) -> list[tuple[str, TransformerLayer]]:
        """("encoder.0", its layer) and so on, in the order of work."""
        stacks = (("encoder", self.encoder), ("decoder", self.decoder))
        return [
            (f"{s}.{i}", layer)
            for s, stack in stacks
            for i, layer in enumerate(stack)
            if isinstance(layer, TransformerLayer)
        ]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the cached arrays that `forward` reads, in its order."""
        grid = ("global_grid",) if self.tokens.grid else ()
        if not self.tokens.joints:
            return grid
        if self.concat_conv:
            return (*grid, "local_map", "joint_heatmap")
        return (*grid, "joint_heatmap" if self.heatmaps else "joint_map")

    def forward(
        self,
        global_grid: Tensor | None = None,
        joint_map: Tensor | None = None,
        local_map: Tensor | None = None,
        joint_heatmap: Tensor | None = None,
    ) -> Tensor:
        """Class scores of clips, before the softmax.

        global_grid (b, t, c, y, x); joint_map (b, t, n, c), or with concat_conv local_map (b, t, c, y, x) and
        joint_heatmap (b, t, n, y, x), or with heatmaps the latter alone; any floating type -> logits (b, classes).
        What `inputs` does not name may be left out. Raises UsageError where an array is missing or has a shape the
        network was not built for.
        """
        return self.head(self.pool(self.embed(global_grid, joint_map, local_map, joint_heatmap)))

    def pool(self, z: Tensor) -> Tensor:
        """Tokens z (b, t, s, d) -> what the head judges, (b, d): the mean of the tokens that are read out."""
        layers = (*self.encoder, *self.decoder)
        for layer in layers[:-1]:
            z = self.carry(layer(z))
        z = layers[-1](z, self.only) if layers else select_tokens(z, self.only)
        return at_least_float32(self.norm(z)).mean((1, 2))

    def embed(
        self,
        global_grid: Tensor | None = None,
        joint_map: Tensor | None = None,
        local_map: Tensor | None = None,
        joint_heatmap: Tensor | None = None,
    ) -> Tensor:
        """The arrays of `forward` -> the sequence of tokens z (b, t, s, d)."""
        joints = self.tokens.joints
        if joints and (self.concat_conv or self.heatmaps):
            heat = check_shape("joint_heatmap", joint_heatmap, (None, joints.frames, joints.joints, None, None))
            joint_map = self.concat_conv(local_map, heat) if self.concat_conv else heat.flatten(3)
        return self.tokens(global_grid, joint_map)

    @torch.no_grad()
    def frame_attention(self, **arrays: Tensor) -> dict[str, Tensor]:
        """How the tokens that are read out look at the frames, module by module, for pictures.

        arrays: those of `forward`. Returns {"encoder.0.F": (b, t, q, t), "encoder.0.Z": …}: the attention of read-out
        token q at each frame to each frame, mean over heads, summed over the frame's tokens; rows and columns in the
        clip's own order of frames, every row adds up to 1. `.mean((1, 2))` is one bar per frame. Put the network in
        `eval` mode first.
        """
        z = self.embed(**arrays)
        order = torch.arange(z.shape[1], device=z.device)  # which frame stands where, should ⊕ permute them
        found: dict[str, Tensor] = {}
        for name, layer in self.layers:
            for block in layer.blocks:
                seen = block.view(z)
                weights = block.inner.frame_weights(seen, select_tokens(seen, self.only))
                z, asked = block(z), order
                order = block.inner.arrange(order[None, :, None, None]).flatten()
                label = f"{name}.{block.inner.letter}"
                count = sum(other.rstrip("0123456789") == label for other in found)  # a layer may hold a module twice
                label = f"{label}{count + 1}" if count else label
                found[label] = weights[:, order.argsort()][..., asked.argsort()]
            z = self.carry(layer.mlp(z))
        return found

    def example(self, batch: int = 1, map_size: int = 28) -> dict[str, Tensor]:
        """Arrays of zeros that fit `forward`, on the network's device; map_size: rows and columns of local maps."""
        grid, joints = self.tokens.grid, self.tokens.joints
        shapes: dict[str, tuple[int, ...]] = {}
        if grid:
            shapes["global_grid"] = (grid.frames, grid.channels, *_rows_and_columns(grid.cells))
        if joints:
            shapes["joint_map"] = (joints.frames, joints.joints, joints.channels)
            cells = _rows_and_columns(joints.channels) if self.heatmaps else (map_size, map_size)
            shapes["joint_heatmap"] = (joints.frames, joints.joints, *cells)
        if joints and self.concat_conv:
            shapes["local_map"] = (joints.frames, self.concat_conv.channels, map_size, map_size)
        device = next(self.parameters()).device
        return {name: torch.zeros(batch, *shapes[name], device=device) for name in self.inputs}


def _check_words(**settings: str) -> None:
    for name, value in settings.items():
        if value not in CHOICES[name]:
            raise UsageError(f"{name}: {value!r} is not one of {', '.join(CHOICES[name])}")


def _stack(count: int, letters: Sequence[str], mixer: dict[str, Any], block: dict[str, Any]) -> nn.ModuleList:
    """`count` layers, each with the attention modules that `letters` name."""
    if count and not letters:
        raise UsageError("a layer without attention modules; name at least one of F, Z, B, A, or set its layers to 0")
    modules = [[attention(letter, width=block["width"], **mixer) for letter in letters] for _ in range(count)]
    return nn.ModuleList(TransformerLayer(mixers, **block) for mixers in modules)


def _rows_and_columns(cells: int) -> tuple[int, int]:
    side = math.isqrt(cells)
    return (side, side) if side * side == cells else (cells, 1)

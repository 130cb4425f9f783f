"""From cached arrays to the sequence of tokens.

    T_g ← CLS_global ⊕ T_g        T_j ← CLS_joint ⊕ (T_j + pos)        Z = T_g ⊕ T_j ⊕ CLS_total

per frame, one linear layer per modality to the common width (docs/method.md, "Tokens"). A modality that is left out
takes its class token along.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...errors import UsageError
from .linear import learned_token, linear


def check_shape(name: str, array: Tensor | None, shape: Sequence[int | None]) -> Tensor:
    """The array, if it is there and has this shape (None: any size); raises UsageError otherwise."""
    if array is None:
        raise UsageError(f"{name}: this network needs it and it was not given")
    if len(array.shape) != len(shape) or any(b is not None and a != b for a, b in zip(array.shape, shape, strict=True)):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise UsageError(f"{name}: shape {tuple(array.shape)}, but this network was built for ({wanted})")
    return array


class ConcatConv(nn.Module):
    """Joint map tokens of the form `concat_conv`: j_n = Σ_yx h_n · conv([F; h_n]) / Σ_yx h_n, a 1×1 convolution.

    The form names no non-linearity and has none here; so pooling and convolution, both linear, change places:
    j_n = W_F (Σ h_n F / Σ h_n) + w_h (Σ h_n² / Σ h_n) + bias, and neither [F; h_n] nor conv(F) is ever laid out.
    A joint that is absent (h_n all zero) gives a zero token.
    """

    def __init__(self, local_channels: int, channels: int) -> None:
        super().__init__()
        self.channels = local_channels
        self.conv = linear(local_channels + 1, channels)

    def forward(self, local_map: Tensor | None, joint_heatmap: Tensor | None) -> Tensor:
        """local_map (b, t, c, y, x), joint_heatmap (b, t, n, y, x) -> (b, t, n, channels).

        Raises UsageError where one is missing or their shapes do not fit.
        """
        local = check_shape("local_map", local_map, (None, None, self.channels, None, None))
        heat = check_shape("joint_heatmap", joint_heatmap, (*local.shape[:2], None, *local.shape[3:]))
        f, h = (maps.to(self.conv.weight.dtype).flatten(3) for maps in (local, heat))
        mass = h.sum(-1, keepdim=True)
        present = mass > 0
        share = h / torch.where(present, mass, 1)
        seen = torch.cat((share @ f.transpose(2, 3), (share * h).sum(-1, keepdim=True)), dim=3)
        return self.conv(seen) * present


class Standardize(nn.Module):
    """(x - mean) / deviation, channel by channel, both measured once on training clips; at first it changes nothing.

    The channels of a backbone with random weights differ far more from each other than any of them does over the
    clips: without this a projection sees little but constants.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    @torch.no_grad()
    def set_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Take mean (c) and deviation (c); a channel that never changes is left at 0."""
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation > 0, deviation, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(..., c), any floating type -> (..., c) in that of the buffers, float32."""
        return (x.to(self.mean.dtype) - self.mean) / self.deviation


class Rescale(nn.Module):
    """Joint map tokens times one factor, so that they are LENGTH long on average; at first it changes nothing.

    Their length grows with sigma and differs by form, and what is long drowns the position embedding, by which alone a
    joint is told from another.

    pooled: so many of a token's numbers, the first, are pooled channels (form pool_map). They are standardised one by
    one and made as long as the heat map behind them: under random weights all joints have nearly the same channels, ten
    times as long as their maps, and a projection of both sees neither the differences nor the maps.
    """

    LENGTH = 0.6  # see docs/results.md; half as long or three times as long learns more slowly
    factor: Tensor

    def __init__(self, pooled: int = 0) -> None:
        super().__init__()
        self.register_buffer("factor", torch.ones(()))
        self.pooled = pooled
        self.channels = Standardize(pooled) if pooled else None

    @torch.no_grad()
    def set_statistics(self, length: float) -> None:
        """Take the mean Euclidean length of the tokens of joints that are present, without their pooled channels."""
        self.factor.fill_(self.LENGTH / length if length > 0 else 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """(b, t, n, c) -> the same shape; the same type, or float32 where there are pooled channels."""
        if self.channels is None:
            return x * self.factor.to(x.dtype)
        present = (x != 0).any(-1, keepdim=True)
        pooled = self.channels(x[..., : self.pooled]) * (self.LENGTH / self.pooled**0.5)
        return torch.cat([pooled, x[..., self.pooled :] * self.factor], -1) * present


class GridEmbedding(nn.Module):
    """Global grid tokens: the cells of the global grid, on request standardised, projected."""

    def __init__(
        self, frames: int, channels: int, cells: int, width: int, *, position: bool, standardize: bool = False
    ) -> None:
        super().__init__()
        self.frames, self.channels, self.cells = frames, channels, cells
        self.standardize = Standardize(channels) if standardize else None
        self.project = linear(channels, width)
        self.position = learned_token(frames, cells, width) if position else None

    def forward(self, global_grid: Tensor | None) -> Tensor:
        """(b, t, c, y, x) -> (b, t, p, d), cells row by row. Raises UsageError for another shape."""
        grid = check_shape("global_grid", global_grid, (None, self.frames, self.channels, None, None))
        cells = grid.flatten(3).transpose(2, 3)
        if cells.shape[2] != self.cells:
            raise UsageError(f"global_grid: {cells.shape[2]} cells, but this network was built for {self.cells}")
        cells = cells if self.standardize is None else self.standardize(cells)
        tokens = self.project(cells.to(self.project.weight.dtype))
        return tokens if self.position is None else tokens + self.position


class JointEmbedding(nn.Module):
    """Joint map tokens, on request rescaled, projected, with their position."""

    def __init__(
        self,
        frames: int,
        channels: int,
        joints: int,
        width: int,
        *,
        position: bool,
        standardize: bool = False,
        pooled: int = 0,
    ) -> None:
        super().__init__()
        self.frames, self.channels, self.joints = frames, channels, joints
        self.rescale = Rescale(pooled) if standardize else nn.Identity()
        self.project = linear(channels, width)
        self.position = learned_token(frames, joints, width) if position else None

    def forward(self, joint_map: Tensor | None) -> Tensor:
        """(b, t, n, c) -> (b, t, n, d). Raises UsageError for another shape."""
        maps = check_shape("joint_map", joint_map, (None, self.frames, self.joints, self.channels))
        tokens = self.project(self.rescale(maps).to(self.project.weight.dtype))
        return tokens if self.position is None else tokens + self.position


class TokenEmbedding(nn.Module):
    """Assembles Z = CLS_global ⊕ T_g ⊕ CLS_joint ⊕ (T_j + pos) ⊕ CLS_total, frame by frame.

    grid, joints: the two modalities; None leaves one out. class_tokens: with or without the three CLS tokens, whose
    weights all frames share.
    """

    def __init__(
        self, grid: GridEmbedding | None, joints: JointEmbedding | None, *, width: int, class_tokens: bool
    ) -> None:
        super().__init__()
        self.grid, self.joints = grid, joints
        self.cls_global = learned_token(width) if class_tokens and grid else None
        self.cls_joint = learned_token(width) if class_tokens and joints else None
        self.cls_total = learned_token(width) if class_tokens else None

    @property
    def standardize(self) -> Standardize | None:
        """What standardises the global grid, where there is one and it is asked for."""
        return self.grid.standardize if self.grid else None

    def layout(self) -> list[str]:
        """What stands at each of the s places of a frame: cls_global, grid, cls_joint, joint or cls_total."""
        places = [
            ("cls_global", 1 if self.cls_global is not None else 0),
            ("grid", self.grid.cells if self.grid else 0),
        ]
        places += [("cls_joint", 1 if self.cls_joint is not None else 0)]
        places += [("joint", self.joints.joints if self.joints else 0)]
        places += [("cls_total", 1 if self.cls_total is not None else 0)]
        return [name for name, count in places for _ in range(count)]

    def forward(self, global_grid: Tensor | None, joint_map: Tensor | None) -> Tensor:
        """global_grid (b, t, c, y, x), joint_map (b, t, n, c) -> z (b, t, s, d), s = p + n + 3 with both and CLS."""
        grid = self.grid(global_grid) if self.grid else None
        joints = self.joints(joint_map) if self.joints else None
        some = joints if grid is None else grid
        assert some is not None
        b, t, _, d = some.shape
        parts = (self.cls_global, grid, self.cls_joint, joints, self.cls_total)
        return torch.cat([p.expand(b, t, 1, d) if p.dim() == 1 else p for p in parts if p is not None], dim=2)


class ClipClassTokens(nn.Module):
    """Class tokens per clip: a copy in every frame, and after each layer every copy becomes the mean of all.

    So they can ask and be asked by any module, whichever frames it divides; TimeSformer carries its class token
    through attention within frames in the same way.
    """

    places: Tensor

    def __init__(self, layout: Sequence[str]) -> None:
        super().__init__()
        self.register_buffer("places", torch.tensor([[name.startswith("cls")] for name in layout]), persistent=False)

    def forward(self, z: Tensor) -> Tensor:
        """z (b, t, s, d) -> (b, t, s, d), class tokens averaged over the frames."""
        return torch.where(self.places, z.mean(1, keepdim=True), z)

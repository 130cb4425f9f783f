"""The network with what comes before it, as one module of torch: from features, or from joints, to scores.

For other runtimes. Each step rounds as the stages do (`stages/heatmaps.py`, `stages/tokens.py`, `stages/cropping.py`),
so scores are those of the cached arrays; of views after the first, whose crops jitter, nothing is known here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .cropping import MIN_SIDE_SHARE, Crop
from .heatmaps import HeatmapsStage
from .transformer import STARTransformer

OUTPUTS = ("logits", "scores")


class FeaturesToScores(nn.Module):
    """global_grid, local_map, joint_heatmap, whichever the network's tokens are made of -> logits and scores.

    form: of the tokens, `schema.TokensSettings.form`.
    """

    def __init__(self, network: STARTransformer, form: str) -> None:
        super().__init__()
        self.network, self.form = network, form

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs."""
        wanted = set(self.network.inputs)
        if "joint_map" in wanted:
            wanted = wanted - {"joint_map"} | {"local_map", "joint_heatmap"}
        return tuple(name for name in ("global_grid", "local_map", "joint_heatmap") if name in wanted)

    def forward(
        self,
        global_grid: Tensor | None = None,
        local_map: Tensor | None = None,
        joint_heatmap: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """global_grid (b, t, c, y, x), local_map (b, t, c, y, x), joint_heatmap (b, t, n, y, x), float32 -> logits and
        scores (b, classes)."""
        arrays = {"global_grid": global_grid, "local_map": local_map, "joint_heatmap": joint_heatmap}
        if "joint_map" in self.network.inputs:
            assert local_map is not None and joint_heatmap is not None
            arrays["joint_map"] = joint_tokens(self.form, local_map, joint_heatmap)
        logits = self.network(**{name: arrays[name] for name in self.network.inputs})
        return logits, logits.softmax(-1)


class JointsToScores(nn.Module):
    """keypoints and frame_size, with global_grid and local_map where the network takes them, -> logits and scores."""

    def __init__(self, network: STARTransformer, form: str, heatmaps: HeatmapsStage) -> None:
        super().__init__()
        self.features, self.heatmaps = FeaturesToScores(network, form), heatmaps

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs."""
        return ("keypoints", "frame_size", *(name for name in self.features.inputs if name != "joint_heatmap"))

    def forward(
        self,
        keypoints: Tensor,
        frame_size: Tensor,
        global_grid: Tensor | None = None,
        local_map: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """keypoints (b, t, people, n, 3) px, px, score; frame_size (b, 2) w, h px -> logits, scores (b, classes)."""
        joints, size = keypoints.double(), frame_size.double()
        maps = joint_heatmaps(self.heatmaps, joints, size, region(self.heatmaps.crop, joints, size))
        return self.features(global_grid=global_grid, local_map=local_map, joint_heatmap=maps)


def region(crop: Crop, keypoints: Tensor, frame_size: Tensor) -> Tensor:
    """`Crop.region` of view 0: keypoints (b, t, p, n, 3), frame_size (b, 2), float64 -> (b, 4) x0 y0 x1 y1."""
    if crop.crop == "frame":
        return torch.cat([torch.zeros_like(frame_size), frame_size], -1)
    there = _visible(keypoints, frame_size, 0.0)[..., None]
    places = keypoints[..., :2] + 0.5
    low = torch.where(there, places, torch.inf).amin((1, 2, 3))
    high = torch.where(there, places, -torch.inf).amax((1, 2, 3))
    someone = there.flatten(1).any(1, keepdim=True)
    side = (high - low).amax(-1, keepdim=True) * (1 + 2 * crop.margin)
    side = torch.maximum(side, MIN_SIDE_SHARE * frame_size.amin(-1, keepdim=True))
    side = torch.where(someone, side, frame_size.amax(-1, keepdim=True))
    centre = torch.where(someone, (low + high) / 2, frame_size / 2)
    middle, whole = torch.round(2 * centre[:, :1]), torch.ceil(side) + 1
    odd = whole - middle
    whole = whole + (odd - 2 * torch.floor(odd / 2))
    left, top = (middle - whole) / 2, torch.round(centre[:, 1:] - whole / 2)
    return torch.cat([left, top, left + whole, top + whole], -1)


def joint_heatmaps(stage: HeatmapsStage, keypoints: Tensor, frame_size: Tensor, box: Tensor) -> Tensor:
    """`HeatmapsStage.compute`: keypoints (b, t, p, n, 3), box (b, 4), float64 -> (b, t, n, y, x) float32, n alike."""
    corner, size = box[:, None, None, None, :2], (box[:, 2:] - box[:, :2])[:, None, None, None]
    cells = (keypoints[..., :2] + 0.5 - corner) / size * stage.grid
    there = _visible(keypoints, frame_size, stage.score_floor) & ((cells >= 0) & (cells <= stage.grid)).all(-1)
    centres = torch.arange(stage.grid, dtype=torch.float64, device=keypoints.device) + 0.5
    if stage.limbs:
        maps = _along_limbs(stage, torch.where(there[..., None], cells, 0.0), there, centres)
        return _rounded(maps.amax(2) if stage.people == "merge" else maps.flatten(2, 3))
    distance = (centres - torch.where(there[..., None], cells, 0.0)[..., None]) / stage.sigma  # (b, t, p, n, 2, grid)
    bell = torch.where(there[..., None, None], torch.exp(-0.5 * distance * distance), 0.0).float()
    maps = bell[..., 1, :, None] * bell[..., 0, None, :]
    return _rounded(maps.amax(2) if stage.people == "merge" else maps.flatten(2, 3))


def _along_limbs(stage: HeatmapsStage, cells: Tensor, there: Tensor, centres: Tensor) -> Tensor:
    """`HeatmapsStage._along_limbs`: cells (b, t, p, n, 2), there (b, t, p, n) -> (b, t, p, limbs, y, x) float32."""
    first, last = (list(ends) for ends in zip(*stage.limbs, strict=True))
    start, line = cells[..., first, :, None, None], (cells[..., last, :] - cells[..., first, :])[..., None, None]
    right, down = centres - start[..., 0, :, :], centres[:, None] - start[..., 1, :, :]
    across, along = line[..., 0, :, :], line[..., 1, :, :]
    length = torch.clamp(across * across + along * along, min=1e-300)
    share = torch.clamp((right * across + down * along) / length, 0.0, 1.0)
    right, down = right - share * across, down - share * along
    bell = torch.exp(-0.5 * (right * right + down * down) / stage.sigma**2)
    return torch.where((there[..., first] & there[..., last])[..., None, None], bell, 0.0).float()


def joint_tokens(form: str, local_map: Tensor, joint_heatmap: Tensor) -> Tensor:
    """`TokensStage.compute`: (b, t, c, y, x), (b, t, n, y, x) -> (b, t, n, c') float32."""
    local, heat = local_map.flatten(3), joint_heatmap.flatten(3)
    if form == "map":
        return _rounded(heat * local.mean(2, keepdim=True))
    total = heat.sum(-1, keepdim=True)
    pooled = (heat / torch.where(total > 0, total, 1.0)) @ local.transpose(-1, -2)
    return _rounded(torch.cat([pooled, heat], -1) if form == "pool_map" else pooled)


def _visible(keypoints: Tensor, frame_size: Tensor, floor: float) -> Tensor:
    """`cropping.visible`: (b, t, p, n) bool."""
    ends = frame_size[:, None, None, None] - 0.5
    inside = (keypoints[..., :2] >= -0.5) & (keypoints[..., :2] <= ends)
    return (keypoints[..., 2] > floor) & inside.all(-1)


def _rounded(values: Tensor) -> Tensor:
    """As they would be cached: rounded to float16."""
    return values.half().float()

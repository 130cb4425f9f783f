"""What training changes of cached tokens, anew in every step.

All random numbers are drawn for the whole batch from (seed, epoch, step), so a run that is resumed, or shared out to
several processes, sees the same ones. Axes: b clips, t frames, n joints, y x cells of a joint's map.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...errors import RecipeError
from ..planning.array_shapes import local_shape
from ..recipe import schema as settings
from .dataset import Batch, to_device

MOVES = ("shift", "scale", "stretch", "rotation", "joint_jitter")  # settings that move joints' maps


def map_side(recipe: settings.Recipe) -> int:
    """Cells along one side of a joint's map; 0 where the tokens have no map (`pool`, no joints, a bare grid)."""
    if recipe.model.modalities == "global" or recipe.tokens.form == "pool":
        return 0
    return local_shape(recipe).side


def check(recipe: settings.Recipe) -> None:
    """Refuse settings that would silently do nothing. Raises RecipeError."""
    asked = recipe.train.augment
    moved = [name for name in MOVES if getattr(asked, name)]
    if moved and not map_side(recipe):
        what = "model.modalities: global" if recipe.model.modalities == "global" else "tokens.form: pool"
        raise RecipeError(f"train.augment.{moved[0]}: {what} has no joint maps to move; set it to 0")
    if asked.rotation and recipe.tokens.form == "concat_conv":
        raise RecipeError(
            "train.augment.rotation: tokens.form: concat_conv reads the local map, which is not turned; set it to 0"
        )
    if asked.rotation and recipe.heatmaps.of == "limbs":
        raise RecipeError(
            "train.augment.rotation: heatmaps.of: limbs: a map is turned by moving it, and a limb would keep its "
            "direction; set it to 0"
        )
    if asked.joint_dropout and recipe.model.modalities == "global":
        raise RecipeError("train.augment.joint_dropout: model.modalities: global has no joints to drop; set it to 0")


def augment(
    batch: Batch,
    asked: settings.AugmentSettings,
    side: int,
    random: np.random.Generator,
    size: int,
    picks: np.ndarray,
    blank: Tensor | None = None,
) -> Batch:
    """The batch with its maps moved and tokens dropped; labels are left alone.

    Numbers are drawn for `size` clips, of which this batch is those at `picks`. side: cells of a map, see `map_side`.
    blank: (c) what a dropped token of the global grid holds; zeros by default.
    The global grid keeps its place: a shift of a few per cent is below its cell, and views cached with
    `backbone.jitter_*` move it truly.
    """
    changed = dict(batch)
    joint = "joint_map" if "joint_map" in batch else "joint_heatmap"
    if joint in batch and side and any(getattr(asked, name) for name in MOVES):
        changed |= _move(changed, asked, side, random, size, picks)
    if joint in batch and asked.joint_dropout:
        n = batch[joint].shape[2]
        keep = random.random((size, 1, n))[picks] >= asked.joint_dropout
        changed[joint] = _masked(changed[joint], keep)
    if asked.token_dropout:
        for name in ("global_grid", joint):
            if name in batch:
                grid, shape = name == "global_grid", changed[name].shape
                tokens = (shape[1], 1, *shape[3:]) if grid else tuple(shape[1:3])  # cells (t, 1, y, x) or joints (t, n)
                keep = random.random((size, *tokens))[picks] >= asked.token_dropout
                filled = blank[:, None, None] if grid and blank is not None else None
                changed[name] = _masked(changed[name], keep, filled)
    return changed


def _masked(tensor: Tensor, keep: np.ndarray, blank: Tensor | None = None) -> Tensor:
    """The tensor where `keep`, whose axes are its first ones or 1, else zero, or `blank`."""
    kept = to_device(keep, tensor.device).reshape(*keep.shape, *(1,) * (tensor.ndim - keep.ndim))
    if blank is None:
        return tensor * kept.to(tensor.dtype)
    return torch.where(kept, tensor, blank.to(tensor.device, tensor.dtype))


def _move(
    batch: Batch, asked: settings.AugmentSettings, side: int, random: np.random.Generator, size: int, picks: np.ndarray
) -> Batch:
    """Shift, scale and stretch each clip's maps as one, and move each joint's by its own jitter."""
    name = "joint_map" if "joint_map" in batch else "joint_heatmap"
    t, n = batch[name].shape[1:3]
    zoom = 1 + asked.scale * random.uniform(-1, 1, (size, 1, 1, 1))[picks]
    if asked.stretch:
        zoom = zoom * np.sqrt(1 + asked.stretch * random.uniform(-1, 1, (size, 1, 1, 1))[picks]) ** (1, -1)
    shift = asked.shift * side * random.uniform(-1, 1, (size, 1, 1, 2))[picks]
    jitter = (
        asked.joint_jitter * random.standard_normal((size, t, n, 2) if asked.joint_jitter else (size, 1, 1, 2))[picks]
    )
    angle = np.radians(asked.rotation) * random.uniform(-1, 1, (size, 1, 1, 1))[picks] if asked.rotation else None
    # the weights are made where the maps lie: with jitter they are larger than the maps
    zooms, own, common = (
        to_device(drawn.astype(np.float32), batch[name].device) for drawn in (zoom, shift + jitter, shift)
    )
    if angle is not None:
        own = own + zooms * turned(_maps(batch[name], side), to_device(angle.astype(np.float32), own.device))
    moved = {name: _resample(batch[name], resampling(zooms, own, side), side)}
    if "local_map" in batch:  # the joints of concat_conv weigh this map, so it moves with them, without the jitter
        moved["local_map"] = _resample(batch["local_map"], resampling(zooms, common, side), side)
    return moved


def turned(maps: Tensor, angle: Tensor) -> Tensor:
    """How far the joints of maps (b, t, n, y, x) go when the picture is turned about its centre: (b, t, n, 2) cells.

    angle: (b, 1, 1, 1) radians, clockwise in a picture whose y goes down. A turned Gaussian is the same Gaussian
    elsewhere, so a joint's map need not be turned but moved. Where a joint is, is its map's centre of mass.
    """
    cells = torch.arange(maps.shape[-1], dtype=torch.float32, device=maps.device) - (maps.shape[-1] - 1) / 2
    wide = maps.float()
    mass = wide.sum((-2, -1)).clamp(min=1e-6)
    x, y = (wide.sum(-2) @ cells / mass, wide.sum(-1) @ cells / mass)
    cosine, sine = torch.cos(angle[..., 0]), torch.sin(angle[..., 0])
    return torch.stack([x * (cosine - 1) - y * sine, x * sine + y * (cosine - 1)], -1)


def resampling(zoom: Tensor, shift: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Bilinear interpolation along y and along x, as two matrices (…, side, side): out = Y · map · Xᵀ.

    zoom (…, 1), or (…, 2) for x and y: about the map's centre. shift (…, 2): x and y in cells, to the right and down.
    Cell i of the result takes the map at (i - c - shift) / zoom + c; outside the map there is nothing. No rotation, so
    the two axes are independent and grid_sample's gather becomes two products.
    """
    centre = (side - 1) / 2
    cells = torch.arange(side, dtype=shift.dtype, device=shift.device)
    source = (cells - centre - shift[..., None]) / zoom[..., None] + centre
    weight = (
        (source[..., None] - cells).abs_().neg_().add_(1).clamp_(min=0).float()
    )  # large: one tensor, changed in place
    return weight[..., 1, :, :], weight[..., 0, :, :]


def _resample(tensor: Tensor, weights: tuple[Tensor, Tensor], side: int) -> Tensor:
    """Move the maps of a tensor (b, t, n, …): its last two axes, or the last side² of its last axis."""
    down, across = weights
    moved = torch.matmul(torch.matmul(down, _maps(tensor, side).float()), across.mT).to(tensor.dtype)
    if tensor.shape[-2:] == (side, side):
        return moved
    return torch.cat([tensor[..., : -side * side], moved.flatten(-2)], -1)


def _maps(tensor: Tensor, side: int) -> Tensor:
    """The maps (b, t, n, y, x) of a tensor whose last two axes they are, or the last side² of its last axis."""
    return tensor if tensor.shape[-2:] == (side, side) else tensor[..., -side * side :].unflatten(-1, (side, side))


def mixup(batch: Batch, targets: Tensor, partners: np.ndarray, share: float) -> tuple[Batch, Tensor]:
    """Blend the first clips and their targets with their partners (Zhang et al. 2018); only they are returned.

    targets: (b + o, k) class probabilities. partners: (b) int, places in the batch. share: of the clip itself.
    Arrays and targets are blended, "label" and "clip" stay.
    """
    own, chosen = len(partners), to_device(partners, targets.device)
    blended = {
        name: tensor[:own].lerp(tensor[chosen], 1 - share) if tensor.is_floating_point() else tensor[:own]
        for name, tensor in batch.items()
    }
    return blended, targets[:own].lerp(targets[chosen], 1 - share)

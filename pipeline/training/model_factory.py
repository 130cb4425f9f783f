"""The recipe's network: its numbers come from the recipe's model and from what the cached arrays look like."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ...errors import MachineError, UsageError
from ...stages.backbone.weights import build
from ...stages.end_to_end import EndToEnd
from ...stages.pose_head import PoseHead
from ...stages.transformer import STARTransformer
from ..planning.array_shapes import local_shape
from ..planning.inputs import STAGE_OF
from ..recipe import schema as settings
from ..utils.text import amount
from . import checkpoint
from .dataset import Batch
from .memory_budget import free_memory
from .optimizer import copies_of_weights

Shapes = Mapping[str, tuple[int, ...]]


def arguments(recipe: settings.Recipe, shapes: Shapes, classes: int) -> dict[str, Any]:
    """The keyword arguments of STARTransformer, as plain JSON; shapes: array -> the shape of one clip's.

    Frames, joints, channels and cells are those of the arrays; only what the recipe decides is taken from it.
    """
    own = recipe.model.model_dump(mode="json", exclude={"pose_head"})  # which stands before it
    found: dict[str, Any] = {"classes": classes, "joints": 1, **own}
    if "global_grid" in shapes:
        t, c, y, x = shapes["global_grid"]
        found |= {"frames": t, "grid_channels": c, "grid_cells": y * x}
    if "joint_map" in shapes:
        t, n, c = shapes["joint_map"]
        found |= {"frames": t, "joints": n, "joint_channels": c}
        if recipe.tokens.form == "pool_map":
            found["pooled_channels"] = c - local_shape(recipe).side ** 2
    if "local_map" in shapes:
        found |= {"frames": shapes["local_map"][0], "local_channels": shapes["local_map"][1]}
        found |= {"joints": shapes["joint_heatmap"][1], "concat_conv": True}
    elif "joint_heatmap" in shapes:
        t, n, y, x = shapes["joint_heatmap"]
        found |= {"frames": t, "joints": n, "joint_channels": y * x, "heatmaps": True}
    return found


def require_memory(arguments: Mapping[str, Any], train: settings.TrainSettings, device: torch.device) -> None:
    """Refuse a network that this machine cannot train, before it is built: weights, gradients and optimizer alone.

    Raises MachineError, and UsageError for arguments that do not go together.
    """
    try:
        with torch.device("meta"):  # takes no memory
            count = sum(parameter.numel() for parameter in STARTransformer(**arguments).parameters())
    except RuntimeError:  # more bytes than a whole number holds
        count = 1 << 62
    needed = 4 * count * copies_of_weights(train)
    free = free_memory(device)
    if needed > free:
        raise MachineError(
            f"model: {count:,} parameters take {amount(needed)} to train, and {device.type} has {amount(free)} free; "
            "lower model.width or its layers"
        )


def inputs(batch: Batch) -> dict[str, Tensor]:
    """What the network takes of a batch: its cached arrays, by name."""
    return {name: batch[name] for name in STAGE_OF if name in batch}


Network: TypeAlias = STARTransformer | EndToEnd


def load(run: Path, which: str, device: torch.device | str = "cpu") -> tuple[Network, dict[str, Any]]:
    """The trained network of a run, ready to judge, and the note that was saved with it.

    which: "best" or "last". The note has "network" (arguments), "classes", "arrays", "epoch" and the epoch's scores;
    of a run of `star finetune` also "backbone".
    Raises UsageError where there is no such checkpoint, WeightsError where it is not of the network it names.
    """
    path = run / which / "weights.safetensors"
    weights, note = checkpoint.read(path, checkpoint.NETWORK)
    if lacking := [name for name in note["arrays"] if name not in note["keys"]]:
        raise UsageError(f"{path}: its note names no key for {lacking[0]}; delete it, or train again")
    layers = [note["network"].get(name, 0) for name in ("encoder_layers", "decoder_layers")]
    try:
        if note.get("pretrained"):
            raise UsageError(f"{run}: a run of `star pretrain`, which knows no classes; `star train --init {run}` does")
        if sum(layers) > len(weights):
            raise ValueError(f"{sum(layers):,} layers in {len(weights):,} tensors")
        own = checkpoint.under_prefix("transformer.", weights) if "backbone" in note else weights
        with torch.device("meta"):  # takes no memory: a note may ask for more than the file holds
            checkpoint.check(STARTransformer(**note["network"]), own, path)
        network: Network = STARTransformer(**note["network"])
        if "backbone" in note:
            model, size, layers, form = (note["backbone"][name] for name in ("model", "size", "layers", "form"))
            head = note["backbone"].get("pose_head")
            network = EndToEnd(model, layers, form, build(model, size), network, PoseHead(**head) if head else None)
    except (KeyError, TypeError, ValueError, RuntimeError, ArithmeticError) as error:
        raise UsageError(f"{path}: names no network that this star can build ({error})") from None
    checkpoint.put(network, weights, path)
    return network.to(device).eval(), note

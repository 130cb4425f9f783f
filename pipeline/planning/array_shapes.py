"""Recipe -> the shapes of one clip's arrays, before anything is extracted."""

from __future__ import annotations

from ...stages.backbone.network import CHANNELS, STRIDES
from ...stages.tokens import token_channels
from ..recipe.schema import Recipe
from .graph import Graph

Shapes = dict[str, tuple[int, ...]]


def local_side(recipe: Recipe) -> int:
    """Rows, and columns, of a recipe's local and heat maps."""
    return recipe.backbone.size // STRIDES[recipe.backbone.local_layer]


def shapes(recipe: Recipe, nodes: Graph, joints: int) -> Shapes:
    """The big arrays by name, each (T, ...) of 16-bit numbers, and the joints, float32; joints: of one person."""
    backbone, frames, people = nodes["backbone"].stage, recipe.decode.frames, recipe.pose.people
    whole, local = backbone.grid(recipe.backbone.global_layer), backbone.grid(recipe.backbone.local_layer)
    maps = joints * (people if recipe.heatmaps.people == "separate" else 1)
    depth = CHANNELS[recipe.backbone.local_layer]
    found: Shapes = {
        "keypoints": (frames, people, joints, 3),
        "global_grid": (frames, CHANNELS[recipe.backbone.global_layer], whole, whole),
        "local_map": (frames, depth, local, local),
        "joint_heatmap": (frames, maps, local, local),
    }
    if "tokens" in nodes.nodes:
        found["joint_map"] = (frames, maps, token_channels(recipe.tokens.form, depth, local**2))
    return found

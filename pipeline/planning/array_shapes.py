"""Recipe -> the shapes of one clip's arrays, before anything is extracted."""

from __future__ import annotations

from ...cache.schema import ArraySchema
from ...stages.backbone.network import CHANNELS, STRIDES
from ...stages.skeletons import SKELETONS
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


def schema(recipe: Recipe, nodes: Graph, stage: str) -> dict[str, ArraySchema]:
    """What the arrays of a stage must be in every segment of its key.

    All follows from the settings but the number of joints, and that too where these name a layout.
    """
    layers = {"global_grid": recipe.backbone.global_layer, "local_map": recipe.backbone.local_layer}
    found = {}
    for name, array in nodes[stage].arrays.items():
        lengths = {"t": recipe.decode.frames, "wh": 2, "people": recipe.pose.people, "xyscore": 3}
        if layout := SKELETONS.get(recipe.pose.layout):
            lengths["joint"] = len(layout.joints)
            lengths["n"] = len(layout.joints) * (recipe.pose.people if recipe.heatmaps.people == "separate" else 1)
        if name in layers:
            lengths["c"] = CHANNELS[layers[name]]
            lengths["y"] = lengths["x"] = nodes["backbone"].stage.grid(layers[name])
        elif name == "joint_heatmap":
            lengths["y"] = lengths["x"] = local_side(recipe)
        elif name == "joint_map":
            depth, cells = CHANNELS[recipe.backbone.local_layer], local_side(recipe) ** 2
            lengths["c"] = token_channels(recipe.tokens.form, depth, cells)
        shape = tuple(lengths.get(axis) for axis in array.axes.split())
        found[name] = ArraySchema(array.dtype, array.attributes()["axes"], array.units, shape)
    return found

"""Recipe -> the shapes of one clip's arrays, before anything is extracted."""

from __future__ import annotations

from ...cache.schema import ArraySchema
from ...stages.backbone.architectures import LayerShape
from ...stages.backbone.layer_shapes import layer_shape
from ...stages.skeletons import SKELETONS
from ...stages.tokens import token_channels
from ..recipe.schema import Recipe
from .stage_graph import Graph

Shapes = dict[str, tuple[int, ...]]


def local_shape(recipe: Recipe) -> LayerShape:
    """Channels of a recipe's local maps; rows, and columns, of these and of its heat maps."""
    settings = recipe.backbone
    return layer_shape(settings.model, settings.local_layer, settings.size, "backbone.local_layer")


def shapes(recipe: Recipe, nodes: Graph, joints: int) -> Shapes:
    """The big arrays by name, each (T, ...) of 16-bit numbers, and the joints, float32; joints: of one person."""
    backbone, frames, people = nodes["backbone"].stage, recipe.decode.frames, recipe.pose.people
    whole, local = backbone.shape("global_grid"), backbone.shape("local_map")
    maps = nodes["heatmaps"].stage.maps(joints, people)
    found: Shapes = {
        "keypoints": (frames, people, joints, 3),
        "global_grid": (frames, whole.channels, whole.side, whole.side),
        "local_map": (frames, local.channels, local.side, local.side),
        "joint_heatmap": (frames, maps, local.side, local.side),
    }
    if "tokens" in nodes.nodes:
        found["joint_map"] = (frames, maps, token_channels(recipe.tokens.form, local.channels, local.side**2))
    return found


def schema(recipe: Recipe, nodes: Graph, stage: str) -> dict[str, ArraySchema]:
    """What the arrays of a stage must be in every segment of its key.

    All follows from the settings but the number of joints, and that too where these name a layout.
    """
    backbone, found = nodes["backbone"].stage, {}
    for name, array in nodes[stage].arrays.items():
        lengths = {"t": recipe.decode.frames, "wh": 2, "people": recipe.pose.people, "xyscore": 3, "rgb": 3}
        if layout := SKELETONS.get(recipe.pose.layout):
            lengths["joint"] = len(layout.joints)
            lengths["n"] = nodes["heatmaps"].stage.maps(len(layout.joints), recipe.pose.people)
        if name in backbone.layers:
            shape = backbone.shape(name)
            lengths |= {"c": shape.channels, "y": shape.side, "x": shape.side}
        elif name == "frames":
            lengths["y"] = lengths["x"] = backbone.size
        elif name == "joint_heatmap":
            lengths["y"] = lengths["x"] = backbone.shape("local_map").side
        elif name == "joint_map":
            local = backbone.shape("local_map")
            lengths["c"] = token_channels(recipe.tokens.form, local.channels, local.side**2)
        known = tuple(lengths.get(axis) for axis in array.axes.split())
        found[name] = ArraySchema(array.dtype, array.attributes()["axes"], array.units, known)
    return found

"""`star export`: a run's network as an ONNX file that says itself what it takes and what its outputs mean.

The file's metadata: `classes`, a JSON list in the order of the scores, and `preprocessing`, a JSON object: how frames
are chosen, what the joints are, how crops, heat maps and tokens are made, the shapes of the inputs.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ...cache import atomic
from ...errors import DatasetError, StarError, UsageError
from ...stages.end_to_end import EndToEnd
from ...stages.onnx_modules import OUTPUTS, FeaturesToScores, JointsToScores
from ...stages.skeletons import Skeleton
from ...stages.transformer import STARTransformer
from ...version import __version__
from ..planning.array_shapes import local_shape
from ..planning.array_shapes import shapes as array_shapes
from ..planning.joint_layout import KNOWN, held, limbs
from ..planning.manifest import open_manifest
from ..planning.stage_graph import graph
from ..recipe import schema as recipes
from ..recipe.schema import Recipe
from ..training.model_factory import load


def export(run: Path, path: Path, beginning: str = "tokens") -> dict[str, Any]:
    """Write the network of a run that its recipe judges as one ONNX file.

    beginning: what the file takes: "tokens", the cached arrays that the network was trained on; "features", the
    backbone's arrays and joint heat maps; "joints", joints in pixels in place of the heat maps. Returns the file's
    path, its inputs by name with the shapes of one clip's, the classes, the outputs' names. Raises UsageError where the
    run has no checkpoint or takes no joints, MissingPackage without the extra `star[onnx]`, StorageError where it
    cannot be written.
    """
    from ...stages.onnx_export import export_onnx, write_onnx

    recipe = recipes.load(run / "recipe.yaml")
    network, note = load(run, recipe.test.checkpoint)
    if isinstance(network, EndToEnd):
        raise UsageError(f"{run}: a run of `star finetune`, with a backbone; only runs of `star train` are exported")
    example = _example(recipe, network, beginning)
    shapes = {name: list(array.shape[1:]) for name, array in example.items()}
    notes = {"preprocessing": json.dumps({"inputs": shapes, **preprocessing(recipe, beginning)})}
    with atomic.reporting(path):
        if beginning == "tokens":
            export_onnx(network, path, map_size=local_shape(recipe).side, classes=note["classes"], properties=notes)
        else:
            module = _module(recipe, network, beginning)
            write_onnx(module, example, OUTPUTS, path, {"classes": json.dumps(note["classes"]), **notes})
    outputs = ("logits",) if beginning == "tokens" else OUTPUTS
    return {"onnx": str(path), "classes": note["classes"], "inputs": shapes, "outputs": outputs}


def preprocessing(recipe: Recipe, beginning: str = "tokens") -> dict[str, Any]:
    """What is done before the file's inputs, and in it, in the words of the recipe."""
    skeleton = _skeleton(recipe)
    layout = {"name": skeleton.name, "joints": list(skeleton.joints)} if skeleton else None
    heatmaps = graph(recipe)["heatmaps"].stage
    backbone = recipe.backbone
    return {
        "star": __version__,
        "begins_with": beginning,
        "frames": {"count": recipe.decode.frames, "sampling": recipe.decode.sampling},
        "joints": {"layout": layout, "people": recipe.pose.people, "unit": "px, pixel centres at whole numbers"},
        "crop": asdict(heatmaps.crop),
        "heatmaps": {
            "size": heatmaps.grid, "sigma": heatmaps.sigma, "score_floor": heatmaps.score_floor,
            "people": heatmaps.people, "limbs": [list(limb) for limb in heatmaps.limbs] or None,
        },
        "tokens": {"form": recipe.tokens.form},
        "backbone": {
            "model": backbone.model, "weights": backbone.weights, "size": backbone.size,
            "global_layer": backbone.global_layer, "local_layer": backbone.local_layer,
        },
    }  # fmt: skip


def _module(recipe: Recipe, network: STARTransformer, beginning: str) -> FeaturesToScores | JointsToScores:
    if beginning == "features":
        return FeaturesToScores(network, recipe.tokens.form)
    return JointsToScores(network, recipe.tokens.form, graph(recipe)["heatmaps"].stage)


def _example(recipe: Recipe, network: STARTransformer, beginning: str) -> dict[str, torch.Tensor]:
    """The file's inputs for two clips: zeros of their shapes."""
    side, known = local_shape(recipe).side, network.example(2, local_shape(recipe).side)
    if beginning == "tokens":
        return known
    if not {"joint_map", "joint_heatmap"} & set(known):
        raise UsageError(f"export --from {beginning}: this network takes no joints; leave it out")
    taken = known.get("joint_map", known.get("joint_heatmap"))
    assert taken is not None
    frames, maps = taken.shape[1], taken.shape[2]
    found = {"joint_heatmap": torch.zeros(2, frames, maps, side, side)}
    found |= {name: known[name] for name in ("global_grid", "local_map") if name in known}
    module = _module(recipe, network, beginning)
    if "local_map" in module.inputs and "local_map" not in found:
        found["local_map"] = torch.zeros(2, *array_shapes(recipe, graph(recipe), maps)["local_map"])
    people = recipe.pose.people
    joints = maps // people if recipe.heatmaps.people == "separate" else maps
    if limbs(recipe) and (skeleton := _skeleton(recipe)):
        joints = len(skeleton.joints)
    found["keypoints"] = torch.zeros(2, frames, people, joints, 3)
    found["frame_size"] = torch.full((2, 2), 224.0)
    return {name: found[name] for name in module.inputs}


def _skeleton(recipe: Recipe) -> Skeleton | None:
    """The layout of the joints; None where it is not known on this machine."""
    annotated = KNOWN.get(recipe.dataset.kind)
    if annotated is None and recipe.pose.source == "annotations":
        try:
            annotated = open_manifest(recipe.dataset, recipe.cache.root)[0].skeleton
        except DatasetError:
            return None
        if annotated is None and recipe.pose.layout == "own":
            return None
    try:
        return held(recipe, annotated)
    except StarError:
        return None

"""Recipe -> the stages with their keys: who takes what from whom, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ...cache.keys import stage_key
from ...errors import WeightsError
from ...stages.backbone.architectures import is_custom, weights_in_key
from ...stages.backbone.stage import BackboneStage
from ...stages.base import Array, Stage
from ...stages.decode import DecodeStage
from ...stages.frames import FramesStage
from ...stages.heatmaps import HeatmapsStage
from ...stages.pose.stage import PoseStage
from ...stages.tokens import TokensStage
from ...stages.weights import sha256
from ..recipe.schema import WORDS, Recipe
from .joint_layout import limbs


@dataclass(frozen=True)
class Node:
    """One stage of one recipe.

    takes: the stages whose cached arrays (or whose frames) it needs. annotated: whether its rows depend on the data
    set's annotation as well as on the video's bytes. arrays: those of the stage's arrays that are stored. spares: a
    stage whose rows, where they are cached, spare it the videos; its own rows are the same either way, so that this is
    in no key.
    """

    stage: Any
    key: str
    takes: tuple[str, ...]
    annotated: bool
    upstream: Mapping[str, str]
    arrays: Mapping[str, Array]
    spares: tuple[str, ...] = ()

    def description(self) -> dict[str, Any]:
        """What the key stands for, in plain words, for stage.json."""
        stage: Stage = self.stage
        return {
            "stage": stage.name,
            "version": stage.version,
            "settings": dict(stage.settings()),
            "upstream": dict(self.upstream),
            "arrays": {name: array.attributes() | {"dtype": array.dtype} for name, array in self.arrays.items()},
        }


@dataclass(frozen=True)
class Graph:
    """The stages that a recipe needs, in the order in which they run."""

    nodes: Mapping[str, Node]

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The stages' names, in graph order."""
        return tuple(self.nodes)

    @property
    def keeps_local_map(self) -> bool:
        """Whether the cache holds what tokens are made of, so that they need no video."""
        return "local_map" in self["backbone"].arrays

    def below(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """The wanted stages and all that they take, in graph order; also what spares them the videos."""
        needed = set(wanted)
        for name in reversed(self.names):
            if name in needed:
                needed.update(self.nodes[name].takes, self.nodes[name].spares)
        return tuple(name for name in self.names if name in needed)


def graph(recipe: Recipe) -> Graph:
    """The stages of a recipe and their keys; reads no video, and a weights file at most once, for its digest."""
    backbone = _backbone(recipe)
    grid, crop = backbone.shape("local_map").side, backbone.cropping
    heatmaps = HeatmapsStage(**_same(HeatmapsStage, recipe.heatmaps), grid=grid, crop=crop, limbs=limbs(recipe))
    own, given = _same(PoseStage, recipe.pose), recipe.pose
    if given.source != "annotations":
        own["checkpoint"] = identity(given.checkpoint, given.checkpoint_sha256, "pose.checkpoint")
        own["detector_weights"] = identity(given.detector_weights, given.detector_sha256, "pose.detector_weights")
    seen = ("decode", "pose") if recipe.backbone.crop == "person" else ("decode",)
    stages: dict[str, tuple[Any, tuple[str, ...]]] = {
        "decode": (DecodeStage(**_same(DecodeStage, recipe.decode)), ()),
        "pose": (PoseStage(**own), ("decode",)),
        "frames": (FramesStage(backbone.size, crop, backbone.jpeg), seen),
        "backbone": (backbone, seen),
        "heatmaps": (heatmaps, ("decode", "pose")),
        "tokens": (TokensStage(form=recipe.tokens.form), ("backbone", "heatmaps")),
    }
    if not stages["tokens"][0].cached:
        del stages["tokens"]
    if recipe.decode.keep != "frames":
        del stages["frames"]
    nodes: dict[str, Node] = {}
    features: dict[str, str] = {}  # what the stages below go by: the same whatever is kept of the backbone's
    for name, (stage, takes) in stages.items():
        upstream = {above: features[above] for above in takes}
        annotated = any(nodes[above].annotated for above in takes) or (name == "pose" and uses_annotation(recipe))
        key = features[name] = stage_key(name, stage.version, stage.settings(), upstream)
        arrays = stage.arrays
        if name == "backbone":
            arrays = backbone.stored
            features[name] = stage_key(name, stage.version, replace(backbone, keep="all").settings(), upstream)
        spares = ("frames",) if name == "backbone" and "frames" in stages else ()
        nodes[name] = Node(stage, key, takes, annotated, upstream, arrays, spares)
    return Graph(nodes)


def uses_annotation(recipe: Recipe) -> bool:
    """Whether joints or boxes come from the annotations of the data set."""
    return recipe.pose.source != "mmpose" or recipe.pose.detector == "annotations"


def _backbone(recipe: Recipe) -> BackboneStage:
    """The backbone's stage, its layers checked. Raises RecipeError."""
    settings = recipe.backbone
    weights = identity(settings.weights, settings.weights_sha256, "backbone.weights")
    fixed: dict[str, Any] = {"crop_seed": recipe.decode.seed, "jpeg": recipe.decode.jpeg}
    fixed["weights"] = weights_in_key(settings.model, weights)
    if is_custom(settings.model):
        from ...stages.backbone.custom import code_digest

        fixed["code"] = code_digest(settings.model)
    stage = BackboneStage(**_same(BackboneStage, settings) | fixed)
    for array in stage.arrays:
        stage.shape(array)  # refuses layers that the network has not
    return stage


def identity(weights: str, digest: str | None, setting: str) -> str:
    """What weights count by in a key: their official name, or their file's sha256 (from the recipe or the file)."""
    if weights in WORDS:
        return weights
    path = Path(weights)
    if path.is_file():
        found = sha256(path)
        if digest and digest != found:
            raise WeightsError(f"{setting}: {path} has sha256 {found}, the recipe says {digest}; give the right file")
        return found
    if digest:
        return digest
    raise WeightsError(f"{setting}: no file {path}; give a file, or one of {', '.join(sorted(WORDS))}")


def weights_file(weights: str) -> Path | None:
    """The file that a weights setting names; None for official or random ones."""
    return None if weights in WORDS else Path(weights)


def _same(stage: type, section: Any) -> dict[str, Any]:
    """The section's values for the stage's fields of the same name."""
    values = section.model_dump()
    return {name: values[name] for name in stage.__dataclass_fields__ if name in values}

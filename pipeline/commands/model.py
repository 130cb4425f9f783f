"""`star model`: the network that a recipe asks for, by module, and what training it takes; without a cache or a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import ceil, prod
from typing import Any

import torch

from ...stages.backbone.layer_shapes import LayerShape, parameter_count
from ...stages.pose_head import PoseHead
from ...stages.transformer import STARTransformer
from ...stages.transformer.flops import ModuleCost, activation_bytes, cost_table, module_costs
from ..planning.array_shapes import shapes
from ..planning.gpu_estimate import CARD, backbone_flops, training_seconds
from ..planning.inputs import arrays_for, stages_for_training
from ..planning.joint_layout import held
from ..planning.manifest import open_manifest
from ..planning.stage_graph import Graph, graph
from ..planning.train_test_selection import require_labels
from ..recipe.schema import Recipe
from ..training.model_factory import arguments
from ..training.optimizer import copies_of_weights
from ..utils.text import amount, clock


@dataclass(frozen=True)
class TrainingCost:
    """What a recipe's training takes; of a GPU: estimated for the card that `gpu` names."""

    videos: int
    steps: int
    flops_per_step: int
    memory_bytes: int
    feature_bytes: int
    gpu: str
    gpu_seconds: float


@dataclass(frozen=True)
class Backbone:
    """The network that makes the features which training reads.

    model, weights, size: as in the recipe, px. layers: array -> the layer behind it, and its shape of one frame.
    parameters, flops: as far as the last of these layers, of one clip (2 × multiply-adds).
    trained: whether it is, as with a pose head, rather than run once.
    """

    model: str
    weights: str
    size: int
    layers: Mapping[str, tuple[str, LayerShape]]
    parameters: int
    flops: float
    trained: bool

    @classmethod
    def of(cls, recipe: Recipe, stages: Graph) -> Backbone | None:
        """A recipe's backbone; None where training reads nothing of it."""
        trained = recipe.model.pose_head  # which star finetune alone takes
        if "backbone" not in stages.below(stages_for_training(recipe)) and not trained:
            return None
        settings, stage = recipe.backbone, stages["backbone"].stage
        layers = {array: (layer, stage.shape(array)) for array, layer in stage.layers.items()}
        count = parameter_count(settings.model, tuple(stage.layers.values()), settings.size)
        flops = backbone_flops(settings, recipe.decode.frames)
        return cls(settings.model, settings.weights, settings.size, layers, count, flops, trained)

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        layers = {array: {"layer": layer, **shape._asdict()} for array, (layer, shape) in self.layers.items()}
        return asdict(self) | {"layers": layers}

    def __str__(self) -> str:
        layers = ", ".join(
            f"{array} {layer} ({shape.channels}×{shape.side}×{shape.side})"
            for array, (layer, shape) in self.layers.items()
        )
        return (
            f"{self.model}, weights {self.weights}, {self.size} px; of a frame: {layers}; {self.parameters:,} "
            f"parameters, {self.flops / 1e9:.3g} GFLOP a clip; "
            f"{'trained too' if self.trained else 'computed once, not trained'}"
        )


@dataclass(frozen=True)
class Model:
    """A recipe's network: the shapes of what it takes of one clip, its backbone (None without), its modules with their
    costs, its training."""

    arrays: Mapping[str, tuple[int, ...]]
    classes: int
    backbone: Backbone | None
    modules: tuple[ModuleCost, ...]
    training: TrainingCost
    exit_code: int = 0

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "arrays": dict(self.arrays),
            "classes": self.classes,
            "backbone": self.backbone and self.backbone.to_document(),
            "modules": [row._asdict() for row in self.modules],
            "training": asdict(self.training),
        }

    def to_lines(self) -> list[str]:
        """As a table for a person."""
        arrays = ", ".join(f"{name} {'×'.join(map(str, shape))}" for name, shape in self.arrays.items())
        training = self.training
        return [
            f"backbone: {self.backbone or 'none; joints alone are read'}",
            f"of one clip: {arrays}; {self.classes} classes",
            cost_table(list(self.modules)),
            f"training: {training.videos:,} videos, {training.steps:,} steps of "
            f"{training.flops_per_step / 1e12:.2f} TFLOP, in {amount(training.memory_bytes)} of the device's memory; "
            f"features {amount(training.feature_bytes)}",
            f"on {training.gpu} it would take about {clock(training.gpu_seconds)}, features preloaded",
        ]


def run_model(recipe: Recipe) -> Model:
    """Parameters and FLOPs of a clip's forward pass, module by module, see `transformer.flops`; and, under "training",
    what the recipe's training takes: steps, FLOPs, bytes of memory, seconds on a GPU (estimated).

    Asks the data set for its classes and joints. Raises DatasetError where it is neither there nor remembered.
    """
    listed, _, _ = open_manifest(recipe.dataset, recipe.cache.root)
    require_labels(listed)
    stages = graph(recipe)
    known = shapes(recipe, stages, len(held(recipe, listed.skeleton).joints))
    taken = {name: known[name] for name in arrays_for(recipe.model, recipe.tokens.form)}
    with torch.device("meta"):  # takes no memory, however large it is
        network = STARTransformer(**arguments(recipe, taken, len(listed.classes)))
        head = PoseHead(known["local_map"][1], known["joint_heatmap"][1]) if recipe.model.pose_head else None
    modules, settings = module_costs(network), recipe.train
    if head is not None:
        frames, _, side, _ = known["local_map"]
        own = ModuleCost("pose_head", sum(weight.numel() for weight in head.parameters()), head.flops(frames, side), 0)
        *parts, (name, parameters, flops, attention) = modules
        modules = [own, *parts, ModuleCost(name, parameters + own.parameters, flops + own.flops, attention)]
    videos = sum(video.split == "train" for video in listed.videos)  # each once an epoch
    clip = 2 * sum(map(prod, taken.values()))  # bytes
    steps = settings.epochs * ceil(videos / settings.batch)
    flops = 3 * settings.batch * modules[-1].flops
    weights = 4 * copies_of_weights(settings) * modules[-1].parameters
    seconds = training_seconds(recipe.model, steps=steps, flops=flops, compiled=settings.compile)
    training = TrainingCost(
        videos=videos,
        steps=steps,
        flops_per_step=flops,
        memory_bytes=weights + settings.batch * (activation_bytes(network) + clip),
        feature_bytes=videos * recipe.decode.views.train * clip,
        gpu=CARD,
        gpu_seconds=round(seconds, 1),
    )
    return Model(taken, len(listed.classes), Backbone.of(recipe, stages), tuple(modules), training)

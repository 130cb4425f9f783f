"""`star model`: the network that a recipe asks for, by module, and what training it takes; without a cache or a GPU."""

from __future__ import annotations

from math import ceil, prod
from typing import Any

from ...stages.transformer import STARTransformer
from ...stages.transformer.flops import ModuleCost, activation_bytes, cost_table, module_costs
from ..planning.array_shapes import shapes
from ..planning.gpu_estimate import CARD, training_seconds
from ..planning.graph import graph
from ..planning.inputs import arrays_for
from ..planning.joint_layout import held
from ..planning.manifest import open_manifest
from ..recipe.schema import Recipe
from ..training.model_factory import arguments
from ..utils.text import amount, clock

STATE = {"sgd": 1, "adamw": 2}  # numbers that an optimizer keeps of each parameter


def design(recipe: Recipe) -> dict[str, Any]:
    """Parameters and FLOPs of a clip's forward pass, module by module, see `transformer.flops`; and, under "training",
    what the recipe's training takes: steps, FLOPs, bytes of memory, seconds on a GPU (estimated).

    Asks the data set for its classes and joints. Raises DatasetError where it is neither there nor remembered.
    """
    listed, _, _ = open_manifest(recipe.dataset, recipe.cache.root)
    known = shapes(recipe, graph(recipe), len(held(recipe, listed.skeleton).joints))
    taken = {name: known[name] for name in arrays_for(recipe.model, recipe.tokens.form)}
    network = STARTransformer(**arguments(recipe, taken, len(listed.classes)))
    modules = module_costs(network)
    train = sum(video.split == "train" for video in listed.videos)
    return {
        "arrays": taken,
        "classes": len(listed.classes),
        "modules": [row._asdict() for row in modules],
        "training": _training(recipe, network, modules[-1], train, 2 * sum(map(prod, taken.values()))),
    }


def _training(recipe: Recipe, network: STARTransformer, total: ModuleCost, videos: int, clip: int) -> dict[str, Any]:
    """What `star train` takes of a GPU. videos: for training, each once an epoch. clip: bytes of its arrays."""
    settings = recipe.train
    steps = settings.epochs * ceil(videos / settings.batch)
    flops = 3 * settings.batch * total.flops
    copies = 2 + STATE[settings.optimizer] + (settings.ema > 0)  # weights, gradients, …, float32
    seconds = training_seconds(recipe.model, steps=steps, flops=flops, compiled=settings.compile)
    return {
        "videos": videos,
        "steps": steps,
        "flops_per_step": flops,
        "memory_bytes": 4 * copies * total.parameters + settings.batch * (activation_bytes(network) + clip),
        "feature_bytes": videos * recipe.decode.views.train * clip,
        "gpu": CARD,
        "gpu_seconds": round(seconds, 1),
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The table for a person."""
    arrays = ", ".join(f"{name} {'×'.join(map(str, shape))}" for name, shape in found["arrays"].items())
    training = found["training"]
    return [
        f"of one clip: {arrays}; {found['classes']} classes",
        cost_table([ModuleCost(**row) for row in found["modules"]]),
        f"training: {training['videos']:,} videos, {training['steps']:,} steps of "
        f"{training['flops_per_step'] / 1e12:.2f} TFLOP, in {amount(training['memory_bytes'])} of the device's memory; "
        f"features {amount(training['feature_bytes'])}",
        f"on {CARD} it would take about {clock(training['gpu_seconds'])}, features preloaded",
    ]

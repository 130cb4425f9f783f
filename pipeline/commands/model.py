"""`star model`: the network that a recipe asks for, by module, without a cache or a GPU."""

from __future__ import annotations

from typing import Any

from ...stages.transformer import STARTransformer
from ...stages.transformer.flops import ModuleCost, cost_table, module_costs
from ..planning.array_shapes import shapes
from ..planning.graph import graph
from ..planning.inputs import arrays_for
from ..planning.joint_layout import held
from ..planning.manifest import open_catalogue
from ..recipe.schema import Recipe
from ..training.model_factory import arguments


def design(recipe: Recipe) -> dict[str, Any]:
    """Parameters and FLOPs of a clip's forward pass, module by module; see `transformer.flops`.

    Asks the data set for its classes and joints. Raises DatasetError where it is neither there nor remembered.
    """
    listed, _, _ = open_catalogue(recipe.dataset, recipe.cache.root)
    known = shapes(recipe, graph(recipe), len(held(recipe, listed.skeleton).joints))
    taken = {name: known[name] for name in arrays_for(recipe.model, recipe.tokens.form)}
    network = STARTransformer(**arguments(recipe.model, taken, len(listed.classes)))
    return {
        "arrays": taken,
        "classes": len(listed.classes),
        "modules": [row._asdict() for row in module_costs(network)],
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The table for a person."""
    arrays = ", ".join(f"{name} {'×'.join(map(str, shape))}" for name, shape in found["arrays"].items())
    return [
        f"of one clip: {arrays}; {found['classes']} classes",
        cost_table([ModuleCost(**row) for row in found["modules"]]),
    ]

"""The keys of the ready recipes: what everybody's caches lie under."""

from pathlib import Path

import pytest

from star.pipeline.planning.stage_graph import graph
from star.pipeline.recipe import schema as recipes
from star.pipeline.recipe.presets import ready

KEYS = {
    "paper": {
        "decode": "33ac4078d9f4f9f374f69b46f858c330",
        "pose": "60b42212648e2df3f5b0a0605e64226f",
        "backbone": "94c8b78b7029edf32e1e87ffcb965b70",
        "heatmaps": "8c911110153e019ff7799e010c6fdfa1",
        "tokens": "526e649f908d38b817e738589b629cff",
    },
    "fast": {
        "decode": "33ac4078d9f4f9f374f69b46f858c330",
        "pose": "60b42212648e2df3f5b0a0605e64226f",
        "backbone": "09a7b00ee747ae52f201664660a24e81",
        "heatmaps": "52951149c37e15566b3e1f42f6dea962",
        "tokens": "41a2d9e2ff8ba7e743c1c311c25afa96",
    },
}


@pytest.mark.parametrize("preset", KEYS)
def test_the_ready_recipes_keep_their_keys(preset: str) -> None:
    """A change here makes every cache of mc3_18 features worthless: then the stage's `version` must say so."""
    recipe = recipes.parse(ready("penn-action", Path("/data"), Path("/cache"), preset))
    nodes = graph(recipe)
    assert {name: nodes[name].key for name in nodes.names} == KEYS[preset]

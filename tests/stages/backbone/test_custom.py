"""A backbone of one's own: the contract of docs/backbones.md, tried by writing one."""

import numpy as np
import pytest
import torch

from star.errors import RecipeError
from star.pipeline.extraction.execution import ExecutionConfig
from star.pipeline.extraction.runner import extract
from star.pipeline.planning.plan import plan
from star.pipeline.planning.stage_graph import graph
from star.pipeline.planning.status import status
from star.pipeline.recipe import schema as recipes
from star.stages.backbone.layer_shapes import layer_shape
from star.stages.backbone.stage import BackboneNetwork, BackboneStage
from star.stages.weights import sha256

SOURCE = '''
from torch import nn


class Pyramid(nn.Module):
    """Two convolutions, frame by frame."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 4, stride=4)
        self.second = nn.Conv2d(6, 10, 2, stride=2)

    def forward(self, clips):
        frames = clips.flatten(0, 1)
        middle = self.first(frames).relu()
        last = self.second(middle).relu()
        return {name: maps.unflatten(0, clips.shape[:2]) for name, maps in (("middle", middle), ("last", last))}


def pyramid(size):
    return Pyramid()


def nothing(size):
    return None


def broken(size):
    raise ValueError("no such size")


class Flat(nn.Module):
    def forward(self, clips):
        return {"last": clips.mean((3, 4))}


def flat(size):
    return Flat()


number = 3
'''
FRAMES = 2


@pytest.fixture
def own(tmp_path, monkeypatch, request):
    """A module of one's own on the path: a name that no other test has, and its file."""
    name = f"own_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    return name, tmp_path / f"{name}.py"


def overrides(name, *more):
    return (
        f"backbone.model={name}:pyramid", "backbone.global_layer=last", "backbone.local_layer=middle", *more,
    )  # fmt: skip


def test_from_recipe_to_cache(own, small):
    """Extracted beside mc3_18's rows; channels, cells, heat maps and costs follow from the network."""
    recipe = recipes.load(small, overrides(own[0], "backbone.weights=default"))
    before = status(plan(recipe))
    assert before.cost.backbone is not None
    assert before.cost.backbone.flops_per_clip == 16 * 2 * (64 * 6 * 3 * 16 + 16 * 10 * 6 * 4)
    extract(recipe, execution=ExecutionConfig(workers=1), quiet=True)
    planned = plan(recipe)
    assert planned.missing == 0
    clip = next(iter(planned.stages["backbone"].places))
    grid, local = (planned.stages["backbone"].read([clip], name)[0] for name in ("global_grid", "local_map"))
    assert (grid.shape, local.shape) == ((16, 10, 4, 4), (16, 6, 8, 8))
    assert local.std() > 0
    assert not [stage for stage in status(plan(recipes.load(small))).stages if stage.missing]


def test_the_key_holds_the_code(own, small):
    """Another line in its file is another key; seeds count for random weights alone."""
    name, file = own
    before = graph(recipes.load(small, overrides(name)))["backbone"]
    assert before.stage.settings()["code"] == sha256(file)
    file.write_text(SOURCE + "# more\n")
    assert graph(recipes.load(small, overrides(name)))["backbone"].key != before.key
    default = overrides(name, "backbone.weights=default")
    assert graph(recipes.load(small, (*default, "backbone.seed=1")))["backbone"].key == (
        graph(recipes.load(small, default))["backbone"].key
    )


def test_pixels_come_as_they_are_and_weights_are_seeded(own):
    """RGB in [0, 1]; `default` is what the function draws, from a seed that star sets, `random` star's own draw."""
    model = f"{own[0]}:pyramid"
    frames = np.random.default_rng(0).integers(0, 256, (1, FRAMES, 32, 32, 3), np.uint8)
    settings = {"model": model, "size": 32, "global_layer": "last", "local_layer": "middle", "precision": "float32"}
    found = {}
    for weights, seed in (("default", 0), ("default", 1), ("random", 0), ("random", 1)):
        network = BackboneNetwork(BackboneStage(**settings, weights=weights, seed=seed), batch=1)
        found[weights, seed] = network(frames)["local_map"]
    assert np.array_equal(found["default", 0], found["default", 1])
    assert not np.array_equal(found["random", 0], found["random", 1])
    own_network = network.features.network.network
    with torch.no_grad():
        expected = own_network(torch.from_numpy(frames).permute(0, 1, 4, 2, 3).float() / 255)["middle"]
    np.testing.assert_allclose(found["random", 1].astype(np.float32), expected.numpy(), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("function", "layer", "told"),
    [
        ("pyramid", "first", "backbone.local_layer: first: {model} gives no such layer; it gives middle, last"),
        ("absent", "last", "backbone.model: {model}: {module} has no function 'absent'; correct the name"),
        ("number", "last", "backbone.model: {model}: {module} has no function 'number'; correct the name"),
        ("nothing", "last", "backbone.model: {model}: gave a NoneType, not a torch.nn.Module"),
        ("broken", "last", "backbone.model: {model} fails: ValueError: no such size"),
        (
            "flat", "last", "backbone.model: {model}: layer last is 1 × 2 × 3 for clips of 2 frames, not (clips, "
            "frames, channels, rows, columns) of as many rows as columns",
        ),
    ],
)  # fmt: skip
def test_what_breaks_the_contract_is_one_line(own, function, layer, told):
    """It names what was given and what is expected."""
    model = f"{own[0]}:{function}"
    with pytest.raises(RecipeError) as caught:
        layer_shape(model, layer, 32, "backbone.local_layer")
    assert str(caught.value) == told.format(model=model, module=own[0])


def test_a_module_that_is_not_there(small):
    """Where to put it; a name that is none at all is refused with the recipe."""
    with pytest.raises(RecipeError) as caught:
        graph(recipes.load(small, overrides("no_such_module_anywhere")))
    assert str(caught.value).startswith("backbone.model: no_such_module_anywhere:pyramid: no module named ")
    assert str(caught.value).endswith("install it, or name the folder that holds it in PYTHONPATH")
    with pytest.raises(RecipeError, match=r"backbone.model: 'mc4_18': input should be mc3_18, r3d_18"):
        recipes.load(small, ("backbone.model=mc4_18",))

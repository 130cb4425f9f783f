"""Backbones other than mc3_18: what their layers give, against torchvision's own networks."""

import numpy as np
import pytest
import torch
from torchvision.models import get_model

from star.errors import RecipeError, WeightsError
from star.pipeline.recipe.schema import BACKBONES
from star.stages.backbone.architectures import (
    ARCHITECTURES,
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    KINETICS_DEVIATION,
    KINETICS_MEAN,
    weights_in_key,
)
from star.stages.backbone.layer_shapes import forward_flops, layer_shape
from star.stages.backbone.stage import BackboneNetwork, BackboneStage
from star.stages.backbone.video_resnet import build
from star.stages.backbone.weights import load, random_state
from star.stages.precision import TOLERANCE
from star.stages.weights import sha256

SIZE, FRAMES = 64, 2
IMAGE = [name for name, known in ARCHITECTURES.items() if not known.is_video]
STRIDED = ("r3d_18", "r2plus1d_18")


def clips(count=1, frames=FRAMES, size=SIZE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, frames, size, size, 3), np.uint8)


def stage_of(model, **settings):
    whole, local = ARCHITECTURES[model].layers
    chosen = {"model": model, "weights": "random", "size": SIZE, "global_layer": whole, "local_layer": local}
    return BackboneStage(**chosen | {"precision": "float32"} | settings)


def relative(found, expected):
    found, expected = (np.asarray(values, np.float32) for values in (found, expected))
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def test_recipe_and_stages_know_the_same() -> None:
    """The schema may not import the stages, so it lists them again; each is torchvision's own name, layers included."""
    assert tuple(ARCHITECTURES) == BACKBONES
    assert all(len(set(known.layers)) == 2 for known in ARCHITECTURES.values())


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_shapes_are_those_of_the_features(model) -> None:
    """What planning says beforehand is what the network gives, finite, at a size that no stride divides too."""
    for size in (SIZE, 112):
        stage = stage_of(model, size=size)
        features = BackboneNetwork(stage, batch=1)(clips(size=size))
        for name in stage.layers:
            shape = stage.shape(name)
            assert features[name].shape == (1, FRAMES, shape.channels, shape.side, shape.side)
            assert np.isfinite(features[name]).all()
            assert features[name].astype(np.float32).std() > 0


def published(model, state, frames, layers):
    """Frame by frame through torchvision's own modules, with hooks: no tracing, no batches."""
    kwargs = {"image_size": SIZE} if model == "vit_b_16" else {}
    network = get_model(model, weights=None, **kwargs).eval()
    network.load_state_dict(state, strict=False)
    pixels = (torch.from_numpy(frames).float() / 255 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_DEVIATION)
    kept = {}
    for layer in layers:
        network.get_submodule(layer).register_forward_hook(
            lambda _module, _given, output, layer=layer: kept.setdefault(layer, []).append(output)
        )
    with torch.inference_mode():
        for frame in pixels.permute(0, 3, 1, 2):
            network(frame[None].contiguous())
    return [torch.cat(kept[layer]) for layer in layers]


@pytest.mark.parametrize("model", IMAGE)
def test_image_networks_see_frame_by_frame(model) -> None:
    """The same weights give torchvision's features of each frame alone, channels first; vit's tokens lie as a grid,
    row by row, without the class token."""
    stage, frames = stage_of(model), clips()
    found = BackboneNetwork(stage, batch=1)(frames)
    state = load("random", model=model, size=SIZE).state_dict()
    for name, expected in zip(stage.layers, published(model, state, frames[0], stage.layers.values()), strict=True):
        if model == "swin_t":
            expected = expected.permute(0, 3, 1, 2)
        if model == "vit_b_16":
            expected = torch.stack([tokens[1:].T.reshape(768, 4, 4) for tokens in expected])
        assert relative(found[name][0], expected) < TOLERANCE["float32"]


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_a_lower_precision_stays_within_its_tolerance(model) -> None:
    """bfloat16 where the machine is fast in it, else float32."""
    frames = clips()
    exact, found = (
        BackboneNetwork(stage_of(model, precision=name), batch=1)(frames) for name in ("float32", "bfloat16")
    )
    for name, expected in exact.items():
        assert relative(found[name], expected) < TOLERANCE["bfloat16"]


@pytest.mark.parametrize("model", STRIDED)
def test_strides_over_time_are_taken_out_and_weights_stay_valid(model) -> None:
    """All frames keep a map, and where torchvision's own network with its strides gives one, it is the same one."""
    frames = clips(frames=16)
    state = random_state(build(model), 0)
    original = get_model(model, weights=None).eval()
    original.load_state_dict(state, strict=False)
    x = (torch.from_numpy(frames).float() / 255 - torch.tensor(KINETICS_MEAN)) / torch.tensor(KINETICS_DEVIATION)
    x = x.permute(0, 4, 1, 2, 3)
    with torch.inference_mode():
        for layer, apart in (("stem", 1), ("layer1", 1), ("layer2", 2), ("layer3", 4), ("layer4", 8)):
            x = getattr(original, layer)(x)
            stage = stage_of(model, global_layer=layer, local_layer=layer)
            found = BackboneNetwork(stage, batch=1)(frames)["global_grid"]
            assert found.shape[1] == 16
            assert relative(found[:, ::apart], x.transpose(1, 2)) < TOLERANCE["float32"]


@pytest.mark.parametrize("model", ["mc3_18", "r2plus1d_18"])
def test_a_node_within_a_layer(model) -> None:
    """The last node of a layer is the layer: torchvision's own names, and the same numbers as folded."""
    frames = clips()
    whole = BackboneNetwork(stage_of(model), batch=1)(frames)
    inner = stage_of(model, global_layer="layer4.1.relu", local_layer="layer2.1")
    found = BackboneNetwork(inner, batch=1)(frames)
    for name, expected in whole.items():
        assert inner.shape(name) == stage_of(model).shape(name)
        assert relative(found[name], expected) < TOLERANCE["float32"]


@pytest.mark.parametrize("model", ["resnet18", "vit_b_16"])
def test_features_do_not_depend_on_company(model) -> None:
    """A clip's features are the same bits alone and among others."""
    network = BackboneNetwork(stage_of(model), batch=2)
    frames = clips(3)
    together = network(frames)
    for name, rows in together.items():
        assert np.array_equal(network(frames[1:2])[name][0], rows[1])


@pytest.mark.parametrize("model", ["resnet18", "convnext_tiny", "swin_t", "vit_b_16"])
def test_random_weights_are_pinned(model) -> None:
    """Drawn from seed and name alone; torch's generator is left alone; another seed draws others."""
    before = torch.get_rng_state()
    state = load("random", model=model, size=SIZE).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    again, other = (load("random", seed, model=model, size=SIZE).state_dict() for seed in (0, 1))
    assert all(torch.equal(state[name], tensor) for name, tensor in again.items())
    assert any(not torch.equal(state[name], tensor) for name, tensor in other.items())
    first = {"resnet18": "conv1.weight", "vit_b_16": "conv_proj.weight"}.get(model, "features.0.0.weight")
    values = {
        "resnet18": [0.0148632, -0.0258548, 0.0160721],
        "convnext_tiny": [0.0450879, 0.0090278, 0.004058],
        "swin_t": [0.0450879, 0.0090278, 0.004058],
        "vit_b_16": [0.0003809, 0.0019094, -0.0026868],
    }
    assert state[first].flatten()[:3].tolist() == pytest.approx(values[model], abs=1e-6)


@pytest.mark.parametrize("model", ["resnet18", "r3d_18", "vit_b_16"])
def test_files_with_and_without_a_classifier(model, tmp_path) -> None:
    """torchvision's own state of any number of classes; a vision transformer's positions are spread over the cells."""
    torch.manual_seed(0)
    whole = get_model(model, weights=None, num_classes=5).state_dict()
    found = []
    for name, state in (("whole.pth", whole), ("bare.pth", {
        key: value for key, value in whole.items() if not key.startswith(("fc.", "heads."))
    })):  # fmt: skip
        torch.save(state, tmp_path / name)
        stage = stage_of(model, weights=sha256(tmp_path / name))
        found.append(BackboneNetwork(stage, file=tmp_path / name, batch=1)(clips())["global_grid"])
    assert np.array_equal(*found)


def test_weights_of_another_network_are_refused(tmp_path) -> None:
    """One line, which names the network that was asked for."""
    torch.save(get_model("resnet50", weights=None).state_dict(), tmp_path / "r50.pth")
    stage = stage_of("resnet18", weights=sha256(tmp_path / "r50.pth"))
    with pytest.raises(WeightsError, match=r"belongs to another network than resnet18: "):
        BackboneNetwork(stage, file=tmp_path / "r50.pth")


def test_official_weights_by_name() -> None:
    """`default` is the network's own; a data set that it was never trained on is refused."""
    assert weights_in_key("mc3_18", "default") == weights_in_key("mc3_18", "kinetics400") == "kinetics400"
    assert weights_in_key("resnet50", "default") == "imagenet1k_v2"
    assert weights_in_key("resnet50", "random") == "random"
    with pytest.raises(RecipeError) as caught:
        weights_in_key("resnet50", "kinetics400")
    told = "backbone.weights: kinetics400: there are none of resnet50; set it to default, to random, or to a file"
    assert str(caught.value) == told


@pytest.mark.parametrize(
    ("model", "layer", "told"),
    [
        ("convnext_tiny", "layer4", "convnext_tiny has no such layer; near are features.7, features.3"),
        ("resnet18", "layer5", "resnet18 has no such layer; near are layer4, layer2, layer3, layer1"),
        ("mc3_18", "layer4.2", "mc3_18 has no such layer; near are layer4, layer2, layer4.1, layer4.0"),
        ("resnet18", "flatten", "gives 2 × 512 for 2 frames, no map of each of them; near are layer4, layer2"),
    ],
)
def test_layers_are_checked(model, layer, told) -> None:
    """One line that names what is near."""
    with pytest.raises(RecipeError) as caught:
        layer_shape(model, layer, SIZE, "backbone.local_layer")
    assert str(caught.value).startswith(f"backbone.local_layer: {layer}: {told}")
    assert "\n" not in str(caught.value)


def test_flops() -> None:
    """Of resnet18 torchvision itself says 1.814 billion multiply-adds at 224 px; frames and depth count."""
    layers = ARCHITECTURES["resnet18"].layers
    assert forward_flops("resnet18", layers, 224, 1) == pytest.approx(2 * 1.814e9, rel=0.01)
    assert forward_flops("resnet18", layers, 224, 4) == pytest.approx(4 * forward_flops("resnet18", layers, 224, 1))
    assert forward_flops("resnet18", ("layer2", "layer1"), 224, 1) < forward_flops("resnet18", layers, 224, 1)

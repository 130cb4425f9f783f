"""Backbone and transformer as one network, against what the cache holds between them."""

import numpy as np
import pytest
import torch

from star.errors import RecipeError
from star.stages.backbone.stage import BackboneNetwork, BackboneStage
from star.stages.backbone.weights import load
from star.stages.end_to_end import EndToEnd, joint_tokens
from star.stages.tokens import TokensStage, token_channels
from star.stages.transformer import STARTransformer

FRAMES, SIZE, JOINTS, SIDE = 2, 32, 3, 8
FORMS = ("pool", "pool_map", "map", "heatmap", "concat_conv")


def given(seed=0, clips=2):
    random = np.random.default_rng(seed)
    frames = random.integers(0, 256, (clips, FRAMES, SIZE, SIZE, 3), np.uint8)
    heat = random.random((clips, FRAMES, JOINTS, SIDE, SIDE), np.float32).astype(np.float16)
    heat[:, :, 0] = 0  # a joint that is not there
    return frames, heat


def network(form="map", model="mc3_18", layers=("layer4", "layer2"), **settings):
    special = {"heatmap": {"heatmaps": True, "joint_channels": SIDE**2}, "concat_conv": {"concat_conv": True}}
    channels = {"joint_channels": token_channels(form, 128, SIDE**2)} if form not in special else special[form]
    torch.manual_seed(1)
    transformer = STARTransformer(
        classes=3, joints=JOINTS, frames=FRAMES, grid_cells=4, width=16, heads=2, encoder_layers=1, decoder_layers=1,
        **channels, **settings,
    )  # fmt: skip
    return EndToEnd(model, layers, form, load("random", model=model, size=SIZE), transformer)


@pytest.mark.parametrize("form", ["pool", "pool_map", "map"])
def test_joint_tokens_are_the_stages(form):
    """The torch form gives what `TokensStage` caches, absent joints included."""
    _, heat = given()
    local = np.random.default_rng(2).standard_normal((2, FRAMES, 5, SIDE, SIDE)).astype(np.float16)
    found = joint_tokens(form, torch.from_numpy(local), torch.from_numpy(heat))
    np.testing.assert_allclose(
        found.numpy(), TokensStage(form).compute(local, heat).astype(np.float32), rtol=2e-3, atol=2e-3
    )
    assert not found[:, :, 0].any()


@pytest.mark.parametrize("form", FORMS)
def test_it_is_the_two_halves(form):
    """Frames in, the same scores as from the features that extraction would cache."""
    frames, heat = given()
    whole = network(form).eval()
    features = BackboneNetwork(BackboneStage(weights="random", size=SIZE, precision="float32"), batch=1)(frames)
    arrays = features | {"joint_heatmap": heat}
    if form in ("pool", "pool_map", "map"):
        arrays["joint_map"] = TokensStage(form).compute(features["local_map"], heat)
    halves = whole.transformer(**{name: torch.from_numpy(arrays[name]).float() for name in whole.transformer.inputs})
    together = whole(torch.from_numpy(frames), torch.from_numpy(heat))
    torch.testing.assert_close(together, halves, rtol=5e-3, atol=5e-3)
    assert torch.equal(whole(torch.from_numpy(frames).float(), torch.from_numpy(heat)), together)
    z = whole.embed(torch.from_numpy(frames), torch.from_numpy(heat))
    assert torch.equal(whole.transformer.head(whole.pool(z)), together)


def test_gradients_reach_what_is_not_frozen():
    """Frozen layers get none and stay as they are judged; an unknown layer is one line."""
    frames, heat = (torch.from_numpy(array) for array in given())
    whole = network()
    whole.freeze(("stem", "layer2.0"))
    whole.train()(frames, heat).sum().backward()
    names = {name for name, weight in whole.named_parameters() if weight.grad is not None and weight.grad.any()}
    backbone = {name for name, _ in whole.named_parameters() if name.startswith("backbone.")}
    frozen = {name for name in backbone if ".stem." in name or ".layer2.0." in name}
    assert frozen
    assert not names & frozen
    assert backbone - frozen <= names
    with pytest.raises(RecipeError) as caught:
        whole.freeze(("layer5",))
    told = "finetune.freeze: layer5: the backbone has no such layer; it has stem, layer1, layer2, layer3, layer4"
    assert str(caught.value) == told


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_batch_norm(mode):
    """In eval mode its statistics stand still, in train mode they move, but for frozen layers."""
    frames, heat = (torch.from_numpy(array) for array in given())
    whole = network()
    whole.batch_norm = mode
    whole.freeze(("stem",))
    before = {name: tensor.clone() for name, tensor in whole.backbone_state().items()}
    whole.train()(frames, heat)
    moved = {name for name, tensor in whole.backbone_state().items() if not torch.equal(tensor, before[name])}
    assert bool(moved) == (mode == "train")
    assert not any(name.startswith("stem.") for name in moved)


@pytest.mark.parametrize(("model", "local"), [("mc3_18", "layer2"), ("resnet18", "layer1")])
def test_checkpointing_changes_no_gradient(model, local):
    """Clip by clip and computed twice, up to rounding."""
    frames, heat = (torch.from_numpy(array) for array in given())
    found = []
    for checkpointing in (False, True):
        whole = network(model=model, layers=("layer4", local))
        whole.checkpointing = checkpointing
        torch.manual_seed(0)
        whole.train().arrays(frames, heat)["joint_map"].square().mean().backward()
        found.append(
            {name: weight.grad for name, weight in whole.backbone.named_parameters() if weight.grad is not None}
        )
    assert found[0].keys() == found[1].keys()
    assert found[0]
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-3, atol=1e-5)


def test_the_backbones_own_names(tmp_path):
    """What it writes is the backbone's state under torchvision's names, trained values and all."""
    whole = network()
    with torch.no_grad():
        for weight in whole.backbone.parameters():
            weight.add_(1)
    state = whole.backbone_state()
    assert state.keys() == load("random").state_dict().keys()
    assert torch.equal(state["layer1.0.conv1.0.weight"], load("random").state_dict()["layer1.0.conv1.0.weight"] + 1)

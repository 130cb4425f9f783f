"""Batch norms folded into convolutions, against torchvision's layers as they are."""

import pytest
import torch
from torchvision.models.video import mc3_18

from star.stages.backbone.fused import FusedConvolution, FusedLayer
from star.stages.precision import compute_precision

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def trained():
    """mc3_18 with batch statistics as training leaves them."""
    torch.manual_seed(5)
    model = mc3_18().eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm3d):
            module.running_mean.normal_(0, 0.5)
            module.running_var.uniform_(0.3, 3)
            module.weight.uniform_(0.3, 1.5)
            module.bias.normal_(0, 0.5)
    return model


def clip(channels):
    """(1, c, 3, 8, 8), laid out as the network's own activations are."""
    return torch.randn(1, channels, 3, 8, 8).contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize(("name", "channels"), [("stem", 3), ("layer1", 64), ("layer2", 64)])
def test_a_layer_is_what_it_was(trained, name, channels):
    """In float32 the same up to rounding: convolutions alone, blocks with and without a way around them."""
    x, layer = clip(channels), getattr(trained, name)
    torch.testing.assert_close(FusedLayer(layer, torch.float32, CPU)(x), layer(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "channels"), [("layer1", 64), ("layer2", 64)])
def test_what_is_needed_afterwards_is_kept(trained, name, channels):
    """A layer whose input nobody wants may write over it, and gives the same bits."""
    computed = getattr(torch, compute_precision("bfloat16"))
    x, layer = clip(channels).to(computed), FusedLayer(getattr(trained, name), computed, CPU)
    before = x.clone()
    kept = layer(x, keep=True)
    assert torch.equal(x, before)
    assert torch.equal(layer(x, keep=False), kept)


@pytest.mark.skipif(compute_precision("bfloat16") != "bfloat16", reason="this processor has no units for bfloat16")
def test_bfloat16_loses_no_more_than_it_did(trained):
    """Fewer roundings than autocast makes: no larger error against float32, over the depth of two layers."""
    x = clip(64)
    exact = trained.layer2(trained.layer1(x))
    with torch.autocast("cpu", torch.bfloat16):
        before = trained.layer2(trained.layer1(x)).float()
    first, second = (FusedLayer(layer, torch.bfloat16, CPU) for layer in (trained.layer1, trained.layer2))
    now = second(first(x.bfloat16())).float()
    assert (now - exact).norm() < 1.1 * (before - exact).norm()


@pytest.mark.parametrize("positive", [True, False])
def test_without_onednns_help(trained, positive):
    """Step by step, as on a GPU, it is the same as at once."""
    together = FusedConvolution(*trained.layer1[0].conv1[:2], torch.float32, CPU)
    steps = FusedConvolution(*trained.layer1[0].conv1[:2], torch.float32, CPU)
    assert together.fused
    steps.fused = False
    x, onto = clip(64), clip(64)
    for more in (None, onto):
        expected = together(x, positive=positive, onto=None if more is None else more.clone())
        assert (expected.min() < 0) != positive
        torch.testing.assert_close(steps(x, positive=positive, onto=more), expected, rtol=1e-4, atol=1e-4)

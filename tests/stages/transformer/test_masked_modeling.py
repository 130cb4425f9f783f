"""Hidden tokens: what is hidden cannot be seen, what is not there does not count, and what is learnt can be found."""

import numpy as np
import pytest
import torch

from star.errors import UsageError
from star.stages.transformer import STARTransformer
from star.stages.transformer.masked_modeling import MaskedTransformer, masks

B, T, N, P = 3, 4, 3, 4


def network(**settings):
    torch.manual_seed(0)
    chosen = {"grid_channels": 6, "grid_cells": P, "joint_channels": 16, "width": 16, "heads": 2, "dropout": 0.0}
    layers = {"encoder_layers": 1, "decoder_layers": 1}
    return MaskedTransformer(STARTransformer(classes=2, joints=N, frames=T, **chosen | layers | settings))


def arrays(seed=0, **more):
    torch.manual_seed(seed)
    return {"global_grid": torch.randn(B, T, 6, 2, 2), "joint_map": torch.rand(B, T, N, 16)} | more


def some_masks(grid=(0,), joint=(1,)):
    found = {"grid": torch.zeros(B, T, P, dtype=torch.bool), "joint": torch.zeros(B, T, N, dtype=torch.bool)}
    found["grid"][:, :, list(grid)] = True
    found["joint"][:, :, list(joint)] = True
    return found


def test_what_is_hidden_is_not_seen():
    """The transformer's tokens after hiding are the same whatever the hidden token held; those beside it count."""
    masked, one = network().eval(), arrays()
    other = {name: array.clone() for name, array in one.items()}
    other["joint_map"][:, :, 1] = torch.rand(B, T, 16)
    found = []
    masked.found["joint"].register_forward_hook(lambda _module, given, _out: found.append(given[0].detach().clone()))
    for given in (one, other, arrays(seed=5)):
        masked(some_masks(), **given)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_only_hidden_tokens_of_joints_that_are_there_count():
    """Another target where nothing is hidden changes nothing; an absent joint has no loss."""
    masked = network(modalities="joint").eval()
    given, hidden = {"joint_map": arrays()["joint_map"]}, {"joint": some_masks()["joint"]}
    given["joint_map"][0, :, 1] = 0
    losses = masked(hidden, **given)
    assert losses.shape == (B,)
    assert losses[0] == 0
    assert (losses[1:] > 0).all()


def test_the_loss_is_the_formula():
    """By hand: squared distance from the token at mean 0 and deviation 1, over numbers, then over hidden tokens."""
    masked, given, hidden = (
        network(modalities="joint").eval(),
        {"joint_map": arrays()["joint_map"]},
        some_masks()["joint"],
    )
    seen = []
    masked.found["joint"].register_forward_hook(lambda _module, _given, out: seen.append(out.detach()))
    losses = masked({"joint": hidden}, **given)
    wanted = given["joint_map"]
    spread = (wanted - wanted.mean(-1, keepdim=True)) / (wanted.var(-1, keepdim=True, unbiased=False) + 1e-5).sqrt()
    expected = ((seen[0] - spread) ** 2).mean(-1)[hidden].reshape(B, -1).mean(1)
    torch.testing.assert_close(losses, expected)


def test_it_learns():
    """A token that is the one beside it is found: the loss falls far below that of the mean, 1."""
    masked = network(modalities="joint")
    optimizer = torch.optim.Adam(masked.parameters(), 3e-3)
    patterns = torch.rand(4, 16)
    for step in range(80):
        torch.manual_seed(step)
        maps = patterns[torch.randint(4, (B, 1, 1))].expand(B, T, N, 16)
        loss = masked({"joint": some_masks()["joint"]}, joint_map=maps).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.2


@pytest.mark.parametrize("settings", [{"position": "none"}, {"norm": "pre"}, {"class_tokens": "clip"}])
def test_kinds_of_networks(settings):
    """Every kind gives a finite loss, with gradients in all that `star train` takes over but the head."""
    masked = network(**settings)
    masked(some_masks(), **arrays()).sum().backward()
    weights = dict(masked.transformer.named_parameters())
    assert all((weight.grad is None) == name.startswith("head.") for name, weight in weights.items())


def test_learned_tokens_are_refused():
    """They could agree on anything."""
    with pytest.raises(UsageError, match=r"^tokens.form: concat_conv: its tokens are learned"):
        network(concat_conv=True)


@pytest.mark.parametrize(("share", "span"), [(0.5, 2), (0.3, 4), (0.1, 3)])
def test_masks(share, span):
    """So many of each clip's places in every span, at least one, the same ones for all its frames; never all alike."""
    shapes = {"grid": (8, 9), "joint": (8, 3)}
    hidden = masks(shapes, share, span, np.random.default_rng(1), 5)
    for name, (frames, places) in shapes.items():
        assert hidden[name].shape == (5, frames, places)
        assert (hidden[name].sum(-1) == max(1, round(share * places))).all()
        for begin in range(0, frames, span):
            part = hidden[name][:, begin : begin + span]
            assert (part == part[:, :1]).all()
    assert len({clip.tobytes() for clip in hidden["grid"]}) == 5

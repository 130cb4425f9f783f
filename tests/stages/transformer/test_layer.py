"""The layer equation, post- and pre-norm."""

from __future__ import annotations

import pytest
import torch

from star.stages.transformer.attention import attention
from star.stages.transformer.layer import TransformerLayer

B, T, S, D, HEADS = 2, 4, 3, 8, 2


def make(letters, by_hand, *, norm="post", order="restore", dropout=0.0):
    settings = {"width": D, "heads": HEADS, "dropout": 0.0, "share_branches": True, "order": order}
    mixers = [attention(letter, **settings) for letter in letters]
    return by_hand.fill(TransformerLayer(mixers, width=D, hidden=12, dropout=dropout, norm=norm))


def clips():
    return torch.randn(B, T, S, D, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("letters", ["FZ", "FB", "ZB", "F", "BFZ"])
def test_layer_is_the_equation(letters, norm, by_hand):
    """Any list of modules: norm(module + residual) one after the other, then the MLP, against loops over tokens."""
    layer, z = make(letters, by_hand, norm=norm), clips()
    reference = by_hand.post if norm == "post" else by_hand.pre
    for clip, found in zip(z, layer(z), strict=True):
        expected = reference(layer, letters, clip.numpy(), HEADS)
        torch.testing.assert_close(found.detach(), torch.from_numpy(expected))


def test_the_residual_of_a_literal_concatenation_is_the_query_tokens(by_hand):
    """With order "concatenate", Ẑ = LN((Z(z′) + z′) ⊕ (Z(z″) + z″)): every output gets its own token."""
    literal, restored, z = make("Z", by_hand, order="concatenate"), make("Z", by_hand), clips()
    torch.testing.assert_close(literal(z), restored(z)[:, [0, 2, 1, 3]])


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("order", ["restore", "concatenate"])
@pytest.mark.parametrize("letters", ["FZ", "FB", "A"])
def test_only_changes_no_result(letters, order, norm, by_hand):
    """Asked for some tokens only, a layer gives exactly what it gives for them among all."""
    layer, z, only = make(letters, by_hand, norm=norm, order=order), clips(), torch.tensor([0, 2])
    torch.testing.assert_close(layer(z, only), layer(z)[:, :, only])


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_dropout_falls_on_what_modules_add(norm, by_hand):
    """With dropout 1 nothing is added in training: what is left is the residual and the norms."""
    layer, z = make("FZ", by_hand, norm=norm, dropout=1.0).train(), clips()
    expected = z
    if norm == "post":
        for block in (*layer.blocks, layer.mlp):
            expected = block.norm(expected)
    torch.testing.assert_close(layer(z), expected)

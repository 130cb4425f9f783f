"""What the network costs."""

from __future__ import annotations

import pytest

from star.stages.transformer import STARTransformer
from star.stages.transformer.flops import cost_table, module_costs

D, TOKENS = 512, 16 * 65


@pytest.fixture(scope="module")
def default():
    """The rows of the default network on Penn Action: 65 tokens in each of 16 frames."""
    return {row.module: row for row in module_costs(STARTransformer(classes=15, joints=13))}


def test_z_and_b_cost_half_of_f_in_attention(default):
    """Both branches together are (t/2·s)² twice: half of (t·s)², which is 4 (t·s)² d operations."""
    full = default["encoder.0.F"].attention
    assert full == 4 * TOKENS**2 * D
    assert default["encoder.0.Z"].attention * 2 == full
    assert default["decoder.0.B"].attention * 2 == full


def test_other_products(default):
    """Four projections of d × d beside the attention; an MLP of 2 × 4 d²; one linear layer per modality."""
    assert default["encoder.0.F"].flops - default["encoder.0.F"].attention == 2 * TOKENS * 4 * D * D
    assert default["encoder.0.mlp"].flops == 2 * TOKENS * 8 * D * D
    assert default["tokens"].flops == 2 * 16 * (49 * 512 + 13 * 784) * D


def test_the_last_layer_works_for_the_tokens_that_are_read(default):
    """Its MLP sees the three class tokens of each frame, and only they ask in its last attention."""
    assert default["decoder.2.mlp"].flops == default["encoder.0.mlp"].flops * 3 // 65
    assert default["decoder.2.B"].attention == default["decoder.0.B"].attention * 3 // 65


def test_the_total_is_the_sum(default):
    """Nothing is counted twice and nothing is left out."""
    *parts, total = default.values()
    assert total.module == "total"
    assert total.parameters == sum(row.parameters for row in parts) == 26_267_151
    assert total.flops == sum(row.flops for row in parts)
    assert total.attention == sum(row.attention for row in parts)


def test_variants_add_up_too():
    """The 1×1 convolution, separate branches, pre-norm's last norm and averages appear in the table."""
    settings = {"concat_conv": True, "share_branches": False, "norm": "pre", "encoder": "AZ", "decoder": "B"}
    network = STARTransformer(classes=2, joints=3, frames=4, width=16, encoder_layers=1, decoder_layers=1, **settings)
    *parts, total = module_costs(network)
    names = ["concat_conv", "tokens", "encoder.0.A", "encoder.0.Z", "encoder.0.mlp", "decoder.0.B", "decoder.0.mlp"]
    assert [row.module for row in parts] == [*names, "norm", "head"]
    assert total.flops == sum(row.flops for row in parts)
    assert total.parameters == sum(row.parameters for row in parts)


def test_the_table(default):
    """Columns as a person reads them."""
    lines = cost_table(list(default.values())).splitlines()
    assert lines[0] == "module            parameters  GFLOP a clip  of it attention"
    assert lines[2] == "encoder.0.F        1,051,648         4.396            2.215"
    assert lines[-1] == "total             26,267,151        66.602           18.880"

"""Joint map tokens against loops over the equations."""

import numpy as np
import pytest

from star.stages.tokens import TokensStage, token_channels


def sample(seed, frames=2, joints=3, local_channels=5, side=4):
    """A local map and heat maps; the last joint of the first frame is absent."""
    rng = np.random.default_rng(seed)
    local_map = rng.uniform(0, 4, (frames, local_channels, side, side)).astype(np.float16)
    joint_heatmap = rng.uniform(0, 1, (frames, joints, side, side)).astype(np.float16)
    joint_heatmap[0, -1] = 0
    return local_map, joint_heatmap


def pool(local_map, heatmap):
    """sum_yx F h / sum_yx h of one joint, channel by channel, cell by cell."""
    pooled = []
    for channel in local_map.astype(float):
        above = below = 0.0
        for y, x in np.ndindex(heatmap.shape):
            above += channel[y, x] * float(heatmap[y, x])
            below += float(heatmap[y, x])
        pooled.append(above / below if below else 0.0)
    return np.array(pooled)


def mean_map(local_map, heatmap):
    """mean_c F h of one joint, cell by cell, flattened row by row."""
    cells = []
    for y, x in np.ndindex(heatmap.shape):
        products = [float(value) * float(heatmap[y, x]) for value in local_map[:, y, x]]
        cells.append(sum(products) / len(products))
    return np.array(cells)


EQUATIONS = {
    "pool": pool,
    "pool_map": lambda local_map, heatmap: np.concatenate([pool(local_map, heatmap), heatmap.ravel()]),
    "map": mean_map,
}


@pytest.mark.parametrize("form", EQUATIONS)
def test_tokens_are_the_equations(form):
    """Each form equals its equation in docs/method.md, "Tokens"; an absent joint gives zeros without a warning."""
    local_map, joint_heatmap = sample(0)
    with np.errstate(all="raise", under="ignore"):
        tokens = TokensStage(form).compute(local_map, joint_heatmap)
    assert tokens.dtype == np.float16
    assert tokens.shape == (2, 3, token_channels(form, 5, 16))
    for t, n in np.ndindex(2, 3):
        expected = EQUATIONS[form](local_map[t], joint_heatmap[t, n])
        assert np.allclose(tokens[t, n], expected, rtol=1e-3, atol=1e-4)
    assert not tokens[0, -1].any()
    assert tokens[1, -1].any()


@pytest.mark.parametrize(("form", "expected"), [("pool", 128), ("pool_map", 912), ("map", 784)])
def test_shapes_at_the_defaults(form, expected):
    """(16, 13, C) with the C of docs/method.md, "Tokens"."""
    tokens = TokensStage(form).compute(np.ones((16, 128, 28, 28), np.float16), np.ones((16, 13, 28, 28), np.float16))
    assert tokens.shape == (16, 13, expected)
    assert token_channels(form, 128, 784) == expected
    assert TokensStage.arrays["joint_map"].dtype == str(tokens.dtype)


@pytest.mark.parametrize("form", ["pool", "pool_map", "map"])
def test_sums_do_not_overflow_float16(form):
    """Sums over cells and channels far beyond float16's 65504 come out right: they are float32."""
    local_map = np.full((1, 512, 28, 28), 1000, np.float16)
    tokens = TokensStage(form).compute(local_map, np.ones((1, 1, 28, 28), np.float16))
    assert tokens[0, 0, 0] == 1000
    assert np.isfinite(tokens).all()


def test_pooling_looks_only_where_the_heat_map_is():
    """A heat map on a single cell picks that cell's channels, however faint it is."""
    local_map, joint_heatmap = sample(1)
    joint_heatmap[:] = 0
    joint_heatmap[1, 2, 3, 1] = 1e-4
    tokens = TokensStage("pool").compute(local_map, joint_heatmap)
    assert np.array_equal(tokens[1, 2], local_map[1, :, 3, 1])


def test_pooling_a_whole_clip():
    """At full size, with two people side by side and further axes in front, pooling is still the equation."""
    rng = np.random.default_rng(2)
    local_map = rng.normal(size=(2, 3, 128, 28, 28)).astype(np.float16)
    joint_heatmap = rng.uniform(0, 1, (2, 3, 50, 28, 28)).astype(np.float16)
    above = np.einsum("btcyx,btnyx->btnc", local_map.astype(float), joint_heatmap.astype(float), optimize=True)
    expected = above / joint_heatmap.astype(float).sum(axis=(-1, -2))[..., None]
    tokens = TokensStage("pool").compute(local_map, joint_heatmap)
    assert tokens.shape == (2, 3, 50, 128)
    assert np.allclose(tokens, expected, rtol=1e-3, atol=1e-5)


def test_forms_that_cache_nothing():
    """`concat_conv` has weights of its own, `heatmap` is cached already: of neither anything is stored."""
    assert not TokensStage("concat_conv").cached
    assert not TokensStage("heatmap").cached
    assert all(TokensStage(form).cached for form in EQUATIONS)
    assert TokensStage("pool").settings() == {"form": "pool"}

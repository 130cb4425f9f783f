"""How the arrays of training clips spread, and that a run keeps it."""

import numpy as np
import pytest
import torch

from star.pipeline.extraction.execution import ExecutionConfig
from star.pipeline.extraction.runner import extract
from star.pipeline.planning.train_test_selection import selections
from star.pipeline.recipe import schema as recipes
from star.pipeline.training import feature_stats as module
from star.pipeline.training.dataset import Features
from star.pipeline.training.feature_stats import length, moments, parts_of
from star.pipeline.training.model_factory import load
from star.pipeline.training.trainer import train
from star.stages.transformer.embedding import Rescale


def test_mean_and_deviation_of_every_channel(toys, monkeypatch):
    """They are numpy's over all training clips, frames and cells, however the clips are read in parts."""
    monkeypatch.setattr(module, "CHUNK", 5)
    training = toys[0]
    grid = Features(training, ("global_grid",)).__getitems__(range(len(training)))["global_grid"].double().numpy()
    mean, deviation = moments(parts_of(training, "global_grid"))
    np.testing.assert_allclose(mean, grid.mean((0, 1, 3, 4)), rtol=1e-6)
    np.testing.assert_allclose(deviation, grid.std((0, 1, 3, 4)), rtol=1e-5)


@pytest.mark.parametrize("array", ["joint_map", "joint_heatmap"])
def test_length_of_joint_tokens(toys, array):
    """It is the mean norm of the tokens of joints that are there."""
    training = toys[0]
    maps = Features(training, (array,)).__getitems__(range(len(training)))[array].double().flatten(3).numpy()
    norms = np.linalg.norm(maps, axis=-1)
    assert length(parts_of(training, array)) == pytest.approx(norms[norms > 0].mean(), rel=1e-6)


def test_moments_of_the_pooled_channels(small, tmp_path):
    """They are numpy's over the joints that are there; a run of form pool_map keeps them."""
    recipe = recipes.load(small, ("tokens.form=pool_map", "model.standardize=true", "train.epochs=1"))
    extract(recipe, execution=ExecutionConfig(workers=1), quiet=True)
    training, testing = selections(recipe, ("train", "test"), True)
    maps = Features(training, ("joint_map",)).__getitems__(range(len(training)))["joint_map"].double().flatten(0, 2)
    there = maps[(maps != 0).any(-1)].numpy()
    train(recipe, training, testing, tmp_path / "run", device="cpu", progress=False)
    rescale = load(tmp_path / "run", "last")[0].tokens.joints.rescale
    assert rescale.pooled == maps.shape[1] - 8 * 8  # the local map of 32 px has 8 x 8 cells
    np.testing.assert_allclose(rescale.channels.mean, there[:, : rescale.pooled].mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(rescale.channels.deviation, there[:, : rescale.pooled].std(0), rtol=1e-4)
    assert rescale.factor.item() == pytest.approx(
        Rescale.LENGTH / np.linalg.norm(there[:, rescale.pooled :], axis=1).mean(), rel=1e-5
    )


def test_pooled_channels_are_standardised_beside_their_heat_maps():
    """Each channel by itself over the joints that are there; both parts LENGTH long; an absent joint stays zero."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, 5, 8 + 9, generator=random) * torch.cat([torch.full((8,), 50.0), torch.ones(9)]) + 3
    x[0, 1, 2] = 0
    present = x[(x != 0).any(-1)]
    rescale = Rescale(pooled=8)
    rescale.set_statistics(present[:, 8:].norm(dim=-1).mean().item())
    assert rescale.channels is not None
    rescale.channels.set_statistics(present[:, :8].mean(0), present[:, :8].std(0, correction=0))
    found = rescale(x)
    assert not found[0, 1, 2].any()
    there = found[(x != 0).any(-1)]
    torch.testing.assert_close(there[:, :8].mean(0), torch.zeros(8), atol=1e-6, rtol=0)
    assert there[:, :8].square().sum(-1).mean().sqrt().item() == pytest.approx(Rescale.LENGTH, rel=1e-5)
    assert there[:, 8:].norm(dim=-1).mean().item() == pytest.approx(Rescale.LENGTH, rel=1e-5)


@pytest.mark.parametrize("form", ["map", "heatmap", "concat_conv"])
def test_a_run_keeps_them(toy, toys, tmp_path, form):
    """The checkpoint of a run, here of averaged weights, holds the training clips' moments and its tokens' factor."""
    recipe = toy.recipe("model.standardize=true", "train.ema=0.9", "train.epochs=1", f"tokens.form={form}")
    train(recipe, *toys, tmp_path, device="cpu", progress=False)
    network, _ = load(tmp_path, "last")
    mean, deviation = moments(parts_of(toys[0], "global_grid"))
    torch.testing.assert_close(network.tokens.standardize.mean, mean)
    torch.testing.assert_close(network.tokens.standardize.deviation, deviation)
    if form == "concat_conv":  # learned: its length is the network's own
        assert isinstance(network.tokens.joints.rescale, torch.nn.Identity)
    else:
        found = length(parts_of(toys[0], "joint_heatmap" if form == "heatmap" else "joint_map"))
        assert network.tokens.joints.rescale.factor.item() == pytest.approx(Rescale.LENGTH / found, rel=1e-6)

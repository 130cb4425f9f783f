"""How the arrays of training clips spread, and that a run keeps it."""

import numpy as np
import pytest
import torch

from star.pipeline.training import feature_stats as module
from star.pipeline.training.dataset import Features
from star.pipeline.training.feature_stats import length, moments
from star.pipeline.training.model_factory import load
from star.pipeline.training.trainer import train
from star.stages.transformer.tokens import Rescale


def test_mean_and_deviation_of_every_channel(toys, monkeypatch):
    """They are numpy's over all training clips, frames and cells, however the clips are read in parts."""
    monkeypatch.setattr(module, "CHUNK", 5)
    training = toys[0]
    grid = Features(training, ("global_grid",)).__getitems__(range(len(training)))["global_grid"].double().numpy()
    mean, deviation = moments(training)
    np.testing.assert_allclose(mean, grid.mean((0, 1, 3, 4)), rtol=1e-6)
    np.testing.assert_allclose(deviation, grid.std((0, 1, 3, 4)), rtol=1e-5)


@pytest.mark.parametrize("array", ["joint_map", "joint_heatmap"])
def test_length_of_joint_tokens(toys, array):
    """It is the mean norm of the tokens of joints that are there."""
    training = toys[0]
    maps = Features(training, (array,)).__getitems__(range(len(training)))[array].double().flatten(3).numpy()
    norms = np.linalg.norm(maps, axis=-1)
    assert length(training, array) == pytest.approx(norms[norms > 0].mean(), rel=1e-6)


@pytest.mark.parametrize("form", ["map", "heatmap", "concat_conv"])
def test_a_run_keeps_them(toy, toys, tmp_path, form):
    """The checkpoint of a run, here of averaged weights, holds the training clips' moments and its tokens' factor."""
    recipe = toy.recipe("model.standardize=true", "train.ema=0.9", "train.epochs=1", f"tokens.form={form}")
    train(recipe, *toys, tmp_path, device="cpu", progress=False)
    network, _ = load(tmp_path, "last")
    mean, deviation = moments(toys[0])
    torch.testing.assert_close(network.tokens.standardize.mean, mean)
    torch.testing.assert_close(network.tokens.standardize.deviation, deviation)
    if form == "concat_conv":  # learned: its length is the network's own
        assert isinstance(network.tokens.joints.rescale, torch.nn.Identity)
    else:
        found = length(toys[0], "joint_heatmap" if form == "heatmap" else "joint_map")
        assert network.tokens.joints.rescale.factor.item() == pytest.approx(Rescale.LENGTH / found, rel=1e-6)

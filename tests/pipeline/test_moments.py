"""How the grid's channels spread over training clips."""

import numpy as np
import torch

from star.pipeline import moments as module
from star.pipeline.features import Features
from star.pipeline.moments import moments
from star.pipeline.train import train


def test_mean_and_deviation_of_every_channel(toys, monkeypatch):
    """They are numpy's over all training clips, frames and cells, however the clips are read in parts."""
    monkeypatch.setattr(module, "CHUNK", 5)
    training = toys[0]
    grid = Features(training, ("global_grid",)).__getitems__(range(len(training)))["global_grid"].double().numpy()
    mean, deviation = moments(training)
    np.testing.assert_allclose(mean, grid.mean((0, 1, 3, 4)), rtol=1e-6)
    np.testing.assert_allclose(deviation, grid.std((0, 1, 3, 4)), rtol=1e-5)


def test_a_run_keeps_them(toy, toys, tmp_path):
    """Both checkpoints of a run, averaged weights or not, hold the training clips' moments."""
    from star.pipeline.network import load

    train(
        toy.recipe("model.standardize=true", "train.ema=0.9", "train.epochs=1"), *toys, tmp_path, device="cpu",
        progress=False,
    )  # fmt: skip
    network, _ = load(tmp_path, "last")
    mean, deviation = moments(toys[0])
    torch.testing.assert_close(network.tokens.standardize.mean, mean)
    torch.testing.assert_close(network.tokens.standardize.deviation, deviation)

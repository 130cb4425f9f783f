"""How the channels of the global grid spread over the training clips; see `model.standardize`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .features import Features
from .selection import Selection

CLIPS = 2048  # looked at, evenly over the selection: a channel's mean over 1.6 million cells moves no more with more
CHUNK = 32  # clips read at once


def moments(training: Selection) -> tuple[Tensor, Tensor]:
    """Mean (c) and standard deviation (c), float32, of each channel over clips, frames and cells."""
    features = Features(training, ("global_grid",))
    clips = np.unique(np.linspace(0, len(features) - 1, min(len(features), CLIPS)).round().astype(np.int64))
    total = torch.zeros(2, features.shapes["global_grid"][1], dtype=torch.float64)
    count = 0
    for start in range(0, len(clips), CHUNK):
        grid = features.__getitems__(clips[start : start + CHUNK])["global_grid"].double()  # (b, t, c, y, x)
        total += torch.stack([grid.sum((0, 1, 3, 4)), grid.square().sum((0, 1, 3, 4))])
        count += grid.numel() // grid.shape[2]
    mean, square = total / count
    return mean.float(), (square - mean.square()).clamp(min=0).sqrt().float()

"""How the arrays of the training clips spread; see `model.standardize`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor

from ..planning.selection import Selection
from .dataset import Features

CLIPS = 2048  # looked at, evenly over the selection: a channel's mean over 1.6 million cells moves no more with more
CHUNK = 32  # clips read at once


def parts_of(training: Selection, array: str) -> Iterator[Tensor]:
    """Some clips of a cached array at a time, float64."""
    features = Features(training, (array,), labelled=False)
    clips = np.unique(np.linspace(0, len(features) - 1, min(len(features), CLIPS)).round().astype(np.int64))
    for start in range(0, len(clips), CHUNK):
        yield features.__getitems__(clips[start : start + CHUNK])[array].double()


def moments(parts: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean (c) and standard deviation (c), float32, of each channel of global grids over clips, frames and cells.

    parts: some clips at a time (b, t, c, y, x) float64, see `parts_of`.
    """
    total, count = torch.zeros(2, 1, dtype=torch.float64), 0
    for grid in parts:
        total = total + torch.stack([grid.sum((0, 1, 3, 4)), grid.square().sum((0, 1, 3, 4))])
        count += grid.numel() // grid.shape[2]
    mean, square = total / count
    return mean.float(), (square - mean.square()).clamp(min=0).sqrt().float()


def pooled_moments(parts: Iterable[Tensor], pooled: int) -> tuple[Tensor, Tensor]:
    """Mean and deviation (pooled), float32, of the first channels of the joint map tokens that are not all zero.

    parts: some clips of joint_map at a time (b, t, n, c).
    """
    total, count = torch.zeros(2, pooled, dtype=torch.float64), 0
    for maps in parts:
        present = maps[(maps != 0).any(-1)][:, :pooled]
        total = total + torch.stack([present.sum(0), present.square().sum(0)])
        count += len(present)
    mean, square = total / max(count, 1)
    return mean.float(), (square - mean.square()).clamp(min=0).sqrt().float()


def length(parts: Iterable[Tensor], skipped: int = 0) -> float:
    """Mean Euclidean length of the joint tokens, of those that are not all zero; 0.0 where all are.

    parts: some clips at a time of joint_map (b, t, n, c) or joint_heatmap (b, t, n, y, x).
    skipped: how many of c, the first, do not count.
    """
    total, count = 0.0, 0
    for maps in parts:
        lengths = maps.flatten(3)[..., skipped:].norm(dim=-1)
        total += float(lengths.sum())
        count += int(lengths.count_nonzero())
    return total / max(count, 1)

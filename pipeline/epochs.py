"""How an epoch is cut: into optimizer steps, those into batches, and those among the processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from .ranks import Ranks


class Portion(NamedTuple):
    """What one process computes between two reads.

    number: of the batch within the epoch. clips: (b) int, this process's clips. picks: (b) int, their places within
    the whole batch of `size` clips. weight: of one clip in the gradient of the optimizer step. steps: whether the
    optimizer steps after it.
    """

    number: int
    clips: np.ndarray
    picks: np.ndarray
    size: int
    weight: float
    steps: bool


def portions(order: np.ndarray, batch: int, accumulate: int, ranks: Ranks) -> Iterator[Portion]:
    """The epoch's clips in `order`, `batch` at a time over all processes, a step every `accumulate` batches.

    Every clip weighs the same within its step, however the step is cut; the last step may have fewer. A process for
    which nothing is left computes the batch's first clip with weight 0, so that all take the same steps.
    """
    number = 0
    for start in range(0, len(order), batch * accumulate):
        step = order[start : start + batch * accumulate]
        for begin in range(0, len(step), batch):
            whole = step[begin : begin + batch]
            picks = ranks.share(np.arange(len(whole)))
            weight = 1 / len(step) if len(picks) else 0.0
            picks = picks if len(picks) else np.zeros(1, int)
            yield Portion(number, whole[picks], picks, len(whole), weight, begin + batch >= len(step))
            number += 1


def steps_of(clips: int, batch: int, accumulate: int) -> int:
    """Optimizer steps of an epoch over so many clips."""
    return -(-clips // (batch * accumulate))


def targets(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """(b, k) float32 class probabilities: smoothing is spread over all classes (Szegedy et al. 2016)."""
    return one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes


def class_weights(labels: np.ndarray, classes: int) -> Tensor:
    """(k,) float32: the inverse of each class's share, mean over clips 1; 0 for a class without clips."""
    count = np.bincount(labels, minlength=classes)
    weight = np.divide(len(labels), count * np.count_nonzero(count), out=np.zeros(classes), where=count > 0)
    return torch.from_numpy(weight).float()

"""How an epoch is cut: into optimizer steps, those into batches, and those among the processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .distributed import ProcessGroup


class MicroBatch(NamedTuple):
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


def portions(order: np.ndarray, batch: int, accumulate: int, ranks: ProcessGroup) -> Iterator[MicroBatch]:
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
            yield MicroBatch(number, whole[picks], picks, len(whole), weight, begin + batch >= len(step))
            number += 1


def steps_of(clips: int, batch: int, accumulate: int) -> int:
    """Optimizer steps of an epoch over so many clips."""
    return -(-clips // (batch * accumulate))

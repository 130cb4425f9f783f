"""How an epoch is cut: into optimizer steps, those into batches, and those among the processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .distributed import ProcessGroup

NOBODY = np.empty(0, np.int64)


class MicroBatch(NamedTuple):
    """What one process computes between two reads.

    number: of the batch within the epoch. clips: (b) int, this process's clips. picks: (b) int, their places within
    the whole batch of `size` clips. weight: of one clip in the gradient of the optimizer step. steps: whether the
    optimizer steps after it. partners: with mixup, (b) int, for each clip the place in `read` of the one that is
    blended in; others: (o) int, such clips of other processes, and other_picks their places within the whole batch.
    share: of the clip itself.
    """

    number: int
    clips: np.ndarray
    picks: np.ndarray
    size: int
    weight: float
    steps: bool
    partners: np.ndarray | None = None
    others: np.ndarray = NOBODY
    other_picks: np.ndarray = NOBODY
    share: float = 1.0

    @property
    def read(self) -> np.ndarray:
        """(b + o) int: all clips that must be read, this process's own first."""
        return np.concatenate([self.clips, self.others])

    @property
    def read_picks(self) -> np.ndarray:
        """(b + o) int: the places of those within the whole batch."""
        return np.concatenate([self.picks, self.other_picks])


def portions(
    order: np.ndarray,
    batch: int,
    accumulate: int,
    ranks: ProcessGroup,
    mixup: float = 0.0,
    seed: tuple[int, int] = (0, 0),
) -> Iterator[MicroBatch]:
    """The epoch's clips in `order`, `batch` at a time over all processes, a step every `accumulate` batches.

    mixup: alpha of `augmentation.mixup`, 0 for none; partners are drawn over the whole batch, from `seed` (the run's,
    the epoch) and the batch's number, so that they do not depend on how many processes share it.
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
            micro_batch = MicroBatch(number, whole[picks], picks, len(whole), weight, begin + batch >= len(step))
            if mixup:
                random = np.random.default_rng([*seed, number, 1])
                share, chosen = float(random.beta(mixup, mixup)), random.permutation(len(whole))[picks]
                others = np.setdiff1d(chosen, picks)
                place = {int(pick): row for row, pick in enumerate([*picks.tolist(), *others.tolist()])}
                partners = np.array([place[int(pick)] for pick in chosen], np.int64)
                micro_batch = micro_batch._replace(
                    partners=partners, others=whole[others], other_picks=others, share=share
                )
            yield micro_batch
            number += 1


def steps_of(clips: int, batch: int, accumulate: int) -> int:
    """Optimizer steps of an epoch over so many clips."""
    return -(-clips // (batch * accumulate))

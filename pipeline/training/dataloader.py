"""Batches on the device, read ahead while the device computes."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from ..utils.signals import leave_to_parent
from .dataset import Batch, Features

AHEAD = 2  # batches that are read before they are asked for


class FeatureLoader:
    """Batches on the device, read ahead: by a thread, or by `workers` processes that live as long as the stream.

    context: how the processes start ("fork", "spawn"); the machine's own way by default. Features that are already
    in memory or on the device need no processes, so `workers` counts only where files are read.
    """

    def __init__(self, features: Features, *, workers: int = 0, context: str | None = None) -> None:
        self.features = features
        self.plan: list[np.ndarray] = []
        self.loader: DataLoader[Any] | None = None
        if workers and features.preload == "none":
            plan: Any = _Plan(self.plan)
            self.loader = DataLoader(
                features,
                batch_sampler=plan,
                num_workers=min(workers, len(features)),  # more would have nothing to read
                collate_fn=_as_it_is,
                pin_memory=features.device.type == "cuda",
                persistent_workers=True,
                multiprocessing_context=context,
                worker_init_fn=leave_to_parent,
            )

    def __call__(self, batches: Sequence[np.ndarray]) -> Generator[Batch, None, None]:
        """One batch on the device for each array of clip numbers, in order."""
        device = self.features.device
        with contextlib.closing(self._read(batches)) as found:
            for batch in found:
                yield {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}

    def _read(self, batches: Sequence[np.ndarray]) -> Generator[Batch, None, None]:
        if self.loader is not None:
            self.plan[:] = batches
            yield from self.loader
        elif self.features.preload == "device":
            yield from (self.features.__getitems__(clips) for clips in batches)
        else:
            with ThreadPoolExecutor(1, "features") as reader:
                waiting: deque[Any] = deque()
                for clips in batches:
                    waiting.append(reader.submit(self.features.__getitems__, clips))
                    if len(waiting) > AHEAD:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()


class _Plan:
    """What torch calls a batch sampler: whatever batches stand in the list at the moment."""

    def __init__(self, batches: list[np.ndarray]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(list(self.batches))

    def __len__(self) -> int:
        return len(self.batches)


def _as_it_is(batch: Any) -> Any:
    return batch

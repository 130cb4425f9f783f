"""Training in several processes: `torchrun` starts them, every one trains on its share of each batch.

Only rank 0 writes. Whatever is summed over ranks is summed exactly once, so evaluation needs no padding.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ...errors import MachineError, StarError
from ..utils.hardware import choose_device


@dataclass(frozen=True)
class ProcessGroup:
    """This process among `size` of them; alone by default."""

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    def share(self, items: np.ndarray) -> np.ndarray:
        """Every size-th item, from this rank's own on; may be empty."""
        return items[self.rank :: self.size]

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model with its gradients averaged over ranks."""
        if self.size == 1:
            return model
        return DistributedDataParallel(model, [self.device] if self.device.type == "cuda" else None)

    def add(self, tensor: Tensor) -> Tensor:
        """The sum over ranks, in place; the tensor itself if alone."""
        if self.size > 1:
            distributed.all_reduce(tensor)
        return tensor

    def any(self, flag: bool) -> bool:
        """Whether any rank raises the flag; every rank must ask at the same point."""
        return flag if self.size == 1 else bool(self.add(torch.tensor(float(flag), device=self.device)))

    @contextmanager
    def together(self) -> Generator[None, None, None]:
        """Go on when every rank has come to the end of the block; what one of them raises, all raise."""
        caught = None
        try:
            yield
        except StarError as error:
            caught = error
        self.agree(caught)

    def agree(self, error: StarError | None) -> None:
        """Raise the first error that any rank has, on every rank; every rank must ask at the same point.

        All but the first keep quiet about it.
        """
        if self.size > 1:
            told: list[Any] = [None] * self.size
            distributed.all_gather_object(told, error and (type(error), str(error)))
            found = next((kind_and_text for kind_and_text in told if kind_and_text), None)
            error = found[0](found[1]) if found else None
            if error is not None:
                error.said = not self.first
        if error is not None:
            raise error

    def lost(self, error: RuntimeError) -> Exception:
        """What to raise for an error of torch's: itself, or, among several processes, that another one has ended.

        torchrun says which; the one that ended has said why.
        """
        if self.size == 1 or not any(word in str(error) for word in ("gloo", "NCCL", "onnection", "peer")):
            return error
        gone = MachineError("another process of this training ended; its own message says why")
        gone.said = True
        return gone

    def close(self) -> None:
        """Leave the group."""
        if self.size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()


def join(device: str) -> ProcessGroup:
    """The ranks that torchrun's environment names, joined; or this process alone. device: "auto", "cpu", "cuda:1", …"""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    chosen = choose_device(device, local if size > 1 else None)
    if size == 1:
        return ProcessGroup(device=chosen)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return ProcessGroup(distributed.get_rank(), size, chosen)

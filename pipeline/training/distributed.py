"""Training in several processes: `torchrun` starts them, every one trains on its share of each batch.

Only rank 0 writes. Whatever is summed over ranks is summed exactly once, so evaluation needs no padding.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

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

    def wait(self) -> None:
        """Go on when every rank has come here."""
        self.any(False)

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

"""The processors and devices of this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ...errors import MachineError

if TYPE_CHECKING:
    import torch


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def best_device() -> str:
    """torch's name of the device that "auto" stands for: the first GPU, CUDA's before Apple's, else the CPU."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def choose_device(name: str, local: int | None = None) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one. local: which GPU belongs to this process.

    Raises MachineError for a GPU that is not there.
    """
    import torch

    if name == "auto":
        name = best_device()
    try:
        device = torch.device(name)
    except RuntimeError:
        raise MachineError(f"--device {name}: unknown; use auto, cpu, cuda, cuda:N or mps") from None
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise MachineError(f"--device {name}: this machine has no Apple GPU; use --device cpu or auto")
    if device.type == "cuda" and (device.index or local or 0) >= torch.cuda.device_count():
        raise MachineError(
            f"--device {name}: this machine shows {torch.cuda.device_count()} GPUs; use --device cpu or auto"
        )
    unnumbered = device.type == "cuda" and name == "cuda"  # torch says so of an index: None, against its annotation
    return torch.device("cuda", local) if unnumbered and local is not None else device

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


def choose_device(name: str, local: int | None = None) -> torch.device:
    """The device of that name; "auto" is a GPU where there is one. local: which GPU belongs to this process.

    Raises MachineError for a GPU that is not there.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise MachineError(f"--device {name}: unknown; use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and (device.index or local or 0) >= torch.cuda.device_count():
        raise MachineError(
            f"--device {name}: this machine shows {torch.cuda.device_count()} GPUs; use --device cpu or auto"
        )
    return (
        torch.device("cuda", local) if device.type == "cuda" and device.index is None and local is not None else device
    )

"""How much memory there is, and where features should therefore lie."""

from __future__ import annotations

import os
from pathlib import Path

import torch

SHARE = 1 / 3  # of what is free may be taken by features


def choose_preload(mode: str, size: int, device: torch.device) -> str:
    """ "none", "memory" or "device" for features of `size` bytes; modes other than "auto" are obeyed.

    auto: on the device where they fit in a third of a GPU's free memory, else in memory where they fit in a third of
    that, else read from the files as needed.
    """
    if mode == "device" and device.type == "cpu":
        return "memory"
    if mode != "auto":
        return mode
    if device.type == "cuda" and size < SHARE * torch.cuda.mem_get_info(device)[0]:
        return "device"
    return "memory" if size < SHARE * available() else "none"


def free_memory(device: torch.device) -> int:
    """Bytes that are free where a device computes."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else available()


def available() -> int:
    """Bytes of memory that this process may still take: the machine's, or less where a control group says so."""
    return min(_machine(), _control_group())


def _machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return 4 << 30


def _control_group() -> int:
    """What a container's limit leaves; page cache that can be dropped counts as free."""
    root = Path("/sys/fs/cgroup")
    try:
        limit = int((root / "memory.max").read_text(encoding="ascii"))
        used = int((root / "memory.current").read_text(encoding="ascii"))
        rows = (root / "memory.stat").read_text(encoding="ascii").splitlines()
        cached = next(int(row.split()[1]) for row in rows if row.startswith("inactive_file "))
        return max(0, limit - used + cached)
    except (OSError, ValueError, StopIteration):
        return 1 << 62

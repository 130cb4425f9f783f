"""What a benchmark ran on, in words that name neither the machine nor its folders."""

from __future__ import annotations

import datetime
import os
import platform
import re
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "torchvision", "numpy", "av", "h5py", "mmpose", "opencv-python-headless", "decord", "dask")
# instruction sets that matter to networks on a CPU
MATTER = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8", "bf16", "sve")


def describe() -> dict[str, str]:
    """Date, commit, processor, memory, GPU, versions and load of this machine, now."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d, %H:%M UTC"),
        "star": _commit(),
        "processor": _processor(),
        "memory": _memory(),
        "GPU": _gpu(),
        "system": f"{platform.system()} on {platform.machine()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name))),
        "load at the start": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
    }


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=, with changes"]
    try:
        return "commit " + subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True).strip()
    except (OSError, subprocess.CalledProcessError):
        return f"{_version('star')}, not in a git checkout"


def _processor() -> str:
    """Model, cores that this process may use, and which instruction sets that matter it has."""
    text = ""
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    flags = set(" ".join(re.findall(r"^(?:flags|Features)\s*: (.+)$", text, re.MULTILINE)).split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    named = model[1].strip() if model else platform.processor() or platform.machine()
    sets = ", ".join(flag for flag in MATTER if flag in flags) or "instruction sets unknown"
    return f"{named}, {cores} cores; {sets}"


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.0f} GB"
    except (AttributeError, ValueError, OSError):
        return "unknown"


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""

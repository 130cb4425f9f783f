"""`star doctor`: what is installed, what is missing, and what to do about it."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..utils.hardware import best_device, cores
from ..utils.text import amount

PACKAGES = {  # distribution -> module, and what stands still without it
    "torch": ("torch", "everything"),
    "torchvision": ("torchvision", "stage backbone"),
    "h5py": ("h5py", "the cache"),
    "blake3": ("blake3", "the cache"),
    "av": ("av", "reading videos"),
    "decord": ("decord", "the reader `decord` (`auto` and `pyav` do without)"),
    "opencv-python-headless": ("cv2", "cutting frames"),
    "pebble": ("pebble", "decoding under a time limit"),
    "mmpose": ("mmpose", "pose.source: mmpose"),
    "mmengine": ("mmengine", "pose.source: mmpose"),
    "mmcv-lite": ("mmcv", "pose.source: mmpose"),
    "scipy": ("scipy", "Penn Action's labels"),
    "dask": ("dask", "--scheduler and several GPUs"),
    "distributed": ("distributed", "--scheduler and several GPUs"),
    "safetensors": ("safetensors", "training"),
    "tensorboard": ("tensorboard", "curves"),
    "matplotlib": ("matplotlib", "pictures"),
}
OPTIONAL = {"decord", "mmpose", "mmengine", "mmcv-lite", "dask", "distributed", "tensorboard"}


def doctor() -> dict[str, Any]:
    """Check every package by importing it, mmpose's models, the codecs, the GPU and the room for a cache.

    `ok` is False where something that extraction or training cannot do without is missing.
    """
    packages = [_package(name, *about) for name, about in PACKAGES.items()]
    checks = [_check("mmpose models", _mmpose), _check("H.264 decoder", _h264), _check("device", _device)]
    checks.append(_check("arithmetic", _arithmetic))
    missing = [row["name"] for row in packages if row["problem"] and row["name"] not in OPTIONAL]
    return {
        "ok": not missing,
        "python": f"{platform.python_version()} ({sys.executable})",
        "cores": cores(),
        "free": amount(shutil.disk_usage(os.curdir).free),
        "packages": packages,
        "checks": checks,
    }


def _package(name: str, module: str, use: str) -> dict[str, str]:
    row = {"name": name, "version": "", "use": use, "problem": ""}
    try:
        row["version"] = version(name)
        if name not in ("mmpose", "decord"):  # one needs the adapter, the other must not be imported beside torch
            importlib.import_module(module)
    except PackageNotFoundError:
        row["problem"] = f"not installed; without it: no {use}"
    except Exception as error:  # a broken package may raise anything
        row["problem"] = f"does not import: {error}"
    return row


def _check(name: str, probe: Callable[[], str]) -> dict[str, str]:
    try:
        return {"name": name, "found": probe(), "problem": ""}
    except Exception as error:  # whatever is wrong is the answer
        return {"name": name, "found": "", "problem": " ".join(str(error).split())}


def _mmpose() -> str:
    from ...stages.pose.mmpose_models import model_spec

    model_spec("rtmpose-m_8xb256-420e_coco-256x192")
    return "RTMPose and heat-map models can be built"


def _h264() -> str:
    import av

    return av.Codec("h264", "r").long_name


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} × {torch.cuda.get_device_name()}"
    return "CPU only; extraction of a large data set wants a GPU"


def _arithmetic() -> str:
    """What `backbone.precision: bfloat16` and `train.precision: auto` compute in on this machine."""
    from ...stages.precision import compute_precision, describe_precisions

    device = best_device()
    used = compute_precision("bfloat16", device)
    return (
        f"{device} is fast in {describe_precisions(device)}; extract: backbone in {used} (backbone.precision: "
        f"bfloat16), pose and detector in float32; train: {compute_precision('auto', device)} (train.precision: auto)"
    )


def lines(found: dict[str, Any]) -> list[str]:
    """The same for a person: one line per package, then what is wrong."""
    said = [f"Python {found['python']}, {found['cores']} cores, {found['free']} free here"]
    for row in found["packages"]:
        said.append(f"{'!' if row['problem'] else ' '} {row['name']:24}{row['problem'] or row['version']}")
    for row in found["checks"]:
        said.append(f"{'!' if row['problem'] else ' '} {row['name']:24}{row['problem'] or row['found']}")
    said.append("all is well" if found["ok"] else "star cannot run here: install what is marked with ! (pip install .)")
    return said

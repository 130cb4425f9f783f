"""`star doctor`: what is installed, what is missing, and what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
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
# Imported in a process of their own, beside the others, which halves the wait; decord must not be imported beside torch
# at all, and mmpose's check imports all of it.
ASIDE = ("dask", "distributed", "mmengine", "mmcv")
UNIMPORTED = ("decord", "mmpose")


@dataclass(frozen=True)
class PackageRow:
    """One package: its installed version, what needs it, and what is wrong with it (empty: nothing)."""

    name: str
    version: str
    use: str
    problem: str


@dataclass(frozen=True)
class CheckRow:
    """One thing that was tried: what was found, or what is wrong."""

    name: str
    found: str
    problem: str


@dataclass(frozen=True)
class Doctor:
    """What `star doctor` found; ok: nothing is missing that extraction or training cannot do without."""

    ok: bool
    python: str
    cores: int
    free: str
    packages: tuple[PackageRow, ...]
    checks: tuple[CheckRow, ...]

    @property
    def exit_code(self) -> int:
        """5 where star cannot run on this machine."""
        return 0 if self.ok else 5

    def to_document(self) -> dict[str, Any]:
        """The same as JSON."""
        document = asdict(self)
        return {**document, "packages": list(document["packages"]), "checks": list(document["checks"])}

    def to_lines(self) -> list[str]:
        """The same for a person: one line per package and per check, what is wrong marked with !."""
        lines = [f"Python {self.python}, {self.cores} cores, {self.free} free here"]
        answers = [(row.name, row.version, row.problem) for row in self.packages]
        answers += [(row.name, row.found, row.problem) for row in self.checks]
        lines += [f"{'!' if problem else ' '} {name:24}{problem or found}" for name, found, problem in answers]
        remedy = "star cannot run here: install what is marked with ! (pip install .)"
        return [*lines, "all is well" if self.ok else remedy]


def run_doctor() -> Doctor:
    """Check every package by importing it, mmpose's models, the codecs, the GPU and the room for a cache."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:  # one that kills its process is a finding too
        mmpose = pool.submit(_check, "mmpose models", _mmpose)
        imports = {module: pool.submit(_import_problem, module) for module in ASIDE}
        packages = tuple(_package(name, module, use, imports) for name, (module, use) in PACKAGES.items())
        checks = (
            _check("H.264 decoder", lambda: import_module("av").Codec("h264", "r").long_name),
            _check("device", _device),
            _check("arithmetic", _arithmetic),
        )
        try:
            checks = (mmpose.result(), *checks)
        except BrokenProcessPool:
            died = "the process that imported mmpose died; install it again (pip install .)"
            checks = (CheckRow("mmpose models", "", died), *checks)
    missing = [row.name for row in packages if row.problem and row.name not in OPTIONAL]
    python = f"{platform.python_version()} ({sys.executable})"
    return Doctor(not missing, python, cores(), amount(shutil.disk_usage(os.curdir).free), packages, checks)


def _package(name: str, module: str, use: str, imports: dict[str, Future[str]]) -> PackageRow:
    try:
        installed = version(name)
    except PackageNotFoundError:
        return PackageRow(name, "", use, f"not installed; without it: no {use}")
    if module in UNIMPORTED:
        return PackageRow(name, installed, use, "")
    if module not in imports:
        return PackageRow(name, installed, use, _import_problem(module))
    try:
        return PackageRow(name, installed, use, imports[module].result())
    except BrokenProcessPool:
        return PackageRow(name, installed, use, "the process that imported it died; install it again")


def _import_problem(module: str) -> str:
    try:
        import_module(module)
    except Exception as error:  # a broken package may raise anything
        return f"does not import: {error}"
    return ""


def _check(name: str, probe: Callable[[], str]) -> CheckRow:
    try:
        return CheckRow(name, probe(), "")
    except Exception as error:  # whatever is wrong is the answer
        return CheckRow(name, "", " ".join(str(error).split()))


def _mmpose() -> str:
    from ...stages.pose.mmpose_models import model_spec

    model_spec("rtmpose-m_8xb256-420e_coco-256x192")
    return "RTMPose and heat-map models can be built"


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

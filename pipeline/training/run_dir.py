"""A run's folder: what was asked for, on what, and what came of it.

recipe.yaml         every setting, written out          metrics.jsonl   one JSON object an epoch
environment.json    versions, keys, clips, left out     events.*        the same for TensorBoard
last/, best/        checkpoints, see checkpoint.py      test/           see evaluator.py
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

import torch

from ...cache.atomic import remove_leftovers, reporting
from ...errors import UsageError
from ...untrusted_files import (
    UntrustedFile,
    each,
    json_text,
    named,
    number,
    optional,
    parse_json,
    plain,
    read_bytes,
    read_json,
    record,
    text,
    truth,
    whole,
)
from ...version import __version__
from ..planning.selection import Selection
from ..recipe import schema as settings
from ..utils.atomic import replace_bytes

# What may change between the parts of a run: where things lie and how fast they are read, but nothing that is learnt.
FREE = (
    "dataset.root", "dataset.name", "dataset.skeletons", "dataset.missing", "cache", "decode.reader", "decode.timeout",
    "decode.keep", "decode.views.test", "pose.batch", "pose.checkpoint", "pose.detector_weights", "backbone.batch",
    "backbone.weights",
    "train.preload", "train.workers", "train.checksums", "train.checkpoint_every", "train.tensorboard", "train.wandb",
    "test",
)  # fmt: skip


MOST_BYTES = 1 << 28  # of environment.json, which names every clip that was left out, and of metrics.jsonl
ENVIRONMENT = record(
    {},
    {
        "classes": each(text(), 1 << 20),
        "features": named(plain),
        "start": record({}, {"run": optional(text(1 << 16)), "freeze": truth}),
        "parameters": whole(),
        "began": text(),
    },
)
EPOCH = record({"epoch": whole(1, settings.LARGEST)}, {"step": whole(), "seconds": number})


class RunFolder:
    """The files of one run; only the first rank holds one that writes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        self.environment = path / "environment.json"
        self.metrics = path / "metrics.jsonl"
        self.state = path / "last" / "state.safetensors"
        self._lock: BinaryIO | None = None

    def claim(self, *, create: bool) -> None:
        """Take the folder for this process until `close`, or its end. Raises UsageError while another one has it.

        create: make it where it is not there; otherwise nothing is taken then.
        """
        if not create and not self.path.is_dir():
            return
        with reporting(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            try:
                import fcntl
            except ImportError:  # not on this system: nothing is guarded there
                return
            # not waiting for a reader, should it be a pipe
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
            self._lock = os.fdopen(os.open(self.path / "lock", flags, 0o666), "ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise UsageError(f"{self.path}: another `star train` is at work there; take another folder") from None
        except OSError:
            pass  # a file system without locks
        for folder in (self.path, *(self.path / name for name in ("last", "best", "test"))):
            if folder.is_dir():  # remove what killed writers left
                with reporting(folder):
                    remove_leftovers(folder, time.time())

    def close(self) -> None:
        """Leave the folder to others."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def weights(self, which: str) -> Path:
        """The weights file of a checkpoint: "last" or "best"."""
        return self.path / which / "weights.safetensors"

    def check(self, recipe: settings.Recipe, features: Mapping[str, Any], *, resume: bool) -> None:
        """Refuse to mix two runs in one folder; features: see `describe_features`. Raises UsageError."""
        if not resume:
            if self.state.exists() or self.rows():  # what ended before its first epoch may be begun anew
                raise UsageError(f"{self.path}: holds a run already; --resume continues it, another folder starts anew")
            return
        if not self.recipe.exists():
            raise UsageError(f"{self.path}: no run to resume; leave --resume out to start one")
        old = settings.load(self.recipe)
        longer = recipe.train.schedule == "constant" and not recipe.train.warmup  # no rate depends on the last epoch
        for name, then, now in differences(old.model_dump(mode="json"), recipe.model_dump(mode="json")):
            is_free = any(name == free or name.startswith(f"{free}.") for free in FREE)
            if not (is_free or (longer and name == "train.epochs")):
                raise UsageError(
                    f"{self.path}: began with {name} {then!r}, now {now!r}; set it back, or take another folder"
                )
        for name, then, now in differences(self.read_environment().get("features", {}), dict(features)):
            raise UsageError(
                f"{self.path}: began with features whose {name} was {then!r}, now {now!r}; take another folder"
            )

    def begin(self, recipe: settings.Recipe, environment: Mapping[str, Any]) -> None:
        """Write down what was asked for and on what."""
        replace_bytes(self.environment, json_text(environment, 1).encode())
        replace_bytes(self.recipe, settings.dump(recipe).encode())  # last: a run with a recipe can be resumed

    def read_environment(self) -> dict[str, Any]:
        """The environment of the run. Raises UsageError where it is missing or broken."""
        try:
            return read_json(self.environment, ENVIRONMENT, MOST_BYTES)
        except OSError:
            raise UsageError(f"{self.path}: no run of star's (environment.json cannot be read)") from None
        except UntrustedFile as error:
            raise UsageError(f"{self.path}: no run of star's (environment.json {error})") from None

    def rows(self) -> list[dict[str, Any]]:
        """One entry an epoch; a line that a crash cut short, or that star did not write, is left out.

        Raises UsageError where metrics.jsonl is no file that can be read.
        """
        found: list[dict[str, Any]] = []
        try:
            lines = read_bytes(self.metrics, MOST_BYTES).splitlines()
        except FileNotFoundError:
            return []
        except (OSError, UntrustedFile) as error:
            raise UsageError(f"{self.metrics}: {getattr(error, 'strerror', None) or error}; remove it") from None
        for line in lines:
            try:
                row = parse_json(line)
                EPOCH(row, "")
                for name, value in row.items():
                    if value is not None and not isinstance(value, (bool, str)):
                        number(value, name)
            except UntrustedFile:
                continue
            found.append(row)
        return found

    def add(self, row: Mapping[str, Any]) -> None:
        """Append an epoch's row. Raises StorageError."""
        with reporting(self.metrics), self.metrics.open("a", encoding="utf-8") as file:
            file.write(json_text(row) + "\n")

    def trim(self, epoch: int) -> None:
        """Drop the rows after `epoch`: the epochs that a resumed run trains again."""
        kept = [json_text(row) + "\n" for row in self.rows() if row["epoch"] <= epoch]
        replace_bytes(self.metrics, "".join(kept).encode())


def differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted name, old value, new value) of each setting that differs, in the order of the sections."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*new, *old]):
            yield from differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
    elif old != new:
        yield name, old, new


def describe_features(training: Selection, testing: Selection, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """What a run was trained on: keys of the stages, shapes of the arrays, and which clips."""
    return {
        "keys": {stage: stage_store.key for stage, stage_store in training.stage_stores.items()},
        "shapes": {name: list(shape) for name, shape in shapes.items()},
        "train clips": _clips(training),
        "test clips": _clips(testing),
    }


def _clips(selection: Selection) -> str:
    """How many clips, and a digest of which."""
    digest = hashlib.blake2b(digest_size=8)
    for video, view in zip(selection.videos, selection.views, strict=True):
        label = ";".join(map(str, video.all_labels)) or "-1"
        digest.update(f"{video.id}\0{view}\0{label}\n".encode(errors="surrogateescape"))
    return f"{len(selection)}, {digest.hexdigest()}"


def describe_machine(device: torch.device) -> dict[str, Any]:
    """Versions and hardware, as far as they may explain a result."""
    packages = ("torch", "numpy", "safetensors", "h5py")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    return {
        "star": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": {package: metadata.version(package) for package in packages},
        "system": platform.platform(),
        "device": f"{device.type} {name}".strip(),
        "threads": torch.get_num_threads(),
        "command": sys.argv[1:],
        "began": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _commit() -> str | None:
    """The commit of star's own checkout, with "+" where files have changed; None outside one."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        found = [
            subprocess.run(
                ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10, check=True
            ).stdout
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return found[0].strip() + ("+" if found[1].strip() else "")

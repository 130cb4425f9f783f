"""Curves for people who watch: TensorBoard events in the run's folder, and Weights & Biases where asked for.

A curve is not worth a run: where one cannot be written, one line says so and the run goes on without it.
"""

# pyright: reportAttributeAccessIssue=false
# (tensorboard's records are compiled from .proto files and have no types)
from __future__ import annotations

import hashlib
import os
import re
import socket
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...errors import MissingPackage
from ...untrusted_files import LARGE, UntrustedFile, read_bytes
from ..recipe import schema as settings
from ..utils.progress import tell


def check(recipe: settings.Recipe) -> None:
    """Raises MissingPackage where the recipe asks for curves that cannot be shown here."""
    if recipe.train.tensorboard and not find_spec("tensorboard"):
        raise MissingPackage("train.tensorboard: tensorboard is not installed; install it, or set it to false")
    if recipe.train.wandb and not find_spec("wandb"):
        raise MissingPackage("train.wandb: wandb is not installed; `pip install wandb`, or set it to null")


class MetricLogger:
    """Takes one row of figures an epoch and shows it wherever the recipe says.

    first: the epoch from which this part of the run goes on; later events of an earlier part are hidden.
    """

    def __init__(self, run: Path, recipe: settings.Recipe, first: int) -> None:
        made: dict[str, Callable[[], Any]] = {}
        if recipe.train.tensorboard:
            made["tensorboard"] = lambda: _Events(run, first)
        if recipe.train.wandb:
            made["wandb"] = lambda: _Wandb(run, recipe)
        self.curves: dict[str, Any] = {}
        for name, make in made.items():
            self._try(name, lambda name=name, make=make: self.curves.update({name: make()}))

    def show(self, row: Mapping[str, Any]) -> None:
        """One row of metrics.jsonl."""
        figures = {name: value for name, value in row.items() if isinstance(value, (int, float)) and name != "epoch"}
        for name, curve in list(self.curves.items()):
            self._try(name, lambda curve=curve: curve.add(figures, row["epoch"]))

    def close(self) -> None:
        """Write what is still buffered."""
        for name, curve in list(self.curves.items()):
            self._try(name, curve.close)

    def _try(self, name: str, step: Callable[[], Any]) -> None:
        """Do a step; a curve that fails is given up, and one line says so."""
        try:
            step()
        except Exception as error:  # wandb raises what it likes
            self.curves.pop(name, None)
            reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:200]
            tell(f"train.{name}: no more curves, the run goes on without them ({reason})")


class _Events:
    """A TensorBoard file. torch's SummaryWriter would do, but for its thread, which dies of a full disk with a
    traceback."""

    def __init__(self, run: Path, first: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{time.monotonic_ns()}"
        self.file = (run / name).open("xb")
        self.records = RecordWriter(self.file)
        self._write(Event(file_version="brain.Event:2"))
        if first > 1:
            self._write(Event(step=first, session_log=SessionLog(status=SessionLog.START)))

    def add(self, figures: Mapping[str, float], epoch: int) -> None:
        """Write one epoch's figures. Raises OSError."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in figures.items()]
        self._write(Event(step=epoch, summary=Summary(value=values)))

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self.records.write(event.SerializeToString())
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class _Wandb:
    """A run at Weights & Biases, of a name of its own: two folders of one name are two runs there."""

    def __init__(self, run: Path, recipe: settings.Recipe) -> None:
        import wandb  # pyright: ignore[reportMissingImports]

        self.run = wandb.init(
            project=recipe.train.wandb,
            name=run.name,
            id=wandb_id(run),
            dir=str(run),
            resume="allow",
            config=recipe.model_dump(mode="json"),
        )

    def add(self, figures: Mapping[str, float], epoch: int) -> None:
        """One epoch's figures."""
        self.run.log(dict(figures), step=epoch)

    def close(self) -> None:
        """Send what is left."""
        self.run.finish()


def wandb_id(run: Path) -> str:
    """What Weights & Biases knows a run's folder by: its name, and a digest of where it is and when it began."""
    try:
        found = re.search(rb'"began": "([^"]*)"', read_bytes(run / "environment.json", LARGE))
    except (OSError, UntrustedFile):
        found = None
    began = found[1].decode(errors="replace") if found else ""
    digest = hashlib.blake2b(f"{run.resolve()}\0{began}".encode(errors="surrogateescape"), digest_size=6).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9_-]', '-', run.name)[:60]}-{digest}"

"""Curves for people who watch: TensorBoard events in the run's folder, and Weights & Biases where asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...errors import MissingPackage
from ..recipe import schema as settings


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
        self.writer: Any = _tensorboard(run, first) if recipe.train.tensorboard else None
        self.wandb: Any = _wandb(run, recipe) if recipe.train.wandb else None

    def show(self, row: Mapping[str, Any]) -> None:
        """One row of metrics.jsonl."""
        figures = {name: value for name, value in row.items() if isinstance(value, (int, float)) and name != "epoch"}
        for name, value in figures.items() if self.writer else ():
            self.writer.add_scalar(name, value, row["epoch"])
        if self.writer:
            self.writer.flush()
        if self.wandb:
            self.wandb.log(figures, step=row["epoch"])

    def close(self) -> None:
        """Write what is still buffered."""
        if self.writer:
            self.writer.close()
        if self.wandb:
            self.wandb.finish()


def _tensorboard(run: Path, first: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(run), purge_step=first)


def _wandb(run: Path, recipe: settings.Recipe) -> Any:
    import wandb  # pyright: ignore[reportMissingImports]

    return wandb.init(
        project=recipe.train.wandb,
        name=run.name,
        id=run.name,
        dir=str(run),
        resume="allow",
        config=recipe.model_dump(mode="json"),
    )

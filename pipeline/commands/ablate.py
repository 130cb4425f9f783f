"""`star ablate`: train and test every variant of a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..evaluation.ablation import ablate, lines
from ..recipe.schema import load
from .result import Result


def run_ablate(
    recipe: Path,
    study: str,
    runs: Path,
    *,
    overrides: Sequence[str] = (),
    seeds: int = 3,
    classes: Sequence[str] = (),
    device: str = "auto",
    quiet: bool = False,
) -> Result:
    """`star ablate`; see `ablation.ablate`."""
    table = ablate(
        lambda over: load(recipe, (*overrides, *over)),
        study,
        runs,
        seeds=seeds,
        classes=classes,
        device=device,
        quiet=quiet,
    )
    return Result(table, lines(table))

"""`star test`: the accuracy of a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..planning.selections import selections
from ..recipe.schema import Recipe
from ..utils.text import table
from .result import Result


def run_test(recipe: Recipe, run: Path, *, device: str = "auto", quiet: bool = False) -> Result:
    """`star test`."""
    from ..evaluation.evaluator import evaluate

    (testing,) = selections(recipe, ("test",), quiet)
    found = evaluate(recipe, testing, run, device=device, progress=not quiet)
    return Result(found, [*per_class(found["per_class"]), *_accuracies(found), f"details: {run / 'test'}"])


def per_class(judged: Sequence[dict[str, Any]]) -> list[str]:
    """The classes that have test videos, one line each; how many have none."""
    rows: list[tuple[str, ...]] = [("class", "videos", "right", "accuracy", "mostly taken for")]
    rows += [
        (row["class"], f"{row['videos']:,}", f"{row['right']:,}", f"{row['accuracy']:.1%}", row["taken_for"])
        for row in judged
        if row["videos"]
    ]
    empty = len(judged) + 1 - len(rows)
    return [*table(rows), *([f"and {empty} class{'es' * (empty > 1)} without a test video"] if empty else [])]


def _accuracies(found: dict[str, Any]) -> list[str]:
    """Top-1, top-5 and mean class accuracy with their bootstrap intervals."""
    said = []
    for name, label in (("top1", "top-1"), ("top5", "top-5"), ("mean_class", "mean class")):
        low_high = found.get("intervals", {}).get(name)
        interval = f"   95 %: {low_high[0]:.1%} to {low_high[1]:.1%}" if low_high else ""
        said.append(f"{label:10} {found[name]:6.1%}{interval}")
    return [*said, f"{found['videos']:,} videos, {found['clips']:,} clips, {found['left_out']:,} left out"]

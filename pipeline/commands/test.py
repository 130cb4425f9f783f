"""`star test`: the accuracy of a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..recipe.schema import Recipe, load
from ..utils.text import table
from .result import Result


def run_test(
    recipe: Recipe, run: Path, *, device: str = "auto", quiet: bool = False, embeddings: bool = False
) -> Result:
    """`star test` of one run."""
    from ..evaluation.evaluator import evaluate, test_selection
    from ..training.distributed import join

    ranks = join(device)
    with ranks.together():
        testing = test_selection(recipe, run, None, quiet or not ranks.first)
    found = evaluate(recipe, testing, run, ranks=ranks, progress=not quiet, embedded=embeddings).summary
    pictured = [f"embeddings: {run / 'test' / 'embeddings.png'}, {run / 'test' / 'embeddings.npz'}"] * embeddings
    return Result(found, [*per_class(found["per_class"]), *_accuracies(found), *pictured, f"details: {run / 'test'}"])


def run_fusion(
    recipe: Recipe, runs: Sequence[Path], out: Path | None, *, device: str = "auto", quiet: bool = False
) -> Result:
    """`star test` of several runs together. Each is judged as its own recipe says, on this recipe's data and cache.

    out: where the result goes; FIRST_RUN/fusion by default.
    """
    from ..evaluation.evaluator import evaluate, test_selection
    from ..evaluation.fusion import fuse

    evaluations, selected = [], []
    for run in runs:
        own = load(run / "recipe.yaml").model_copy(
            update={"dataset": recipe.dataset, "cache": recipe.cache, "test": recipe.test}
        )
        testing = test_selection(own, run, None, quiet)
        evaluations.append(evaluate(own, testing, run, device=device, progress=not quiet))
        selected.append(testing)
    folder = out or runs[0] / "fusion"
    found = fuse(runs, evaluations, selected[0], recipe.test, folder)
    rows: list[tuple[str, ...]] = [("run", "top-1", "top-5", "mean class", "loss")]
    for row in (*found["runs"], {"run": "together", **found}):
        rows.append(
            (row["run"], *(f"{row[name]:.1%}" for name in ("top1", "top5", "mean_class")), f"{row['loss']:.3f}")
        )
    return Result(found, [*table(rows), *_accuracies(found), f"details: {folder}"])


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
    if "calibration" in found:
        error = found["calibration"]["error"]
        said.append(f"calibration error {error:.1%}: the mean distance of an answer's probability from its accuracy")
    return [*said, f"{found['videos']:,} videos, {found['clips']:,} clips, {found['left_out']:,} left out"]

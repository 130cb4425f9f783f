"""`star train`: train on cached features."""

from __future__ import annotations

from pathlib import Path

from ..planning.selections import selections
from ..recipe.schema import Recipe
from ..utils.text import clock
from .result import Result


def run_train(recipe: Recipe, run: Path, *, device: str = "auto", resume: bool = False, quiet: bool = False) -> Result:
    """`star train`."""
    from ..training.trainer import train

    training, testing = selections(recipe, ("train", "test"), quiet)
    summary = train(recipe, training, testing, run, device=device, resume=resume, progress=not quiet)
    best, videos = summary["best"], summary["videos"]
    said = [
        f"{videos['train']:,} training and {videos['test']:,} test videos, {summary['parameters']:,} parameters, "
        f"{summary['epochs']} epochs, {summary['steps']:,} steps in {clock(summary['seconds'])}",
        f"best: epoch {best['epoch']}, top-1 {best['top1']:.1%}, top-5 {best['top5']:.1%}",
        f"run: {summary['run']}; `star test` judges it, `star report` draws it",
    ]
    return Result(summary, said)

"""`star train`: train on cached features."""

from __future__ import annotations

from pathlib import Path

from ..planning.selections import training_selections
from ..recipe.schema import Recipe
from ..utils.text import clock
from .result import Result


def run_train(
    recipe: Recipe,
    run: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
    init: Path | None = None,
    freeze: bool = False,
) -> Result:
    """`star train`. init: a run whose weights it begins with. freeze: only the head is trained."""
    from ..training.distributed import join
    from ..training.trainer import train
    from ..training.transfer import Start

    ranks = join(device)
    with ranks.together():
        training, testing = training_selections(recipe, quiet or not ranks.first)
    judged = "validation" if testing.videos[0].split == "val" else "test"
    start = Start(init, freeze)
    summary = train(recipe, training, testing, run, ranks=ranks, resume=resume, progress=not quiet, start=start)
    best, videos = summary["best"], summary["videos"]
    said = [
        f"{videos['train']:,} training and {videos['test']:,} {judged} videos, {summary['parameters']:,} parameters, "
        f"{summary['epochs']} epochs, {summary['steps']:,} steps in {clock(summary['seconds'])}",
        f"best: epoch {best['epoch']}, top-1 {best['top1']:.1%}, top-5 {best['top5']:.1%}",
        f"run: {summary['run']}; `star test` judges it, `star report` draws it",
    ]
    return Result(summary, said)

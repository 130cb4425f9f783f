"""`star train`: train on cached features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..planning.train_test_selection import training_selections
from ..recipe.schema import Recipe
from ..utils.text import clock


@dataclass(frozen=True)
class TrainedNetwork:
    """What a training came to.

    videos: how many were trained on ("train"), and judged ("test"); these are of the split `judged`, "val" or "test".
    best: the row of metrics.jsonl of the best epoch.
    """

    run: str
    device: str
    precision: str
    videos: Mapping[str, int]
    left_out: int
    parameters: int
    epochs: int
    steps: int
    seconds: float
    best: Mapping[str, Any]
    judged: str
    exit_code: int = 0

    @property
    def videos_text(self) -> str:
        """How many videos were trained on, and how many judged."""
        judged = "validation" if self.judged == "val" else "test"
        return f"{self.videos['train']:,} training and {self.videos['test']:,} {judged} videos"

    @property
    def work_text(self) -> str:
        """The size of the network and of the training."""
        steps = f"{self.epochs} epochs, {self.steps:,} steps in {clock(self.seconds)}"
        return f"{self.parameters:,} parameters, {steps}"

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        document = asdict(self)
        del document["judged"], document["exit_code"]
        return document

    def to_lines(self) -> list[str]:
        """Figures of the run and of its best epoch, and what to do next."""
        precision = self.best.get("mean_average_precision")  # where clips have several labels
        ahead = "" if precision is None else f"mAP {precision:.1%}, "
        return [
            f"{self.videos_text}, {self.work_text}",
            f"best: epoch {self.best['epoch']}, {ahead}top-1 {self.best['top1']:.1%}, top-5 {self.best['top5']:.1%}",
            *(
                ["the best epoch is the test videos' choice, so it flatters; dataset.val_share=0.1 keeps others for it"]
                if self.judged == "test"
                else []
            ),
            f"run: {self.run}; `star test` judges it, `star report` draws it",
        ]


def run_train(
    recipe: Recipe,
    run: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
    init: Path | None = None,
    freeze: bool = False,
) -> TrainedNetwork:
    """`star train`. init: a run whose weights it begins with. freeze: only the head is trained."""
    from ..training.distributed import join
    from ..training.initial_weights import Start
    from ..training.trainer import train

    ranks = join(device)
    with ranks.together():
        training, testing = training_selections(recipe, quiet or not ranks.first)
    start = Start(init, freeze)
    summary = train(recipe, training, testing, run, ranks=ranks, resume=resume, progress=not quiet, start=start)
    return TrainedNetwork(**summary, judged=testing.videos[0].split)

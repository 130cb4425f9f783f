"""`star pretrain`: learn from cached clips without their labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..planning.train_test_selection import training_selections
from ..recipe.schema import Recipe
from .train import TrainedNetwork


@dataclass(frozen=True)
class PretrainedNetwork(TrainedNetwork):
    """What `star pretrain` made: as `star train`, but for accuracies. unused: settings that need labels."""

    unused: tuple[str, ...] = ()

    def to_lines(self) -> list[str]:
        """Figures of the run and of its best epoch, and what to do next."""
        return [
            f"{self.videos_text}, no label read, {self.work_text}",
            f"best: epoch {self.best['epoch']}, squared error of hidden tokens {self.best['test_loss']:.3f}; 1 is that "
            "of a network that knows nothing",
            *([f"{', '.join(self.unused)}: of classes, so not used here"] if self.unused else []),
            f"run: {self.run}; `star train RECIPE --init {self.run} --run …` begins with it",
        ]


def run_pretrain(
    recipe: Recipe, run: Path, *, device: str = "auto", resume: bool = False, quiet: bool = False
) -> PretrainedNetwork:
    """`star pretrain`, see `training.pretrain`."""
    from ..training.distributed import join
    from ..training.pretrain import PretrainTraining, check, without_classes
    from ..training.trainer import train

    ranks = join(device)
    with ranks.together():
        check(recipe)
        recipe, unused = without_classes(recipe)
        training, testing = training_selections(recipe, quiet or not ranks.first, labelled=False)
    summary = train(
        recipe, training, testing, run, ranks=ranks, resume=resume, progress=not quiet, kind=PretrainTraining
    )
    return PretrainedNetwork(**summary, judged=testing.videos[0].split, unused=unused)

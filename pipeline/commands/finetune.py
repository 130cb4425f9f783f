"""`star finetune`: train the backbone together with the STAR-Transformer, on kept frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..planning.inputs import STAGE_OF
from ..planning.train_test_selection import training_selections
from ..recipe.schema import Recipe
from .train import TrainedNetwork


@dataclass(frozen=True)
class FinetunedNetwork(TrainedNetwork):
    """What `star finetune` made: as `star train`, and the file of its backbone."""

    backbone: str = ""

    def to_lines(self) -> list[str]:
        """Figures of the run and of its best epoch, and what to do next."""
        return [*super().to_lines(), f"backbone: `backbone.weights: {self.backbone}` extracts with it"]


def run_finetune(
    recipe: Recipe,
    run: Path,
    *,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
    init: Path | None = None,
    freeze: str | None = None,
) -> FinetunedNetwork:
    """`star finetune`. init: a run of `star train` whose transformer it begins with. freeze: layers with commas between
    them, in place of `finetune.freeze`."""
    from ..training.distributed import join
    from ..training.finetune import BACKBONE, FinetuneTraining, arrays_for, check
    from ..training.initial_weights import Start
    from ..training.trainer import train

    if freeze is not None:
        layers = tuple(layer.strip() for layer in freeze.split(",") if layer.strip())
        recipe = recipe.model_copy(update={"finetune": recipe.finetune.model_copy(update={"freeze": layers})})
    ranks = join(device)
    with ranks.together():
        check(recipe)
        stages = tuple(STAGE_OF[array] for array in arrays_for(recipe))
        training, testing = training_selections(recipe, quiet or not ranks.first, stages)
    summary = train(
        recipe, training, testing, run, ranks=ranks, resume=resume, progress=not quiet, start=Start(init),
        kind=FinetuneTraining,
    )  # fmt: skip
    return FinetunedNetwork(**summary, judged=testing.videos[0].split, backbone=str(run / BACKBONE))

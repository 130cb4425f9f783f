"""`star test`: a trained network judged on the test split, exactly once a video."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ...errors import UsageError
from ...stages.transformer import STARTransformer
from ..planning.selection import Selection
from ..recipe import schema as settings
from ..training.dataloader import FeatureLoader
from ..training.dataset import Features, keys_of
from ..training.distributed import join
from ..training.model_factory import inputs, load
from ..training.validation import embeddings, probabilities
from ..utils.progress import Progress
from .embeddings import write_embeddings
from .results import SHOWN, EvaluationResult, judge, write


def evaluate(
    recipe: settings.Recipe,
    selection: Selection,
    run: Path,
    *,
    which: str | None = None,
    device: str = "auto",
    progress: bool = True,
    embedded: bool = False,
) -> dict[str, Any]:
    """Judge a run's network on a selection, write RUN/test/ and return what stands in its metrics.json; see `judged`.

    embedded: also write what the network's head sees of every clip, and a picture of it.
    """
    return judged(recipe, selection, run, which=which, device=device, progress=progress, embedded=embedded).summary


def judged(
    recipe: settings.Recipe,
    selection: Selection,
    run: Path,
    *,
    which: str | None = None,
    device: str = "auto",
    progress: bool = True,
    embedded: bool = False,
) -> EvaluationResult:
    """Judge a run's network on a selection and write RUN/test/.

    which: "best" or "last"; the recipe's `test.checkpoint` by default. Probabilities are averaged over the views of a
    video that `test.views` names. Under torchrun every process calls this and computes its share.
    Raises UsageError where the run has no such checkpoint, knows other classes, or was trained on other features.
    """
    ranks = join(device)
    try:
        network, note = load(run, which or recipe.test.checkpoint, ranks.device)
        _check(run, note, selection)
        views = selection if recipe.test.views == "all" else selection.first_views()
        stream = FeatureLoader(
            Features(views, note["arrays"], preload="none", device=ranks.device), workers=recipe.train.workers
        )
        with Progress("test", len(views), quiet=not (progress and ranks.first)) as bar:
            found = probabilities(network, stream, len(selection.classes), recipe.test.batch, ranks=ranks, progress=bar)
        evaluation = judge(found, views, note, recipe.test)
        for clip in (*evaluation.summary["worst"][:SHOWN], *evaluation.summary["surest"]):
            clip["frames"] = looked_at(network, stream.features, views.clips_of[clip["video"]][0])
        points = embeddings(network, stream, recipe.test.batch, ranks) if embedded else None
        if ranks.first:
            write(run / "test", evaluation)
            if points is not None:
                write_embeddings(run / "test", evaluation, points)
        return evaluation
    finally:
        ranks.close()


@torch.no_grad()
def looked_at(network: STARTransformer, features: Features, clip: int) -> dict[str, list[float]]:
    """Module -> how much the tokens that are read out look at each frame (t), adding up to 1; for pictures."""
    batch = inputs(features.__getitems__([clip]))
    arrays = {name: array.to(features.device).float() for name, array in batch.items()}
    found = network.frame_attention(**arrays)
    return {name: [round(share, 4) for share in weights[0].mean((0, 1)).tolist()] for name, weights in found.items()}


def _check(run: Path, note: Mapping[str, Any], selection: Selection) -> None:
    known, classes = note["classes"], selection.classes
    if list(known) != list(classes):
        odd = next((name for name in classes if name not in known), f"{len(classes)} classes")
        raise UsageError(
            f"{run}: was trained on {len(known)} other classes (the data set has {odd}); take its own recipe"
        )
    for name, key in keys_of(selection, note["arrays"]).items():
        if key != note["keys"][name]:
            raise UsageError(
                f"{run}: was trained on {name} of key {note['keys'][name][:8]}…, the recipe names {key[:8]}…; "
                f"take its own recipe, {run / 'recipe.yaml'}"
            )

"""`star test`: a trained network judged on the test split, exactly once a video."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import UsageError
from ..stages.transformer import STARTransformer
from . import recipe as settings
from .features import Features, keys_of
from .judgement import SHOWN, judge, write
from .learner import autocast
from .network import inputs, load
from .progress import Progress
from .ranks import Ranks, join
from .selection import Selection
from .stream import Stream


def evaluate(
    recipe: settings.Recipe,
    selection: Selection,
    run: Path,
    *,
    which: str | None = None,
    device: str = "auto",
    progress: bool = True,
) -> dict[str, Any]:
    """Judge a run's network on a selection, write RUN/test/ and return what stands in its metrics.json.

    which: "best" or "last"; the recipe's `test.checkpoint` by default. Probabilities are averaged over the views of a
    video that `test.views` names. Under torchrun every process calls this and computes its share.
    Raises UsageError where the run has no such checkpoint, knows other classes, or was trained on other features.
    """
    ranks = join(device)
    try:
        network, note = load(run, which or recipe.test.checkpoint, ranks.device)
        _check(run, note, selection)
        views = selection if recipe.test.views == "all" else selection.first_views()
        stream = Stream(
            Features(views, note["arrays"], preload="none", device=ranks.device), workers=recipe.train.workers
        )
        with Progress("test", len(views), quiet=not (progress and ranks.first)) as bar:
            found = probabilities(network, stream, len(selection.classes), recipe.test.batch, ranks=ranks, progress=bar)
        judgement = judge(found, views, note, recipe.test)
        for clip in (*judgement.summary["worst"][:SHOWN], *judgement.summary["surest"]):
            clip["frames"] = looked_at(network, stream.features, views.clips_of[clip["video"]][0])
        if ranks.first:
            write(run / "test", judgement)
        return judgement.summary
    finally:
        ranks.close()


@torch.no_grad()
def probabilities(
    network: nn.Module,
    stream: Stream,
    classes: int,
    batch: int,
    *,
    precision: str = "float32",
    ranks: Ranks | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """(clips, k) float64: the network's class probabilities for every clip of the stream's features, in their order.

    Each clip is computed once, by one rank, and padded by nothing; every rank gets all of them.
    """
    ranks = ranks or Ranks(device=stream.features.device)
    network.eval()
    found = torch.zeros(len(stream.features), classes, dtype=torch.float64, device=ranks.device)
    mine = ranks.share(np.arange(len(stream.features)))
    for given in stream([mine[start : start + batch] for start in range(0, len(mine), batch)]):
        arrays = {name: array.float() for name, array in inputs(given).items()}
        with autocast(ranks.device, precision):
            logits = network(**arrays)
        found[given["clip"]] = logits.double().softmax(1)
        if progress is not None:
            progress.advance(len(given["clip"]) * ranks.size)
    return ranks.add(found).cpu().numpy()


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

"""`star test`: a trained network judged on the test split, exactly once a video."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...errors import UsageError
from ..planning.inputs import STAGE_OF
from ..planning.selection import Selection
from ..planning.stage_graph import graph
from ..planning.train_test_selection import selections
from ..recipe import schema as settings
from ..training import checkpoint
from ..training.dataloader import FeatureLoader
from ..training.dataset import Features, keys_of
from ..training.distributed import ProcessGroup, join
from ..training.model_factory import Network, inputs, load
from ..training.validation import embeddings, probabilities
from ..utils.progress import Progress, tell
from .embeddings import write_embeddings
from .pose_accuracy import JointPlaces, head_of, pose_accuracy
from .results import SHOWN, EvaluationResult, judge, write


def test_selection(recipe: settings.Recipe, run: Path, which: str | None, quiet: bool) -> Selection:
    """The test clips with what the run's network reads, whatever the recipe would train on.

    Raises UsageError where the recipe names no such features, and what `select` raises.
    """
    path = run / (which or recipe.test.checkpoint) / "weights.safetensors"
    _, note = checkpoint.read_note(path, checkpoint.NETWORK)
    stages = tuple(dict.fromkeys(STAGE_OF[name] for name in note["arrays"]))
    stages += ("decode", "pose") if head_of(note) else ()  # the joints that its maps are compared with
    missing = [stage for stage in stages if stage not in graph(recipe).names]
    if missing:
        raise UsageError(
            f"{run}: was trained on {', '.join(note['arrays'])}, which tokens.form {recipe.tokens.form!r} with "
            f"decode.keep {recipe.decode.keep!r} does not make; take its own recipe, {run / 'recipe.yaml'}"
        )
    (testing,) = selections(recipe, ("test",), quiet, stages=stages)
    return testing


def evaluate(
    recipe: settings.Recipe,
    selection: Selection,
    run: Path,
    *,
    which: str | None = None,
    device: str = "auto",
    ranks: ProcessGroup | None = None,
    progress: bool = True,
    embedded: bool = False,
) -> EvaluationResult:
    """Judge a run's network on a selection and write RUN/test/; the result's `summary` is its metrics.json.

    which: "best" or "last"; the recipe's `test.checkpoint` by default. Probabilities are averaged over the views of a
    video that `test.views` names. Under torchrun every process calls this and computes its share. Classes are those
    of the network, whatever their order in the data set; some of them may be missing there.
    ranks: where they are known already, in place of `device`. embedded: also write what the network's head sees of
    every clip, and a picture of it.
    Raises UsageError where the run has no such checkpoint, knows other classes, or was trained on other features.
    """
    ranks = ranks or join(device)
    try:
        with ranks.together():
            network, note = load(run, which or recipe.test.checkpoint, ranks.device)
            selection = _as_trained(run, note, selection)
        if progress and ranks.first:
            asked, trained = recipe.model.model_dump(mode="json"), note["network"]
            differ = [name for name in asked if name in trained and trained[name] != asked[name]]
            if differ:
                other = ", ".join(f"model.{name} {trained[name]!r}" for name in differ)
                tell(f"{run}: trained with {other}; that is what is tested, not the recipe's")
        views = selection if recipe.test.views == "all" else selection.first_views()
        stream = FeatureLoader(
            Features(views, note["arrays"], preload="none", device=ranks.device, checksums=recipe.train.checksums),
            workers=recipe.train.workers,
        )
        places = JointPlaces(len(views), note, ranks) if head_of(note) else None
        with Progress("test", len(views), quiet=not (progress and ranks.first)) as bar:
            found = probabilities(
                network, stream, len(selection.classes), recipe.test.batch, multilabel=selection.multilabel,
                ranks=ranks, progress=bar, watch=places,
            )  # fmt: skip
        evaluation = judge(found, views, note, recipe.test)
        if places is not None:
            evaluation.summary["pose_head"] = pose_accuracy(places.gathered(), views, recipe).to_document()
        for clip in (*evaluation.summary["worst"][:SHOWN], *evaluation.summary["surest"]):
            clip["frames"] = looked_at(network, stream.features, views.clips_of[clip["video"]][0])
        points = embeddings(network, stream, recipe.test.batch, ranks) if embedded else None
        with ranks.together():
            if ranks.first:
                write(run / "test", evaluation)
                if points is not None:
                    write_embeddings(run / "test", evaluation, points)
    except RuntimeError as error:
        raise ranks.lost(error) from None
    else:
        return evaluation
    finally:
        ranks.close()


@torch.no_grad()
def looked_at(network: Network, features: Features, clip: int) -> dict[str, list[float]]:
    """Module -> how much the tokens that are read out look at each frame (t), adding up to 1; for pictures."""
    batch = inputs(features.__getitems__([clip]))
    arrays = {name: array.to(features.device).float() for name, array in batch.items()}
    found = network.frame_attention(**arrays)
    return {name: [round(share, 4) for share in weights[0].mean((0, 1)).tolist()] for name, weights in found.items()}


def _as_trained(run: Path, note: Mapping[str, Any], selection: Selection) -> Selection:
    """The selection with the labels that the network knows. Raises UsageError where it cannot judge these clips."""
    for name, key in keys_of(selection, note["arrays"]).items():
        if key != note["keys"][name]:
            raise UsageError(
                f"{run}: was trained on {name} of key {note['keys'][name][:8]}…, the recipe names {key[:8]}…; "
                f"take its own recipe, {run / 'recipe.yaml'}"
            )
    several = bool(note.get("multilabel"))
    if selection.multilabel and not several:
        raise UsageError(f"{run}: was trained on clips of one label each, and some here have several; train another")
    selection = replace(selection, multilabel=several)
    known, classes = list(note["classes"]), list(selection.classes)
    if known == classes:
        return selection
    odd = [name for name in classes if name not in known]
    if odd or len(set(known)) < len(known) or len(set(classes)) < len(classes):
        told = odd[0] if odd else f"{len(classes)} classes, two of one name"
        raise UsageError(
            f"{run}: was trained on {len(known)} other classes (the data set has {told}); take its own recipe"
        )
    label = [known.index(name) for name in classes]
    videos = [
        replace(video, label=label[video.label], labels=tuple(label[one] for one in video.labels))
        if video.label >= 0
        else video
        for video in selection.videos
    ]
    return replace(selection, videos=videos, classes=tuple(known))

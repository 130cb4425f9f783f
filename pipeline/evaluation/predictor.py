"""`star predict`: any video through exactly the extraction code, then through a run's network."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import DatasetError
from ...stages.precision import float64_device
from ...stages.skeletons import Skeleton
from ..datasets.base import Video
from ..extraction.engine import open_engine
from ..extraction.execution import ExecutionConfig
from ..extraction.prefetch import compute_units
from ..extraction.unit_results import ComputedUnit
from ..planning.graph import graph
from ..planning.inputs import stages_for_training
from ..planning.joint_layout import check, for_other_source
from ..planning.manifest import Digests, open_manifest
from ..planning.plan import Clip
from ..planning.work_units import Unit
from ..recipe import schema as recipes
from ..recipe.run_recipe import run_recipe
from ..recipe.schema import Recipe
from ..training.model_factory import inputs, load
from ..training.precision import autocast
from ..utils.progress import Progress

TOP = 5
STRANGER = "not in the run's data set, so it has no annotated joints; --set pose.source=mmpose estimates them"


@dataclass(frozen=True)
class ClassProbability:
    """A class by name, and how likely the network thinks it."""

    name: str
    probability: float


@dataclass(frozen=True)
class VideoPrediction:
    """What one video shows: its likeliest classes, the likeliest first; or why it could not be said."""

    video: str
    top: tuple[ClassProbability, ...] = ()
    error: str | None = None

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        if self.error is not None:
            return {"video": self.video, "error": self.error}
        top = [{"class": one.name, "probability": one.probability} for one in self.top]
        return {"video": self.video, "top": top}

    def to_line(self) -> str:
        """For a person."""
        if self.error is not None:
            return f"{self.video}: {self.error}"
        return f"{self.video}: " + ", ".join(f"{one.name} {one.probability:.1%}" for one in self.top)


@dataclass(frozen=True)
class Predictions:
    """What videos show, in the order in which they were given."""

    videos: tuple[VideoPrediction, ...]

    @property
    def exit_code(self) -> int:
        """3 where a video could not be read."""
        return 3 if any(one.error is not None for one in self.videos) else 0

    def to_document(self) -> list[dict[str, Any]]:
        """As JSON."""
        return [one.to_document() for one in self.videos]

    def to_lines(self) -> list[str]:
        """One line per video."""
        return [one.to_line() for one in self.videos]


def predict(
    videos: Sequence[Path],
    run: Path,
    *,
    overrides: tuple[str, ...] = (),
    execution: ExecutionConfig = ExecutionConfig(),
    quiet: bool = False,
) -> Predictions:
    """The five likeliest classes of each video under a run's own recipe and network; nothing is cached.

    overrides: laid over the run's recipe. A video of the run's data set gets the annotated joints that extraction
    would give it; any other needs `pose.source=mmpose` (or auto), whose joints are converted to the layout that the
    run was trained on. Raises UsageError for a folder that is no run, RecipeError for a wrong override.
    """
    path = run_recipe(run)
    trained = recipes.load(path, tuple(one for one in overrides if one.startswith(("dataset.", "cache."))))
    known: dict[Path, Video] = {}
    skeleton = None
    with suppress(DatasetError):  # where the data set is not on this machine
        manifest, _, _ = open_manifest(trained.dataset, trained.cache.root)
        known, skeleton = {video.media.absolute(): video for video in manifest.videos}, manifest.skeleton
    recipe = recipes.load(path, (*for_other_source(trained, skeleton, overrides), *overrides))
    network, note = load(run, recipe.test.checkpoint, execution.devices[0])
    check(recipe, skeleton, run, note)
    asked = {
        str(given): known.get(given.absolute()) or Video(str(given), -1, "test", given.absolute()) for given in videos
    }
    failed: dict[str, str] = {}
    if recipe.pose.source == "annotations" and "pose" in graph(recipe).below(stages_for_training(recipe)):
        strangers = [video for video in asked.values() if video.label < 0]  # no data set's, so without annotated joints
        failed = {video.id: STRANGER if video.media.exists() else "no such file" for video in strangers}
    computed = _compute(
        recipe, [video for video in asked.values() if video.id not in failed], skeleton, execution, quiet
    )
    failed |= {failure[0]: failure[3] for failure in computed.failures}
    answers: list[VideoPrediction] = []
    for given, video in asked.items():
        views = [state.arrays for state in computed.states if state.clip.video.id == video.id]
        answers.append(
            VideoPrediction(given, _top(network, note, views))
            if views
            else VideoPrediction(given, error=failed[video.id])
        )
    return Predictions(tuple(answers))


def _compute(
    recipe: Recipe, videos: list[Video], skeleton: Skeleton | None, execution: ExecutionConfig, quiet: bool
) -> ComputedUnit:
    """What the recipe's network takes of the test views, in memory."""
    clips = tuple(Clip(video, view) for video in videos for view in range(recipe.decode.views.test))
    nodes = graph(recipe)
    unit = Unit(nodes.below(stages_for_training(recipe)), clips, {}, {video.id: Digests() for video in videos})
    if not clips:
        return ComputedUnit(unit)
    with (
        open_engine(recipe, nodes, execution.devices[0], execution.children, skeleton) as engine,
        Progress("predict", len(clips), quiet=quiet) as bar,
    ):
        ((_, computed),) = compute_units(engine, [unit], execution.children, lambda: False, bar.advance)
        return engine.computer.finish(computed)


@torch.no_grad()
def _top(network: torch.nn.Module, note: dict[str, Any], views: list[dict[str, Any]]) -> tuple[ClassProbability, ...]:
    """Probabilities averaged over the views, the likeliest classes first."""
    device = next(network.parameters()).device
    batch = {name: torch.from_numpy(np.stack([view[name] for view in views])).to(device) for name in note["arrays"]}
    with autocast(device, "float32"):
        found = network(**inputs(batch)).to(float64_device(device)).double().softmax(-1).mean(0).cpu().numpy()
    order = np.argsort(-found)[:TOP]
    return tuple(ClassProbability(note["classes"][index], float(found[index])) for index in order)

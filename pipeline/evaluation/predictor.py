"""`star predict`: any video through exactly the extraction code, then through a run's network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
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
from ..planning.inputs import STAGE_OF
from ..planning.joint_layout import check, for_other_source
from ..planning.manifest import open_manifest
from ..planning.plan import Clip
from ..planning.source_changes import Digests
from ..planning.stage_graph import graph
from ..planning.work_units import Unit
from ..recipe import schema as recipes
from ..recipe.run_recipe import run_recipe
from ..recipe.schema import Recipe
from ..training.mixed_precision import autocast
from ..training.model_factory import inputs, load
from ..training.multilabel_metrics import HALF
from ..training.validation import class_probabilities
from ..utils.progress import Progress
from .pose_accuracy import head_of, joints_in_frames

TOP = 5
STRANGER = "not in the run's data set, so it has no annotated joints; --set pose.source=mmpose estimates them"


@dataclass(frozen=True)
class ClassProbability:
    """A class by name, and how likely the network thinks it."""

    name: str
    probability: float

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return {"class": self.name, "probability": self.probability}


@dataclass(frozen=True)
class VideoPrediction:
    """What one video shows: its likeliest classes, the likeliest first; or why it could not be said.

    labels: of a network that gives several, those over one half; None of any other.
    """

    video: str
    top: tuple[ClassProbability, ...] = ()
    error: str | None = None
    labels: tuple[str, ...] | None = None

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        if self.error is not None:
            return {"video": self.video, "error": self.error}
        document = {"video": self.video, "top": [one.to_document() for one in self.top]}
        return document | ({} if self.labels is None else {"labels": list(self.labels)})

    def to_line(self) -> str:
        """For a person."""
        if self.error is not None:
            return f"{self.video}: {self.error}"
        likeliest = ", ".join(f"{one.name} {one.probability:.1%}" for one in self.top)
        if self.labels is None:
            return f"{self.video}: {likeliest}"
        return f"{self.video}: {'; '.join(self.labels) or 'no label over one half'} ({likeliest})"


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


@dataclass(frozen=True)
class TrainedPredictor:
    """A run's network, and how a video gets the features that it takes.

    recipe: the run's with the overrides. note: what was saved with the network. known: the data set's videos by their
    files; a file with several spans is a video of its own. skeleton: of the data set's annotations.
    """

    recipe: Recipe
    network: torch.nn.Module
    note: dict[str, Any]
    known: Mapping[Path, Video]
    skeleton: Skeleton | None

    @property
    def classes(self) -> list[str]:
        """The names of the network's outputs."""
        return list(self.note["classes"])

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that make what the network takes."""
        return graph(self.recipe).below(tuple(STAGE_OF[array] for array in self.note["arrays"]))

    def video(self, path: Path) -> Video:
        """The data set's video in this file, or one without annotations."""
        return self.known.get(path.absolute()) or Video(str(path), -1, "test", path.absolute())

    def refused(self, videos: Sequence[Video]) -> dict[str, str]:
        """The videos that are no data set's and would need annotated joints, each with the reason."""
        if self.recipe.pose.source != "annotations" or "pose" not in self.stages:
            return {}
        strangers = [video for video in videos if video.label < 0]
        return {video.id: STRANGER if video.media.exists() else "no such file" for video in strangers}

    def scores(self, clips: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Probabilities (clips, classes) float64 of clips with their arrays by name."""
        return self.judge(clips)[0]

    @torch.no_grad()
    def judge(self, clips: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray | None]:
        """The same, and of a network with a pose head the joints that it finds, (clips, t, people, n, 3) px and score;
        with `heatmaps.people: merge` those of one person."""
        device = next(self.network.parameters()).device
        batch = {
            name: torch.from_numpy(np.stack([clip[name] for clip in clips])).to(device) for name in self.note["arrays"]
        }
        maps: list[torch.Tensor] = []
        watch = {"watch": maps.append} if head_of(self.note) else {}
        with autocast(device, "float32"):
            logits = self.network(**inputs(batch), **watch).to(float64_device(device)).double()
        scores = class_probabilities(logits, multilabel=self.gives_several).cpu().numpy()
        if not maps:
            return scores, None
        sizes = np.stack([clip["frame_size"] for clip in clips])
        people = self.recipe.pose.people if self.recipe.heatmaps.people == "separate" else 1
        joints = joints_in_frames(maps[0].sigmoid(), sizes)
        return scores, joints.reshape(*joints.shape[:2], people, -1, 3)

    @property
    def gives_several(self) -> bool:
        """Whether the network gives a clip several labels."""
        return bool(self.note.get("multilabel"))

    def answer(self, video: str, scores: np.ndarray) -> VideoPrediction:
        """What is said of a video by its probabilities (classes,)."""
        labels = tuple(self.note["classes"][index] for index in np.argsort(-scores) if scores[index] > HALF)
        return VideoPrediction(video, self.top(scores), labels=labels if self.gives_several else None)

    def top(self, scores: np.ndarray) -> tuple[ClassProbability, ...]:
        """The likeliest classes of one clip's probabilities (classes,), the likeliest first."""
        order = np.argsort(-scores)[:TOP]
        return tuple(ClassProbability(self.note["classes"][index], float(scores[index])) for index in order)


def load_predictor(run: Path, overrides: tuple[str, ...], execution: ExecutionConfig) -> TrainedPredictor:
    """A run's network with its recipe, the overrides laid over it. Raises UsageError, RecipeError."""
    path = run_recipe(run)
    trained = recipes.load(path, tuple(one for one in overrides if one.startswith(("dataset.", "cache."))))
    known: dict[Path, Video] = {}  # the data set's videos by their files; none where it is not on this machine
    skeleton = None
    try:
        manifest, _, _ = open_manifest(trained.dataset, trained.cache.root)
    except DatasetError:
        pass
    else:
        skeleton = manifest.skeleton
        known = {video.media.absolute(): video for video in manifest.videos if video.span is None}
        for video in manifest.videos:
            if video.span is not None:
                whole = replace(video, id=video.id.removesuffix(video.span.fragment()), span=None)
                known.setdefault(video.media.absolute(), whole)
    recipe = recipes.load(path, (*for_other_source(trained, skeleton, overrides), *overrides))
    network, note = load(run, recipe.test.checkpoint, execution.devices[0])
    recipe = recipe_for(note, recipe)
    check(recipe, skeleton, run, note)
    return TrainedPredictor(recipe, network, note, known, skeleton)


def recipe_for(note: Mapping[str, Any], recipe: Recipe) -> Recipe:
    """A run's recipe for new videos: nothing is kept that the network does not take, and where it finds the joints
    itself no weights of a pose estimator need to be on this machine. note: of the network's checkpoint."""
    kept = "frames" if "frames" in note["arrays"] else "none"
    changed: dict[str, Any] = {"decode": recipe.decode.model_copy(update={"keep": kept})}
    if head_of(note):
        changed["pose"] = recipe.pose.model_copy(update={"checkpoint": "random", "detector_weights": "random"})
    return recipe.model_copy(update=changed)


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
    trained = load_predictor(run, overrides, execution)
    recipe, skeleton, stages = trained.recipe, trained.skeleton, trained.stages
    asked = {str(given): trained.video(given) for given in videos}
    failed = trained.refused(list(asked.values()))
    readable = [video for video in asked.values() if video.id not in failed]
    computed = _compute(recipe, readable, stages, skeleton, execution, quiet)
    failed |= {failure[0]: failure[3] for failure in computed.failures}
    answers: list[VideoPrediction] = []
    for given, video in asked.items():
        views = [state.arrays for state in computed.states if state.clip.video.id == video.id]
        answers.append(
            trained.answer(given, trained.scores(views).mean(0))
            if views
            else VideoPrediction(given, error=failed[video.id])
        )
    return Predictions(tuple(answers))


def _compute(
    recipe: Recipe,
    videos: list[Video],
    stages: Sequence[str],
    skeleton: Skeleton | None,
    execution: ExecutionConfig,
    quiet: bool,
) -> ComputedUnit:
    """These stages of the test views, in memory."""
    clips = tuple(Clip(video, view) for video in videos for view in range(recipe.decode.views.test))
    nodes = graph(recipe)
    unit = Unit(tuple(stages), clips, {}, {video.id: Digests() for video in videos})
    if not clips:
        return ComputedUnit(unit)
    with (
        open_engine(recipe, nodes, execution.devices[0], execution.children, skeleton) as engine,
        Progress("predict", len(clips), quiet=quiet) as bar,
    ):
        ((_, computed),) = compute_units(engine, [unit], execution.children, lambda: False, bar.advance)
        return engine.computer.finish(computed)

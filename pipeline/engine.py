"""One unit of work through the stages: read, pose, backbone, heatmaps, tokens, and into segments.

The same code runs in this process and in every worker of a cluster. Frames arrive from child processes while the
network computes; clips go through the backbone in batches of a fixed shape, so that a feature does not depend on
which clips shared its batch.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

import numpy as np

from ..cache.errors import VideoError
from ..cache.segment import Row
from ..cache.store import Store
from ..stages.layout import parts
from ..stages.skeleton import SKELETONS
from .catalogue import Digests
from .datasets.dataset import Video
from .graph import Graph
from .models import Models, State
from .plan import Clip
from .reading import Arrays, Read, Reading, region_of
from .recipe import Recipe
from .units import Unit
from .workers import Children

STAGE_OF_ERROR = {"annotation": "pose"}


@dataclass
class Computed:
    """A unit's finished clips, the videos that failed, and seconds spent per stage."""

    unit: Unit
    states: list[State] = field(default_factory=list)
    failures: list[tuple[str, str, str, str]] = field(default_factory=list)  # video, stage, kind, message
    seconds: dict[str, float] = field(default_factory=dict)

    def spend(self, stage: str, began: float) -> None:
        """Count the time since `began` to a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - began


@dataclass
class Done:
    """What became of a unit: clips written, bytes and segment per stage, the digests that were read, the failures."""

    clips: int
    bytes: dict[str, int]
    digests: dict[str, Digests]
    failures: list[tuple[str, str, str, str]]
    seconds: dict[str, float]
    segments: dict[str, str] = field(default_factory=dict)


class Engine:
    """The stages of one recipe on one device.

    nodes: its stages and their keys. device: torch's name of it. children: the processes that decode.
    """

    def __init__(self, recipe: Recipe, nodes: Graph, device: str, children: Children, skeleton: Any = None) -> None:
        self.recipe, self.graph = recipe, nodes
        self.store = Store(recipe.cache.root)
        self.children = children
        self.skeleton = skeleton
        self.layout = SKELETONS.get(recipe.pose.layout)
        if skeleton is not None and self.layout is not None:
            parts(skeleton, self.layout)  # refused now, not after the first videos
        self.models = Models(recipe, self.graph, device)

    def readings(self, unit: Unit) -> list[Reading]:
        """What is to be read for a unit: one task per video; nothing where all inputs are cached."""
        if not reads_videos(unit):
            return []
        cached = self._inputs(unit, ("decode", "pose"))
        return [self._reading(unit, name, cached) for name in unit.videos]

    def _reading(self, unit: Unit, name: str, cached: dict[tuple[str, int], Arrays]) -> Reading:
        video, views = unit.videos[name]
        settings = self.recipe.pose
        estimated = "pose" in unit.stages and self._estimated(video)
        detected = estimated and settings.detector not in ("annotations", "frame")
        have = {view: cached[name, view] for view in views}
        return Reading(
            video=video,
            kind=self.recipe.dataset.kind,
            views=views,
            decode=self.graph["decode"].stage,
            crop=self.graph["heatmaps"].stage.crop,
            size=self.recipe.backbone.size,
            reader=self.recipe.decode.reader,
            people=settings.people,
            choose=settings.choose,
            skeleton=self.skeleton,
            layout=self.layout,
            annotated="pose" in unit.stages and not estimated,
            occluded=settings.occluded,
            frames=self._frames(unit, estimated, detected),
            window=self.models.estimator.window if estimated else None,
            boxes=None if detected or not estimated else settings.detector,  # type: ignore[arg-type]
            chosen=have if "decode" in unit.inputs else {},
            keypoints={view: have[view]["keypoints"] for view in views} if "pose" in unit.inputs else {},
            known=unit.known[name],
        )

    def _estimated(self, video: Video) -> bool:
        """Whether a video's joints are mmpose's: always, never, or where it has no annotation."""
        source = self.recipe.pose.source
        return source == "mmpose" or (source == "auto" and video.annotation is None)

    def _frames(self, unit: Unit, estimated: bool, detected: bool) -> Literal["cut", "full", "none"]:
        """Whole frames leave the child only where a network must see them before they can be cut."""
        if detected or (estimated and "backbone" in unit.stages and self.recipe.backbone.crop == "person"):
            return "full"
        return "cut" if "backbone" in unit.stages else "none"

    def _inputs(self, unit: Unit, stages: Collection[str]) -> dict[tuple[str, int], Arrays]:
        """The cached arrays of some of the stages that the unit takes, clip by clip."""
        states: dict[tuple[str, int], Arrays] = {(clip.video.id, clip.view): {} for clip in unit.clips}
        for stage, places in unit.inputs.items():
            shelf = self.store.shelf(stage, self.graph[stage].key)
            for name in self.graph[stage].stage.arrays if stage in stages else ():
                if name == "global_grid":  # big, and no stage takes it
                    continue
                for clip, row in zip(unit.clips, shelf.read(places, name), strict=True):
                    states[clip.video.id, clip.view][name] = row
        return states

    def compute(
        self,
        unit: Unit,
        outcomes: Iterator[tuple[Reading, Future[Read]]],
        stopped: Callable[[], bool],
        count: Callable[[int], None],
    ) -> Computed:
        """Take a unit through its stages. outcomes: its readings' futures, in order. stopped: asked between batches.

        count: told how many clips are through. A video that fails is left out and listed; all others go on.
        """
        result = Computed(unit)
        batch: list[State] = []
        for state in self._states(unit, outcomes, result, count):
            batch.append(state)
            if len(batch) == self.recipe.backbone.batch:
                self._through(batch, result)
                count(len(batch))
                batch = []
                if stopped():
                    break
        if batch:
            self._through(batch, result)
            count(len(batch))
        return result

    def _states(
        self,
        unit: Unit,
        outcomes: Iterator[tuple[Reading, Future[Read]]],
        result: Computed,
        count: Callable[[int], None],
    ) -> Iterator[State]:
        """The unit's clips with what they have so far; those that fail are listed in the result instead."""
        cached = self._inputs(unit, unit.inputs)
        if not reads_videos(unit):
            for clip in unit.clips:
                yield State(clip, cached[clip.video.id, clip.view], unit.known[clip.video.id])
            return
        for job, future in outcomes:
            began = time.perf_counter()
            found = self.children.outcome(future, job.video.id)
            result.spend("decode", began)
            if isinstance(found, VideoError):
                result.failures.append((job.video.id, STAGE_OF_ERROR.get(found.kind, "decode"), found.kind, str(found)))
                count(len(job.views))
                continue
            for view, arrays in found.chosen.items():
                joints = {"keypoints": found.keypoints[view]} if view in found.keypoints else {}
                have = {**cached[job.video.id, view], **arrays, **joints}
                yield State(Clip(job.video, view), have, found.digests, found.frames.get(view), found)

    def _through(self, batch: list[State], result: Computed) -> None:
        """A batch of clips through the stages that the unit lacks, in graph order."""
        for stage in result.unit.stages:
            step = getattr(self, f"_{stage}", None)
            if step is not None:
                began = time.perf_counter()
                step(batch)
                result.spend(stage, began)
        for state in batch:
            state.frames = state.read = None
            if "backbone" not in result.unit.stages:  # read from the cache for the tokens, 3 MB a clip
                state.arrays.pop("local_map", None)
        result.states += batch

    def _pose(self, batch: list[State]) -> None:
        lacking = [state for state in batch if "keypoints" not in state.arrays]
        if lacking:
            self.models.estimate(lacking)

    def _backbone(self, batch: list[State]) -> None:
        frames = np.stack([state.frames if state.frames is not None else self._cut(state) for state in batch])
        arrays = self.models.network(frames)
        for row, state in enumerate(batch):
            state.arrays |= {name: values[row] for name, values in arrays.items()}

    def _cut(self, state: State) -> np.ndarray:
        from ..stages.crop import cut

        assert state.read is not None
        region = self._region(state)
        size, flip = self.recipe.backbone.size, bool(state.arrays["flip"])
        full = state.read.full
        return np.stack([cut(full[int(i)], region, size, flip=flip) for i in state.arrays["frame_index"]])

    def _region(self, state: State) -> np.ndarray:
        video, view = state.clip
        return region_of(self.graph["heatmaps"].stage.crop, state.arrays, state.arrays.get("keypoints"), video.id, view)

    def _heatmaps(self, batch: list[State]) -> None:
        stage = self.graph["heatmaps"].stage
        for state in batch:
            arrays = state.arrays
            width, height = (int(side) for side in arrays["frame_size"])
            arrays["joint_heatmap"] = stage.compute(arrays["keypoints"], (width, height), self._region(state))

    def _tokens(self, batch: list[State]) -> None:
        stage = self.graph["tokens"].stage
        for state in batch:
            state.arrays["joint_map"] = stage.compute(state.arrays["local_map"], state.arrays["joint_heatmap"])

    def write(self, computed: Computed) -> Done:
        """Write one segment per stage of a unit, upstream stages first."""
        sizes: dict[str, int] = {}
        segments: dict[str, str] = {}
        states = computed.states
        for name in computed.unit.stages if states else ():
            node = self.graph[name]
            shelf = self.store.shelf(name, node.key)
            shelf.describe(node.description())
            rows = [Row(s.clip.video.id, s.digests.row(node.annotated), s.clip.view) for s in states]
            arrays = {array: np.stack([s.arrays[array] for s in states]) for array in node.stage.arrays}
            attributes = {array: about.attributes() for array, about in node.stage.arrays.items()}
            provenance = self._provenance(computed, name)
            path = shelf.write(rows, arrays, attributes, provenance, self.recipe.cache.compression)
            sizes[name], segments[name] = path.stat().st_size, path.stem
        digests = {s.clip.video.id: s.digests for s in states}
        return Done(len(states), sizes, digests, computed.failures, computed.seconds, segments)

    def _provenance(self, computed: Computed, stage: str) -> dict[str, Any]:
        seconds = computed.seconds.get(stage, 0.0) / max(len(computed.states), 1)
        named = {"skeleton": self._skeleton()} if stage == "pose" else {}
        return {**self._machine, **named, "seconds_per_clip": round(seconds, 5)}

    def _skeleton(self) -> dict[str, Any]:
        """The names of the joints, for a reader who has neither the data set nor mmpose."""
        estimated = self.recipe.pose.source == "mmpose"
        own = self.models.estimator.skeleton if estimated and self.layout is None else self.skeleton
        skeleton = self.layout or own
        return asdict(skeleton) if skeleton else {}

    @cached_property
    def _machine(self) -> dict[str, Any]:
        """Library versions and the device: recorded beside the key, never in it."""
        return {"device": self.models.device_name, "python": platform.python_version(), **versions()}


def reads_videos(unit: Unit) -> bool:
    """Whether a unit needs more than what is cached; heat maps and tokens never open a video."""
    return not {"decode", "pose", "backbone"}.isdisjoint(unit.stages)


def versions() -> dict[str, str]:
    """The installed versions of the packages whose code can move a feature."""
    found = {}
    for package in ("torch", "torchvision", "numpy", "av", "decord", "opencv-python-headless", "mmpose", "h5py"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

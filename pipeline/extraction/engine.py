"""One unit of work through the stages: read, pose, backbone, heatmaps, tokens, and into segments.

The same code runs in this process and in every worker of a cluster. Frames arrive from child processes while the
networks compute in threads of their own; clips go through the backbone in batches of a fixed shape, so that a feature
does not depend on which clips shared its batch. What comes after the networks is for any
thread, see `writer_threads.py`.
"""

from __future__ import annotations

import platform
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...cache.segment import Row
from ...cache.store import Store
from ...errors import StarError, VideoError, unexpected
from ...stages.skeleton_mapping import joint_sources
from ...stages.skeletons import SKELETONS
from ..datasets.base import Video
from ..planning.graph import Graph
from ..planning.manifest import Digests
from ..planning.plan import Clip
from ..planning.work_units import Unit
from ..recipe.schema import Recipe
from .decode_pool import DecodePool
from .inference_threads import InferenceThreads
from .models import ClipState, Models
from .profile import spent
from .video_task import Arrays, VideoResult, VideoTask, region_of

STAGE_OF_ERROR = {"annotation": "pose"}
NETWORKS = ("pose", "backbone")  # stages that may run a network, in their order


@dataclass
class ComputedUnit:
    """A unit's clips, the videos that failed, and seconds spent per stage.

    features: what the backbone gives, row by row as in `states`. batches: the networks' calls, done or under way.
    """

    unit: Unit
    states: list[ClipState] = field(default_factory=list)
    failures: list[tuple[str, str, str, str]] = field(default_factory=list)  # video, stage, kind, message
    seconds: Counter[str] = field(default_factory=Counter)
    features: dict[str, np.ndarray] = field(default_factory=dict)
    batches: list[Future[Counter[str]]] = field(default_factory=list)

    def wait(self) -> None:
        """Until the networks are through with it; raises what they raised."""
        while self.batches:
            self.seconds.update(self.batches.pop().result())


@dataclass
class WrittenUnit:
    """What became of a unit: clips written, bytes and segment per stage, the digests that were read, the failures.

    precision: what the backbone computed in; empty where it did not.
    """

    clips: int
    bytes: dict[str, int]
    digests: dict[str, Digests]
    failures: list[tuple[str, str, str, str]]
    seconds: Counter[str]
    segments: dict[str, str] = field(default_factory=dict)
    precision: str = ""


class Engine:
    """The stages of one recipe on one device.

    nodes: its stages and their keys. device: torch's name of it. children: the processes that decode.
    """

    def __init__(self, recipe: Recipe, nodes: Graph, device: str, children: DecodePool, skeleton: Any = None) -> None:
        self.recipe, self.graph = recipe, nodes
        self.store = Store(recipe.cache.root)
        self.children = children
        self.skeleton = skeleton
        self.layout = SKELETONS.get(recipe.pose.layout)
        if skeleton is not None and self.layout is not None:
            joint_sources(skeleton, self.layout)  # refused now, not after the first videos
        self.models = Models(recipe, self.graph, device)
        self.inference_threads = InferenceThreads(device)
        self._rooms: deque[dict[str, np.ndarray]] = deque()

    def close(self) -> None:
        """End the threads of the networks."""
        self.inference_threads.close()

    def readings(self, unit: Unit) -> list[VideoTask]:
        """What is to be read for a unit: one task per video; nothing where all inputs are cached."""
        if not reads_videos(unit):
            return []
        cached = self._inputs(unit, ("decode", "pose"))
        return [self._reading(unit, name, cached) for name in unit.videos]

    def _reading(self, unit: Unit, name: str, cached: dict[tuple[str, int], Arrays]) -> VideoTask:
        video, views = unit.videos[name]
        settings = self.recipe.pose
        estimated = "pose" in unit.stages and self._estimated(video)
        detected = estimated and settings.detector not in ("annotations", "frame")
        have = {view: cached[name, view] for view in views}
        return VideoTask(
            video=video,
            kind=self.recipe.dataset.kind,
            views=views,
            decode=self.graph["decode"].stage,
            crop=self.graph["heatmaps"].stage.crop,
            size=self.recipe.backbone.size,
            reader=self.recipe.decode.reader,
            jpeg=self.recipe.decode.jpeg,
            people=settings.people,
            choose=settings.choose,
            skeleton=self.skeleton,
            layout=self.layout,
            annotated="pose" in unit.stages and not estimated,
            occluded=settings.occluded,
            frames=self._frames(unit, estimated, detected),
            window=self.models.window if estimated else None,
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
        if detected or (estimated and "backbone" in unit.computed and self.recipe.backbone.crop == "person"):
            return "full"
        return "cut" if "backbone" in unit.computed else "none"

    def _inputs(self, unit: Unit, stages: Collection[str]) -> dict[tuple[str, int], Arrays]:
        """The cached arrays of some of the stages that the unit takes, clip by clip."""
        states: dict[tuple[str, int], Arrays] = {(clip.video.id, clip.view): {} for clip in unit.clips}
        for stage, places in unit.inputs.items():
            stage_store = self.store.stage_store(stage, self.graph[stage].key)
            for name in self.graph[stage].arrays if stage in stages else ():
                if name == "global_grid":  # big, and no stage takes it
                    continue
                for clip, row in zip(unit.clips, stage_store.read(places, name), strict=True):
                    states[clip.video.id, clip.view][name] = row
        return states

    def compute(
        self,
        unit: Unit,
        outcomes: Iterator[tuple[VideoTask, Future[VideoResult]]],
        stopped: Callable[[], bool],
        count: Callable[[int], None],
    ) -> ComputedUnit:
        """Take a unit through the networks. outcomes: its readings' futures, in order. stopped: asked between batches.

        count: told, from any thread, how many clips are through. A video that fails is left out and listed; all
        others go on. The last batches may still be under way: `finish` waits for them, and does the rest.
        """
        result = ComputedUnit(unit)
        states = self._states(unit, outcomes, result, count)
        while batch := list(islice(states, self.recipe.backbone.batch)):
            self._send(batch, result, count)
            if stopped():
                break
        return result

    def _states(
        self,
        unit: Unit,
        outcomes: Iterator[tuple[VideoTask, Future[VideoResult]]],
        result: ComputedUnit,
        count: Callable[[int], None],
    ) -> Iterator[ClipState]:
        """The unit's clips with what they have so far; those that fail are listed in the result instead."""
        cached = self._inputs(unit, unit.inputs)
        if not reads_videos(unit):
            for clip in unit.clips:
                yield ClipState(clip, cached[clip.video.id, clip.view], unit.known[clip.video.id])
            return
        for job, future in outcomes:
            self.models.prepare(  # while the children start and read
                estimator=job.window is not None,
                detector=job.window is not None and job.boxes is None,
                network="backbone" in unit.stages,
            )
            with spent(result.seconds, "waiting"):
                found = self.children.outcome(future, job.video.id)
            if isinstance(found, VideoError):
                self.children.slots.give_back(job.slots.values())
                result.failures.append((job.video.id, STAGE_OF_ERROR.get(found.kind, "decode"), found.kind, str(found)))
                count(len(job.views))
                continue
            result.seconds.update({"decode": found.seconds, "decode processor": found.processor})
            for view, arrays in found.chosen.items():
                joints = {"keypoints": found.keypoints[view]} if view in found.keypoints else {}
                have = {**cached[job.video.id, view], **arrays, **joints}
                slot = job.slots.get(view)
                frames = found.frames.get(view) if slot is None else self.children.slots[slot]
                yield ClipState(Clip(job.video, view), have, found.digests, frames, found, slot)

    def _send(self, batch: list[ClipState], result: ComputedUnit, count: Callable[[int], None]) -> None:
        """Give a batch of clips to the networks that the unit lacks."""
        first = len(result.states)
        result.states += batch
        stages = [stage for stage in NETWORKS if stage in result.unit.computed]
        if not stages:
            count(len(batch))
            return
        if "backbone" in stages and not result.features:
            result.features = self._room(len(result.unit.clips))
        rows = {name: array[first : first + len(batch)] for name, array in result.features.items()}
        with spent(result.seconds, "networks full"):
            future = self.inference_threads.submit(self._through, batch, stages, rows)
        future.add_done_callback(lambda done: count(len(batch)))
        result.batches.append(future)

    def _room(self, clips: int) -> dict[str, np.ndarray]:
        """Memory for the features of a unit: that of an earlier one, since fresh memory costs as much as a copy."""
        while self._rooms:
            room = self._rooms.popleft()
            if len(room["local_map"]) >= clips:
                return room
        return self.models.network.allocate_features(clips, self.recipe.decode.frames)

    def _through(self, batch: list[ClipState], stages: list[str], rows: Mapping[str, np.ndarray]) -> Counter[str]:
        """A batch of clips through the networks; returns the seconds that each took. Runs in a lane."""
        seconds: Counter[str] = Counter()
        if "pose" in stages:
            with spent(seconds, "pose"):
                self._pose(batch)
        if "backbone" in stages:
            with spent(seconds, "backbone"):
                self._backbone(batch, rows)
        for state in batch:
            state.frames = state.read = None
        return seconds

    def _pose(self, batch: list[ClipState]) -> None:
        lacking = [state for state in batch if "keypoints" not in state.arrays]
        if not lacking:
            return
        try:
            self.models.estimate(lacking)
        except Exception as error:
            if isinstance(error, StarError) and not isinstance(error, VideoError):
                raise
            self._pose_one_by_one(lacking, error)

    def _pose_one_by_one(self, states: list[ClipState], first: Exception) -> None:
        """After an error: find the clips that caused it. Raises the error where no clip goes well."""
        for state in states:
            with charged_to(state, "pose"):
                self.models.estimate([state])
        if all(state.error for state in states):  # the network's or the machine's fault, not a video's
            raise first

    def _backbone(self, batch: list[ClipState], rows: Mapping[str, np.ndarray]) -> None:
        frames = self.models.network.allocate_clips(self.recipe.decode.frames)
        for row, state in enumerate(batch):
            with charged_to(state):
                frames[row] = state.frames if state.frames is not None else self._cut(state)
            if state.error:
                frames[row] = 0
        self.children.slots.give_back(state.slot for state in batch if state.slot is not None)
        self.models.network.run(frames, rows)
        for row, state in enumerate(batch):
            state.arrays |= {name: values[row] for name, values in rows.items()}

    def _cut(self, state: ClipState) -> np.ndarray:
        from ...stages.cropping import crop_frame

        assert state.read is not None
        region = self._region(state)
        size, flip = self.recipe.backbone.size, bool(state.arrays["flip"])
        full = state.read.full
        return np.stack([crop_frame(full[int(i)], region, size, flip=flip) for i in state.arrays["frame_index"]])

    def _region(self, state: ClipState) -> np.ndarray:
        video, view = state.clip
        return region_of(self.graph["heatmaps"].stage.crop, state.arrays, state.arrays.get("keypoints"), video.id, view)

    def finish(self, computed: ComputedUnit) -> ComputedUnit:
        """Wait for the networks, then make heat maps and tokens. For any thread, and harmless if done before."""
        computed.wait()
        for stage, step in (("heatmaps", self._heatmap), ("tokens", self._token)):
            if stage in computed.unit.stages:
                with spent(computed.seconds, stage):
                    for state in computed.states:
                        with charged_to(state, stage):
                            step(state.arrays, state)
        self._leave_out_failed(computed)
        if "backbone" not in computed.unit.computed:  # read from the cache for the tokens, 3 MB a clip
            for state in computed.states:
                state.arrays.pop("local_map", None)
        return computed

    def _leave_out_failed(self, computed: ComputedUnit) -> None:
        """Take the videos of which a clip failed since they were read out of a unit, and list them as failures."""
        failed = {state.clip.video.id: state for state in reversed(computed.states) if state.error}
        if not failed:
            return
        computed.failures += [
            (name, state.failed_in, state.error.kind, str(state.error)) for name, state in failed.items() if state.error
        ]
        kept = [row for row, state in enumerate(computed.states) if state.clip.video.id not in failed]
        computed.states = [computed.states[row] for row in kept]
        computed.features = {name: rows[kept] for name, rows in computed.features.items()}

    def _heatmap(self, arrays: Arrays, state: ClipState) -> None:
        if "joint_heatmap" not in arrays:
            size = int(arrays["frame_size"][0]), int(arrays["frame_size"][1])
            stage = self.graph["heatmaps"].stage
            arrays["joint_heatmap"] = stage.compute(arrays["keypoints"], size, self._region(state))

    def _token(self, arrays: Arrays, state: ClipState) -> None:
        if "joint_map" not in arrays:
            stage = self.graph["tokens"].stage
            arrays["joint_map"] = stage.compute(arrays["local_map"], arrays["joint_heatmap"])

    def write(self, computed: ComputedUnit) -> WrittenUnit:
        """Finish a unit and write one segment per stage, upstream stages first. For any thread.

        Its arrays are gone afterwards: their memory serves a later unit.
        """
        self.finish(computed)
        sizes: dict[str, int] = {}
        segments: dict[str, str] = {}
        with spent(computed.seconds, "write"):
            for name in computed.unit.stages if computed.states else ():
                path = self._write(computed, name)
                sizes[name], segments[name] = path.stat().st_size, path.stem
        digests = {state.clip.video.id: state.digests for state in computed.states}
        precision = self.models.network.precision if "backbone" in sizes else ""
        done = WrittenUnit(
            len(computed.states), sizes, digests, computed.failures, computed.seconds, segments, precision
        )
        if computed.features:
            self._rooms.append(computed.features)
        computed.states, computed.features = [], {}
        return done

    def _write(self, computed: ComputedUnit, name: str) -> Path:
        """One segment; returns its file."""
        node, states = self.graph[name], computed.states
        stage_store = self.store.stage_store(name, node.key)
        stage_store.describe(node.description())
        rows = [Row(s.clip.video.id, s.digests.row(node.annotated), s.clip.view) for s in states]
        arrays = {array: self._stacked(computed, array) for array in node.arrays}
        attributes = {array: about.attributes() for array, about in node.arrays.items()}
        provenance = self._provenance(computed, name)
        return stage_store.write(rows, arrays, attributes, provenance, self.recipe.cache.compression)

    def _stacked(self, computed: ComputedUnit, array: str) -> np.ndarray:
        """An array of all clips; what the backbone gave lies row by row already."""
        if array in computed.features:
            return computed.features[array][: len(computed.states)]
        return np.stack([state.arrays[array] for state in computed.states])

    def _provenance(self, computed: ComputedUnit, stage: str) -> dict[str, Any]:
        together = {
            "decode": self.children.count,
            "pose": self.inference_threads.count,
            "backbone": self.inference_threads.count,
        }
        seconds = computed.seconds[stage] / together.get(stage, 1) / max(len(computed.states), 1)
        named: dict[str, Any] = {"skeleton": self._skeleton()} if stage == "pose" else {}
        if stage == "backbone":
            named = {"precision": self.models.network.precision}
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


@contextmanager
def charged_to(state: ClipState, stage: str = "backbone") -> Iterator[None]:
    """Errors that nobody foresaw, in work on one clip alone, are its video's; of several the first counts."""
    try:
        yield
    except Exception as error:
        if isinstance(error, StarError) and not isinstance(error, VideoError):
            raise
        if state.error is None:
            found = error if isinstance(error, VideoError) else unexpected(state.clip.video.id, error)
            state.error, state.failed_in = found, stage


def reads_videos(unit: Unit) -> bool:
    """Whether a unit needs more than what is cached; heat maps, and tokens of stored maps, never open a video."""
    return not {"decode", "pose", "backbone"}.isdisjoint(unit.computed)


def versions() -> dict[str, str]:
    """The installed versions of the packages whose code can move a feature."""
    found = {}
    for package in ("torch", "torchvision", "numpy", "av", "decord", "opencv-python-headless", "mmpose", "h5py"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

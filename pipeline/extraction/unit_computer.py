"""A unit of work through the networks, then heat maps and tokens: everything in memory, nothing written."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from functools import partial
from itertools import islice

import numpy as np

from ...errors import MachineError, VideoError
from ...stages.cropping import crop_frame
from ..planning.plan import Clip
from ..planning.stage_graph import Graph
from ..planning.work_units import Unit
from ..recipe.schema import Recipe
from .decode_pool import DecodePool
from .fault_isolation import charged_to, isolate
from .inference_threads import InferenceThreads
from .models import ClipState, Models
from .profile import spent
from .unit_reader import UnitReader
from .unit_results import ComputedUnit
from .video_task import Arrays, SharedTask, VideoResults, region_of

STAGE_OF_ERROR = {"annotation": "pose"}
ON_FRAMES = ("pose", "frames", "backbone")  # stages that see a batch's frames, in their order


class UnitComputer:
    """Computes units: their clips in batches of a fixed shape, so that a feature does not depend on its neighbours.

    reader: of cached inputs. pool: of the decoding processes. threads: that run the networks.
    """

    def __init__(
        self,
        recipe: Recipe,
        nodes: Graph,
        reader: UnitReader,
        models: Models,
        pool: DecodePool,
        threads: InferenceThreads,
    ) -> None:
        self.recipe, self.graph, self.reader, self.models = recipe, nodes, reader, models
        self.pool, self.threads = pool, threads
        self._free: deque[dict[str, np.ndarray]] = deque()

    def compute(
        self,
        unit: Unit,
        outcomes: Iterator[tuple[SharedTask, Future[VideoResults]]],
        stopped: Callable[[], bool],
        count: Callable[[int], None],
    ) -> ComputedUnit:
        """Take a unit through the networks. outcomes: its readings' futures, in order. stopped: asked between batches.

        count: told, from any thread, how many clips are through. A video that fails is left out and listed; all
        others go on. The last batches may still be under way: `finish` waits for them, and does the rest. Raises
        MachineError where all videos were there and none is any more.
        """
        result = ComputedUnit(unit)
        states = self._states(unit, outcomes, result, count)
        while batch := list(islice(states, self.recipe.backbone.batch)):
            self._send(batch, result, count)
            if stopped():
                break
        if len(unit.there) >= 2 and len(result.failures) >= len(unit.videos):
            media = [video.media for name, (video, _) in unit.videos.items() if name in unit.there]
            if not any(path.exists() for path in media):  # a disk went away, no video is bad
                raise MachineError(
                    f"dataset.root: {media[0]} and {len(media) - 1} more are gone since the run began; bring them back "
                    "(is the disk mounted?), and the same command goes on"
                )
        return result

    def _states(
        self,
        unit: Unit,
        outcomes: Iterator[tuple[SharedTask, Future[VideoResults]]],
        result: ComputedUnit,
        count: Callable[[int], None],
    ) -> Iterator[ClipState]:
        """The unit's clips with what they have so far; those that fail are listed in the result instead."""
        cached = self.reader.inputs(unit, unit.inputs)
        if not unit.reads_videos:
            self.models.prepare(estimator=False, detector=False, network="backbone" in unit.computed)
            for clip in unit.clips:
                have = cached[clip.video.id, clip.view]
                yield ClipState(clip, have, unit.known[clip.video.id], have.pop("frames", None))
            return
        for shared, future in outcomes:
            first = shared.tasks[0]
            self.models.prepare(  # while the children start and read
                estimator=first.window is not None,
                detector=first.window is not None and first.boxes is None,
                network="backbone" in unit.stages,
            )
            with spent(result.seconds, "waiting"):
                found = self.pool.outcome(future, shared.name)
            read = [found] * len(shared.tasks) if isinstance(found, VideoError) else found
            for job, one in zip(shared.tasks, read, strict=True):
                if isinstance(one, VideoError):
                    self.pool.slots.give_back(job.slots.values())
                    result.failures.append((job.video.id, STAGE_OF_ERROR.get(one.kind, "decode"), one.kind, str(one)))
                    count(len(job.views))
                else:
                    result.seconds.update({"decode": one.seconds, "decode processor": one.processor})
                    for view, arrays in one.chosen.items():
                        joints = {"keypoints": one.keypoints[view]} if view in one.keypoints else {}
                        have = {**cached[job.video.id, view], **arrays, **joints}
                        slot = job.slots.get(view)
                        frames = one.frames.get(view) if slot is None else self.pool.slots[slot]
                        yield ClipState(Clip(job.video, view), have, one.digests, frames, one, slot)

    def _send(self, batch: list[ClipState], result: ComputedUnit, count: Callable[[int], None]) -> None:
        """Give a batch of clips to the networks that the unit lacks."""
        first = len(result.states)
        result.states += batch
        stages = [stage for stage in ON_FRAMES if stage in result.unit.computed]
        if not stages:
            count(len(batch))
            return
        if "backbone" in stages and not result.features:
            clips = len(result.unit.clips)
            while self._free and not result.features:  # memory of an earlier unit: fresh memory costs as much as a copy
                features = self._free.popleft()
                result.features = features if len(features["local_map"]) >= clips else {}
            result.features = result.features or self.models.network.allocate_features(clips, self.recipe.decode.frames)
        rows = {name: array[first : first + len(batch)] for name, array in result.features.items()}
        with spent(result.seconds, "networks full"):
            future = self.threads.submit(self._through, batch, stages, rows)
        future.add_done_callback(lambda done: count(len(batch)))
        result.batches.append(future)

    def recycle(self, features: dict[str, np.ndarray]) -> None:
        """Take the memory of features that are written, for a later unit."""
        if features:
            self._free.append(features)

    def _through(self, batch: list[ClipState], stages: list[str], rows: Mapping[str, np.ndarray]) -> Counter[str]:
        """A batch of clips through the networks; returns the seconds that each took. Runs in a thread of its own."""
        seconds: Counter[str] = Counter()
        if "pose" in stages:
            with spent(seconds, "pose"):
                lacking = [state for state in batch if "keypoints" not in state.arrays]
                try:
                    if lacking:
                        self.models.estimate(lacking)
                except Exception as error:
                    isolate(
                        lacking,
                        "pose",
                        error,
                        lambda number: self.models.estimate([lacking[number]]),
                        self.models.try_pose,
                    )
        if "frames" in stages:
            with spent(seconds, "frames"):
                self._keep_frames(batch)
        if "backbone" in stages:
            with spent(seconds, "backbone"):
                self._backbone(batch, rows)
        for state in batch:
            state.frames = state.read = None
        return seconds

    def _keep_frames(self, batch: list[ClipState]) -> None:
        """Copies of the frames, which outlast their place in shared memory."""
        for state in batch:
            with charged_to(state, "frames"):
                state.arrays["frames"] = np.array(state.frames) if state.frames is not None else self._cut(state)
                state.frames = state.arrays["frames"]
        self._give_back(batch)

    def _give_back(self, batch: list[ClipState]) -> None:
        self.pool.slots.give_back(state.slot for state in batch if state.slot is not None)
        for state in batch:
            state.slot = None

    def _backbone(self, batch: list[ClipState], rows: Mapping[str, np.ndarray]) -> None:
        frames = self.models.network.allocate_clips(self.recipe.decode.frames)
        for row, state in enumerate(batch):
            with charged_to(state):
                frames[row] = state.frames if state.frames is not None else self._cut(state)
            if state.error:
                frames[row] = 0
        self._give_back(batch)
        try:
            self.models.network.run(frames, rows)
        except Exception as error:
            isolate(batch, "backbone", error, partial(self._alone, frames, rows), self.models.try_backbone)
        for row, state in enumerate(batch):
            state.arrays |= {name: values[row] for name, values in rows.items()}

    def _alone(self, frames: np.ndarray, rows: Mapping[str, np.ndarray], row: int) -> None:
        """One clip of a batch through the backbone, in a pass of the same shape."""
        batch = self.models.network.allocate_clips(self.recipe.decode.frames)
        batch[0] = frames[row]
        self.models.network.run(batch, {name: values[row : row + 1] for name, values in rows.items()})

    def _cut(self, state: ClipState) -> np.ndarray:
        assert state.read is not None
        region = self._region(state)
        size, flip = self.recipe.backbone.size, bool(state.arrays["flip"])
        full = state.read.full
        return np.stack([crop_frame(full[int(i)], region, size, flip=flip) for i in state.arrays["frame_index"]])

    def _region(self, state: ClipState) -> np.ndarray:
        video, view = state.clip
        return region_of(self.graph["heatmaps"].stage.crop, state.arrays, state.arrays.get("keypoints"), video.id, view)

    def finish(self, computed: ComputedUnit) -> ComputedUnit:
        """Wait for the networks, then make heat maps and tokens. For any thread, and harmless if done before.

        The videos of which a clip failed since they were read are taken out of the unit, and listed as failures.
        """
        computed.wait()
        for stage, step in (("heatmaps", self._heatmap), ("tokens", self._token)):
            if stage in computed.unit.stages:
                with spent(computed.seconds, stage):
                    for state in computed.states:
                        with charged_to(state, stage):
                            step(state.arrays, state)
        failed = {state.clip.video.id: state for state in reversed(computed.states) if state.error}
        computed.failures += [
            (name, state.failed_in, state.error.kind, str(state.error)) for name, state in failed.items() if state.error
        ]
        if failed:
            kept = [row for row, state in enumerate(computed.states) if state.clip.video.id not in failed]
            computed.states = [computed.states[row] for row in kept]
            computed.features = {name: rows[kept] for name, rows in computed.features.items()}
        if "backbone" not in computed.unit.computed:  # read from the cache for the tokens, 3 MB a clip
            for state in computed.states:
                state.arrays.pop("local_map", None)
        return computed

    def _heatmap(self, arrays: Arrays, state: ClipState) -> None:
        if "joint_heatmap" not in arrays:
            size = int(arrays["frame_size"][0]), int(arrays["frame_size"][1])
            stage = self.graph["heatmaps"].stage
            arrays["joint_heatmap"] = stage.compute(arrays["keypoints"], size, self._region(state))

    def _token(self, arrays: Arrays, state: ClipState) -> None:
        if "joint_map" not in arrays:
            stage = self.graph["tokens"].stage
            arrays["joint_map"] = stage.compute(arrays["local_map"], arrays["joint_heatmap"])

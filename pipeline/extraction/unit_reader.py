"""What a unit of work needs before it is computed: tasks for the decoding processes, and cached inputs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import groupby
from typing import Any, Literal

from ...cache.checksum import Row
from ...cache.store import Store
from ...stages.skeleton_mapping import joint_sources
from ...stages.skeletons import SKELETONS, Skeleton
from ..planning.stage_graph import Graph
from ..planning.work_units import Unit
from ..recipe.schema import Recipe
from .models import Models
from .video_task import Arrays, SharedTask, VideoTask

FULL_CLIPS = 4  # of one video that are read together where whole frames are needed
SHARED_BYTES = 96 << 20  # of cut frames that one reading of a video may give


def _of_one_decode(task: VideoTask) -> tuple[Any, ...]:
    """The same for tasks of spans of one video that want the same of it; another for every other task."""
    if task.video.span is None:
        return (task.video.id,)
    return task.video.path, task.frames, task.window is not None, task.boxes, task.annotated, bool(task.chosen)


class UnitReader:
    """The tasks and the cached inputs of units, for one recipe.

    skeleton: the data set's. Raises RecipeError where its joints cannot be converted to the recipe's layout.
    """

    def __init__(self, recipe: Recipe, nodes: Graph, store: Store, models: Models, skeleton: Skeleton | None) -> None:
        self.recipe, self.graph, self.store, self.models = recipe, nodes, store, models
        self.skeleton = skeleton
        self.layout = SKELETONS.get(recipe.pose.layout)
        if skeleton is not None and self.layout is not None:
            joint_sources(skeleton, self.layout)  # refused now, not after the first videos

    def tasks(self, unit: Unit) -> list[SharedTask]:
        """What is to be read for a unit: one task per video, those of spans of one video together; nothing where all
        inputs are cached."""
        if not unit.reads_videos:
            return []
        cached = self.inputs(unit, ("decode", "pose"))
        tasks = (self._task(unit, name, cached) for name in unit.videos)
        return [SharedTask(part) for _, group in groupby(tasks, _of_one_decode) for part in self._parts(tuple(group))]

    def _parts(self, tasks: tuple[VideoTask, ...]) -> Iterator[tuple[VideoTask, ...]]:
        """Tasks of one video, no more together than memory holds: whole frames are kept until all of them are there."""
        backbone, frames = self.recipe.backbone, self.recipe.decode.frames
        clip = 3 * frames * backbone.size**2
        whole = tasks[0].window is not None or tasks[0].frames == "full"
        most = FULL_CLIPS if whole else max(1, SHARED_BYTES // clip)
        size = max(1, most // max(1, len(tasks[0].views)))
        yield from (tasks[start : start + size] for start in range(0, len(tasks), size))

    def _task(self, unit: Unit, name: str, cached: dict[tuple[str, int], Arrays]) -> VideoTask:
        video, views = unit.videos[name]
        settings = self.recipe.pose
        mmpose = settings.source == "mmpose" or (settings.source == "auto" and video.annotation is None)
        estimated = "pose" in unit.stages and mmpose
        detected = estimated and settings.detector not in ("annotations", "frame")
        # whole frames leave the child only where a network must see them before they can be cut
        seen = not {"frames", "backbone"}.isdisjoint(unit.computed)
        frames: Literal["cut", "full", "none"] = "cut" if seen else "none"
        if detected or (estimated and frames == "cut" and self.recipe.backbone.crop == "person"):
            frames = "full"
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
            link=settings.link,
            skeleton=self.skeleton,
            layout=self.layout,
            annotated="pose" in unit.stages and not estimated,
            occluded=settings.occluded,
            projection=self.graph["pose"].stage.flattening,
            frames=frames,
            window=self.models.window if estimated else None,
            boxes=None if detected or not estimated else settings.detector,  # type: ignore[arg-type]
            chosen=have if "decode" in unit.inputs else {},
            keypoints={view: have[view]["keypoints"] for view in views} if "pose" in unit.inputs else {},
            known=unit.known[name],
        )

    def inputs(self, unit: Unit, stages: Collection[str]) -> dict[tuple[str, int], Arrays]:
        """The cached arrays of some of the stages that the unit takes, clip by clip. Raises CorruptSegment."""
        states: dict[tuple[str, int], Arrays] = {(clip.video.id, clip.view): {} for clip in unit.clips}
        for stage, places in unit.inputs.items():
            stage_store, annotated = self.store.stage_store(stage, self.graph[stage].key), self.graph[stage].annotated
            rows = [Row(clip.video.id, unit.known[clip.video.id].row(annotated), clip.view) for clip in unit.clips]
            for name in self.graph[stage].arrays if stage in stages else ():
                if name == "global_grid":  # big, and no stage takes it
                    continue
                for clip, row in zip(unit.clips, stage_store.read(places, name, rows), strict=True):
                    states[clip.video.id, clip.view][name] = row
        return states

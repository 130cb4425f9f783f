"""A plan, cut into units of work: up to one segment of clips that lack the same stages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

from ...cache.store import RowLocation
from ..datasets.base import Video
from .plan import Clip, Plan
from .source_changes import Digests

OPENING = frozenset({"decode", "pose", "frames"})  # stages that need the videos themselves


@dataclass(frozen=True)
class Unit:
    """Clips that lack the same stages; what one Dask task does, and what one kill can lose.

    stages: whose rows it writes. inputs: per cached stage that these take, the place of every clip's row. known: the
    digests of each video's bytes and of its annotation, "" where they were never read. again: stages that are computed
    anew, since others take of them what is not stored; their rows stay. there: videos whose files were there when this
    was planned.
    """

    stages: tuple[str, ...]
    clips: tuple[Clip, ...]
    inputs: Mapping[str, tuple[RowLocation, ...]]
    known: Mapping[str, Digests]
    again: tuple[str, ...] = ()
    there: frozenset[str] = frozenset()

    @property
    def computed(self) -> tuple[str, ...]:
        """All stages that it computes."""
        return (*self.again, *self.stages)

    @property
    def reads_videos(self) -> bool:
        """Whether it needs more than what is cached: heat maps, tokens of stored maps, and a backbone that sees kept
        frames never open a video."""
        kept = "frames" in self.inputs
        return not OPENING.isdisjoint(self.computed) or ("backbone" in self.computed and not kept)

    @cached_property
    def videos(self) -> dict[str, tuple[Video, tuple[int, ...]]]:
        """Every video with its views, in order."""
        views: dict[str, list[int]] = defaultdict(list)
        videos = {}
        for video, view in self.clips:
            videos[video.id] = video
            views[video.id].append(view)
        return {name: (video, tuple(views[name])) for name, video in videos.items()}


def units(plan: Plan) -> list[Unit]:
    """Everything that the plan lacks, in the catalogue's order; clips of one video stay together."""
    lacking: dict[tuple[str, int], list[str]] = defaultdict(list)
    clips: dict[tuple[str, int], Clip] = {}
    for name, stage in plan.stages.items():
        for clip in stage.missing:
            lacking[clip.video.id, clip.view].append(name)
            clips[clip.video.id, clip.view] = clip
    groups: dict[tuple[str, ...], list[Clip]] = defaultdict(list)
    for place, stages in lacking.items():
        groups[tuple(stages)].append(clips[place])
    return [unit for stages, group in groups.items() for unit in cut(plan, stages, group)]


def cut(plan: Plan, stages: tuple[str, ...], clips: list[Clip]) -> list[Unit]:
    """Clips that lack the same stages, in units of up to a segment's size."""
    again = ("backbone",) if "tokens" in stages and "backbone" not in stages and not plan.graph.keeps_local_map else ()
    computed, size = (*again, *stages), plan.recipe.cache.segment
    taken = {above for name in computed for above in plan.graph[name].takes} - set(computed)
    found = []
    for chunk in map(tuple, _chunks(clips, size)):
        kept = {"frames"} if "backbone" in computed and OPENING.isdisjoint(computed) and _kept(plan, chunk) else set()
        inputs = {
            name: tuple(plan.stages[name].places[clip.video.id, clip.view] for clip in chunk)
            for name in plan.graph.names
            if name in taken | kept
        }
        sources = {clip.video.id: plan.sources.known[clip.video.id] for clip in chunk}
        known = {name: source.digests for name, source in sources.items()}
        there = frozenset(name for name, source in sources.items() if source.present)
        found.append(Unit(stages, chunk, inputs, known, again, there))
    return found


def _chunks(clips: list[Clip], size: int) -> Iterator[list[Clip]]:
    """Up to `size` clips each; the spans of a video stay together where so many fit, so that it is decoded once."""
    chunk: list[Clip] = []
    for _, together in groupby(clips, lambda clip: (clip.video.path, -1 if clip.video.span else clip.view)):
        group = list(together)
        if chunk and len(chunk) + len(group) > size:
            yield chunk
            chunk = []
        for clip in group:
            if len(chunk) >= size:
                yield chunk
                chunk = []
            chunk.append(clip)
    if chunk:
        yield chunk


def _kept(plan: Plan, clips: Sequence[Clip]) -> bool:
    """Whether the frames of all clips are cached."""
    frames = plan.stages.get("frames")
    return frames is not None and all((clip.video.id, clip.view) in frames.places for clip in clips)


def split(unit: Unit, parts: int) -> list[Unit]:
    """A unit in up to so many parts of about equal size; clips of one video stay together."""
    ends, size = [], len(unit.clips) / parts
    for number, clip in enumerate(unit.clips):
        last = number + 1 == len(unit.clips)
        if last or (unit.clips[number + 1].video.id != clip.video.id and number + 1 >= size * (len(ends) + 1)):
            ends.append(number + 1)
    found = []
    for part in (slice(begin, end) for begin, end in zip([0, *ends], ends, strict=False)):
        known = {clip.video.id: unit.known[clip.video.id] for clip in unit.clips[part]}
        inputs = {name: places[part] for name, places in unit.inputs.items()}
        there = unit.there & known.keys()
        found.append(replace(unit, clips=unit.clips[part], inputs=inputs, known=known, there=there))
    return found

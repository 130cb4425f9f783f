"""Recipe + catalogue + cache -> what is cached, missing, stale or failed, and why. Opens no video, writes nothing."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ...cache.checksum import Row
from ...cache.failures import Failure, Ledger
from ...cache.index import row_keys
from ...cache.store import RowLocation, StageStore, Store
from ...errors import DatasetError, MissingFeatures, UsageError
from ...stages.skeletons import SKELETONS
from ..datasets.base import Manifest, Video
from ..recipe.schema import Recipe
from . import manifest
from .array_shapes import schema
from .known_failures import known_failures
from .selection import Selection
from .shard import Shard
from .source_changes import Sources
from .stage_graph import Graph, graph


class Clip(NamedTuple):
    """One row of the cache: a video under one choice of frames and one flip."""

    video: Video
    view: int


@dataclass
class StagePlan:
    """One stage of the recipe against the cache.

    places: where each cached clip lies. missing: clips to compute. stale: videos whose bytes are not those that were
    extracted (their clips are missing too). failed: clips whose video is in the ledger. broken: one line for each
    segment that cannot be read; its clips are missing. row_of: (video, view) -> what its row is called.
    """

    name: str
    stage_store: StageStore
    places: dict[tuple[str, int], RowLocation] = field(default_factory=dict)
    missing: list[Clip] = field(default_factory=list)
    stale: set[str] = field(default_factory=set)
    failed: list[Clip] = field(default_factory=list)
    broken: tuple[str, ...] = ()
    row_of: Callable[[str, int], Row | None] = lambda video, view: None

    def read(self, clips: Sequence[tuple[str, int]], array: str) -> np.ndarray:
        """The cached array of some (video, view), stacked: (clips, ...), each proved to be what was written, and of it.

        Raises CorruptSegment.
        """
        return self.stage_store.read(
            [self.places[clip] for clip in clips], array, [self.row_of(*clip) for clip in clips]
        )


@dataclass
class Plan:
    """What a recipe wants and what its cache has."""

    recipe: Recipe
    graph: Graph
    manifest: Manifest
    sources: Sources
    store: Store
    ledger: Ledger
    failures: dict[str, Failure]
    stages: dict[str, StagePlan]
    retried: bool = False
    warning: str = ""
    shard: Shard | None = None

    @property
    def missing(self) -> int:
        """How many rows are to be computed, over all stages."""
        return sum(len(stage.missing) for stage in self.stages.values())


def plan(
    recipe: Recipe,
    *,
    only: Sequence[str] = (),
    force: bool = False,
    retry_failed: bool = False,
    shard: Shard | None = None,
) -> Plan:
    """Compare recipe, catalogue and cache.

    only: stages asked for by name; they and what they take are planned (default: `worthwhile`). force: the stages in
    `only` (default: all) count as missing even where they are cached. retry_failed: the ledger is not believed. shard:
    only its share of the videos is planned.
    """
    with _no_garbage():
        nodes = graph(recipe)
        store = Store(recipe.cache.root)
        listed, sources, warning = manifest.open_manifest(recipe.dataset, recipe.cache.root)
        ledger = Ledger(recipe.cache.root / "failures.jsonl")
        _check_stages(only, nodes)
        wanted = nodes.below(tuple(only) or worthwhile(recipe, nodes))
        clips = list(clips_of(recipe, listed))
        if shard:
            share = shard.share(video.id for video in listed.videos)
            clips = [clip for clip in clips if clip.video.id in share]
        videos = {video.id: video for video in listed.videos}
        failures = {} if retry_failed else known_failures(ledger, sources, videos, recipe.pose)

        stage_stores = {name: store.stage_store(name, nodes[name].key, schema(recipe, nodes, name)) for name in wanted}
        # Videos whose bytes were never read, and of which no stage has a row, whatever its bytes were: that they are
        # missing is known without reading them, which for thousands of films or folders of frames would take hours.
        unread = [clip for clip in clips if not sources.known[clip.video.id].digests.video]
        unread = [clip for clip in unread if sources.known[clip.video.id].present]
        never_seen = {clip.video.id for clip in unread}
        for stage_store in stage_stores.values() if unread else ():
            index = stage_store.index()
            if len(index):
                never_seen -= {clip.video.id for clip in unread if index.sources(clip.video.id, clip.view)}
        wants = _Wants(clips, sources, frozenset(never_seen))
        stages = {
            name: _compare(stage_store, wants, nodes[name].annotated, failures)
            for name, stage_store in stage_stores.items()
        }
    result = Plan(recipe, nodes, listed, sources, store, ledger, failures, stages, retry_failed, warning, shard)
    if force:
        for name in only or wanted:
            stages[name].missing = [clip for clip in clips if clip.video.id not in failures]
    return result


def _check_stages(only: Sequence[str], nodes: Graph) -> None:
    """Refuse stages that this recipe has not, which would silently be nothing to do. Raises UsageError."""
    remedy = {"frames": "set decode.keep to frames", "tokens": "its tokens.form is made in training, not cached"}
    for name in only:
        if name not in nodes.nodes and name in remedy:
            raise UsageError(f"--stage {name}: this recipe has no such stage; {remedy[name]}")


def worthwhile(recipe: Recipe, nodes: Graph) -> tuple[str, ...]:
    """All stages, since the next question may be of those that this recipe's network does not read; but no backbone
    where the joint tokens are bare heat maps and nothing else is read: it is nearly all of the time and the disk."""
    bare = recipe.tokens.form == "heatmap" and recipe.model.modalities == "joint"  # so always for kind joints
    return tuple(name for name in nodes.names if name != "backbone" or not bare)


class _Wants:
    """The rows that a recipe asks for: the same in every stage, so that each is named once.

    names: (video, view) of every clip. never_seen: videos that have no row whatever their bytes are, which are
    therefore not read.
    """

    def __init__(self, clips: list[Clip], sources: Sources, never_seen: frozenset[str]) -> None:
        self.clips, self.sources, self.never_seen = clips, sources, never_seen
        self.names = [(clip.video.id, clip.view) for clip in clips]
        self._keys: dict[bool, np.ndarray] = {}  # by whether they depend on annotations

    @cached_property
    def videos(self) -> dict[str, Video]:
        """The videos by id."""
        return {clip.video.id: clip.video for clip in self.clips}

    def keys(self, annotated: bool) -> np.ndarray:
        """What an index knows the rows by; annotated: whether they depend on annotations, where there are any."""
        annotated = annotated and any(clip.video.annotation for clip in self.clips)
        if annotated not in self._keys:
            digests = [
                "" if clip.video.id in self.never_seen else self.sources.get(clip.video).row(annotated)
                for clip in self.clips
            ]
            videos, views = [video for video, _ in self.names], [view for _, view in self.names]
            self._keys[annotated] = row_keys(videos, views, digests)
        return self._keys[annotated]


atexit.register(gc.unfreeze)  # or libraries that count their objects at the end would miss what `plan` froze


@contextmanager
def _no_garbage() -> Generator[None, None, None]:
    """Hold the collector while millions of small tuples are made: it would go through all of them again and again."""
    held = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if held:
            gc.freeze()  # what was made is kept; the first collection would go through all of it
            gc.enable()


def remember(plan: Plan) -> None:
    """Keep the list of videos and their digests in the cache, if there is one and there is something new."""
    if plan.sources.changed and plan.recipe.cache.root.is_dir() and not plan.warning:
        manifest.remember(plan.recipe.dataset, plan.recipe.cache.root, plan.sources, plan.shard)


def clips_of(recipe: Recipe, manifest: Manifest) -> Iterator[Clip]:
    """Every (video, view) that the recipe asks for, all views of a video together."""
    testing = recipe.decode.views.test
    views = {"train": recipe.decode.views.train, "val": testing, "test": testing}
    for video in manifest.videos:
        for view in range(views[video.split]):
            yield Clip(video, view)


def _compare(stage_store: StageStore, wants: _Wants, annotated: bool, failures: dict[str, Failure]) -> StagePlan:
    stage_store.description()  # refuses a format version that this star does not read
    index = stage_store.index()
    stage = StagePlan(stage_store.stage, stage_store, broken=index.broken)
    places = index.find_keys(wants.keys(annotated)) if len(index) else [None] * len(wants.clips)
    stage.row_of = lambda video, view: Row(video, wants.sources.get(wants.videos[video]).row(annotated), view)
    stage.places = {name: place for name, place in zip(wants.names, places, strict=True) if place is not None}
    for clip, place in zip(wants.clips, places, strict=True) if len(stage.places) < len(places) else ():
        video, view = clip
        if place is not None:
            continue
        if video.id in failures:
            stage.failed.append(clip)
        else:
            stage.missing.append(clip)
            if index.sources(video.id, view):  # under other bytes
                stage.stale.add(video.id)
    return stage


def select(plan: Plan, split: str, stages: Iterable[str]) -> Selection:
    """The clips of a split for which every one of the stages is cached, and why others are left out: also those whose
    annotation fails now.

    Raises MissingFeatures where there is not one, DatasetError where the data set has no video in the split.
    """
    stages = tuple(stages)
    wanted = [clip for clip in clips_of(plan.recipe, plan.manifest) if clip.video.split == split]
    if not wanted:
        message = f"dataset: no {split} video among the {len(plan.manifest.videos):,} of {plan.manifest.name}"
        if plan.recipe.dataset.kind != "videos":
            raise DatasetError(f"{message}; is that part of the data set below {plan.recipe.dataset.root}?")
        share = "raise dataset.test_share" if split == "test" else "lower dataset.test_share"
        remedy = f"give some the split {split!r} in the list, or {share} or change dataset.split_seed"
        raise DatasetError(f"{message}; {remedy}")
    have = [plan.stages[name].places for name in stages]
    # A video whose annotation has gone bad has older rows that need none; a fresh cache would have none of it.
    bad = {video for video, failure in plan.failures.items() if failure.kind == "annotation"}
    complete = [c for c in wanted if c.video.id not in bad and all((c.video.id, c.view) in places for places in have)]
    if not complete and all(clip.video.id in plan.failures for clip in wanted):
        raise MissingFeatures(
            f"cache.root: all {len({clip.video.id for clip in wanted}):,} {split} videos failed in extraction, "
            f"{plan.ledger.path} says why; mend them or take them off the list, then run `star extract` "
            "(--retry-failed where they are as they were)"
        )
    if not complete:
        raise MissingFeatures(
            f"cache.root: {plan.recipe.cache.root} has no {split} clip with all of {', '.join(stages)}; "
            "run `star extract` with this recipe (and the same --set) first"
        )
    kept = {clip.video.id for clip in complete}
    lost = dict.fromkeys(clip.video.id for clip in wanted if clip.video.id not in kept)
    reasons = {name: f"{failure.kind}: {failure.message}" for name, failure in plan.failures.items()}
    return Selection(
        videos=[clip.video for clip in complete],
        views=[clip.view for clip in complete],
        places={name: [plan.stages[name].places[clip.video.id, clip.view] for clip in complete] for name in stages},
        stage_stores={name: plan.stages[name].stage_store for name in stages},
        classes=plan.manifest.classes,
        multilabel=plan.manifest.is_multilabel,
        skeleton=SKELETONS.get(plan.recipe.pose.layout, plan.manifest.skeleton),
        left_out=[(video, reasons.get(video, "not extracted yet")) for video in lost],
        sources={
            name: [plan.sources.get(clip.video).row(plan.graph[name].annotated) for clip in complete] for name in stages
        },
    )

"""A plan in words and figures: what is cached, missing, stale, failed; why, and what the rest would cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..datasets.base import one_sided
from ..utils.progress import tell
from ..utils.text import amount, clock, counted, table
from .cost import clip_bytes, clip_seconds, local_map_bytes, other
from .gpu_estimate import CARD, backbone_flops, backbone_seconds
from .plan import Plan, StagePlan


@dataclass(frozen=True)
class StageStatus:
    """One stage: clips by their state, the bytes that its key holds, and what computing the missing ones would take.

    why: the reason for what is missing, "" where nothing is. seconds: None where it cannot be told.
    """

    stage: str
    key: str
    cached: int
    missing: int
    stale_videos: int
    failed: int
    bytes: int
    why: str
    bytes_to_write: int
    seconds: float | None

    def cells(self) -> tuple[str, ...]:
        """A row of the table for a person."""
        cost = ""
        if self.missing:
            cost = f"; about {amount(self.bytes_to_write)}"
            cost += "" if self.seconds is None else f", {clock(self.seconds)}"
        counts = [f"{count:,}" for count in (self.cached, self.missing, self.stale_videos, self.failed)]
        return (self.stage, *counts, amount(self.bytes), self.why + cost)


@dataclass(frozen=True)
class BackboneCost:
    """What the video network would take for the clips that it misses, on the GPU that is named."""

    clips: int
    flops_per_clip: float
    gpu: str
    gpu_seconds: float


@dataclass(frozen=True)
class ExtractionCost:
    """What a clip takes of the disk, and a unit of work of memory; backbone: None where it is not to be run.

    unit_bytes: the rows of a unit of work, of which a machine has as many in hand as threads that write.
    """

    clip_bytes: int
    unit_bytes: int
    backbone: BackboneCost | None

    def to_lines(self) -> list[str]:
        """Disk, memory and time of the video network, where it is still to be run."""
        network = self.backbone
        if network is None:
            return []
        return [
            f"a clip takes {amount(self.clip_bytes)} of disk, a unit of work in memory {amount(self.unit_bytes)}; "
            f"the video network {network.flops_per_clip / 1e9:.0f} GFLOP a clip",
            f"on {network.gpu} it would take about {clock(network.gpu_seconds)} for {counted(network.clips, 'clip')}, "
            "decoding aside",
        ]


@dataclass(frozen=True)
class CacheStatus:
    """What a recipe's cache holds and lacks. videos, classes: how many. missing: rows, over all stages."""

    data: str
    videos: int
    classes: int
    cache: str
    missing: int
    failed_videos: tuple[str, ...]
    left_out: int
    removed_videos: tuple[str, ...]
    warnings: tuple[str, ...]
    stages: tuple[StageStatus, ...]
    cost: ExtractionCost
    exit_code: int = 0

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        document = asdict(self)
        del document["exit_code"]
        return document

    def to_lines(self) -> list[str]:
        """As a table for a person, with the cost and the warnings."""
        head = ("stage", "cached", "missing", "stale", "failed", "bytes", "why, and what it would cost")
        classes = f"{self.classes} classes" if self.classes else "without labels"
        return [
            f"{self.data}: {self.videos:,} videos, {classes}; cache {self.cache}",
            *table([head, *(stage.cells() for stage in self.stages)]),
            *self.cost.to_lines(),
            *self.warnings,
        ]


def status(plan: Plan) -> CacheStatus:
    """The state of a recipe's cache: per stage counts, bytes, the reason for what is missing, and its cost."""
    clip = sum(clip_bytes(plan, name) for name in plan.stages)
    held = clip if plan.graph.keeps_local_map or "backbone" not in plan.stages else clip + local_map_bytes(plan.recipe)
    network, missing = None, len(plan.stages["backbone"].missing) if "backbone" in plan.stages else 0
    if missing:
        settings, frames = plan.recipe.backbone, plan.recipe.decode.frames
        seconds = round(backbone_seconds(settings, frames, missing), 1)
        network = BackboneCost(missing, backbone_flops(settings, frames), CARD, seconds)
    return CacheStatus(
        data=plan.manifest.name,
        videos=len(plan.manifest.videos),
        classes=len(plan.manifest.classes),
        cache=str(plan.recipe.cache.root),
        missing=plan.missing,
        failed_videos=tuple(sorted(plan.failures)),
        left_out=len(plan.manifest.left_out),
        removed_videos=tuple(plan.sources.removed),
        warnings=tuple(warnings(plan)),
        stages=tuple(_stage(plan, stage) for stage in plan.stages.values()),
        cost=ExtractionCost(clip, held * plan.recipe.cache.segment, network),
    )


def warnings(plan: Plan) -> list[str]:
    """What a person should know before the cache is used: broken segments, videos that are gone, lone sides."""
    found = [line for stage in plan.stages.values() for line in stage.broken]
    if found:
        found.append("broken segments count as missing; `star verify RECIPE --repair` moves them aside")
    removed = plan.sources.removed
    if removed:
        named = ", ".join(removed[:3]) + (", …" if len(removed) > 3 else "")
        found.append(f"removed from the data set since, and left out: {counted(len(removed), 'video')} ({named})")
    lone = one_sided(plan.manifest)
    return [*found, lone] if lone else found


def _stage(plan: Plan, stage: StagePlan) -> StageStatus:
    missing = len(stage.missing)
    again = (
        stage.name == "tokens"
        and not plan.graph.keeps_local_map
        and missing > len(plan.stages["backbone"].missing)  # of the others all but the local map is cached
    )
    seconds = clip_seconds(plan, stage) if missing else None
    if seconds is not None and again:
        seconds += clip_seconds(plan, plan.stages["backbone"]) or 0
    why = ""
    if missing and stage.stale:
        why = f"{counted(len(stage.stale), 'video')} changed"
    elif missing:
        mine = plan.graph[stage.name].description()
        others = [one.description() for one in plan.store.stage_stores() if not stage.places and other(one, stage)]
        nearest = min((changes(one, mine) for one in others), key=len, default=[])
        why = ", ".join(nearest) or "not extracted yet"
    if missing and stage.name == "backbone" and _from_frames(plan, stage):
        why += "; from kept frames, no video is read"
    if again and not _from_frames(plan, stage):
        why += "; the videos are read again, see backbone.keep"
    return StageStatus(
        stage=stage.name,
        key=stage.stage_store.key,
        cached=len(stage.places),
        missing=missing,
        stale_videos=len(stage.stale),
        failed=len(stage.failed),
        bytes=stage.stage_store.bytes(),
        why=why,
        bytes_to_write=missing * clip_bytes(plan, stage.name),
        seconds=None if seconds is None else round(seconds * missing, 1),
    )


def _from_frames(plan: Plan, lacking: StagePlan) -> bool:
    """Whether all clips that a stage lacks have what the backbone sees cached."""
    node = plan.graph["backbone"]
    kept = [plan.stages[name].places for name in (*node.takes, *node.spares)]
    return bool(node.spares) and all((c.video.id, c.view) in places for places in kept for c in lacking.missing)


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The settings in which two descriptions of a stage differ, as "sigma 1.0 -> 1.5"."""
    before, after = _flat(old.get("settings", {})), _flat(new.get("settings", {}))
    found = [
        f"{name} {before.get(name, 'none')} → {after.get(name, 'none')}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    if old.get("version") != new.get("version"):
        found.append(f"version {old.get('version')} → {new.get('version')}")
    above = [name for name, key in new["upstream"].items() if old.get("upstream", {}).get(name) != key]
    return found or [f"{name} changed" for name in above]


def _flat(settings: Any, prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def warn(planned: Plan, quiet: bool) -> None:
    """Say on stderr what `warnings` finds, unless quiet."""
    for line in [planned.warning, *warnings(planned)] if not quiet else ():
        if line:
            tell(f"warning: {line}")

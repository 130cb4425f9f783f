"""`star verify`: read every byte of a recipe's cache again and say, video by video, what is not as it was written."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...cache.verify import Problem, check_description, check_segment
from ..planning.plan import Plan, StagePlan, plan
from ..recipe.schema import Recipe
from ..utils.progress import Progress


def verify(recipe: Recipe, *, repair: bool = False, quiet: bool = False) -> dict[str, Any]:
    """Check all segments of the recipe's stages, and that their rows belong together.

    Format version, schema, shapes, the digest of every file, the checksum of every row, NaN and infinity, all-zero maps
    (a warning: a frame without a person gives one), and row alignment: every stage has the frames that the decode
    settings choose, the same number of them, from the same bytes. repair: move bad segments aside, so that the next
    `star extract` makes exactly their clips again. Returns the findings as JSON.
    """
    planned = plan(recipe)
    total = sum(len(stage.stage_store.segments()) for stage in planned.stages.values())
    findings: list[dict[str, Any]] = []
    moved: list[str] = []
    with Progress("verify", total, "segments", quiet=quiet) as bar:
        for stage in planned.stages.values():
            findings += [_row(stage, "", problem) for problem in check_description(stage.stage_store) if stage.places]
            for name in stage.stage_store.segments():
                problems = check_segment(stage.stage_store.file(name), stage.name, stage.stage_store.key)
                findings += [_row(stage, name, problem) for problem in problems]
                bar.advance()
                if repair and any(not problem.is_warning for problem in problems):
                    moved.append(str(stage.stage_store.quarantine(name)))
    bad = {finding["segment"] for finding in findings if finding["segment"] and not finding["warning"]}
    findings += [_row(stage, "", problem) for stage, problem in _misaligned(planned, bad)]
    return {
        "segments": total,
        "rows": sum(len(stage.places) for stage in planned.stages.values()),
        "problems": [finding for finding in findings if not finding["warning"]],
        "warnings": [finding for finding in findings if finding["warning"]],
        "moved": moved,
        "backbone_precision": dict(_precisions(planned, bad)),
    }


def _row(stage: StagePlan, segment: str, problem: Problem) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "segment": segment,
        "kind": problem.kind,
        "message": problem.message,
        "videos": list(problem.videos),
        "warning": problem.is_warning,
    }


def _misaligned(planned: Plan, bad: set[str]) -> Iterator[tuple[StagePlan, Problem]]:
    """Rows of one clip that do not belong together, in segments that are sound by themselves."""
    decode = planned.stages.get("decode")
    if decode is None:
        return
    stage = planned.graph["decode"].stage
    for (video, view), place in decode.places.items():
        if place.segment in bad:
            continue
        index, count, flip = (_value(decode, place, name) for name in ("frame_index", "frame_count", "flip"))
        chosen, flipped = stage.sample(video, view, int(count))
        if not np.array_equal(index, chosen) or bool(flip) != flipped:
            message = f"{decode.stage_store.path}: {video}, view {view}: not the frames that its settings choose"
            yield decode, Problem("misaligned", message, (video,))
    yield from _wrong_lengths(planned, bad)


def _wrong_lengths(planned: Plan, bad: set[str]) -> Iterator[tuple[StagePlan, Problem]]:
    frames = planned.graph["decode"].stage.frames
    for stage in planned.stages.values():
        videos: dict[str, list[str]] = defaultdict(list)
        for (video, _), place in stage.places.items():
            videos[place.segment].append(video)
        for segment in videos.keys() - bad:
            for name, about in planned.graph[stage.name].arrays.items():
                shape = stage.stage_store.segment(segment).read(name, [0]).shape[1:]
                if about.axes.startswith("t") and shape[0] != frames:
                    message = (
                        f"{stage.stage_store.file(segment)}: {name} has {shape[0]} frames a clip, the recipe {frames}"
                    )
                    yield stage, Problem("misaligned", message, tuple(videos[segment]))


def _precisions(planned: Plan, bad: set[str]) -> Counter[str]:
    """Rows of the backbone by what they were computed in; a segment that does not say was computed in the setting."""
    clips: Counter[str] = Counter()
    stage = planned.stages.get("backbone")
    for place in stage.places.values() if stage else ():
        if place.segment not in bad:
            provenance = stage.stage_store.segment(place.segment).provenance if stage else {}
            clips[provenance.get("precision", planned.recipe.backbone.precision)] += 1
    return clips


def _value(stage: StagePlan, place: Any, name: str) -> np.ndarray:
    return stage.stage_store.read([place], name)[0]


def lines(found: dict[str, Any]) -> list[str]:
    """The findings for a person."""
    said = [finding["message"] for finding in found["problems"]]
    videos = sorted({video for finding in found["problems"] for video in finding["videos"]})
    if videos:
        said.append(f"videos concerned: {', '.join(videos[:20])}{' …' if len(videos) > 20 else ''}")
    if found["warnings"]:
        said.append(
            f"{len(found['warnings'])} warnings: all-zero maps, as frames without a person give; --json lists them"
        )
    if found["moved"]:
        said.append(f"{len(found['moved'])} segments moved aside; `star extract` makes exactly their clips again")
    elif found["problems"]:
        said.append("--repair moves the bad segments aside, then `star extract` makes exactly their clips again")
    if len(found["backbone_precision"]) > 1:
        rows = " and ".join(f"{count:,} in {name}" for name, count in sorted(found["backbone_precision"].items()))
        said.append(f"backbone: {rows}, by the machines that computed them; both are as exact as the recipe asks")
    if not found["problems"]:
        said.append(f"all is well: {found['rows']:,} rows in {found['segments']:,} segments are what was written")
    return said

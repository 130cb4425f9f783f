"""`star verify`: read every byte of a recipe's cache again and say, video by video, what is not as it was written."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...cache.index_file import forget_index, wrong_places
from ...cache.store import RowLocation, StageStore, Store
from ...cache.verify import Problem, check_description, check_segment
from ...errors import CacheError, OtherVersion
from ..planning.array_shapes import schema
from ..planning.plan import Plan, StagePlan, plan, worthwhile
from ..planning.stage_graph import graph
from ..recipe.schema import Recipe
from ..utils.progress import Progress
from ..utils.text import counted
from .repair import Repair
from .verify_sources import learn_sources


@dataclass(frozen=True)
class CacheFinding:
    """A problem and where it is; segment: its name, "" where it is of the whole stage store."""

    stage_store: StageStore
    segment: str
    problem: Problem

    def to_document(self) -> dict[str, Any]:
        """The finding as JSON."""
        return {
            "stage": self.stage_store.stage,
            "segment": self.segment,
            "kind": self.problem.kind,
            "message": self.problem.message,
            "videos": list(self.problem.videos),
            "warning": self.problem.is_warning,
        }


@dataclass(frozen=True)
class Verification:
    """What reading every byte of a cache found.

    segments, rows: how many were read. problems; warnings: findings that spoil nothing. moved: where bad segments lie
    now. precisions: rows of the backbone by what they were computed in. is_repaired: whether repair was asked for.
    sources: videos whose bytes were read.
    """

    segments: int
    rows: int
    problems: tuple[CacheFinding, ...]
    warnings: tuple[CacheFinding, ...]
    moved: tuple[Path, ...]
    precisions: Mapping[str, int]
    is_repaired: bool = False
    sources: int = 0

    @property
    def exit_code(self) -> int:
        """4 where something is wrong and not repaired."""
        return 4 if self.problems and not self.is_repaired else 0

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "segments": self.segments,
            "rows": self.rows,
            "problems": [finding.to_document() for finding in self.problems],
            "warnings": [finding.to_document() for finding in self.warnings],
            "sources": self.sources,
            "moved": [str(path) for path in self.moved],
            "backbone_precision": dict(self.precisions),
        }

    def to_lines(self) -> list[str]:
        """The findings for a person."""
        said = [finding.problem.message for finding in self.problems]
        videos = sorted({video for finding in self.problems for video in finding.problem.videos})
        if videos:
            said.append(f"videos concerned: {', '.join(videos[:20])}{' …' if len(videos) > 20 else ''}")
        if self.warnings:
            count = len(self.warnings)
            said.append(f"{count} warnings: all-zero maps, as frames without a person give; --json lists them")
        kinds = {finding.problem.kind for finding in self.problems}
        if "source" in kinds:
            said.append("`star extract` makes the clips of videos whose bytes have changed anew")
        if self.moved:
            said.append(f"{len(self.moved)} segments moved aside; `star extract` makes exactly their clips again")
        elif kinds - {"source"}:
            said.append("--repair moves the bad segments aside, then `star extract` makes exactly their clips again")
        if len(self.precisions) > 1:
            rows = " and ".join(f"{count:,} in {name}" for name, count in sorted(self.precisions.items()))
            said.append(f"backbone: {rows}, by the machines that computed them; both are as exact as the recipe asks")
        if not self.problems:
            read = f", and {counted(self.sources, 'video')} what was read" if self.sources else ""
            said.append(f"all is well: {self.rows:,} rows in {self.segments:,} segments are what was written{read}")
        return said


def verify(recipe: Recipe, *, repair: bool = False, sources: bool = False, quiet: bool = False) -> Verification:
    """Check all segments of the recipe's stages, and that their rows belong together.

    Format version, schema, shapes, the digest of every file, the checksum of every row, NaN and infinity, all-zero maps
    (a warning: a frame without a person gives one), the index against the segments, and row alignment: every stage has
    the frames that the decode settings choose, from the same bytes, and was made from the rows that are there. repair:
    move bad segments and all that was made from their clips aside, so that the next `star extract` makes exactly these
    clips again. sources: also read all bytes of the videos.
    """
    nodes, store = graph(recipe), Store(recipe.cache.root)
    names = nodes.below(worthwhile(recipe, nodes))
    stage_stores = [store.stage_store(name, nodes[name].key, schema(recipe, nodes, name)) for name in names]
    segments = {stage_store: stage_store.segments() for stage_store in stage_stores}
    count = sum(map(len, segments.values()))
    findings = _check_segments(segments, count, quiet)
    for stage_store in stage_stores:
        findings += [CacheFinding(stage_store, "", problem) for problem in check_store(stage_store)]
    repairing = Repair(store) if repair else None
    if repairing:
        repairing.move(bad_segments(findings))
        for stage_store in {finding.stage_store for finding in findings if not finding.segment}:
            forget_index(stage_store.path)
            repairing.describe(stage_store, nodes[stage_store.stage].description())
    planned = None
    if repairing or not any(finding.problem.kind == "index" for finding in findings):
        with suppress(CacheError):  # where the cache allows no plan, the reason is among the findings
            planned = plan(recipe)
    read = 0
    if sources and planned is not None:
        read, changed = learn_sources(planned, quiet)
        planned = plan(recipe) if changed else planned
        findings += _of_other_bytes(planned, changed)
    if planned is not None:
        findings += list(_misaligned(planned, bad_segments(findings)))
    if repairing:
        repairing.move(bad_segments(findings))
        repairing.move_derived()
    return Verification(
        count,
        sum(len(stage.places) for stage in planned.stages.values()) if planned else 0,
        tuple(finding for finding in findings if not finding.problem.is_warning),
        tuple(finding for finding in findings if finding.problem.is_warning),
        tuple(repairing.moved) if repairing else (),
        _precisions(planned, bad_segments(findings)) if planned else {},
        repair,
        read,
    )


def bad_segments(findings: Sequence[CacheFinding]) -> dict[StageStore, set[str]]:
    """Per stage store, the segments with more than warnings."""
    found: dict[StageStore, set[str]] = defaultdict(set)
    for finding in findings:
        if finding.segment and not finding.problem.is_warning:
            found[finding.stage_store].add(finding.segment)
    return found


def _check_segments(segments: Mapping[StageStore, Sequence[str]], count: int, quiet: bool) -> list[CacheFinding]:
    """What is wrong with each of `count` segments by itself, and with its shapes beside the others'."""
    findings: list[CacheFinding] = []
    with Progress("verify", count, "segments", quiet=quiet) as bar:
        for stage_store, names in segments.items():
            for name in names:
                problems = check_segment(stage_store.file(name), stage_store.stage, stage_store.key, stage_store.schema)
                findings += [CacheFinding(stage_store, name, problem) for problem in problems]
                bar.advance()
            findings += _odd(stage_store, set(names) - bad_segments(findings)[stage_store])
    return findings


def _odd(stage_store: StageStore, sound: set[str]) -> list[CacheFinding]:
    """Segments whose arrays have other shapes than most have, where the settings leave that open."""
    shapes = {
        name: tuple(
            (array, stage_store.segment(name).layout(array).shape[1:]) for array in stage_store.segment(name).names
        )
        for name in sorted(sound)
    }
    most = Counter(shapes.values()).most_common(1)
    findings = []
    for name, found in shapes.items():
        if found != most[0][0]:
            told = ", ".join(f"{array} {shape}" for array, shape in sorted(set(found) - set(most[0][0])))
            message = f"{stage_store.file(name)}: {told} a clip, unlike most segments of this key"
            videos = tuple(dict.fromkeys(row.video_id for row in stage_store.segment(name).rows))
            findings.append(CacheFinding(stage_store, name, Problem("schema", message, videos)))
    return findings


def check_store(stage_store: StageStore) -> list[Problem]:
    """What is wrong with the files beside the segments: stage.json and the index."""
    if not stage_store.segments():
        return []
    problems = check_description(stage_store)
    try:
        wrong = wrong_places(stage_store.path, stage_store.stage, stage_store.key)
    except OtherVersion:
        wrong = False
    if wrong:
        message = f"{stage_store.path / 'index'}: says of the segments what is not in them; --repair makes it anew"
        problems.append(Problem("index", message))
    return problems


def _misaligned(planned: Plan, spoilt: Mapping[StageStore, set[str]]) -> Iterator[CacheFinding]:
    """Rows of one clip that do not belong together, in segments that are sound by themselves."""
    bad = {stage_store.path: names for stage_store, names in spoilt.items()}
    if decode := planned.stages.get("decode"):
        settings = planned.graph["decode"].stage
        spans = {video.id for video in planned.manifest.videos if video.span}
        broken = bad.get(decode.stage_store.path, set())
        for (video, view), place in decode.places.items():
            if place.segment in broken:
                continue
            names = ("frame_index", "frame_count", "flip")
            index, count, flip = (decode.read([(video, view)], name)[0] for name in names)
            chosen, flipped = settings.sample(video, view, int(count))
            if video in spans:  # its frames count from the video's beginning
                chosen = chosen + (index[0] - chosen[0])
            if not np.array_equal(index, chosen) or bool(flip) != flipped:
                message = f"{decode.stage_store.path}: {video}, view {view}: not the frames that its settings choose"
                yield CacheFinding(decode.stage_store, place.segment, Problem("misaligned", message, (video,)))
    for stage in planned.stages.values():
        yield from _other_inputs(planned, stage, bad)


def _other_inputs(planned: Plan, stage: StagePlan, bad: dict[Any, set[str]]) -> Iterator[CacheFinding]:
    """Segments of a stage that were made from other rows than are there."""
    by_segment: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for clip, place in stage.places.items():
        by_segment[place.segment].append(clip)
    for name in sorted(by_segment.keys() - bad.get(stage.stage_store.path, set())):
        segment = stage.stage_store.segment(name)
        for number, above in enumerate(segment.head.inputs):
            source = planned.stages.get(above)
            if source is None or segment.inputs is None:
                continue
            if planned.graph[stage.name].upstream[above] != source.stage_store.key:
                continue  # made from local maps that this recipe does not keep
            wrong = [
                video
                for video, view in by_segment[name]
                if (place := source.places.get((video, view))) is not None
                and place.segment not in bad.get(source.stage_store.path, set())
                and not _made_from(source, place, segment.inputs[stage.places[video, view].row, number])
            ]
            if wrong:
                clips = "1 clip was" if len(wrong) == 1 else f"{len(wrong)} clips were"
                message = f"{segment.path}: {clips} made from other rows of {above} than are there"
                yield CacheFinding(stage.stage_store, name, Problem("derived", message, tuple(dict.fromkeys(wrong))))


def _made_from(source: StagePlan, place: RowLocation, digest: np.ndarray) -> bool:
    """Whether a row with this digest is there: the one that counts, or the same clip's in another segment."""
    segment = source.stage_store.segment(place.segment)
    if np.array_equal(segment.digests[place.row], digest):
        return True
    row = segment.rows[place.row]
    for name in source.stage_store.segments():
        if name != place.segment:
            with suppress(CacheError):  # one that cannot be opened is a finding of its own
                other = source.stage_store.segment(name)
                if row in other.rows and np.array_equal(other.digests[other.rows.index(row)], digest):
                    return True
    return False


def _of_other_bytes(planned: Plan, changed: dict[str, str]) -> Iterator[CacheFinding]:
    """Videos whose features were made from other bytes than are there; changed: those that nobody had noticed."""
    files = {video.id: str(video.media) for video in planned.manifest.videos} | changed
    for stage in planned.stages.values():
        for name in sorted(stage.stale):
            message = f"{files[name]}: its bytes are not those that {stage.name} was made from"
            yield CacheFinding(stage.stage_store, "", Problem("source", message, (name,)))


def _precisions(planned: Plan, bad: dict[StageStore, set[str]]) -> Counter[str]:
    """Rows of the backbone by what they were computed in; a segment that does not say was computed in the setting."""
    clips: Counter[str] = Counter()
    stage = planned.stages.get("backbone")
    spoilt = {name for names in bad.values() for name in names}
    for place in stage.places.values() if stage else ():
        if place.segment not in spoilt:
            provenance = stage.stage_store.segment(place.segment).provenance if stage else {}
            clips[provenance.get("precision", planned.recipe.backbone.precision)] += 1
    return clips

"""`star cache copy, merge`: what one recipe uses in a cache of its own; caches of several machines in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...cache.merge import CopiedStage, RowConflict, copy_failures, copy_lists, copy_stage, find_conflicts
from ...cache.store import Store
from ...errors import UsageError
from ..planning.plan import plan
from ..recipe.schema import Recipe
from ..utils.progress import Progress
from ..utils.text import amount, table

SHOWN = 10


@dataclass(frozen=True)
class CacheTransfer:
    """What was copied into a cache, stage by stage. conflicts: clips of different values; then nothing was copied."""

    into: Path
    stages: tuple[CopiedStage, ...]
    conflicts: tuple[RowConflict, ...] = ()

    @property
    def exit_code(self) -> int:
        """4 where rows contradict each other."""
        return 4 if self.conflicts else 0

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        conflicts = [
            {
                "stage": one.stage, "key": one.key, "video": one.row.video_id, "view": one.row.view,
                "segments": [str(one.first), str(one.second)],
            }
            for one in self.conflicts
        ]  # fmt: skip
        return {"into": str(self.into), "stages": [asdict(stage) for stage in self.stages], "conflicts": conflicts}

    def to_lines(self) -> list[str]:
        """One line per stage, or per conflicting clip."""
        if self.conflicts:
            lines = [
                f"{one.stage}/{one.key}: {one.row.video_id}, view {one.row.view}: {one.first} and {one.second} differ"
                for one in self.conflicts[:SHOWN]
            ]
            more = len(self.conflicts) - len(lines)
            return [
                *lines,
                *([f"and {more:,} more"] if more else []),
                f"{len(self.conflicts):,} rows differ, nothing was copied; keep one of each two segments, merge again",
            ]
        rows: list[tuple[str, ...]] = [("stage", "key", "copied", "there already", "bytes")]
        for stage in self.stages:
            counts = f"{stage.copied:,}", f"{stage.present:,}", amount(stage.bytes)
            rows.append((stage.stage, stage.key, *counts))
        return [*table(rows), f"{self.into}: {sum(stage.copied for stage in self.stages):,} segments copied and proved"]


def run_copy(recipe: Recipe, source: Path, into: Path, *, quiet: bool = False) -> CacheTransfer:
    """Copy the segments in which the recipe's clips lie, its list of videos and its failures; segments are whole.

    Raises UsageError for a folder that is none or twice the same, CorruptSegment for a segment that is not what was
    written; see `find_conflicts` for clips that `into` holds with other values.
    """
    _check_folders(into, [source])
    planned = plan(recipe.model_copy(update={"cache": recipe.cache.model_copy(update={"root": source})}))
    wanted = [
        (stage.stage_store, sorted({place.segment for place in stage.places.values()}))
        for stage in planned.stages.values()
    ]
    target, stages = Store(into), list[CopiedStage]()
    if conflicts := find_conflicts(target, wanted):
        return CacheTransfer(into, (), tuple(conflicts))
    target.prepare()
    with Progress("copy", sum(len(segments) for _, segments in wanted), "segments", quiet=quiet) as bar:
        for stage_store, segments in wanted:
            home = target.stage_store(stage_store.stage, stage_store.key)
            stages.append(copy_stage(stage_store, segments, home))
            bar.advance(len(segments))
    copy_lists(planned.store, target)
    copy_failures(planned.store, target)
    return CacheTransfer(into, tuple(stages))


def run_merge(into: Path, sources: Sequence[Path], *, quiet: bool = False) -> CacheTransfer:
    """Copy all that the caches in `sources` hold into one; nothing is copied where clips contradict each other.

    Raises UsageError for a folder that is none or twice the same, CorruptSegment for a segment that is not what was
    written; what was copied before it stays and is not copied again.
    """
    _check_folders(into, sources)
    target, others = Store(into), [Store(source) for source in sources]
    found = [(stage_store, stage_store.segments()) for store in others for stage_store in store.stage_stores()]
    if conflicts := find_conflicts(target, found):
        return CacheTransfer(into, (), tuple(conflicts))
    target.prepare()
    sums: dict[tuple[str, str], CopiedStage] = {}
    with Progress("merge", len(found), "stages", quiet=quiet) as bar:
        for stage_store, segments in found:
            name = stage_store.stage, stage_store.key
            one = copy_stage(stage_store, segments, target.stage_store(*name))
            old = sums.get(name, CopiedStage(*name, 0, 0, 0))
            counts = one.copied + old.copied, one.present + old.present, one.bytes + old.bytes
            sums[name] = CopiedStage(*name, *counts)
            bar.advance()
    for store in others:
        copy_lists(store, target)
        copy_failures(store, target)
    return CacheTransfer(into, tuple(sums[name] for name in sorted(sums)))


def _check_folders(into: Path, sources: Sequence[Path]) -> None:
    for source in sources:
        if not source.is_dir():
            raise UsageError(f"{source}: no such folder; give the one that cache.root of a recipe names")
    if len({path.resolve() for path in (into, *sources)}) != len(sources) + 1:
        raise UsageError(f"{into}: the same cache is named twice; name each once")

"""Segments of one cache in another: proved, copied as they are, and proved again before they count."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import CorruptSegment, StorageError
from ..untrusted_files import LARGE, SMALL
from . import atomic
from .checksum import Row
from .digest import segment_name
from .failures import Ledger
from .segment import Segment
from .store import DESCRIPTION, StageStore, Store
from .verify import check_description, check_segment


@dataclass(frozen=True)
class RowConflict:
    """One clip that two caches hold with different values under the same key; first, second: the segments' files."""

    stage: str
    key: str
    row: Row
    first: Path
    second: Path


@dataclass(frozen=True)
class CopiedStage:
    """What came of one stage and key: segments copied, segments that were there already, bytes copied."""

    stage: str
    key: str
    copied: int
    present: int
    bytes: int


def find_conflicts(into: Store, wanted: Sequence[tuple[StageStore, Sequence[str]]]) -> list[RowConflict]:
    """Rows of the same stage, key, video, bytes and view whose values differ between `into` and what is to be copied.

    wanted: stages of other caches, each with some of its segments; they are compared with each other as well. Rows
    that `into` holds twice are not. Raises CacheError for a segment that cannot be read.
    """
    seen: dict[tuple[str, str], dict[Row, tuple[Segment, int]]] = {}
    conflicts: list[RowConflict] = []
    for source, segments in wanted:
        home = source.stage, source.key
        if home not in seen:
            held = into.stage_store(*home)
            seen[home] = {}
            for location, row in held.rows():
                seen[home].setdefault(row, (held.segment(location.segment), location.row))
        for segment in map(source.segment, segments):
            for number, row in enumerate(segment.rows):
                first, place = seen[home].setdefault(row, (segment, number))
                if first.head.version == segment.head.version:
                    same = np.array_equal(first.digests[place], segment.digests[number])
                else:  # checksums of different format versions cannot be compared, their values can
                    same = first.names == segment.names and all(
                        first.layout(name).dtype == segment.layout(name).dtype
                        and first.read(name, [place]).tobytes() == segment.read(name, [number]).tobytes()
                        for name in first.names
                    )
                if not same:
                    conflicts.append(RowConflict(*home, row, first.path, segment.path))
    return conflicts


def copy_stage(source: StageStore, segments: Sequence[str], into: StageStore) -> CopiedStage:
    """Copy segments, with stage.json where `into` has none.

    Every segment is proved before it is copied (all that `star verify` proves of one file), the copy's bytes before
    it gets its name. A segment that is there is left. Raises CorruptSegment for one that is not what was written,
    StorageError where the disk refuses.
    """
    known = set(into.segments())
    wanted = [name for name in segments if name not in known]
    copied_bytes = 0
    with atomic.reporting(into.path):
        into.path.mkdir(parents=True, exist_ok=True)
        if (source.path / DESCRIPTION).exists() and not (into.path / DESCRIPTION).exists():
            for problem in check_description(source):
                raise CorruptSegment(f"{problem.message}; `star verify RECIPE --repair` mends that")
            atomic.replace(into.path / DESCRIPTION, atomic.read_whole(source.path / DESCRIPTION, SMALL))
    for name in wanted:
        problems = check_segment(source.file(name), source.stage, source.key, into.schema)
        if wrong := next((problem for problem in problems if not problem.is_warning), None):
            raise CorruptSegment(f"{wrong.message}; not copied, `star verify RECIPE --repair` on its cache mends that")
        copied_bytes += _copy(source.file(name), into.file(name))
    if lost := set(segments) - set(into.index().segments):
        raise CorruptSegment(f"{into.file(min(lost))}: was copied and cannot be used; run the same command again")
    return CopiedStage(source.stage, source.key, len(wanted), len(segments) - len(wanted), copied_bytes)


def copy_lists(source: Store, into: Store) -> int:
    """Copy the remembered lists of videos that `into` has none of; returns how many. Raises StorageError."""
    folder, copied = into.root / "catalogues", 0
    for name in sorted(atomic.listing(source.root / "catalogues")):
        path = source.root / "catalogues" / name
        if name.endswith(".json") and path.is_file() and not (folder / name).exists():
            with atomic.reporting(folder):
                folder.mkdir(parents=True, exist_ok=True)
                atomic.replace(folder / name, atomic.read_whole(path, LARGE))
            copied += 1
    return copied


def copy_failures(source: Store, into: Store) -> int:
    """Add the failures that `into` does not know of; returns how many. Raises StorageError."""
    ledger = Ledger(into.root / "failures.jsonl")
    known = {(failure.video, failure.stage) for failure in ledger.load()}
    found = Ledger(source.root / "failures.jsonl").load()
    fresh = [failure for failure in found if (failure.video, failure.stage) not in known]
    if fresh:
        ledger.record(fresh)
    return len(fresh)


def _copy(source: Path, target: Path) -> int:
    """Copy one file under a partial name, prove its bytes by the digest in its name, then rename it."""
    version = Segment(source).head.version
    with atomic.reporting(target.parent), atomic.partial(target.parent) as partial:
        shutil.copyfile(source, partial)
        with partial.open("rb+", buffering=0) as file:
            atomic.flush(file.fileno())
            digest = segment_name(file, version)
        if digest != target.stem:
            raise StorageError(f"{target}: the copy has other bytes (their digest is {digest}); check the disk")
        size = partial.stat().st_size
        partial.replace(target)
    atomic.flush_folder(target.parent)
    return size

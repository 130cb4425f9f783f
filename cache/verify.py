"""Proof of one segment, or of one stage store: what was written is what is there, and it makes sense."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import CacheError, CorruptSegment
from .checksum import Row, row_checksums
from .digest import segment_name
from .header import not_given
from .keys import stage_key
from .schema import Schema, misfit
from .segment import Segment
from .store import StageStore


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a file of the cache.

    kind: "digest" (its bytes are not those its name promises), "format", "corrupt", "place" (in another stage's or
    key's folder), "schema" (arrays that are not the stage's), "checksum", "duplicate", "not_finite", "description";
    "index" (it is not what the segments say), "misaligned" (other frames than the settings choose), "derived" (made
    from other rows than are there); and "all_zero", which may be right.
    message: one line that begins with the file. videos: ids of the clips it concerns; empty where they cannot be told.
    """

    kind: str
    message: str
    videos: tuple[str, ...] = ()

    @property
    def is_warning(self) -> bool:
        """Whether the values may be right all the same: a map of zeros is what a frame without a person gives."""
        return self.kind == "all_zero"


def check_segment(
    path: str | Path, stage: str | None = None, key: str | None = None, schema: Schema | None = None
) -> list[Problem]:
    """Everything that is wrong with one segment; reads all its bytes twice. Empty if it is as it was written.

    stage, key: where it should belong. schema: what its arrays should be. Raises StorageError when the system does not
    give the file out.
    """
    path = Path(path)
    try:
        segment = Segment(path)
        rows = segment.rows
    except CacheError as error:
        return [Problem("corrupt" if isinstance(error, CorruptSegment) else "format", str(error))]
    everyone = _names(rows)
    try:
        with path.open("rb", buffering=0) as file:
            digest = segment_name(file, segment.head.version)
    except OSError as error:
        raise not_given(path, error) from None
    problems: list[Problem] = []
    if digest != path.stem:
        text = f"{path}: its bytes are not those that were written (their digest is {digest})"
        problems.append(Problem("digest", text, everyone))
    if (segment.stage, segment.key) != (stage or segment.stage, key or segment.key):
        problems.append(Problem("place", f"{path}: belongs to {segment.stage}/{segment.key}", everyone))
    if twice := [row for row in rows if rows.count(row) > 1]:
        problems.append(Problem("duplicate", f"{path}: has the same clip twice", _names(twice)))
    if schema is not None and (wrong := misfit(segment.head, schema)):
        problems.append(Problem("schema", f"{path}: {wrong}", everyone))
    try:
        arrays = {name: segment.read(name) for name in segment.names}
        checksums = segment.read("checksum")
    except CacheError as error:
        return [*problems, Problem("corrupt", str(error), everyone)]
    found = row_checksums(rows, arrays, segment.head.version, segment.inputs)
    bad = (found != checksums).reshape(len(rows), -1).any(axis=1)
    altered = _by_row("checksum", f"{path}: {{}} not what was written", rows, bad)
    return [*problems, *altered, *_check_values(path, rows, arrays)]


def check_description(stage_store: StageStore) -> list[Problem]:
    """Whether stage.json is there and what it says makes the key of its folder."""
    path = stage_store.path / "stage.json"
    try:
        about = stage_store.description()
    except CacheError as error:
        return [Problem("description", str(error))]
    if not about:
        return [Problem("description", f"{path}: is not there; `star extract` writes it anew")]
    version, settings, upstream = (about.get(name) for name in ("version", "settings", "upstream"))
    try:
        key = stage_key(str(about.get("stage")), version, settings, upstream)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        key = ""
    if key != stage_store.key:
        return [Problem("description", f"{path}: its settings are not those of this key; remove it")]
    return []


def _check_values(path: Path, rows: Sequence[Row], arrays: Mapping[str, np.ndarray]) -> Iterable[Problem]:
    """NaN and infinity anywhere; nothing but zeros in an array of more than one axis a clip."""
    for name, array in arrays.items():
        flat = array.reshape(len(rows), -1)
        if array.dtype.kind == "f":
            yield from _by_row(
                "not_finite", f"{path}: {name} of {{}} not finite", rows, np.logical_not(np.isfinite(flat).all(axis=1))
            )
            if array.ndim > 2:
                yield from _by_row(
                    "all_zero", f"{path}: {name} of {{}} all zero", rows, np.logical_not(flat.any(axis=1))
                )


def _by_row(kind: str, message: str, rows: Sequence[Row], bad: np.ndarray) -> list[Problem]:
    videos = _names([row for row, wrong in zip(rows, bad, strict=True) if wrong])
    count = int(bad.sum())
    clips = "1 clip is" if count == 1 else f"{count} clips are"
    return [Problem(kind, message.format(clips), videos)] if count else []


def _names(rows: Iterable[Row]) -> tuple[str, ...]:
    """The ids of the videos, each once, in order."""
    return tuple(dict.fromkeys(row.video_id for row in rows))

"""Which row lies where in a stage store: columns sorted by a digest of each row's name.

A lookup of a million rows is one binary search in numpy; see index_file.py for where it comes from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from .checksum import Row

KEY_TYPE = np.dtype("<u8")


class RowLocation(NamedTuple):
    """Where a row lies: the segment's name (its digest) and the number of the row in it."""

    segment: str
    row: int


def row_keys(video_ids: Iterable[str], views: Iterable[int], sources: Iterable[str]) -> np.ndarray:
    """Digests of the names of n rows: (n, 2) uint64. The same for every stage, so a plan computes them once."""
    return _digests(map(_row_name, video_ids, views, sources))


@dataclass(frozen=True, eq=False)
class Index:
    """The rows of one stage store, as columns sorted by key, then segment, then row; n of each.

    segments: names of all segments, sorted. keys, clips: (n, 2) uint64, digests of (id, source, view) and of
    (id, view). segment: (n) uint32, number in `segments`. row: (n) uint8. source: (n) text. broken: one line for each
    segment that could not be read; its rows count as missing.
    """

    segments: Sequence[str]
    keys: np.ndarray
    clips: np.ndarray
    segment: np.ndarray
    row: np.ndarray
    source: np.ndarray
    broken: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of different rows."""
        if not len(self.keys):
            return 0
        return 1 + int((self.keys[1:] != self.keys[:-1]).any(axis=1).sum())

    def locate(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where many rows lie, see `row_keys`: numbers of segments (m) int64, -1 where missing, and rows (m) int64."""
        high, low = self.keys[:, 0], self.keys[:, 1]
        place = np.searchsorted(high, keys[:, 0])
        found = np.zeros(len(keys), bool)
        candidates = np.arange(len(keys))
        while len(candidates):  # more than once only where half a digest is shared
            candidates = candidates[place[candidates] < len(high)]
            candidates = candidates[high[place[candidates]] == keys[candidates, 0]]
            same = low[place[candidates]] == keys[candidates, 1]
            found[candidates[same]] = True
            candidates = candidates[~same]
            place[candidates] += 1
        segment, row = np.full(len(keys), -1), np.full(len(keys), -1)
        segment[found], row[found] = self.segment[place[found]], self.row[place[found]]
        return segment, row

    def find_many(
        self, video_ids: Iterable[str], views: Iterable[int], sources: Iterable[str]
    ) -> list[RowLocation | None]:
        """Where many rows lie, in order; None for those that are missing."""
        return self.find_keys(row_keys(video_ids, views, sources))

    def find_keys(self, keys: np.ndarray) -> list[RowLocation | None]:
        """The same for keys that are known, see `row_keys`: (m, 2) uint64."""
        segments, rows = self.locate(keys)
        if (segments >= 0).all():  # the common case, and much the faster one
            return list(map(RowLocation, map(self.segments.__getitem__, segments.tolist()), rows.tolist()))
        pairs: Iterable[tuple[int, int]] = zip(segments.tolist(), rows.tolist(), strict=True)
        return [None if segment < 0 else RowLocation(self.segments[segment], row) for segment, row in pairs]

    def find(self, row: Row) -> RowLocation | None:
        """Where one row lies, None if it is missing. For many, `find_many` is faster."""
        return self._places.get(_digest(_row_name(row.video_id, row.view, row.source)))

    def sources(self, video_id: str, view: int) -> tuple[str, ...]:
        """All source digests under which a clip is here: other than the present one, they are stale."""
        numbers = self._numbers.get(_digest(f"{video_id}\0{view}"), ())
        found = {bytes(self.source[number]).decode(errors="surrogateescape") for number in numbers}
        return tuple(sorted(found))

    @cached_property
    def _places(self) -> dict[bytes, RowLocation]:
        places = map(RowLocation, map(self.segments.__getitem__, self.segment.tolist()), self.row.tolist())
        found: dict[bytes, RowLocation] = {}
        for key, place in zip(_pieces(self.keys), places, strict=True):
            found.setdefault(key, place)  # the first of equal rows counts
        return found

    @cached_property
    def _numbers(self) -> dict[bytes, list[int]]:
        found: dict[bytes, list[int]] = {}
        for number, clip in enumerate(_pieces(self.clips)):
            found.setdefault(clip, []).append(number)
        return found


def index_of(segment: str, rows: Sequence[Row], source: np.ndarray) -> Index:
    """The index of one segment. source: (n) text, as in the file."""
    keys = row_keys([row.video_id for row in rows], [row.view for row in rows], [row.source for row in rows])
    clips = _digests(f"{row.video_id}\0{row.view}" for row in rows)
    unsorted = Index([segment], keys, clips, np.zeros(len(rows), "<u4"), np.arange(len(rows), dtype="u1"), source)
    return join([unsorted])


def without_others(index: Index, names: Collection[str]) -> Index:
    """The same index with only those of its segments that are named."""
    kept = [number for number, name in enumerate(index.segments) if name in names]
    renumber = np.full(len(index.segments), len(kept), "<u4")
    renumber[kept] = np.arange(len(kept))
    mask = renumber[index.segment] < len(kept)
    segments, segment = [index.segments[number] for number in kept], renumber[index.segment]
    row, source = index.row[mask], index.source[mask]
    return Index(segments, index.keys[mask], index.clips[mask], segment[mask], row, source)


def join(parts: Sequence[Index]) -> Index:
    """One index over the segments of all parts, none of which is in two of them."""
    names = sorted(name for part in parts for name in part.segments)
    number = {name: place for place, name in enumerate(names)}
    renumbered = [np.array([number[name] for name in part.segments], "<u4")[part.segment] for part in parts]
    keys = _stack([part.keys for part in parts], np.empty((0, 2), KEY_TYPE))
    clips = _stack([part.clips for part in parts], np.empty((0, 2), KEY_TYPE))
    segment, row = _stack(renumbered, np.empty(0, "<u4")), _stack([part.row for part in parts], np.empty(0, "u1"))
    source = _stack([part.source for part in parts], np.empty(0, "S1"))
    order = np.lexsort((row, segment, keys[:, 1], keys[:, 0]))
    return Index(names, keys[order], clips[order], segment[order], row[order], source[order])


def _stack(arrays: Sequence[np.ndarray], empty: np.ndarray) -> np.ndarray:
    return np.concatenate(arrays) if arrays else empty


def _row_name(video_id: str, view: int, source: str) -> str:
    return f"{video_id}\0{source}\0{view}"


def _digests(names: Iterable[str]) -> np.ndarray:
    return np.frombuffer(b"".join(map(_digest, names)), KEY_TYPE).reshape(-1, 2)


def _digest(name: str) -> bytes:
    return blake2b(name.encode(errors="surrogateescape"), digest_size=16).digest()


def _pieces(digests: np.ndarray) -> Iterable[bytes]:
    """The bytes of each digest in (n, 2) uint64."""
    content = digests.tobytes()
    return (content[start : start + 16] for start in range(0, len(content), 16))

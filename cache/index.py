"""Which row lies where in a shelf: a cache beside the segments that can be rebuilt at any time.

In the common case one listing of the folder and one file tell all, and no segment is opened. The columns are sorted
by a 128-bit digest of each row's name, so a lookup of a million rows is one binary search in numpy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .checksum import Row
from .errors import FormatError, MissingFeatures
from .files import read_whole, replace
from .segment import Segment

FILE = "index"
SEGMENT_NAME = re.compile(r"([0-9a-f]{32})\.h5")
_MAX_BYTES = 1 << 32
_KEY = np.dtype("<u8")


class Place(NamedTuple):
    """Where a row lies: the segment's name (its digest) and the number of the row in it."""

    segment: str
    row: int


def row_keys(video_ids: Iterable[str], views: Iterable[int], sources: Iterable[str]) -> np.ndarray:
    """Digests of the names of n rows: (n, 2) uint64. The same for every stage, so a plan computes them once."""
    names = (f"{v}\0{s}\0{n}" for v, n, s in zip(video_ids, views, sources, strict=True))
    return _digests(names)


@dataclass(frozen=True, eq=False)
class Index:
    """The rows of one shelf, as columns sorted by key, then segment, then row; n of each.

    segments: names of all segments, sorted. keys, clips: (n, 2) uint64, digests of (id, source, view) and of
    (id, view). segment: (n) uint32, number in `segments`. row: (n) uint8. source: (n) text.
    """

    segments: Sequence[str]
    keys: np.ndarray
    clips: np.ndarray
    segment: np.ndarray
    row: np.ndarray
    source: np.ndarray

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

    def find_many(self, video_ids: Iterable[str], views: Iterable[int], sources: Iterable[str]) -> list[Place | None]:
        """Where many rows lie, in order; None for those that are missing."""
        return self.find_keys(row_keys(video_ids, views, sources))

    def find_keys(self, keys: np.ndarray) -> list[Place | None]:
        """The same for keys that are known, see `row_keys`: (m, 2) uint64."""
        segments, rows = self.locate(keys)
        pairs: Iterable[tuple[int, int]] = zip(segments.tolist(), rows.tolist(), strict=True)
        return [None if segment < 0 else Place(self.segments[segment], row) for segment, row in pairs]

    def find(self, row: Row) -> Place | None:
        """Where one row lies, None if it is missing."""
        return self._places.get(_digest(f"{row.video_id}\0{row.source}\0{row.view}"))

    def sources(self, video_id: str, view: int) -> tuple[str, ...]:
        """All source digests under which a clip is here: other than the present one, they are stale."""
        keys = _digests([f"{video_id}\0{view}"])
        order, clips = self._by_clip
        start, end = (int(np.searchsorted(clips[:, 0], keys[0, 0], side)) for side in ("left", "right"))
        numbers = order[start:end][clips[start:end, 1] == keys[0, 1]]
        return tuple(sorted({text.decode(errors="surrogateescape") for text in self.source[numbers].tolist()}))

    @cached_property
    def _places(self) -> dict[bytes, Place]:
        content = self.keys.tobytes()
        keys = (content[start : start + 16] for start in range(0, len(content), 16))
        places = map(Place, map(self.segments.__getitem__, self.segment.tolist()), self.row.tolist())
        found: dict[bytes, Place] = {}
        for key, place in zip(keys, places, strict=True):
            found.setdefault(key, place)  # the first of equal rows counts
        return found

    @cached_property
    def _by_clip(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.clips[:, 0], kind="stable")
        return order, self.clips[order]


def load_index(folder: Path, stage: str, key: str) -> Index:
    """The index of a shelf as it is now; reads what it does not know and keeps it for the next time.

    Raises FormatError or CorruptSegment when a segment that is not yet known cannot be read.
    """
    names = segment_names(folder)
    known = _stored(folder, stage, key)
    if known is not None and list(known.segments) == names:
        return known
    index = _refresh(folder, stage, key, known or _join([]), names)
    with suppress(OSError):  # a read-only cache is as good
        replace(folder / FILE, _pack(index, stage, key))
    return index


def segment_names(folder: Path) -> list[str]:
    """The names of all segments in a shelf, sorted; none where there is no such folder."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return sorted(match[1] for path in folder.iterdir() if (match := SEGMENT_NAME.fullmatch(path.name)))
    return []


def _refresh(folder: Path, stage: str, key: str, known: Index, names: list[str]) -> Index:
    kept = _keep(known, set(names))
    new = sorted(set(names) - set(known.segments))
    return _join([kept, *(_read(folder, name, stage, key) for name in new)])


def _read(folder: Path, name: str, stage: str, key: str) -> Index:
    """The index of one segment; empty if it has vanished since the folder was listed."""
    path = folder / f"{name}.h5"
    try:
        segment = Segment(path)
        rows, source = segment.rows, segment.read("source")
    except MissingFeatures:
        return _join([])
    if (segment.stage, segment.key) != (stage, key):
        raise FormatError(f"{path}: belongs to {segment.stage}/{segment.key}; move it there, or remove it")
    keys = row_keys([row.video_id for row in rows], [row.view for row in rows], [row.source for row in rows])
    clips = _digests([f"{row.video_id}\0{row.view}" for row in rows])
    return Index([name], keys, clips, np.zeros(len(rows), "<u4"), np.arange(len(rows), dtype="u1"), source)


def _keep(index: Index, names: set[str]) -> Index:
    """The same index without the segments that are gone."""
    kept = [number for number, name in enumerate(index.segments) if name in names]
    if len(kept) == len(index.segments):
        return index
    renumber = np.full(len(index.segments), len(kept), "<u4")
    renumber[kept] = np.arange(len(kept))
    mask = renumber[index.segment] < len(kept)
    segments = [index.segments[number] for number in kept]
    columns = (index.keys, index.clips, renumber[index.segment], index.row, index.source)
    return Index(segments, *(column[mask] for column in columns))


def _join(parts: Sequence[Index]) -> Index:
    """One index over the segments of all parts, sorted."""
    names = sorted(name for part in parts for name in part.segments)
    number = {name: place for place, name in enumerate(names)}
    renumbered = [np.array([number[name] for name in part.segments], "<u4")[part.segment] for part in parts]
    keys = _stack([part.keys for part in parts], np.empty((0, 2), _KEY))
    segment, row = _stack(renumbered, np.empty(0, "<u4")), _stack([part.row for part in parts], np.empty(0, "u1"))
    order = np.lexsort((row, segment, keys[:, 1], keys[:, 0]))
    clips = _stack([part.clips for part in parts], np.empty((0, 2), _KEY))
    source = _stack([part.source for part in parts], np.empty(0, "S1"))
    return Index(names, *(column[order] for column in (keys, clips, segment, row, source)))


def _stack(arrays: Sequence[np.ndarray], empty: np.ndarray) -> np.ndarray:
    return np.concatenate(arrays) if arrays else empty


def _digests(names: Iterable[str]) -> np.ndarray:
    content = b"".join(map(_digest, names))
    return np.frombuffer(content, _KEY).reshape(-1, 2)


def _digest(name: str) -> bytes:
    return blake2b(name.encode(errors="surrogateescape"), digest_size=16).digest()


def _pack(index: Index, stage: str, key: str) -> bytes:
    """The index as a file: a digest of all that follows, a line of JSON, the columns."""
    width = max(1, index.source.dtype.itemsize)
    about = {"stage": stage, "key": key, "rows": len(index.keys), "width": width, "segments": index.segments}
    columns = (index.keys, index.clips, index.segment, index.row, index.source)
    body = json.dumps(about).encode() + b"\n" + b"".join(column.tobytes() for column in columns)
    return blake2b(body, digest_size=16).hexdigest().encode() + b"\n" + body


def _stored(folder: Path, stage: str, key: str) -> Index | None:
    """The index in the file; None where it is absent, broken, or another shelf's."""
    try:
        content = read_whole(folder / FILE, _MAX_BYTES)
        body = memoryview(content)[33:]
        if blake2b(body, digest_size=16).hexdigest().encode() != content[:32]:
            return None
        return _unpack(content, 33, stage, key)
    except (OSError, FormatError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _unpack(content: bytes, start: int, stage: str, key: str) -> Index | None:
    end = content.index(b"\n", start)
    about = json.loads(content[start:end])
    if (about["stage"], about["key"]) != (stage, key):
        return None
    rows, at, columns = int(about["rows"]), end + 1, []
    for dtype, shape in ((_KEY, 2), (_KEY, 2), ("<u4", 1), ("u1", 1), (f"S{int(about['width'])}", 1)):
        column = np.frombuffer(content, dtype, rows * shape, at)
        at += column.nbytes
        columns.append(column.reshape(rows, 2) if shape == 2 else column)
    segments = [str(name) for name in about["segments"]]
    if at != len(content) or (rows and columns[2].max() >= len(segments)):
        return None
    return Index(segments, *columns)

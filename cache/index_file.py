"""Where a stage store's index comes from: a file beside the segments, which is a cache and can be rebuilt at any time.

In the common case one listing of the folder and one file tell all, and no segment is opened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import CorruptSegment, FormatError, MissingFeatures, OtherVersion
from . import atomic
from .hdf5_guard import corrupt
from .index import KEY_TYPE, Index, index_of, join, without_others
from .schema import Schema, misfit
from .segment import Segment

FILE = "index"
SEGMENT_NAME = re.compile(r"([0-9a-f]{32})\.h5")
_BYTES_A_SEGMENT = 1 << 16  # more than 64 rows of an index ever take, so that a huge file is not read


def load_index(folder: Path, stage: str, key: str, schema: Schema | None = None) -> Index:
    """The index of a stage store as it is now; reads what it does not know and keeps it for the next time.

    Segments that are damaged, forbidden, of another stage store or schema are passed over and listed in `broken`.
    schema: what the stage's arrays must be; an index that was made for another one is made anew. Raises OtherVersion
    for a segment of another format version, StorageError when the disk refuses.
    """
    names = segment_names(folder)
    stage_store = _IndexedStore(folder, stage, key, schema)
    known = _stored(stage_store, len(names))
    if known is not None and known.segments == names:
        return known
    known = known or join([])
    read, broken = _read_all(stage_store, sorted(set(names) - set(known.segments)))
    index = replace(join([without_others(known, set(names)), *read]), broken=broken)
    if index.segments != known.segments or not (folder / FILE).exists():
        with suppress(OSError):  # a read-only cache is as good
            atomic.replace(folder / FILE, _pack(index, stage_store))
    return index


def wrong_places(folder: Path, stage: str, key: str) -> bool:
    """Whether the index in the file says of a readable segment what is not so; reads every segment's rows.

    Raises OtherVersion and StorageError.
    """
    stage_store = _IndexedStore(folder, stage, key, None)
    names = segment_names(folder)
    stored = _stored(stage_store, len(names))
    if stored is None:
        return False  # it will be made anew
    known = without_others(stored, set(names))
    read, _ = _read_all(stage_store, known.segments)
    fresh = join(read)
    known = without_others(known, set(fresh.segments))
    columns = ("keys", "clips", "segment", "row")
    return any(not np.array_equal(getattr(known, name), getattr(fresh, name)) for name in columns)


def forget_index(folder: Path) -> None:
    """Delete the index, so that it is made anew. Raises StorageError."""
    with atomic.reporting(folder):
        (folder / FILE).unlink(missing_ok=True)


class _IndexedStore(NamedTuple):
    """What an index is of."""

    folder: Path
    stage: str
    key: str
    schema: Schema | None


def segment_names(folder: Path) -> list[str]:
    """The names of all segments in a stage store, sorted; none where there is no such folder. Raises StorageError."""
    return sorted(match[1] for name in atomic.listing(folder) if (match := SEGMENT_NAME.fullmatch(name)))


def _read_all(stage_store: _IndexedStore, names: Sequence[str]) -> tuple[list[Index], tuple[str, ...]]:
    """The indices of these segments, and one line for each that cannot be used."""
    found, broken = [], []
    for name in names:
        path = stage_store.folder / f"{name}.h5"
        try:
            segment = Segment(path)
            segment.check_home(stage_store.stage, stage_store.key)
            if stage_store.schema is not None and (wrong := misfit(segment.head, stage_store.schema)):
                raise corrupt(path, wrong)
            rows = segment.rows
            if len(set(rows)) < len(rows):
                raise corrupt(path, "has the same clip twice")
            found.append(index_of(name, rows, segment.read("source")))
        except MissingFeatures:
            pass  # gone since the folder was listed
        except OtherVersion:
            raise
        except (CorruptSegment, FormatError) as error:
            broken.append(str(error))
    return found, tuple(broken)


def _pack(index: Index, stage_store: _IndexedStore) -> bytes:
    """The index as a file: a digest of all that follows, a line of JSON, the columns."""
    width = max(1, index.source.dtype.itemsize)
    about = {"stage": stage_store.stage, "key": stage_store.key, "schema": _digest(stage_store.schema)}
    about |= {"rows": len(index.keys), "width": width, "segments": index.segments}
    columns = (index.keys, index.clips, index.segment, index.row, index.source)
    body = json.dumps(about).encode() + b"\n" + b"".join(column.tobytes() for column in columns)
    return blake2b(body, digest_size=16).hexdigest().encode() + b"\n" + body


def _digest(schema: Schema | None) -> str:
    """Names a schema; "" for none."""
    return blake2b(repr(sorted(schema.items())).encode(), digest_size=8).hexdigest() if schema else ""


def _stored(stage_store: _IndexedStore, segments: int) -> Index | None:
    """The index in the file; None where it is absent, broken, of another stage store or schema."""
    try:
        content = atomic.read_whole(stage_store.folder / FILE, (segments + 1000) * _BYTES_A_SEGMENT)
        digest = blake2b(memoryview(content)[33:], digest_size=16).hexdigest()
        return _unpack(content, stage_store) if content[:33] == digest.encode() + b"\n" else None
    except (OSError, FormatError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _unpack(content: bytes, stage_store: _IndexedStore) -> Index | None:
    end = content.index(b"\n", 33)
    about = json.loads(content[33:end])
    if (about["stage"], about["key"]) != (stage_store.stage, stage_store.key):
        return None
    if stage_store.schema is not None and about["schema"] != _digest(stage_store.schema):
        return None
    rows, at, columns = int(about["rows"]), end + 1, []
    for dtype, width in ((KEY_TYPE, 2), (KEY_TYPE, 2), ("<u4", 1), ("u1", 1), (f"S{int(about['width'])}", 1)):
        column = np.frombuffer(content, dtype, rows * width, at)
        at += column.nbytes
        columns.append(column.reshape(rows, 2) if width == 2 else column)
    segments = [str(name) for name in about["segments"]]
    if at != len(content) or (rows and columns[2].max() >= len(segments)):
        return None
    return Index(segments, *columns)

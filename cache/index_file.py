"""Where a shelf's index comes from: a file beside the segments, which is a cache and can be rebuilt at any time.

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

import numpy as np

from ..errors import CorruptSegment, FormatError, MissingFeatures
from . import atomic
from .index import KEY_TYPE, Index, index_of, join, without_others
from .segment import Segment

FILE = "index"
SEGMENT_NAME = re.compile(r"([0-9a-f]{32})\.h5")
_BYTES_A_SEGMENT = 1 << 16  # more than 64 rows of an index ever take, so that a huge file is not read


def load_index(folder: Path, stage: str, key: str) -> Index:
    """The index of a shelf as it is now; reads what it does not know and keeps it for the next time.

    Damaged segments are passed over and listed in `broken`. Raises FormatError for a segment of another format version
    or another shelf, or one that the format forbids; StorageError when the disk refuses.
    """
    names = segment_names(folder)
    known = _stored(folder, stage, key, len(names))
    if known is not None and known.segments == names:
        return known
    known = known or join([])
    read, broken = _read_all(folder, sorted(set(names) - set(known.segments)), stage, key)
    index = replace(join([without_others(known, set(names)), *read]), broken=broken)
    if index.segments != known.segments or not (folder / FILE).exists():
        with suppress(OSError):  # a read-only cache is as good
            atomic.replace(folder / FILE, _pack(index, stage, key))
    return index


def segment_names(folder: Path) -> list[str]:
    """The names of all segments in a shelf, sorted; none where there is no such folder. Raises StorageError."""
    return sorted(match[1] for name in atomic.listing(folder) if (match := SEGMENT_NAME.fullmatch(name)))


def _read_all(folder: Path, names: Sequence[str], stage: str, key: str) -> tuple[list[Index], tuple[str, ...]]:
    """The indices of these segments, and one line for each that is damaged."""
    found, broken = [], []
    for name in names:
        try:
            found.append(_read(folder / f"{name}.h5", stage, key))
        except MissingFeatures:
            pass  # gone since the folder was listed
        except CorruptSegment as error:
            broken.append(str(error))
    return found, tuple(broken)


def _read(path: Path, stage: str, key: str) -> Index:
    segment = Segment(path)
    if (segment.stage, segment.key) != (stage, key):
        raise FormatError(f"{path}: belongs to {segment.stage}/{segment.key}; move it there, or remove it")
    return index_of(path.stem, segment.rows, segment.read("source"))


def _pack(index: Index, stage: str, key: str) -> bytes:
    """The index as a file: a digest of all that follows, a line of JSON, the columns."""
    width = max(1, index.source.dtype.itemsize)
    about = {"stage": stage, "key": key, "rows": len(index.keys), "width": width, "segments": index.segments}
    columns = (index.keys, index.clips, index.segment, index.row, index.source)
    body = json.dumps(about).encode() + b"\n" + b"".join(column.tobytes() for column in columns)
    return blake2b(body, digest_size=16).hexdigest().encode() + b"\n" + body


def _stored(folder: Path, stage: str, key: str, segments: int) -> Index | None:
    """The index in the file; None where it is absent, broken, or another shelf's."""
    try:
        content = atomic.read_whole(folder / FILE, (segments + 1000) * _BYTES_A_SEGMENT)
        digest = blake2b(memoryview(content)[33:], digest_size=16).hexdigest()
        return _unpack(content, stage, key) if content[:33] == digest.encode() + b"\n" else None
    except (OSError, FormatError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _unpack(content: bytes, stage: str, key: str) -> Index | None:
    end = content.index(b"\n", 33)
    about = json.loads(content[33:end])
    if (about["stage"], about["key"]) != (stage, key):
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

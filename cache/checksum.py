"""What makes one clip's row provable by itself (FORMAT.md "Checksums"), and what a row is called."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .digest import CHECKSUM_BYTES, FORMAT_VERSION, Digest

MAX_ID_BYTES = 4096


class Row(NamedTuple):
    """One clip of one video: the video's path relative to its root, the digest of its bytes, the number of the view."""

    video_id: str
    source: str
    view: int


def id_problem(video_id: str) -> str | None:
    """Why a text cannot be a video id, None if it can."""
    if not video_id or "\0" in video_id:
        return "is empty or holds a NUL"
    if video_id.startswith("/") or ".." in video_id.split("/"):
        return "leads out of the data set's root"
    if len(video_id.encode(errors="surrogateescape")) > MAX_ID_BYTES:
        return f"is longer than {MAX_ID_BYTES} bytes"
    return None


def row_head(row: Row) -> bytes:
    """The bytes that stand for a row's name: two texts with their lengths, then the view."""
    return _text(row.video_id) + _text(row.source) + row.view.to_bytes(8, "little", signed=True)


def row_checksums(
    rows: Sequence[Row],
    arrays: Mapping[str, np.ndarray],
    version: int = FORMAT_VERSION,
    inputs: np.ndarray | None = None,
) -> np.ndarray:
    """The checksums of every row: (n, arrays, 8) uint8, by array name; before version 3 one in all, (n, 8).

    arrays: each (n, ...), little-endian. version: of the format. inputs: (n, stages, 8) uint8, see `row_digests`.
    """
    names = sorted(arrays)
    heads = [(_text(array_head(name, arrays[name])), as_bytes(arrays[name])) for name in names]
    apart = len(names) if version >= 3 else 1
    sums = np.empty((len(rows), apart, CHECKSUM_BYTES), np.uint8)
    for number, row in enumerate(rows):
        name = row_head(row) + (b"" if inputs is None else inputs[number].tobytes())
        for place in range(apart):
            digest = Digest(CHECKSUM_BYTES, version)
            digest.update(name)
            for head, content in heads[place : place + 1] if version >= 3 else heads:
                digest.update(head)
                digest.update(content[number].data)
            sums[number, place] = np.frombuffer(digest.digest(), np.uint8)
    return sums if version >= 3 else sums[:, 0]


def row_digests(checksums: np.ndarray) -> np.ndarray:
    """What a row is known by to the rows that are made from it: (n, 8) uint8, over all its checksums.

    checksums: as they stand in a segment, of any version.
    """
    if checksums.ndim == 2:  # before version 3 there is one
        return checksums
    digests = [Digest(CHECKSUM_BYTES) for _ in checksums]
    for digest, row in zip(digests, checksums, strict=True):
        digest.update(row.tobytes())
    return np.frombuffer(b"".join(digest.digest() for digest in digests), np.uint8).reshape(-1, CHECKSUM_BYTES)


def array_head(name: str, array: np.ndarray) -> str:
    """What an array is, in one line: its name, type and the shape of one row."""
    return f"{name} {array.dtype.name} {shape_text(array.shape[1:])}"


def shape_text(shape: Sequence[int]) -> str:
    """A shape as it stands in the attributes: numbers separated by spaces."""
    return " ".join(map(str, shape))


def as_bytes(array: np.ndarray) -> np.ndarray:
    """The bytes of each row: (n, bytes) uint8, a view where possible."""
    row_bytes = math.prod(array.shape[1:]) * array.itemsize
    return np.ascontiguousarray(array).view(np.uint8).reshape(len(array), row_bytes)


def _text(text: str) -> bytes:
    content = text.encode(errors="surrogateescape")
    return len(content).to_bytes(8, "little") + content

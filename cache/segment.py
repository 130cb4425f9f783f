"""One segment: an immutable HDF5 file of up to 64 rows (FORMAT.md "A segment")."""

from __future__ import annotations

import io
import json
import math
import mmap
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..errors import CorruptSegment, FormatError, MissingFeatures
from .checksum import Row, as_bytes, id_problem, row_checksums, row_digests
from .hdf5_guard import COLUMNS, INPUTS, Layout, corrupt
from .header import Header, not_given, read_header, unreadable
from .mmap import map_file
from .writer import Compression, write_segment

__all__ = ["Compression", "Row", "Segment", "write_segment"]


class Segment:
    """A segment opened for reading. HDF5 is only asked for the head; no handle of it is kept.

    path: the file. head: what it says of itself. Raises what `read_head` raises.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.head: Header = read_header(self.path)
        self._memory: mmap.mmap | memoryview | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_memory": None}

    def __len__(self) -> int:
        """Number of rows."""
        return self.head.datasets["view"].shape[0]

    @property
    def stage(self) -> str:
        """The stage that made it."""
        return self.head.stage

    @property
    def key(self) -> str:
        """The key of its settings."""
        return self.head.key

    @property
    def names(self) -> tuple[str, ...]:
        """The stage's arrays in it."""
        return tuple(name for name in self.head.datasets if name not in COLUMNS)

    @property
    def provenance(self) -> dict[str, Any]:
        """Whatever explains the values but is not in the key."""
        return json.loads(self.head.provenance)

    @cached_property
    def rows(self) -> list[Row]:
        """What each row is. Raises FormatError for an id that leads out of a folder, or a view below 0."""
        ids, sources = (
            [text.decode(errors="surrogateescape") for text in self.read(name).tolist()]
            for name in ("video_id", "source")
        )
        for video_id in ids:
            if problem := id_problem(video_id):
                raise FormatError(f"{self.path}: video id {video_id!r} {problem}; do not trust this file")
        views = self.read("view").tolist()
        if min(views) < 0:
            raise FormatError(f"{self.path}: has a view {min(views)}, they count from 0; do not trust this file")
        return list(map(Row, ids, sources, views))

    @cached_property
    def inputs(self) -> np.ndarray | None:
        """(rows, stages, 8) uint8: the digests of the rows of `head.inputs` that each row was made from; None where
        it was made from none, or does not say."""
        return self.read(INPUTS) if self.head.inputs else None

    @cached_property
    def checksums(self) -> np.ndarray:
        """The checksums as they were written: (rows, arrays, 8) uint8, before version 3 (rows, 8)."""
        return self.read("checksum")

    @cached_property
    def digests(self) -> np.ndarray:
        """(rows, 8) uint8: what rows that are made from these name as their inputs."""
        return row_digests(self.checksums)

    def check_row(self, row: int, expected: Row) -> None:
        """Raises CorruptSegment where another clip than `expected` is in a row."""
        found = self.rows[row] if row < len(self) else None
        if found != expected:
            told = f"is {_told(found)}" if found else "is not there"
            wrong = f"row {row} {told} where the index has {_told(expected)}"
            raise CorruptSegment(f"{self.path}: {wrong}; `star verify RECIPE --repair` mends that")

    def check_content(self, name: str, row: int, content: np.ndarray) -> None:
        """Prove what was read of one clip: the bytes of this array that were written. Raises CorruptSegment."""
        found = self.rows[row]
        arrays = {name: content[None]}
        number = self.names.index(name)
        if self.head.version < 3:  # one checksum over all arrays
            arrays |= {other: self.read(other, [row]) for other in self.names if other != name}
            wanted = self.checksums[row]
        else:
            wanted = self.checksums[row, number]
        inputs = None if self.inputs is None else self.inputs[row : row + 1]
        if not np.array_equal(row_checksums([found], arrays, self.head.version, inputs).reshape(-1), wanted):
            raise corrupt(self.path, f"{name} of {_told(found)} is not what was written")

    def check_home(self, stage: str, key: str) -> None:
        """Raises FormatError where the segment says that it is of another stage or key."""
        if (self.stage, self.key) != (stage, key):
            raise FormatError(f"{self.path}: belongs to {self.stage}/{self.key}; move it there, or remove it")

    def layout(self, name: str) -> Layout:
        """Type, shape and offset of a dataset. Raises MissingFeatures when there is none of this name."""
        if name not in self.head.datasets:
            raise MissingFeatures(f"{self.path}: has no array {name!r}; it has {', '.join(self.names)}")
        return self.head.datasets[name]

    def read(self, name: str, rows: Sequence[int] | None = None) -> np.ndarray:
        """A copy of some rows of a dataset, in the order asked for (all by default): (rows, ...)."""
        layout = self.layout(name)
        numbers = range(layout.shape[0]) if rows is None else rows
        out = np.empty((len(numbers), *layout.shape[1:]), layout.dtype)
        self.read_into(name, numbers, out)
        return out

    def read_into(self, name: str, rows: Sequence[int], out: np.ndarray) -> None:
        """Read rows into `out` (rows, ...), contiguous and of the dataset's type.

        Raises MissingFeatures or CorruptSegment, ValueError for an `out` that does not fit, IndexError.
        """
        layout = self.layout(name)
        if out.shape != (len(rows), *layout.shape[1:]) or out.dtype != layout.dtype or not out.flags.c_contiguous:
            raise ValueError(f"{name}: rows of {layout.dtype} {layout.shape[1:]} do not fit {out.dtype} {out.shape}")
        if any(not 0 <= row < layout.shape[0] for row in rows):
            raise IndexError(f"{self.path}: has {layout.shape[0]} rows, asked for {list(rows)}")
        if layout.offset is None:
            try:
                with h5py.File(self.path, "r", locking=False) as file:
                    dataset: Any = file[name]
                    for number, row in enumerate(rows):
                        dataset.read_direct(out, np.s_[row : row + 1], np.s_[number : number + 1])
            except (OSError, RuntimeError, ValueError) as error:
                raise unreadable(self.path, f"{name} cannot be decompressed", error) from None
        else:
            self._read_plain(layout.offset, rows, as_bytes(out))

    def map(self, name: str) -> np.ndarray:
        """All rows of a dataset as a read-only view of the file's bytes; nothing is read before it is used.

        The view stays valid as long as it is held. Raises FormatError for a compressed dataset.
        """
        layout = self.layout(name)
        if layout.offset is None:
            remedy = "read it, or extract with cache.compression: none"
            raise FormatError(f"{self.path}: {name} is compressed and cannot be mapped; {remedy}")
        memory = self._memory  # another thread may unmap it
        if memory is None:
            with self._opened() as file:
                if os.fstat(file.fileno()).st_size != self.head.size:
                    raise corrupt(self.path, "its size has changed")
                try:
                    memory = self._memory = map_file(file.fileno(), self.head.size)
                except OSError as error:
                    raise not_given(self.path, error) from None
        count = math.prod(layout.shape)
        return np.frombuffer(memory, layout.dtype, count, layout.offset).reshape(layout.shape)

    def unmap(self) -> None:
        """Let go of the memory map; views that are still held keep it alive."""
        self._memory = None

    def _opened(self) -> io.FileIO:
        try:
            return self.path.open("rb", buffering=0)
        except OSError as error:
            raise not_given(self.path, error) from None

    def _read_plain(self, offset: int, rows: Sequence[int], out: np.ndarray) -> None:
        row_bytes = out.shape[1]
        whole = isinstance(rows, range) and rows.step == 1 and len(rows) > 0
        pieces = [(rows[0], out)] if whole else [(row, out[number]) for number, row in enumerate(rows)]
        with self._opened() as file:
            for row, piece in pieces:
                try:
                    file.seek(offset + row * row_bytes)
                    buffer, done = piece.reshape(-1).data, 0
                    while done < len(buffer) and (count := file.readinto(buffer[done:])):  # 2 GiB at most at once
                        done += count
                except OSError as error:
                    raise corrupt(self.path, f"its bytes cannot be read ({error.strerror})") from None
                if done != piece.size:
                    raise corrupt(self.path, "it ends too early")


def _told(row: Row) -> str:
    return f"{row.video_id}, view {row.view}"

"""One segment: an immutable HDF5 file of up to 64 rows (FORMAT.md "A segment")."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from .. import __version__
from .checksum import Row, as_bytes, row_checksums, shape_text
from .errors import DatasetError, FormatError, MissingFeatures
from .files import flush, flush_folder, partial, reporting
from .key import stream_digest
from .safe import COLUMNS, FORMAT, FORMAT_VERSION, MAX_ROWS, NAME, TYPES, Head, corrupt, read_head
from .sink import Sink

Compression = Literal["none", "lzf", "gzip"]
ALIGNMENT = 64
MAX_ID_BYTES = 4096
MAX_PROVENANCE_BYTES = 1 << 15
_WORTH_COMPRESSING = 4096  # bytes a row; smaller arrays stay contiguous


def write_segment(
    folder: Path,
    *,
    stage: str,
    key: str,
    rows: Sequence[Row],
    arrays: Mapping[str, np.ndarray],
    attributes: Mapping[str, Mapping[str, str]],
    provenance: Mapping[str, Any],
    compression: Compression = "none",
) -> Path:
    """Write one segment into an existing folder and return its path; it is whole or absent.

    rows: 1 to 64, no two alike. arrays: name -> (n, ...) numbers. attributes: name -> {"axes", "units", "about"}.
    provenance: a JSON object of at most 32 KiB. Raises StorageError when the disk refuses, DatasetError for a video
    id that cannot be stored, ValueError for rows and arrays that make no segment.
    """
    arrays = {name: _plain(name, array) for name, array in sorted(arrays.items())}
    _check(rows, arrays)
    about = {"format": FORMAT, "format_version": FORMAT_VERSION, "stage": stage, "key": key}
    about |= {"star_version": __version__, "provenance": _provenance(provenance)}
    columns = _columns(rows) | {"checksum": row_checksums(rows, arrays)}
    said = {name: _attributes(array, attributes.get(name, {})) for name, array in arrays.items()}
    with reporting(folder), partial(folder) as name:
        digest = _write(name, about, columns | arrays, said, compression)
        path = folder / f"{digest}.h5"
        name.replace(path)
        flush_folder(folder)
    return path


class Segment:
    """A segment opened for reading. HDF5 is only asked for the head; no handle of it is kept.

    path: the file. Raises MissingFeatures, FormatError or CorruptSegment, see `safe.read_head`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.head: Head = read_head(self.path)
        self._memory: mmap.mmap | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_memory": None}

    def __len__(self) -> int:
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

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Whatever explains the values but is not in the key."""
        return json.loads(self.head.provenance)

    @cached_property
    def rows(self) -> list[Row]:
        """What each row is. Raises FormatError for an id that climbs out of a folder."""
        ids, sources = (_decode(self.read(name)) for name in ("video_id", "source"))
        for video_id in set(ids):
            if problem := id_problem(video_id):
                raise FormatError(f"{self.path}: video id {video_id!r} {problem}; do not trust this file")
        return list(map(Row, ids, sources, self.read("view").tolist()))

    def read(self, name: str, rows: Sequence[int] | None = None) -> np.ndarray:
        """A copy of some rows of a dataset, in the order asked for (all by default): (rows, ...)."""
        layout = self._layout(name)
        numbers = range(layout.shape[0]) if rows is None else rows
        out = np.empty((len(numbers), *layout.shape[1:]), layout.dtype)
        self.read_into(name, numbers, out)
        return out

    def read_into(self, name: str, rows: Sequence[int], out: np.ndarray) -> None:
        """Read rows into `out` (rows, ...), contiguous and of the dataset's type."""
        layout = self._layout(name)
        if out.shape != (len(rows), *layout.shape[1:]) or out.dtype != layout.dtype:
            raise ValueError(f"{name}: rows of {layout.dtype} {layout.shape[1:]} do not fit {out.dtype} {out.shape}")
        if any(not 0 <= row < layout.shape[0] for row in rows):
            raise IndexError(f"{self.path}: has {layout.shape[0]} rows, asked for {list(rows)}")
        if layout.offset is None:
            self._read_compressed(name, rows, out)
        else:
            self._read_plain(layout.offset, layout.row_bytes, rows, as_bytes(out))

    def map(self, name: str) -> np.ndarray:
        """All rows of a dataset as a read-only view of the file's bytes; nothing is read before it is used.

        Raises FormatError for a compressed dataset. The view stays valid as long as it is held.
        """
        layout = self._layout(name)
        if layout.offset is None:
            raise FormatError(
                f"{self.path}: {name} is compressed and cannot be mapped; read it, or set cache.compression: none"
            )
        count = layout.row_bytes * layout.shape[0] // layout.dtype.itemsize
        return np.frombuffer(self._mapped(), layout.dtype, count, layout.offset).reshape(layout.shape)

    def unmap(self) -> None:
        """Let go of the memory map; views that are still held keep it alive."""
        self._memory = None

    @property
    def is_mapped(self) -> bool:
        """Whether a memory map (and with it a file handle) is held."""
        return self._memory is not None

    def _layout(self, name: str) -> Any:
        if name not in self.head.datasets:
            raise MissingFeatures(f"{self.path}: has no array {name!r}; it has {', '.join(self.names)}")
        return self.head.datasets[name]

    def _mapped(self) -> mmap.mmap:
        if self._memory is None:
            with _opened(self.path) as file:
                if os.fstat(file.fileno()).st_size != self.head.size:
                    raise corrupt(self.path, "its size has changed")
                self._memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._memory

    def _read_plain(self, offset: int, row_bytes: int, rows: Sequence[int], out: np.ndarray) -> None:
        with _opened(self.path) as file:
            for number, row in enumerate(rows):
                file.seek(offset + row * row_bytes)
                if file.readinto(out[number].data) != row_bytes:
                    raise corrupt(self.path, "it ends too early")

    def _read_compressed(self, name: str, rows: Sequence[int], out: np.ndarray) -> None:
        try:
            with h5py.File(self.path, "r", locking=False) as file:
                for number, row in enumerate(rows):
                    file[name].read_direct(out, np.s_[row : row + 1], np.s_[number : number + 1])
        except (OSError, RuntimeError, ValueError) as error:
            raise corrupt(self.path, f"{name} cannot be decompressed ({' '.join(str(error).split())[:80]})") from None


def id_problem(video_id: str) -> str | None:
    """Why a text cannot be a video id, None if it can."""
    if not video_id or "\0" in video_id:
        return "is empty or holds a NUL"
    if video_id.startswith("/") or ".." in video_id.split("/"):
        return "leads out of the data set's root"
    if len(video_id.encode(errors="surrogateescape")) > MAX_ID_BYTES:
        return f"is longer than {MAX_ID_BYTES} bytes"
    return None


def _opened(path: Path) -> Any:
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise MissingFeatures(f"{path}: the segment is gone ({error.strerror}); run `star extract` again") from None


def _write(path: Path, about: dict[str, Any], datasets: dict[str, np.ndarray], said: Any, compression: str) -> str:
    """Write the HDF5 file, put it on the disk, and return the digest of the bytes that are there."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    with open(handle, "r+b", buffering=0) as file:
        sink = Sink(handle)
        with h5py.File(sink, "w", libver=("v108", "v108"), alignment_threshold=1, alignment_interval=ALIGNMENT) as hdf:
            for name, array in datasets.items():
                dataset = hdf.create_dataset(name, data=array, track_times=False, **_storage(array, name, compression))
                _set(dataset, said.get(name, {}))
            _set(hdf, about)
        if sink.error is not None:
            raise sink.error
        flush(handle)
        file.seek(0)
        return stream_digest(file)


def _storage(array: np.ndarray, name: str, compression: str) -> dict[str, Any]:
    row_bytes = array.nbytes // len(array)
    if compression == "none" or name in COLUMNS or row_bytes < _WORTH_COMPRESSING:
        return {}
    return {"chunks": (1, *array.shape[1:]), "compression": compression, "shuffle": True}


def _set(place: Any, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, int):
            place.attrs.create(name, value, dtype="<i8")
        else:
            content = value.encode(errors="surrogateescape")
            place.attrs.create(name, np.bytes_(content), dtype=h5py.string_dtype("utf-8", max(1, len(content))))


def _attributes(array: np.ndarray, given: Mapping[str, str]) -> dict[str, str]:
    said = {name: given.get(name, "") for name in ("axes", "units", "about")}
    return said | {"shape": shape_text(array.shape[1:]), "dtype": array.dtype.name}


def _provenance(provenance: Mapping[str, Any]) -> str:
    text = json.dumps(dict(provenance), sort_keys=True, allow_nan=False)
    if len(text) > MAX_PROVENANCE_BYTES:
        raise ValueError(f"provenance of {len(text)} bytes; at most {MAX_PROVENANCE_BYTES} fit")
    return text


def _columns(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    texts = [[text.encode(errors="surrogateescape") for text in column] for column in list(zip(*rows, strict=True))[:2]]
    ids, sources = (np.array(column, h5py.string_dtype("utf-8", max(1, *map(len, column)))) for column in texts)
    return {"video_id": ids, "source": sources, "view": np.array([row.view for row in rows], "<i4")}


def _decode(column: np.ndarray) -> list[str]:
    return [text.decode(errors="surrogateescape") for text in column.tolist()]


def _plain(name: str, array: np.ndarray) -> np.ndarray:
    """The array in memory order and little-endian; truth values as bytes."""
    array = np.asarray(array)
    array = array.astype(np.uint8) if array.dtype == bool else array
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
    if array.dtype not in TYPES:
        raise ValueError(f"{name}: arrays of type {array.dtype} cannot be stored")
    return array


def _check(rows: Sequence[Row], arrays: Mapping[str, np.ndarray]) -> None:
    if not 1 <= len(rows) <= MAX_ROWS or len(set(rows)) != len(rows):
        raise ValueError(f"a segment has 1 to {MAX_ROWS} rows, no two alike; got {len(rows)}")
    for row in rows:
        if problem := id_problem(row.video_id):
            raise DatasetError(f"video id {row.video_id!r} {problem}; rename the video")
    for name, array in arrays.items():
        if not NAME.fullmatch(name) or name in COLUMNS:
            raise ValueError(f"{name!r} cannot be the name of an array")
        if array.shape[:1] != (len(rows),) or 0 in array.shape:
            raise ValueError(f"{name}: shape {array.shape} beside {len(rows)} rows")

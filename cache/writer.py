"""Writing one segment, whole or not at all (FORMAT.md "A segment")."""

# pyright: reportAttributeAccessIssue=false
# (h5py's low level is compiled and has no types)
from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import h5py
import numpy as np
from h5py import h5f, h5fd, h5p

from ..errors import DatasetError
from ..version import __version__
from .atomic import flush, flush_folder, partial, reporting
from .checksum import Row, id_problem, row_checksums, shape_text
from .digest import FORMAT_VERSION, segment_name
from .hdf5_guard import COLUMNS, MAX_ROWS, NAME, TYPES
from .hdf5_sink import Sink
from .header import FORMAT

Compression = Literal["none", "lzf", "gzip"]
ALIGNMENT = 64
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
    inputs: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write one segment into an existing folder and return its path; it is whole or absent.

    rows: 1 to 64, no two alike. arrays: name -> (n, ...) numbers. attributes: name -> {"axes", "units", "about"}.
    provenance: a JSON object of at most 32 KiB. inputs: stage -> (n, 8) uint8, the digests of the rows that these were
    made from, see `Segment.digests`. Raises StorageError when the disk refuses, DatasetError for a video
    id that cannot be stored, ValueError for rows and arrays that make no segment.
    """
    arrays = _checked(rows, arrays)
    about = {"format": FORMAT, "format_version": FORMAT_VERSION, "stage": stage, "key": key}
    text = json.dumps(dict(provenance), sort_keys=True, allow_nan=False)
    if len(text) > MAX_PROVENANCE_BYTES:
        raise ValueError(f"provenance of {len(text)} bytes; at most {MAX_PROVENANCE_BYTES} fit")
    about |= {"star_version": __version__, "provenance": text}
    ids, sources = _texts([row.video_id for row in rows]), _texts([row.source for row in rows])
    columns = {"video_id": ids, "source": sources, "view": np.array([row.view for row in rows], "<i4")}
    if inputs:
        about["inputs"] = " ".join(sorted(inputs))
        columns["inputs"] = np.stack([np.asarray(inputs[name], np.uint8) for name in sorted(inputs)], axis=1)
    columns["checksum"] = row_checksums(rows, arrays, inputs=columns.get("inputs"))
    said: dict[str, dict[str, str]] = {}
    for name, array in arrays.items():
        said[name] = {word: attributes.get(name, {}).get(word, "") for word in ("axes", "units", "about")}
        said[name] |= {"shape": shape_text(array.shape[1:]), "dtype": array.dtype.name}
    with reporting(folder), partial(folder) as unfinished:
        with _uninterrupted():
            digest = _write(unfinished, about, columns | arrays, said, compression)
        path = folder / f"{digest}.h5"
        unfinished.replace(path)
        flush_folder(folder)
    return path


@contextmanager
def _uninterrupted() -> Generator[None, None, None]:
    """Hold Ctrl-C back until the block is done: an exception in the middle of HDF5's own work is lost, or worse.

    Only the main thread is ever interrupted; a handler that raises nothing is called late all the same.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    received: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: received.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if received:
        handler(*received[0])


def _write(path: Path, about: dict[str, Any], datasets: dict[str, np.ndarray], said: Any, compression: str) -> str:
    """Write the HDF5 file, put it on the disk, and return the digest of the bytes that are there. Raises OSError."""
    with path.open("x+b", buffering=0) as file:
        sink = Sink(file)
        with _created(sink) as hdf:
            for name, array in datasets.items():
                plain = compression == "none" or name in COLUMNS or array.nbytes // len(array) < _WORTH_COMPRESSING
                chunks = (1, *array.shape[1:])
                storage = {} if plain else {"chunks": chunks, "compression": compression, "shuffle": True}
                dataset = hdf.create_dataset(name, data=array, track_times=False, **storage)
                _set(dataset, said.get(name, {}))
            _set(hdf, about)
        if sink.error is not None:
            raise sink.error
        flush(file.fileno())
        file.seek(0, os.SEEK_SET)
        return segment_name(file)


def _created(sink: Sink) -> h5py.File:
    """An empty HDF5 file without times; metadata as HDF5 1.8 reads them, which carry checksums of their own.

    A function of its own: the property lists must be gone before the file is closed. One that the traceback of a full
    disk keeps alive crashes the interpreter at its end.
    """
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fileobj_driver(h5fd.fileobj_driver, sink)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_libver_bounds(h5f.LIBVER_V18, h5f.LIBVER_V18)
    access.set_alignment(1, ALIGNMENT)
    plan = h5p.create(h5p.FILE_CREATE)
    plan.set_obj_track_times(False)
    return h5py.File(h5f.create(b"segment", h5f.ACC_TRUNC, plan, access))


def _set(place: h5py.File | h5py.Dataset, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, int):
            place.attrs.create(name, value, dtype="<i8")
        else:
            content = value.encode(errors="surrogateescape")
            place.attrs.create(name, np.bytes_(content), dtype=h5py.string_dtype("utf-8", max(1, len(content))))


def _texts(texts: Sequence[str]) -> np.ndarray:
    contents = [text.encode(errors="surrogateescape") for text in texts]
    return np.array(contents, h5py.string_dtype("utf-8", max(1, *map(len, contents))))


def _checked(rows: Sequence[Row], arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays by name, in memory order and little-endian, truth values as bytes. Raises as `write_segment` does."""
    if not 1 <= len(rows) <= MAX_ROWS or len(set(rows)) != len(rows):
        raise ValueError(f"a segment has 1 to {MAX_ROWS} rows, no two alike; got {len(rows)}")
    for row in rows:
        if problem := id_problem(row.video_id):
            raise DatasetError(f"video id {row.video_id!r} {problem}; rename the video")
        if "\0" in row.source or row.view < 0:
            raise ValueError(f"{row}: a source is a digest, a view is 0 or more")
    plain: dict[str, np.ndarray] = {}
    for name, given in sorted(arrays.items()):
        array = np.asarray(given)
        array = array.astype(np.uint8) if array.dtype == bool else array
        dtype = array.dtype.newbyteorder("<")
        if dtype not in TYPES:
            raise ValueError(f"{name}: arrays of type {array.dtype} cannot be stored")
        array = np.ascontiguousarray(array, dtype)
        if not NAME.fullmatch(name) or name in COLUMNS:
            raise ValueError(f"{name!r} cannot be the name of an array")
        if array.shape[:1] != (len(rows),) or 0 in array.shape:
            raise ValueError(f"{name}: shape {array.shape} beside {len(rows)} rows")
        plain[name] = array
    return plain

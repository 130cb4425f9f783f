"""The head of a segment: all of it but its values, read and checked against FORMAT.md."""

# pyright: reportAttributeAccessIssue=false
# (h5py's low level is compiled and has no types)
from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from h5py import h5f, h5g

from ..errors import CorruptSegment, FormatError, MissingFeatures, OtherVersion, StorageError
from ..untrusted_files import UntrustedFile, each, number, parse_json, record, text, whole
from .atomic import read_error, size_of
from .checksum import shape_text
from .digest import CHECKSUM_BYTES, READABLE
from .hdf5_guard import COLUMNS, INPUTS, REQUIRED, VERIFY, Layout, attribute, attributes, corrupt, datasets, refusal

FORMAT = "star segment"
_TEXTS = ("stage", "key", "star_version", "provenance")
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_PAIRS = each(each(whole(0, 1 << 16), 2, 2), 1 << 16)
_SKELETON = record({}, {"name": text(), "joints": each(text(), 1 << 16), "flip_pairs": _PAIRS, "limbs": _PAIRS})
_PROVENANCE = record({}, {"seconds_per_clip": number, "precision": text(), "skeleton": _SKELETON})
_GONE = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}


@dataclass(frozen=True, slots=True)
class Header:
    """What a segment says of itself: root attributes, datasets by name, and the attributes of the stage's arrays.

    size: bytes of the file. version: of the format. provenance: JSON text. inputs: the stages whose rows it was made
    from, by name; empty where it was made from none, or does not say (before version 3).
    """

    size: int
    version: int
    stage: str
    key: str
    star_version: str
    provenance: str
    datasets: dict[str, Layout]
    attributes: dict[str, dict[str, str]]
    inputs: tuple[str, ...] = ()


def read_header(path: Path) -> Header:
    """Read and check the head of a segment; the file is closed again.

    Raises MissingFeatures when it is gone, StorageError when the disk refuses, FormatError when it is no segment,
    of another format version or holds what the format forbids, CorruptSegment when it is no HDF5 file, or damaged.
    """
    try:
        size = size_of(path)
        with path.open("rb") as plain:
            signature = plain.read(len(_SIGNATURE))
    except OSError as error:
        raise not_given(path, error) from None
    if signature != _SIGNATURE:
        raise corrupt(path, "not a segment of star's: it does not begin like an HDF5 file")
    try:
        with h5py.File(path, "r", locking=False) as file:
            return _head(path, file.id, size)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, ArithmeticError, MemoryError) as error:
        raise unreadable(path, "HDF5 cannot read it", error) from None


def not_given(path: Path, error: OSError) -> MissingFeatures | StorageError:
    """The error for a segment that the system does not give out."""
    if error.errno in _GONE:
        return MissingFeatures(f"{path}: the segment is gone; run `star extract` again")
    return read_error(error, path)


def unreadable(path: Path, what: str, error: Exception) -> CorruptSegment:
    """The error for a segment that HDF5 stumbles over."""
    return corrupt(path, f"{what} ({' '.join(str(error).split())[:120]})")


def _head(path: Path, file: h5f.FileID, size: int) -> Header:
    root = h5g.open(file, b"/")
    if attribute(root, b"format") != FORMAT:
        raise FormatError(f"{path}: not a segment of star's; {VERIFY}")
    version = attribute(root, b"format_version")
    if not isinstance(version, int) or version not in READABLE:
        raise OtherVersion(f"{path}: {other_version(version, READABLE)}")
    if file.get_create_plist().get_userblock():
        raise refusal(path, "a user block")
    about = attributes(path, "the root", root)
    about.pop("format_version")
    texts = _only_texts(path, "the root", about)
    if lacking := [name for name in _TEXTS if name not in texts]:
        raise FormatError(f"{path}: has no attribute {lacking[0]!r}; {VERIFY}")
    found = datasets(path, root, size)
    layouts = {name: layout for name, (_, layout) in found.items()}
    said = {n: _only_texts(path, n, attributes(path, n, d)) for n, (d, _) in found.items() if n not in COLUMNS}
    inputs = tuple(texts.get(INPUTS, "").split())
    _check_schema(path, version, layouts, said, inputs)
    try:
        _PROVENANCE(parse_json(texts["provenance"]), "")
    except UntrustedFile as error:
        raise FormatError(f"{path}: its provenance {error}; {VERIFY}") from None
    stage, key, star = texts["stage"], texts["key"], texts["star_version"]
    return Header(size, version, stage, key, star, texts["provenance"], layouts, said, inputs)


def other_version(version: object, readable: Sequence[int]) -> str:
    """What to say of a file of another format version."""
    known = " to ".join(map(str, (readable[0], readable[-1]) if len(readable) > 1 else readable))
    remedy = "update star, or `star verify RECIPE --repair`, then extract again"
    return f"is of format version {version}; this star reads {known}: {remedy}"


def _only_texts(path: Path, owner: str, values: Mapping[str, str | int]) -> dict[str, str]:
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    if numbers := sorted(values.keys() - texts.keys()):
        raise refusal(path, f"a number as attribute {numbers[0]!r} at {owner}")
    return texts


def _check_schema(
    path: Path,
    version: int,
    layouts: Mapping[str, Layout],
    said: Mapping[str, Mapping[str, str]],
    inputs: Sequence[str],
) -> None:
    """The columns are there, all datasets have the same rows, and the attributes agree with the datasets."""
    if lacking := [name for name in (*REQUIRED, *((INPUTS,) if inputs else ())) if name not in layouts]:
        raise FormatError(f"{path}: has no dataset {lacking[0]!r}; {VERIFY}")
    rows = layouts["view"].shape[0]
    checksum = (rows, len(said), CHECKSUM_BYTES) if version >= 3 else (rows, CHECKSUM_BYTES)
    wanted = {"video_id": (rows,), "source": (rows,), "view": (rows,), "checksum": checksum}
    wanted[INPUTS] = (rows, len(inputs), CHECKSUM_BYTES)
    for name, layout in layouts.items():
        if layout.shape != wanted.get(name, (rows, *layout.shape[1:])):
            raise FormatError(f"{path}: {name} has shape {layout.shape} beside {rows} rows; {VERIFY}")
    for name, texts in said.items():
        layout = layouts[name]
        if (texts.get("dtype"), texts.get("shape")) != (layout.dtype.name, shape_text(layout.shape[1:])):
            raise FormatError(f"{path}: {name} is not of the type and shape that its attributes say; {VERIFY}")
    bytes_ = [layouts[name].dtype for name in ("checksum", INPUTS) if name in layouts]
    if layouts["view"].dtype != np.dtype("<i4") or any(dtype != np.dtype("u1") for dtype in bytes_):
        raise FormatError(f"{path}: view or checksum is of another type; {VERIFY}")

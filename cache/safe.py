"""Reading the head of a segment that may come from a stranger, or from a dying disk.

Nothing is taken from the file before it is known to be plain: datasets at the root, stored inside the file, of simple
types, no larger than the file itself. What FORMAT.md forbids is refused here and nowhere else.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5l, h5o, h5p, h5s, h5t, h5z

from .checksum import CHECKSUM_BYTES, shape_text
from .errors import CorruptSegment, FormatError, MissingFeatures
from .files import size_of

FORMAT, FORMAT_VERSION = "star segment", 1
MAX_ROWS = 64
NAME = re.compile(r"[a-z][a-z0-9_]*")
COLUMNS = ("video_id", "source", "view", "checksum")
TYPES = {np.dtype(f"<{code}").newbyteorder("<") for code in "i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8".split()}
_MAX_DATASETS = 64
_MAX_ATTRIBUTES = 16
_MAX_TEXT = 1 << 16
_MAX_ROW_BYTES = 1 << 31
_MAX_RATIO = 1100  # gzip cannot shrink further, lzf far less
_FILTERS = ({h5z.FILTER_DEFLATE}, {h5z.FILTER_LZF})
_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where one dataset lies: its type and shape (rows first), and the offset of its bytes; None if compressed."""

    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int | None

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Head:
    """All of a segment but its values: root attributes, datasets by name, and their attributes."""

    size: int
    stage: str
    key: str
    star_version: str
    provenance: str
    datasets: dict[str, Layout]
    attributes: dict[str, dict[str, str]]


def read_head(path: Path) -> Head:
    """Read and check the head of a segment; the file is closed again.

    Raises MissingFeatures when it is gone, FormatError when it is no segment of format version 1 or holds what the
    format forbids, CorruptSegment when HDF5 cannot make sense of it.
    """
    try:
        size = size_of(path)
        with path.open("rb") as file:
            if file.read(len(_SIGNATURE)) != _SIGNATURE:
                raise FormatError(f"{path}: not a segment of star's, it is no HDF5 file; {VERIFY}")
        with h5py.File(path, "r", locking=False) as file:
            return _head(path, file.id, size)
    except (FileNotFoundError, NotADirectoryError):
        raise MissingFeatures(f"{path}: the segment is gone; run `star extract` again") from None
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise corrupt(path, f"HDF5 cannot read it ({' '.join(str(error).split())[:120]})") from None


VERIFY = "`star verify RECIPE --repair` moves it aside"


def corrupt(path: Path, what: str) -> CorruptSegment:
    """The error for a file that is not what was written."""
    return CorruptSegment(f"{path}: {what}; {VERIFY}")


def _head(path: Path, file: h5f.FileID, size: int) -> Head:
    root = h5g.open(file, b"/")
    about = _attributes(path, "the root", root)
    _check_version(path, about)
    if file.get_create_plist().get_userblock():
        raise _refusal(path, "a user block")
    names = _dataset_names(path, root)
    opened = {name: h5d.open(root, name.encode()) for name in names}
    datasets = {name: _layout(path, name, dataset, size) for name, dataset in opened.items()}
    attributes = {n: _texts(path, n, _attributes(path, n, d)) for n, d in opened.items() if n not in COLUMNS}
    texts = _texts(path, "the root", {k: v for k, v in about.items() if k != "format_version"})
    head = Head(size, texts["stage"], texts["key"], texts["star_version"], texts["provenance"], datasets, attributes)
    _check_schema(path, head)
    return head


def _refusal(path: Path, what: str) -> FormatError:
    return FormatError(f"{path}: holds {what}, which the format forbids; do not trust this file")


def _check_version(path: Path, about: dict[str, Any]) -> None:
    if about.get("format") != FORMAT:
        raise FormatError(f"{path}: not a segment of star's; {VERIFY}")
    version = about.get("format_version")
    if version != FORMAT_VERSION:
        message = f"is of format version {version}; this star reads {FORMAT_VERSION}: update star, or extract again"
        raise FormatError(f"{path}: {message}")


def _attributes(path: Path, owner: str, place: h5g.GroupID | h5d.DatasetID) -> dict[str, Any]:
    """All attributes of an object; texts of fixed length and single integers only."""
    count = h5a.get_num_attrs(place)
    if count > _MAX_ATTRIBUTES:
        raise _refusal(path, f"{count} attributes at {owner}")
    values: dict[str, Any] = {}
    for index in range(count):
        attribute = h5a.open(place, index=index)
        kind, space = attribute.get_type(), attribute.get_space()
        name = attribute.name.decode()
        text = isinstance(kind, h5t.TypeStringID) and not kind.is_variable_str()
        simple = space.get_simple_extent_type() == h5s.SCALAR and kind.get_size() <= _MAX_TEXT
        if not simple or not (text or isinstance(kind, h5t.TypeIntegerID)):
            raise _refusal(path, f"an attribute {name!r} at {owner} that is neither a text nor a number")
        value = np.empty((), attribute.dtype)
        attribute.read(value)
        values[name] = value.item().decode(errors="surrogateescape") if text else value.item()
    return values


def _texts(path: Path, owner: str, values: dict[str, Any]) -> dict[str, str]:
    for name, value in values.items():
        if not isinstance(value, str):
            raise _refusal(path, f"a number as attribute {name!r} at {owner}")
    return values


def _dataset_names(path: Path, root: h5g.GroupID) -> list[str]:
    count = root.get_num_objs()
    if count > _MAX_DATASETS:
        raise _refusal(path, f"{count} objects")
    names = sorted(name.decode(errors="replace") for name in root)
    for name in names:
        if not NAME.fullmatch(name):
            raise _refusal(path, f"an object named {name!r}")
        if root.links.get_info(name.encode()).type != h5l.TYPE_HARD:
            raise _refusal(path, f"a soft or external link {name!r}")
        if h5o.get_info(root, name.encode()).type != h5o.TYPE_DATASET:
            raise _refusal(path, f"{name!r}, which is no dataset")
    return names


def _layout(path: Path, name: str, dataset: h5d.DatasetID, size: int) -> Layout:
    dtype = _dtype(path, name, dataset.get_type())
    space = dataset.get_space()
    shape = space.get_simple_extent_dims() if space.get_simple_extent_type() == h5s.SIMPLE else ()
    if not shape or not 1 <= shape[0] <= MAX_ROWS or 0 in shape:
        raise _refusal(path, f"a dataset {name!r} of shape {shape}")
    layout = Layout(dtype, shape, None)
    if layout.row_bytes > _MAX_ROW_BYTES:
        raise _refusal(path, f"a dataset {name!r} of {layout.row_bytes} bytes a clip")
    plan = dataset.get_create_plist()
    if plan.get_external_count():
        raise _refusal(path, f"external storage for {name!r}")
    if plan.get_layout() == h5d.CONTIGUOUS and not plan.get_nfilters():
        return Layout(dtype, shape, _inside(path, name, dataset.get_offset(), layout.row_bytes * shape[0], size))
    if plan.get_layout() == h5d.CHUNKED and name not in COLUMNS:
        _check_chunks(path, name, dataset, plan, layout, size)
        return layout
    raise _refusal(path, f"a dataset {name!r} that is neither contiguous nor compressed by row")


def _dtype(path: Path, name: str, kind: h5t.TypeID) -> np.dtype:
    """The numpy type of a dataset: exactly one of the format's own."""
    if name in ("video_id", "source"):
        if not isinstance(kind, h5t.TypeStringID) or kind.is_variable_str() or kind.get_size() > _MAX_TEXT:
            raise _refusal(path, f"{name!r} that is no text of fixed length")
        return np.dtype(f"S{kind.get_size()}")
    plain = isinstance(kind, (h5t.TypeIntegerID, h5t.TypeFloatID)) and not kind.committed()
    dtype = kind.dtype if plain else np.dtype(object)
    if dtype not in TYPES or not h5t.py_create(dtype).equal(kind):
        raise _refusal(path, f"a dataset {name!r} of a type that star does not write")
    return dtype


def _inside(path: Path, name: str, offset: int | None, length: int, size: int) -> int:
    if offset is None or offset + length > size:
        raise corrupt(path, f"{name} ends beyond the end of the file")
    return offset


def _check_chunks(path: Path, name: str, dataset: h5d.DatasetID, plan: h5p.PropDCID, layout: Layout, size: int) -> None:
    used = {plan.get_filter(index)[0] for index in range(plan.get_nfilters())} - {h5z.FILTER_SHUFFLE}
    if used not in _FILTERS:
        raise _refusal(path, f"a dataset {name!r} with filters {sorted(used)}")
    if plan.get_chunk() != (1, *layout.shape[1:]):
        raise _refusal(path, f"a dataset {name!r} whose chunks are not its rows")
    if layout.row_bytes * layout.shape[0] > size * _MAX_RATIO:
        raise corrupt(path, f"{name} would be larger than any compression allows")
    if dataset.get_num_chunks() != layout.shape[0]:
        raise corrupt(path, f"{name} lacks {layout.shape[0] - dataset.get_num_chunks()} of its rows")


def _check_schema(path: Path, head: Head) -> None:
    """The columns are there, all datasets have the same rows, and the attributes agree with the datasets."""
    if lacking := [name for name in COLUMNS if name not in head.datasets]:
        raise FormatError(f"{path}: has no dataset {lacking[0]!r}; {VERIFY}")
    rows = head.datasets["view"].shape[0]
    for name, layout in head.datasets.items():
        expected = {"video_id": (rows,), "source": (rows,), "view": (rows,), "checksum": (rows, CHECKSUM_BYTES)}
        if layout.shape[0] != rows or layout.shape != expected.get(name, layout.shape):
            raise FormatError(f"{path}: {name} has shape {layout.shape} beside {rows} rows; {VERIFY}")
        if name in COLUMNS:
            continue
        said = head.attributes[name]
        if said.get("dtype") != layout.dtype.name or said.get("shape") != shape_text(layout.shape[1:]):
            raise FormatError(f"{path}: {name} is not of the type and shape that its attributes say; {VERIFY}")
    if head.datasets["view"].dtype != np.dtype("<i4") or head.datasets["checksum"].dtype != np.dtype("u1"):
        raise FormatError(f"{path}: view or checksum is of another type; {VERIFY}")
    _check_json(path, head.provenance)


def _check_json(path: Path, text: str) -> None:
    try:
        if isinstance(json.loads(text), dict):
            return
    except (ValueError, RecursionError):
        pass
    raise FormatError(f"{path}: its provenance is not a JSON object; {VERIFY}")

"""Looking into an HDF5 file that may come from a stranger, or from a dying disk.

Nothing is taken from the file before it is known to be plain: datasets at the root, stored inside the file, of simple
types, no larger than the file itself. What FORMAT.md forbids is refused here and nowhere else.
"""

# pyright: reportAttributeAccessIssue=false
# (h5py's low level is compiled and has no types)
from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5p, h5s, h5t, h5z

from ..errors import CorruptSegment, FormatError

MAX_ROWS = 64
NAME = re.compile(r"[a-z][a-z0-9_]*")
TEXTS = ("video_id", "source")
INPUTS = "inputs"
REQUIRED = (*TEXTS, "view", "checksum")
COLUMNS = (*REQUIRED, INPUTS)
TYPES = {np.dtype(name) for name in ("<i1", "<i2", "<i4", "<i8", "<u1", "<u2", "<u4", "<u8", "<f2", "<f4", "<f8")}
VERIFY = "`star verify RECIPE --repair` moves it aside"
_MAX_DATASETS = 64
_MAX_ATTRIBUTES = 16
_MAX_TEXT = 1 << 16
_MAX_ROW_BYTES = 1 << 31
_MAX_RATIO = 1100  # gzip cannot shrink further, lzf far less
_FILTERS = ({h5z.FILTER_DEFLATE}, {h5z.FILTER_LZF})


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


def corrupt(path: Path, what: str) -> CorruptSegment:
    """The error for a file that is not what was written."""
    return CorruptSegment(f"{path}: {what}; {VERIFY}")


def refusal(path: Path, what: str) -> FormatError:
    """The error for a file that holds what the format forbids."""
    return FormatError(f"{path}: holds {what}, which the format forbids; do not trust this file")


def attribute(place: h5g.GroupID | h5d.DatasetID, name: bytes) -> str | int | None:
    """The value of an attribute: a text of fixed length or a single integer; None if it is anything else, or absent."""
    return _value(h5a.open(place, name)) if h5a.exists(place, name) else None


def attributes(path: Path, owner: str, place: h5g.GroupID | h5d.DatasetID) -> dict[str, str | int]:
    """All attributes of an object. Raises FormatError for one that is no text or number, or for too many."""
    count = h5a.get_num_attrs(place)
    if count > _MAX_ATTRIBUTES:
        raise refusal(path, f"{count} attributes at {owner}")
    values: dict[str, str | int] = {}
    for index in range(count):
        found = h5a.open(place, index=index)
        name, value = found.name.decode(errors="replace"), _value(found)
        if value is None:
            raise refusal(path, f"an attribute {name!r} at {owner} that is no text or number")
        values[name] = value
    return values


def _value(found: h5a.AttrID) -> str | int | None:
    kind, space = found.get_type(), found.get_space()
    text = isinstance(kind, h5t.TypeStringID) and not kind.is_variable_str()
    simple = space.get_simple_extent_type() == h5s.SCALAR and kind.get_size() <= _MAX_TEXT
    if not simple or not (text or isinstance(kind, h5t.TypeIntegerID)):
        return None
    value = np.empty((), kind.dtype)
    found.read(value)
    return bytes(value[()]).decode(errors="surrogateescape") if text else int(value[()])


def datasets(path: Path, root: h5g.GroupID, size: int) -> dict[str, tuple[h5d.DatasetID, Layout]]:
    """All datasets of a file of `size` bytes, by name. Raises FormatError or CorruptSegment, see the module."""
    count = root.get_num_objs()
    if count > _MAX_DATASETS:
        raise refusal(path, f"{count} objects")
    found = {}
    for link in sorted(root):
        name = link.decode(errors="replace")
        if not NAME.fullmatch(name):
            raise refusal(path, f"an object named {name!r}")
        if root.links.get_info(link).type != h5l.TYPE_HARD:
            raise refusal(path, f"a soft or external link {name!r}")
        about = h5o.get_info(root, link)
        if about.type != h5o.TYPE_DATASET:
            raise refusal(path, f"{name!r}, which is no dataset")
        if about.rc != 1:
            raise refusal(path, f"a dataset {name!r} under two names")
        dataset = h5d.open(root, link)
        found[name] = dataset, _layout(path, name, dataset, size)
    return found


def _layout(path: Path, name: str, dataset: h5d.DatasetID, size: int) -> Layout:
    plan = dataset.get_create_plist()
    compressed = plan.get_layout() == h5d.CHUNKED and name not in COLUMNS
    if plan.get_layout() == h5d.VIRTUAL:  # before its shape is asked for: that opens other files
        raise refusal(path, f"a virtual dataset {name!r}")
    if plan.get_layout() != h5d.CONTIGUOUS and not compressed:
        raise refusal(path, f"a dataset {name!r} that is neither contiguous nor compressed by row")
    if plan.get_external_count():
        raise refusal(path, f"external storage for {name!r}")
    dtype, space = _dtype(path, name, dataset.get_type()), dataset.get_space()
    shape = space.get_simple_extent_dims() if space.get_simple_extent_type() == h5s.SIMPLE else ()
    if not shape or not 1 <= shape[0] <= MAX_ROWS or 0 in shape:
        raise refusal(path, f"a dataset {name!r} of shape {shape}")
    layout = Layout(dtype, shape, None)
    if layout.row_bytes > _MAX_ROW_BYTES:
        raise refusal(path, f"a dataset {name!r} of {layout.row_bytes} bytes a clip")
    if compressed:
        _check_chunks(path, name, dataset, layout, size)
        return layout
    offset = dataset.get_offset()
    if offset is None or offset + layout.row_bytes * layout.shape[0] > size:
        raise corrupt(path, f"{name} ends beyond the end of the file")
    return Layout(layout.dtype, layout.shape, offset)


def _dtype(path: Path, name: str, kind: h5t.TypeID) -> np.dtype:
    """The numpy type of a dataset: exactly one of the format's own."""
    if name in TEXTS and isinstance(kind, h5t.TypeStringID) and not kind.is_variable_str():
        wanted, dtype = h5py.string_dtype("utf-8", min(kind.get_size(), _MAX_TEXT)), np.dtype(f"S{kind.get_size()}")
    elif name not in TEXTS and isinstance(kind, (h5t.TypeIntegerID, h5t.TypeFloatID)) and kind.dtype in TYPES:
        wanted = dtype = kind.dtype
    else:
        wanted = dtype = None
    if dtype is None or kind.committed() or not h5t.py_create(wanted, logical=True).equal(kind):
        raise refusal(path, f"a dataset {name!r} of a type that star does not write")
    return dtype


def _check_chunks(path: Path, name: str, dataset: h5d.DatasetID, layout: Layout, size: int) -> None:
    plan: h5p.PropDCID = dataset.get_create_plist()
    used = {plan.get_filter(index)[0] for index in range(plan.get_nfilters())} - {h5z.FILTER_SHUFFLE}
    if used not in _FILTERS:
        raise refusal(path, f"a dataset {name!r} with filters {sorted(used)}")
    if plan.get_chunk() != (1, *layout.shape[1:]):
        raise refusal(path, f"a dataset {name!r} whose chunks are not its rows")
    if layout.row_bytes * layout.shape[0] > size * _MAX_RATIO:
        raise corrupt(path, f"{name} would be larger than any compression allows")
    if dataset.get_num_chunks() != layout.shape[0]:
        raise corrupt(path, f"{name} lacks {layout.shape[0] - dataset.get_num_chunks()} of its rows")

"""What a segment says of itself must be right, and of a version that this star knows."""

from __future__ import annotations

import fcntl
from functools import partial

import h5py
import numpy as np
import pytest

from star.cache.header import read_header
from star.errors import CorruptSegment

VERIFY = "`star verify RECIPE --repair` moves it aside"


@pytest.fixture
def changed(forge):
    """A function: change of a whole segment -> what reading its head raises, without the path."""
    return partial(forge, read=read_header)


def test_another_format_version(changed):
    """A file of a future version is refused by its number, whatever else is in it."""

    def change(file):
        file.attrs["format_version"] = 7
        file.attrs["new"] = ["things"]
        file.create_group("inside")

    remedy = "update star, or `star verify RECIPE --repair`, then extract again"
    assert changed(change) == f"is of format version 7; this star reads 1 to 3: {remedy}"
    assert changed(lambda file: file.attrs.pop("format_version")).startswith("is of format version None;")


def test_files_of_others(changed, tmp_path):
    """An HDF5 file of somebody else, or no HDF5 file, is no segment."""
    assert changed(lambda file: file.attrs.pop("format")) == f"not a segment of star's; {VERIFY}"
    text = tmp_path / "text.h5"
    text.write_text("no HDF5")
    with pytest.raises(CorruptSegment) as caught:
        read_header(text)
    assert str(caught.value) == f"{text}: not a segment of star's: it does not begin like an HDF5 file; {VERIFY}"


def test_lacking_parts(changed):
    """Every column and every root attribute must be there."""
    for name in ("video_id", "source", "view", "checksum"):
        assert changed(lambda file, name=name: file.pop(name)) == f"has no dataset {name!r}; {VERIFY}"
    for name in ("stage", "key", "star_version", "provenance"):
        assert changed(lambda file, name=name: file.attrs.pop(name)) == f"has no attribute {name!r}; {VERIFY}"


def test_shapes_must_agree(changed):
    """All datasets have the same rows, the columns their own shapes, and attributes say what is there."""

    def rows(file):
        del file["frame_count"]
        file["frame_count"] = np.zeros(3, "<i4")

    def checksum(file):
        del file["checksum"]
        file["checksum"] = np.zeros((2, 9), "u1")

    def view(file):
        del file["view"]
        file["view"] = np.zeros(2, "<i8")

    def said(file):
        file["frame_count"].attrs.modify("shape", np.bytes_("3"))

    assert changed(rows) == f"frame_count has shape (3,) beside 2 rows; {VERIFY}"
    assert changed(checksum) == f"checksum has shape (2, 9) beside 2 rows; {VERIFY}"
    assert changed(view) == f"view or checksum is of another type; {VERIFY}"
    assert changed(said) == f"frame_count is not of the type and shape that its attributes say; {VERIFY}"


@pytest.mark.parametrize(
    "text",
    [
        "[]", "{", "[" * 5000, "\udcff", '{"a": NaN}', '{"seconds_per_clip": "x"}', '{"precision": []}',
        '{"skeleton": {"limbs": [[0]]}}', '{"skeleton": {"limbs": [[0, -1]]}}',
    ],
)  # fmt: skip
def test_provenance_is_a_json_object(changed, text):
    """Provenance is read by people and tools: it must be JSON, and what star reads of it of the right type."""
    content = text.encode(errors="surrogateescape")

    def change(file):
        file.attrs.create("provenance", np.bytes_(content), dtype=h5py.string_dtype("utf-8", len(content)))

    told = changed(change)
    assert told.startswith("its provenance ") and told.endswith(f"; {VERIFY}")


def test_a_broken_file_in_one_line(tmp_path, clips, write):
    """A file that HDF5 stumbles over is a corrupt segment, in one line."""
    path = write(tmp_path, clips(1))
    content = path.read_bytes()
    path.write_bytes(content[:5000])
    with pytest.raises(CorruptSegment) as caught:
        read_header(path)
    assert str(caught.value).startswith(
        f"{path}: HDF5 cannot read it (Unable to synchronously open file (truncated file"
    )
    assert str(caught.value).endswith(f"; {VERIFY}") and "\n" not in str(caught.value)


def test_file_locks_are_not_asked_for(tmp_path, clips, write):
    """Reading works while another process holds HDF5's lock, as on network file systems whose locks fail."""
    path = write(tmp_path, clips(1))
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            h5py.File(path, "r", locking=True)
        assert read_header(path).stage == "pose"

"""Files from strangers: whatever leads out of a segment, or would break a reader, is refused."""

from __future__ import annotations

import os
import struct

import h5py
import numpy as np
import pytest

from star.cache.segment import Segment
from star.errors import CacheError, CorruptSegment, FormatError

DISTRUST = "which the format forbids; do not trust this file"


def replaced(name: str, **options):
    """A change: another dataset in the place of one that is there."""

    def change(file):
        said = dict(file[name].attrs)
        del file[name]
        dataset = file.create_dataset(name, **options)
        for key, value in said.items():
            dataset.attrs.create(key, np.bytes_(value), dtype=h5py.string_dtype("utf-8", max(1, len(value))))

    return change


def assign(name: str, value):
    """A change: a link or group in the place of an array."""

    def change(file):
        del file[name]
        file[name] = value

    return change


def test_links_that_lead_out_are_refused(forge, tmp_path):
    """Soft and external links could show other files' contents as features."""
    (tmp_path / "secret.h5").touch()
    for link in (h5py.ExternalLink(tmp_path / "secret.h5", "/x"), h5py.SoftLink("/keypoints")):
        assert forge(assign("frame_count", link)) == f"holds a soft or external link 'frame_count', {DISTRUST}"


def test_external_storage_is_refused(forge, tmp_path):
    """External storage reads any file as numbers: it is refused before a byte is read."""
    (tmp_path / "secret").write_bytes(b"secret!!" * 1000)
    external = [(str(tmp_path / "secret"), 0, 8)]
    change = replaced("frame_count", shape=(2,), dtype="<i4", external=external)
    assert forge(change) == f"holds external storage for 'frame_count', {DISTRUST}"


def test_virtual_datasets_are_refused(forge, tmp_path):
    """Virtual datasets read other files, and give fill values where those are missing."""

    def change(file):
        del file["frame_count"]
        layout = h5py.VirtualLayout((2,), "<i4")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (2,))
        file.create_virtual_dataset("frame_count", layout)

    assert forge(change) == f"holds a virtual dataset 'frame_count', {DISTRUST}"


def test_groups_and_named_types_are_refused(forge):
    """Only datasets lie at the root."""
    assert forge(lambda file: file.create_group("inside")) == f"holds 'inside', which is no dataset, {DISTRUST}"
    assert forge(assign("frame_count", np.dtype("<i4"))) == f"holds 'frame_count', which is no dataset, {DISTRUST}"


@pytest.mark.parametrize("name", ["../up", "__class__", "Keypoints", "a b"])
def test_odd_names_are_refused(forge, name):
    """Names of arrays are plain words; they become names in programs and files."""
    assert forge(lambda file: file.create_dataset(name, data=[1, 2])).endswith(DISTRUST)


@pytest.mark.parametrize(
    "dtype",
    [
        h5py.string_dtype(),
        h5py.vlen_dtype(np.int32),
        h5py.ref_dtype,
        h5py.regionref_dtype,
        h5py.enum_dtype({"a": 0}, "i4"),
        np.dtype([("a", "<i4")]),
        np.dtype("V4"),
        np.dtype("S4"),
        np.dtype(">i4"),
        np.dtype(("<i4", (2,))),
        np.dtype("<c8"),
        np.dtype("bool"),
        np.dtype("f16"),
    ],
    ids=str,
)
def test_types_that_are_not_plain_numbers_are_refused(forge, dtype):
    """Variable-length, compound, reference, enumerated and foreign types could carry more than numbers."""
    expected = f"holds a dataset 'frame_count' of a type that star does not write, {DISTRUST}"
    assert forge(replaced("frame_count", shape=(2,), dtype=dtype)) == expected


def test_a_named_type_in_disguise_is_refused(forge):
    """A dataset whose type lies elsewhere in the file is no plain dataset."""

    def change(file):
        file["t"] = np.dtype("<i4")
        replaced("frame_count", shape=(2,), dtype=file["t"])(file)
        del file["t"]

    assert forge(change).endswith(f"of a type that star does not write, {DISTRUST}")


def test_text_columns_must_be_plain(forge):
    """Ids and sources are texts of fixed length, never in a heap."""
    for dtype in (h5py.string_dtype(), h5py.string_dtype("ascii", 4), np.dtype("<i4")):
        change = replaced("video_id", shape=(2,), dtype=dtype)
        assert forge(change) == f"holds a dataset 'video_id' of a type that star does not write, {DISTRUST}"


@pytest.mark.parametrize("shape", [(), (0,), (65,), (2, 0), None])
def test_absurd_shapes_are_refused(forge, shape):
    """A dataset has 1 to 64 rows and no empty axis."""
    data = {"data": h5py.Empty("<i4")} if shape is None else {"shape": shape, "dtype": "<i4"}
    expected = f"holds a dataset 'frame_count' of shape {shape or ()}, {DISTRUST}"
    assert forge(replaced("frame_count", **data)) == expected


def test_rows_of_gigabytes_are_refused(forge):
    """What is declared is checked before memory is asked for."""
    change = replaced("frame_count", shape=(2, 1 << 40), dtype="<u1", chunks=(1, 1 << 30), compression="gzip")
    assert forge(change) == f"holds a dataset 'frame_count' of {1 << 40} bytes a clip, {DISTRUST}"


def test_other_filters_and_chunks_are_refused(forge):
    """Only gzip and lzf, one row a chunk: unknown filters load plug-ins, other chunks hide other sizes."""
    array = {"shape": (2, 6), "dtype": "<i4"}
    for options, what in (
        ({"chunks": (1, 6), "scaleoffset": 4}, "with filters [6]"),
        ({"chunks": (1, 6), "compression": "gzip", "fletcher32": True}, "with filters [1, 3]"),
        ({"chunks": (1, 6)}, "with filters []"),
        ({"chunks": (2, 6), "compression": "gzip"}, "whose chunks are not its rows"),
        ({"chunks": (1, 3), "compression": "lzf"}, "whose chunks are not its rows"),
    ):
        assert forge(replaced("frame_count", **array, **options)) == f"holds a dataset 'frame_count' {what}, {DISTRUST}"
    change = replaced("view", data=np.zeros(2, "<i4"), chunks=(1,), compression="gzip")
    assert forge(change) == f"holds a dataset 'view' that is neither contiguous nor compressed by row, {DISTRUST}"


def test_attributes_must_be_plain(forge):
    """Attributes are texts and numbers; not references, lists or texts in a heap, and not without end."""
    for value in ("text in a heap", [1, 2], 1.5):
        expected = f"holds an attribute 'note' at keypoints that is no text or number, {DISTRUST}"
        assert forge(lambda file, value=value: file["keypoints"].attrs.update(note=value)) == expected
    many = {f"a{number}": number for number in range(20)}
    assert forge(lambda file: file.attrs.update(many)) == f"holds 26 attributes at the root, {DISTRUST}"
    assert (
        forge(lambda file: file.attrs.update(stage=7)) == f"holds a number as attribute 'stage' at the root, {DISTRUST}"
    )


def test_too_many_datasets_are_refused(forge):
    """A file of thousands of datasets keeps a reader busy for ever."""

    def change(file):
        for number in range(61):
            file[f"x{number}"] = [1, 2]

    assert forge(change) == f"holds 67 objects, {DISTRUST}"


def test_ids_that_climb_out_are_refused(forge):
    """An id is joined to the data set's root by those who read it."""

    def change(file):
        file["video_id"][0] = b"../../etc/passwd"

    expected = "video id '../../etc/passwd' leads out of the data set's root; do not trust this file"
    assert forge(change) == expected


def test_a_user_block_is_refused(tmp_path, clips, write):
    """Bytes before the HDF5 file, which a user block allows, could be another program."""
    path = write(tmp_path, clips(1))
    content = path.read_bytes()
    path.write_bytes(b"#!/bin/sh\n".ljust(512, b"\0") + content)
    with pytest.raises(CorruptSegment) as caught:
        Segment(path)
    remedy = "`star verify RECIPE --repair` moves it aside"
    assert str(caught.value) == f"{path}: not a segment of star's: it does not begin like an HDF5 file; {remedy}"


@pytest.mark.parametrize("beyond", [1 << 20, 1 << 40, 1 << 62])
def test_bytes_beyond_the_end_are_not_read(tmp_path, beyond):
    """An offset beyond the file, in a file of the old format without checksums, is refused before it is mapped."""
    path = tmp_path / "forged.h5"
    with h5py.File(path, "w", libver=("earliest", "v108")) as file:
        file.attrs.create("format", np.bytes_("star segment"), dtype=h5py.string_dtype("utf-8", 12))
        file.attrs["format_version"] = 1
        for name in ("stage", "key", "star_version", "provenance"):
            file.attrs.create(name, np.bytes_("{}"), dtype=h5py.string_dtype("utf-8", 2))
        file["frame_count"] = np.arange(100, dtype="<i8").reshape(2, 50)
        offset = file["frame_count"].id.get_offset()
    content = path.read_bytes()
    where = struct.pack("<QQ", offset, 800)
    assert content.count(where) == 1
    path.write_bytes(content.replace(where, struct.pack("<QQ", offset + beyond, 800)))
    with pytest.raises(CorruptSegment) as caught:
        Segment(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_what_is_no_regular_file_is_refused(tmp_path, clips, write):
    """A link in a segment's place could lead to any file, a pipe would block for ever."""
    path = write(tmp_path / "a", clips(1))
    link, pipe = tmp_path / f"{'1' * 32}.h5", tmp_path / f"{'2' * 32}.h5"
    link.symlink_to(path)
    os.mkfifo(pipe)
    for place in (link, pipe, tmp_path):
        with pytest.raises(FormatError) as caught:
            Segment(place)
        assert str(caught.value) == f"{place}: not a regular file; a cache holds no links, pipes or devices: remove it"


def test_cut_or_overwritten_anywhere_is_noticed(tmp_path, clips, write):
    """A file cut short at any length, or zeroed in any page of its head, raises a CacheError and nothing else."""
    content = write(tmp_path, clips(2), "gzip").read_bytes()
    path = tmp_path / "cut.h5"
    for length in range(0, len(content), 97):
        path.write_bytes(content[:length])
        with pytest.raises(CacheError):
            Segment(path)
    for start in range(0, 2048, 64):
        path.write_bytes(content[:start] + bytes(64) + content[start + 64 :])
        try:
            Segment(path)
        except CacheError as error:
            assert "\n" not in str(error)

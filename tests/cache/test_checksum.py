"""Checksums of rows, against a second, plainer writing of FORMAT.md."""

from __future__ import annotations

import struct
from hashlib import blake2b

import numpy as np
import pytest
from blake3 import blake3

from star.cache.checksum import Row, id_problem, row_checksums, row_digests


def plainly(row: Row, arrays: dict[str, np.ndarray], version: int) -> bytes:
    """FORMAT.md "Checksums", word by word."""
    message = b""
    for text in (row.video_id, row.source):
        content = text.encode("utf-8", "surrogateescape")
        message += struct.pack("<Q", len(content)) + content
    message += struct.pack("<q", row.view)
    for name in sorted(arrays):
        array = arrays[name]
        head = f"{name} {array.dtype.name} {' '.join(str(n) for n in array.shape)}".encode()
        message += struct.pack("<Q", len(head)) + head + array.tobytes()
    return blake2b(message, digest_size=8).digest() if version == 1 else blake3(message).digest(8)


@pytest.mark.parametrize("version", [1, 2])
def test_checksums_follow_the_format(version):
    """Each row's checksum is what FORMAT.md says, for numbers, vectors and maps."""
    rows = [Row("ä.mp4", "00", 0), Row("\udcff.mp4", "", 3)]
    arrays = {
        "b": np.arange(2, dtype=np.int32),
        "a": np.arange(12, dtype=np.float16).reshape(2, 3, 2),
        "c": np.arange(4, dtype=np.float64).reshape(2, 2),
    }
    sums = row_checksums(rows, arrays, version)
    assert sums.shape == (2, 8) and sums.dtype == np.uint8
    for number, row in enumerate(rows):
        one = {name: array[number] for name, array in arrays.items()}
        assert sums[number].tobytes() == plainly(row, one, version)


def test_each_array_has_a_checksum_of_its_own():
    """Version 3: one checksum an array, over the row's name, its inputs, and this array alone; the digest is of all."""
    rows, inputs = [Row("ä.mp4", "00", 0), Row("\udcff.mp4", "", 3)], np.arange(32, dtype=np.uint8).reshape(2, 2, 8)
    arrays = {"b": np.arange(2, dtype=np.int32), "a": np.arange(12, dtype=np.float16).reshape(2, 3, 2)}
    sums = row_checksums(rows, arrays, 3, inputs)
    assert sums.shape == (2, 2, 8)
    for number, row in enumerate(rows):
        for place, name in enumerate("ab"):
            array = arrays[name][number]
            head = f"{name} {array.dtype.name} {' '.join(map(str, array.shape))}".encode()
            message = b"".join(
                struct.pack("<Q", len(text)) + text
                for text in (row.video_id.encode("utf-8", "surrogateescape"), row.source.encode())
            )
            message += struct.pack("<q", row.view) + inputs[number].tobytes()
            message += struct.pack("<Q", len(head)) + head + array.tobytes()
            assert sums[number, place].tobytes() == blake3(message).digest(8)
        assert row_digests(sums)[number].tobytes() == blake3(sums[number].tobytes()).digest(8)


def test_every_part_of_a_row_counts():
    """Another id, source, view, name, type, shape or value is another checksum; nothing can slide from part to part."""
    base = np.arange(4, dtype=np.int32)[None]
    variants = [
        (Row("ab", "c", 0), {"x": base}),
        (Row("a", "bc", 0), {"x": base}),
        (Row("ab", "c", 1), {"x": base}),
        (Row("ab", "c", 0), {"y": base}),
        (Row("ab", "c", 0), {"x": base.view(np.uint32)}),
        (Row("ab", "c", 0), {"x": base.reshape(1, 2, 2)}),
        (Row("ab", "c", 0), {"x": base + 1}),
        (Row("ab", "c", 0), {"x": base, "y": base}),
    ]
    assert len({row_checksums([row], arrays).tobytes() for row, arrays in variants}) == len(variants)


@pytest.mark.parametrize(
    ("video_id", "problem"),
    [
        ("", "is empty or holds a NUL"),
        ("a\0b", "is empty or holds a NUL"),
        ("/etc/passwd", "leads out of the data set's root"),
        ("a/../../b", "leads out of the data set's root"),
        ("..", "leads out of the data set's root"),
        ("ä" * 2049, "is longer than 4096 bytes"),
        ("ä" * 2048, None),
        ("a..b/..c/d...mp4", None),
        ("a b/\udcff.mp4", None),
    ],
)
def test_ids_stay_inside_the_root(video_id, problem):
    """An id is a path inside the data set's root, whatever characters it is made of."""
    assert id_problem(video_id) == problem

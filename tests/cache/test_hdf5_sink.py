"""The file that hides the disk's failures from HDF5."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from star.cache.hdf5_sink import Sink


def test_bytes_go_where_they_belong(tmp_path):
    """Writes at any place, reads back, sizes: as of a plain file."""
    with (tmp_path / "file").open("x+b", buffering=0) as file:
        sink = Sink(file)
        assert sink.seek(10) == 10 and sink.write(b"star") == 4 and sink.tell() == 14
        assert sink.seek(-2, os.SEEK_END) == 12 and sink.seek(-1, os.SEEK_CUR) == 11
        buffer = bytearray(8)
        assert sink.readinto(buffer) == 3 and buffer[:3] == b"tar"
        assert sink.truncate(12) == 12
    assert (tmp_path / "file").read_bytes() == bytes(10) + b"st"


def test_the_first_failure_is_kept(tmp_path):
    """A write that the system refuses looks as if it had gone well; the failure waits to be asked for."""
    (tmp_path / "file").touch()
    with (tmp_path / "file").open("rb", buffering=0) as file:
        sink = Sink(file)
        assert sink.write(b"star") == 4 and sink.tell() == 4
        assert sink.error is not None
        first = sink.error
        assert sink.write(b"more") == 4 and sink.truncate(3) == 3 and sink.error is first


PLAIN = """
import sys, h5py, numpy as np
with h5py.File(sys.argv[1], "w") as file:
    for number in range(5):
        file.create_dataset(f"a{number}", data=np.ones((4, int(sys.argv[2])), "u1"), track_times=False)
"""


@pytest.mark.soak
def test_why_there_is_a_sink(small_disk):
    """h5py by itself crashes or fails on a full disk; through the sink it ends, whatever its version."""
    outcomes = set()
    for size in range(6000, 8000, 61):
        (small_disk / "filler").write_bytes(bytes(900_000))
        path = small_disk / "plain.h5"
        run = subprocess.run([sys.executable, "-c", PLAIN, str(path), str(size)], capture_output=True, check=False)
        outcomes.add(run.returncode)
        path.unlink(missing_ok=True)
        with path.open("x+b", buffering=0) as file:
            sink = Sink(file)
            with h5py.File(sink, "w") as hdf:
                for number in range(5):
                    hdf.create_dataset(f"a{number}", data=np.ones((4, size), "u1"), track_times=False)
            assert sink.error is None or sink.error.errno == errno.ENOSPC
        path.unlink()
    print("exit codes of plain h5py:", sorted(outcomes))
    assert outcomes - {0}

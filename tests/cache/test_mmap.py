"""Memory maps that keep no file open."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
import pytest

from star.cache.mmap import map_file


def test_a_map_lives_as_long_as_its_views(tmp_path):
    """The bytes are there after the file is closed and deleted, until the last view goes; they cannot be written."""
    path = tmp_path / "a file of this test"
    path.write_bytes(bytes(range(256)) * 100)
    with path.open("rb") as file:
        memory = map_file(file.fileno(), 25600)
    view = np.frombuffer(memory, np.uint8).reshape(100, 256)[50:]
    del memory
    path.unlink()
    gc.collect()
    assert np.array_equal(view, np.tile(np.arange(256, dtype=np.uint8), (50, 1)))
    with pytest.raises(ValueError, match="WRITEABLE"):
        view.flags.writeable = True
    assert path.name in Path("/proc/self/maps").read_text()
    del view
    gc.collect()
    assert path.name not in Path("/proc/self/maps").read_text()


def test_what_cannot_be_mapped(tmp_path):
    """A handle that is none is an OSError, not a crash."""
    with pytest.raises(OSError, match="Bad file descriptor"):
        map_file(9999, 4096)


def test_maps_survive_a_fork(tmp_path):
    """A forked child reads what its parent mapped, and ends without harm to the parent's map."""
    path = tmp_path / "file"
    path.write_bytes(b"star" * 5000)
    with path.open("rb") as file:
        view = np.frombuffer(map_file(file.fileno(), 20000), np.uint8)
    child = os.fork()
    if not child:
        os._exit(0 if view.tobytes() == b"star" * 5000 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert view.tobytes() == b"star" * 5000

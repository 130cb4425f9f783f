"""Files that are whole or absent."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from star.cache import atomic
from star.errors import FormatError, StorageError


def test_replace_leaves_one_file(tmp_path):
    """The new content is there as a whole and no partial file beside it."""
    path = tmp_path / "file"
    atomic.replace(path, b"old")
    atomic.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_partial_is_removed_on_failure(tmp_path):
    """A failure inside leaves nothing behind and comes out as it is."""

    def fail():
        with atomic.partial(tmp_path) as name:
            name.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_the_dead_go_and_those_of_the_living_stay(tmp_path):
    """A partial file is deleted when its process is dead, or when it is a day old; never while its writer lives."""
    script = "import sys; from star.cache import atomic as files; from pathlib import Path\n"
    script += (
        "with files.partial(Path(sys.argv[1])) as name: name.mkdir(); (name / 'x').touch(); import os; os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    (dead,) = tmp_path.iterdir()
    mine, stranger, old, other = (
        tmp_path / name
        for name in (
            f"{dead.name[:8]}-{os.getpid()}-00000000.partial",
            "ffffffff-1-00000000.partial",
            "ffffffff-1-00000001.partial",
            "notes.partial",
        )
    )
    for path in (mine, stranger, old, other):
        path.touch()
    os.utime(old, (time.time() - 86500,) * 2)
    assert atomic.remove_leftovers(tmp_path, time.time()) == 2
    assert sorted(tmp_path.iterdir()) == sorted([mine, stranger, other])


def test_the_disk_in_one_line(tmp_path):
    """Each refusal of the disk names the folder and what to do."""
    cases = {
        "ENOSPC": "the disk is full; free some space or set cache.root to another disk",
        "EROFS": "the file system is read-only; mount it writable or set cache.root to another folder",
        "EACCES": "no permission to write there; change the permissions or set cache.root to another folder",
        "ENOENT": "the folder has vanished; bring it back (is the disk mounted?) and run the same command again",
        "ESTALE": "the folder has vanished; bring it back (is the disk mounted?) and run the same command again",
        "EIO": "Input/output error; check the disk, then run the same command again",
    }
    for name, remedy in cases.items():
        number = getattr(__import__("errno"), name)
        assert str(atomic.storage_error(OSError(number, os.strerror(number)), tmp_path)) == f"{tmp_path}: {remedy}"


def test_reporting_passes_on_what_is_not_the_disk(tmp_path):
    """Only failures of the system become StorageErrors; HDF5's own complaints, OSErrors too, do not."""

    def fail(error):
        with atomic.reporting(tmp_path):
            raise error

    with pytest.raises(StorageError):
        fail(OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="no appropriate function") as caught:
        fail(OSError("no appropriate function for conversion path"))
    assert not isinstance(caught.value, StorageError)


def test_only_regular_files_of_a_sane_size_are_read(tmp_path):
    """A link could lead to another file, a pipe blocks, a huge file eats the memory: all are refused unread."""
    secret, link, pipe = tmp_path / "secret", tmp_path / "link", tmp_path / "pipe"
    secret.write_bytes(b"12345")
    link.symlink_to(secret)
    os.mkfifo(pipe)
    for path in (link, pipe, tmp_path):
        with pytest.raises(FormatError) as caught:
            atomic.read_whole(path, 100)
        assert str(caught.value) == f"{path}: not a regular file; a cache holds no links, pipes or devices: remove it"
    with pytest.raises(FormatError) as caught:
        atomic.read_whole(secret, 4)
    assert str(caught.value) == f"{secret}: has 5 bytes, at most 4 are read; remove it"
    assert atomic.read_whole(secret, 5) == b"12345"

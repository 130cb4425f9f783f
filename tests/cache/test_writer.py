"""Segments are whole or absent, whatever happens to the disk or to the writer."""

from __future__ import annotations

import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from star.cache.checksum import Row
from star.cache.segment import Segment
from star.cache.store import Store
from star.cache.verify import check_segment
from star.cache.writer import write_segment
from star.errors import DatasetError, StorageError

FULL = "the disk is full; free some space or set cache.root to another disk"


def test_the_name_is_the_digest_and_the_bytes_are_determined(tmp_path, clips, write):
    """The same rows, arrays and provenance make the same file, so that two writers of one segment write one file."""
    first, second = write(tmp_path / "a", clips(3)), write(tmp_path / "b", clips(3))
    time.sleep(1.1)  # HDF5's own times count seconds
    third = write(tmp_path / "b", clips(3))
    assert first.name == second.name == third.name
    assert first.read_bytes() == third.read_bytes()
    assert [path.name for path in (tmp_path / "b").iterdir()] == [third.name]
    assert write(tmp_path / "b", clips(3, start=1)).name != first.name


@pytest.mark.parametrize("compression", ["none", "lzf", "gzip"])
def test_what_is_written_is_read(tmp_path, clips, write, compression):
    """Rows, arrays, types and descriptions come back as they were given."""
    made = clips(5)
    segment = Segment(write(tmp_path, made, compression))
    assert segment.rows == made.rows
    assert (segment.stage, segment.provenance) == ("pose", {"numpy": "2.0"})
    assert segment.head.attributes["keypoints"]["units"] == "px"
    for name, array in made.arrays.items():
        assert np.array_equal(segment.read(name), array) and segment.read(name).dtype == array.dtype


def test_big_arrays_begin_at_multiples_of_64_bytes(tmp_path, clips, write):
    """Uncompressed data can be mapped, and starts where any processor likes it."""
    layouts = Segment(write(tmp_path, clips(3))).head.datasets
    assert [layout.offset % 64 for layout in layouts.values() if layout.offset is not None] == [0] * len(layouts)


def test_types_are_stored_plainly(tmp_path):
    """Truth values become bytes, big-endian and strided arrays plain ones; the values stay."""
    arrays = {
        "flip": np.array([True, False]),
        "big": np.arange(6, dtype=">f4").reshape(2, 3),
        "strided": np.arange(24, dtype="i8").reshape(2, 3, 4)[:, ::2, ::-1],
    }
    rows = [Row("a", "", 0), Row("b", "", 0)]
    path = write_segment(tmp_path, stage="s", key="0" * 32, rows=rows, arrays=arrays, attributes={}, provenance={})
    segment = Segment(path)
    assert {name: segment.read(name).dtype.str for name in arrays} == {"flip": "|u1", "big": "<f4", "strided": "<i8"}
    for name, array in arrays.items():
        assert np.array_equal(segment.read(name), array)
    assert check_segment(path) == []


@pytest.mark.parametrize(
    ("rows", "arrays", "message"),
    [
        ([], {}, "a segment has 1 to 64 rows, no two alike; got 0"),
        ([Row(str(n), "", 0) for n in range(65)], {}, "a segment has 1 to 64 rows, no two alike; got 65"),
        ([Row("a", "", 0)] * 2, {}, "a segment has 1 to 64 rows, no two alike; got 2"),
        ([Row("a", "", -1)], {}, "Row(video_id='a', source='', view=-1): a source is a digest, a view is 0 or more"),
        ([Row("a", "", 0)], {"../x": np.ones(1)}, "'../x' cannot be the name of an array"),
        ([Row("a", "", 0)], {"view": np.ones(1)}, "'view' cannot be the name of an array"),
        ([Row("a", "", 0)], {"x": np.ones(2)}, "x: shape (2,) beside 1 rows"),
        ([Row("a", "", 0)], {"x": np.ones((1, 0))}, "x: shape (1, 0) beside 1 rows"),
        ([Row("a", "", 0)], {"x": np.array([object()])}, "x: arrays of type object cannot be stored"),
        ([Row("a", "", 0)], {"x": np.array(["a"])}, "x: arrays of type <U1 cannot be stored"),
    ],
)
def test_what_is_no_segment_is_refused(tmp_path, rows, arrays, message):
    """Nothing is written that a reader would refuse."""
    with pytest.raises(ValueError) as caught:
        write_segment(tmp_path, stage="s", key="0" * 32, rows=rows, arrays=arrays, attributes={}, provenance={})
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


def test_an_id_that_climbs_out_is_refused(tmp_path, clips, write):
    """A video id that leads out of the data set's root is the user's to rename."""
    made = clips(1)
    with pytest.raises(DatasetError) as caught:
        write(tmp_path, made._replace(rows=[Row("../x.mp4", "", 0)]))
    assert str(caught.value) == "video id '../x.mp4' leads out of the data set's root; rename the video"


def fill_up(folder, free: int, capacity: int = 1 << 20) -> None:
    (folder / "filler").write_bytes(bytes(capacity - free))


def test_a_full_disk_at_every_point(small_disk, clips, write):
    """However little fits, down to HDF5's last bytes at closing: one clear line, nothing half written, no crash."""
    made = clips(20)
    whole = write(small_disk / "s", made)
    size = whole.stat().st_size
    assert 90_000 < size < 900_000
    whole.unlink()
    refused = 0
    for free in [*range(0, size, size // 40), *range(size - 16384, size + 16384, 4096)]:
        fill_up(small_disk, free)
        try:
            path = write(small_disk / "s", made)
        except StorageError as error:
            assert str(error) == f"{small_disk / 's'}: {FULL}"
            refused += 1
        else:
            assert check_segment(path) == []
            path.unlink()
        assert list((small_disk / "s").iterdir()) == []
        (small_disk / "filler").unlink()
    assert refused > 40


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_a_file_size_limit_at_every_point(tmp_path, clips, write, compression):
    """The same with the system's own limit on file sizes (`ulimit -f`), which needs no disk to be mounted."""
    made = clips(4)
    size = write(tmp_path / "whole", made, compression).stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    refused = 0
    for limit in [*range(0, size, size // 50), *range(size - 100, size + 100, 10)]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
        try:
            write(tmp_path / "s", made, compression)
        except StorageError as error:
            remedy = "the file would be larger than this system allows; raise `ulimit -f` or lower cache.segment"
            assert str(error) == f"{tmp_path / 's'}: {remedy}"
            assert list((tmp_path / "s").iterdir()) == []
            refused += 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert refused > 50
    assert [check_segment(path) for path in (tmp_path / "s").iterdir()] == [[]]


def test_a_read_only_disk(small_disk, clips, write):
    """A disk mounted read-only is one clear line; what was written before can be read."""
    path = write(small_disk, clips(1))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for action in (lambda: write(small_disk, clips(1, start=1)), Store(small_disk).prepare):
        with pytest.raises(StorageError) as caught:
            action()
        remedy = "the file system is read-only; mount it writable or set cache.root to another folder"
        assert str(caught.value) == f"{small_disk}: {remedy}"
    assert check_segment(path) == []


def test_a_folder_that_is_gone_or_is_a_file(tmp_path, clips, write):
    """A vanished folder, or a file in its place, is one clear line."""
    folder = tmp_path / "gone"
    made = clips(1)
    arguments = {"rows": made.rows, "arrays": made.arrays, "attributes": {}, "provenance": {}}
    with pytest.raises(StorageError) as caught:
        write_segment(folder, stage="s", key="0" * 32, **arguments)
    remedy = "the folder has vanished; bring it back (is the disk mounted?) and run the same command again"
    assert str(caught.value) == f"{folder}: {remedy}"
    folder.touch()
    with pytest.raises(StorageError) as caught:
        write_segment(folder / "inside", stage="s", key="0" * 32, **arguments)
    assert (
        str(caught.value)
        == f"{folder / 'inside'}: a part of this path is a file, not a folder; set cache.root to a folder"
    )


def test_a_folder_that_vanishes_while_it_is_written_to(tmp_path, clips, write):
    """At whatever moment the folder goes: the segment is written, or one clear line."""
    folder, stop = tmp_path / "s", threading.Event()

    def vanish():
        while not stop.is_set():
            shutil.rmtree(folder, ignore_errors=True)
            time.sleep(0.002)

    thread = threading.Thread(target=vanish)
    thread.start()
    outcomes = set()
    try:
        for _ in range(60):
            try:
                write(folder, clips(2))
                outcomes.add("")
            except StorageError as error:
                outcomes.add(str(error).removeprefix(str(folder)))
    finally:
        stop.set()
        thread.join()
    gone = ": the folder has vanished; bring it back (is the disk mounted?) and run the same command again"
    assert outcomes <= {"", gone}


WRITER = """
import signal
import sys
from pathlib import Path
import numpy as np
from star.cache.checksum import Row
from star.cache.store import Store

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is started without
stage_store = Store(sys.argv[1]).stage_store("pose", "0" * 32)
values = np.arange(4 * 5000, dtype=np.float32).reshape(4, 5000) + int(sys.argv[2])
print("ready", flush=True)
for number in range(int(sys.argv[2]), 10**9, 4):
    rows = [Row(f"{number + row}.mp4", "", 0) for row in range(4)]
    stage_store.write(rows, {"x": values + number}, {}, {})
"""


def kill_writers(folder, kills: int, how: signal.Signals, seed: int) -> int:
    """Kill writers at random moments, look after each; returns how many partial files the killed left."""
    random_ = random.Random(seed)
    store, left = Store(folder), 0
    stage_store = store.stage_store("pose", "0" * 32)
    for number in range(kills):
        command = [sys.executable, "-c", WRITER, str(folder), str(number * 1000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            time.sleep(random_.uniform(0.0, 0.05))
            process.send_signal(how)
            try:
                assert process.wait(120) == -how
            finally:
                process.kill()
        partials = list(stage_store.path.glob("*.partial")) if stage_store.path.is_dir() else []
        assert len(partials) <= 1
        left += len(partials)
        store.prepare()
        assert not list(folder.rglob("*.partial"))
    for name in stage_store.segments():
        assert check_segment(stage_store.file(name)) == []
    assert len(stage_store.index()) == 4 * len(stage_store.segments())
    return left


def test_kill_at_random_moments(tmp_path):
    """kill -9 of a writer costs at most the segment in hand: every segment there is whole, leftovers go."""
    kill_writers(tmp_path, 8, signal.SIGKILL, seed=0)


def test_interrupt_at_random_moments(tmp_path):
    """Ctrl-C in the middle of a segment ends the writer and leaves nothing behind; HDF5 does not crash on it."""
    assert kill_writers(tmp_path, 5, signal.SIGINT, seed=0) == 0


@pytest.mark.soak
def test_kill_at_random_moments_soak(tmp_path):
    """The same 100 times; enough that some are caught in the middle of a file."""
    assert kill_writers(tmp_path, 100, signal.SIGKILL, seed=1) > 10


@pytest.mark.soak
def test_interrupt_at_random_moments_soak(tmp_path):
    """The same 100 times with Ctrl-C."""
    assert kill_writers(tmp_path, 100, signal.SIGINT, seed=1) == 0

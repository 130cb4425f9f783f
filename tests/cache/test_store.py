"""The store: stage stores, descriptions, leftovers, and moving things aside."""

from __future__ import annotations

import json
import pickle
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from star.cache import store as module
from star.cache.store import RowLocation, Store
from star.errors import FormatError, MissingFeatures, StorageError

KEY = "0123456789abcdef" * 2


@pytest.fixture
def stage_store(tmp_path):
    return Store(tmp_path / "cache").stage_store("pose", KEY)


def fill(stage_store, made):
    return stage_store.write(made.rows, made.arrays, {}, {})


def test_prepare_makes_the_folder_and_leaves_nothing_in_it(tmp_path):
    """The folder is there and empty: what was written to try it is gone."""
    Store(tmp_path / "a" / "cache").prepare()
    assert list((tmp_path / "a" / "cache").iterdir()) == []


def test_prepare_says_what_is_in_the_way(tmp_path):
    """A file in the place of the cache, or of a folder above it, is one clear line."""
    (tmp_path / "file").touch()
    for root, remedy in (
        (tmp_path / "file", "a file is in the way of this folder; move it or set cache.root to another folder"),
        (tmp_path / "file" / "cache", "a part of this path is a file, not a folder; set cache.root to a folder"),
    ):
        with pytest.raises(StorageError) as caught:
            Store(root).prepare()
        assert str(caught.value) == f"{root}: {remedy}"


def test_prepare_deletes_what_the_dead_left_everywhere(tmp_path, stage_store, clips):
    """Partial files of dead writers go, in the root, in stages and in stage stores; whole segments stay."""
    path = fill(stage_store, clips(1))
    script = "import os; from pathlib import Path; from star.cache import atomic as files; import sys\n"
    script += "files.partial(Path(sys.argv[1])).__enter__().touch(); os._exit(9)"
    for folder in (tmp_path / "cache", stage_store.path.parent, stage_store.path):
        subprocess.run([sys.executable, "-c", script, str(folder)], check=False)
    assert len(list((tmp_path / "cache").rglob("*.partial"))) == 3
    Store(tmp_path / "cache").prepare()
    assert not list((tmp_path / "cache").rglob("*.partial"))
    assert path.exists()


def test_stage_stores_are_found_and_nothing_else(tmp_path, stage_store, clips):
    """Every stage and key with its bytes; stray files and folders do not count."""
    store = Store(tmp_path / "cache")
    assert store.stage_stores() == [] and stage_store.bytes() == 0 and stage_store.segments() == []
    path = fill(stage_store, clips(2))
    store.stage_store("backbone", "f" * 32).describe({})
    (tmp_path / "cache" / "pose" / "notes").mkdir()
    (tmp_path / "cache" / "Stray").mkdir()
    (tmp_path / "cache" / "failures.jsonl").touch()
    (stage_store.path / "notes.txt").write_text("12345")
    assert [(found.stage, found.key) for found in store.stage_stores()] == [("backbone", "f" * 32), ("pose", KEY)]
    assert store.stage_stores()[1].bytes() == path.stat().st_size
    assert stage_store.segments() == [path.stem]


def test_names_that_lead_elsewhere_are_refused(tmp_path, stage_store):
    """Neither a stage nor a key nor a segment can be a path."""
    for stage, key in (("..", KEY), ("pose", ".."), ("a/b", KEY), ("pose", KEY[:-1] + "/"), ("pose", KEY + "0")):
        with pytest.raises(ValueError, match="a stage is a word in small letters, a key 32 hex digits"):
            Store(tmp_path).stage_store(stage, key)
    for name in ("../../x", "..", "", KEY + "/..", KEY.upper()):
        with pytest.raises(FormatError) as caught:
            stage_store.map(name, "keypoints")
        assert str(caught.value) == f"{name!r} is not the name of a segment (32 hex digits)"


def test_description_is_written_once(stage_store):
    """stage.json says in plain words what the key stands for; the first description stays."""
    assert stage_store.description() == {}
    stage_store.describe({"version": 1, "settings": {"crop": "Körper"}, "upstream": {}})
    stage_store.describe({"version": 2})
    expected = {"format": "star stage", "format_version": 1, "stage": "pose", "key": KEY}
    assert stage_store.description() == expected | {"version": 1, "settings": {"crop": "Körper"}, "upstream": {}}
    assert "Körper" in (stage_store.path / "stage.json").read_text(encoding="utf-8")


def test_a_description_from_a_stranger_is_checked(stage_store, tmp_path):
    """Plain JSON of a sane size and of this version, in a regular file; nothing else."""
    stage_store.describe({})
    path = stage_store.path / "stage.json"
    for content in ("", "[]", "{}", "[" * 100000, '{"format": "star index"}', "\udcff"):
        path.write_bytes(content.encode(errors="surrogateescape"))
        with pytest.raises(FormatError) as caught:
            stage_store.description()
        assert str(caught.value).startswith(f"{path}: ")
        assert str(caught.value).endswith("so it does not describe a stage; remove it, `star extract` writes it anew")
    path.write_text(json.dumps({"format": "star stage", "format_version": 7}))
    with pytest.raises(FormatError) as caught:
        stage_store.description()
    remedy = "update star, or `star verify RECIPE --repair`, then extract again"
    assert str(caught.value) == f"{path}: is of format version 7; this star reads 1: {remedy}"
    path.write_bytes(b" " * (1 << 20) + b"{}")
    with pytest.raises(FormatError):
        stage_store.description()
    path.unlink()
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(FormatError):
        stage_store.description()


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_read_stacks_rows_in_order(stage_store, clips, compression):
    """Rows from several segments, in any order, come as one array."""
    made = [clips(4), clips(3, start=10)]
    names = [stage_store.write(*one, {}, {}, compression).stem for one in made]
    places = [RowLocation(names[1], 2), RowLocation(names[0], 0), RowLocation(names[1], 0), RowLocation(names[0], 3)]
    for name in ("keypoints", "frame_count"):
        expected = np.stack([made[names.index(place.segment)].arrays[name][place.row] for place in places])
        assert np.array_equal(stage_store.read(places, name), expected)
    with pytest.raises(MissingFeatures):
        stage_store.read(places, "joint_map")


def test_maps_are_bounded_and_right(stage_store, clips, monkeypatch):
    """However many segments are mapped, few maps are kept, and every view shows its own segment."""
    monkeypatch.setattr(module, "_MAX_MAPS", 3)
    made = [clips(1, start=start) for start in range(8)]
    names = [fill(stage_store, one).stem for one in made]
    for _ in range(3):
        for name, one in zip(names, made, strict=True):
            assert np.array_equal(stage_store.map(name, "keypoints"), one.arrays["keypoints"])
    assert Path("/proc/self/maps").read_text().count(str(stage_store.path)) == 3


def test_many_segments_are_mapped_with_few_file_handles(stage_store, clips):
    """More segments can be mapped at once than the process may open files."""
    names = [fill(stage_store, clips(1, start=start)).stem for start in range(100)]
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 20, limits[1]))
    try:
        views = [stage_store.map(name, "keypoints") for name in names]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for start, view in enumerate(views):
        assert np.array_equal(view, clips(1, start=start).arrays["keypoints"])


def test_a_stage_store_can_be_sent_to_another_process(stage_store, clips):
    """It arrives without maps, and reads."""
    made = clips(2)
    name = fill(stage_store, made).stem
    stage_store.map(name, "keypoints")
    sent = pickle.loads(pickle.dumps(stage_store))
    assert (sent.stage, sent.key, sent.path) == (stage_store.stage, stage_store.key, stage_store.path)
    assert np.array_equal(sent.map(name, "keypoints"), made.arrays["keypoints"])


def test_quarantine_takes_rows_out(stage_store, clips):
    """A bad segment is moved aside and its rows are missing; all others stay."""
    bad, good = fill(stage_store, clips(2)), fill(stage_store, clips(2, start=5))
    stage_store.map(bad.stem, "keypoints")
    assert stage_store.index().find(clips(1).rows[0]) is not None
    moved = stage_store.quarantine(bad.stem)
    assert moved == stage_store.path / "bad" / bad.name and moved.is_file()
    assert stage_store.segments() == [good.stem]
    assert stage_store.index().find(clips(1).rows[0]) is None and len(stage_store.index()) == 2
    with pytest.raises(MissingFeatures):
        stage_store.map(bad.stem, "keypoints")


def test_remove_takes_all_of_a_stage_store(tmp_path, stage_store, clips):
    """The folder goes and its neighbours stay; a folder that lies elsewhere is not touched."""
    fill(stage_store, clips(1))
    other = Store(tmp_path / "cache").stage_store("pose", "f" * 32)
    fill(other, clips(1))
    stage_store.remove()
    assert [path.name for path in (tmp_path / "cache" / "pose").iterdir()] == ["f" * 32]
    elsewhere = tmp_path / "elsewhere"
    shutil.move(other.path, elsewhere)
    other.path.symlink_to(elsewhere)
    assert len(other.index()) == 1  # linked folders can be read
    with pytest.raises(StorageError) as caught:
        other.remove()
    assert str(caught.value) == f"{other.path}: is a link to a folder elsewhere; delete that folder by hand"
    assert len(other.index()) == 1


def test_free_bytes_of_a_folder_to_be(tmp_path, small_disk):
    """Free space is that of the disk on which the folder would be made."""
    assert Store(small_disk / "not" / "yet").free_bytes() == 1 << 20
    assert Store(tmp_path).free_bytes() == shutil.disk_usage(tmp_path).free


def test_duplicate_rows_have_one_winner(stage_store, clips):
    """Two runs that wrote the same rows at once: everybody agrees on whose count, and each counts once."""
    first, second = clips(3), clips(3, start=1)
    names = sorted([fill(stage_store, first).stem, fill(stage_store, second).stem])
    index = stage_store.index()
    assert len(index) == 4
    assert [index.find(row).segment for row in first.rows[1:]] == [names[0]] * 2

"""The index: fast, exact, and never more than a cache."""

from __future__ import annotations

import multiprocessing
import os
import subprocess

import h5py
import numpy as np
import pytest

from star.cache.checksum import Row
from star.cache.index import Index, RowLocation, row_keys
from star.cache.index_file import load_index, segment_names
from star.cache.segment import Segment
from star.errors import FormatError

KEY = "0123456789abcdef" * 2


def by_hand(folder) -> dict[Row, RowLocation]:
    """Every row of every segment; of equal rows the one in the smallest segment."""
    places: dict[Row, RowLocation] = {}
    for name in sorted(path.stem for path in folder.glob("*.h5")):
        for number, row in enumerate(Segment(folder / f"{name}.h5").rows):
            places.setdefault(row, RowLocation(name, number))
    return places


def check(folder) -> Index:
    """The index says what reading every segment says, one row at a time and all at once."""
    index, places = load_index(folder, "pose", KEY), by_hand(folder)
    assert len(index) == len(places)
    assert {row: index.find(row) for row in places} == places
    absent = [Row("none.mp4", "", 0), *(row._replace(view=9) for row in places)]
    rows = [*absent, *places]
    columns = [row.video_id for row in rows], [row.view for row in rows], [row.source for row in rows]
    assert index.find_many(*columns) == [None] * len(absent) + list(places.values())
    assert index.find_keys(row_keys(*columns)) == index.find_many(*columns)
    return index


def test_segments_come_and_go(tmp_path, clips, write):
    """The index follows the folder: nothing, some segments, more, fewer; with rows that two writers both wrote."""
    check(tmp_path / "absent")
    check(tmp_path)
    first = write(tmp_path, clips(10))
    check(tmp_path)
    write(tmp_path, clips(10, start=5))
    write(tmp_path, clips(5, start=100, view=1))
    assert len(check(tmp_path)) == 20
    first.unlink()
    assert len(check(tmp_path)) == 15
    (tmp_path / "index").unlink()
    assert len(check(tmp_path)) == 15


def test_a_row_of_a_vanished_winner_is_found_in_the_other(tmp_path, clips, write):
    """Two segments hold the same row: the first by name counts; when it goes, the other does, without a rebuild."""
    paths = sorted([write(tmp_path, clips(3)), write(tmp_path, clips(2))])
    row = clips(1).rows[0]
    assert check(tmp_path).find(row) == RowLocation(paths[0].stem, 0)
    paths[0].unlink()
    assert check(tmp_path).find(row) == RowLocation(paths[1].stem, 0)


def test_known_segments_are_not_opened(tmp_path, clips, write):
    """Once known, a segment is not read again: its bytes could be gone and the index would not notice."""
    path = write(tmp_path, clips(3))
    before = load_index(tmp_path, "pose", KEY)
    os.truncate(path, 0)
    after = load_index(tmp_path, "pose", KEY)
    assert after.segments == before.segments and np.array_equal(after.keys, before.keys)
    assert after.find(clips(1).rows[0]) == RowLocation(path.stem, 0)


def test_any_damage_to_the_index_only_costs_a_rebuild(tmp_path, clips, write):
    """Cut short, any bit flipped, replaced by anything: the answer stays right."""
    write(tmp_path, clips(3))
    check(tmp_path)
    file = tmp_path / "index"
    content = file.read_bytes()
    broken = [b"", b"\n", b"[]\n", content[:-1], content + b"x", content[:40], b"\xff" * 5000]
    for number in range(0, 8 * len(content), 61):
        flipped = bytearray(content)
        flipped[number // 8] ^= 1 << number % 8
        broken.append(bytes(flipped))
    for damage in broken:
        file.write_bytes(damage)
        check(tmp_path)
        assert file.read_bytes() == content
    file.unlink()
    file.mkdir()
    check(tmp_path)
    file.rmdir()
    file.symlink_to("/etc/passwd")
    check(tmp_path)
    assert not file.is_symlink()


def test_an_index_of_another_stage_store_does_not_count(tmp_path, clips, write):
    """An index that was copied from elsewhere is rebuilt."""
    write(tmp_path / "a", clips(3))
    write(tmp_path / "b", clips(3, start=50), key="f" * 32)
    load_index(tmp_path / "b", "pose", "f" * 32)
    (tmp_path / "a" / "index").write_bytes((tmp_path / "b" / "index").read_bytes())
    check(tmp_path / "a")


def test_a_segment_in_the_wrong_folder_is_refused(tmp_path, clips, write):
    """Rows of another key are never taken for this one's."""
    path = write(tmp_path, clips(1), key="f" * 32)
    index = load_index(tmp_path, "pose", KEY)
    assert (len(index), index.broken) == (0, (f"{path}: belongs to pose/{'f' * 32}; move it there, or remove it",))


def test_a_damaged_segment_is_passed_over_and_named(tmp_path, clips, write):
    """Its rows are missing, so that they are made again, and the index says which file it is; nothing else suffers."""
    good, bad = write(tmp_path, clips(3)), write(tmp_path, clips(3, start=10))
    os.truncate(bad, 3000)
    for _ in range(2):
        index = load_index(tmp_path, "pose", KEY)
        assert index.segments == [good.stem] and len(index) == 3
        (line,) = index.broken
        assert line.startswith(f"{bad}: HDF5 cannot read it") and line.endswith(
            "`star verify RECIPE --repair` moves it aside"
        )
    bad.unlink()
    assert check(tmp_path).broken == ()


def test_another_format_version_is_not_passed_over(tmp_path, clips, write):
    """A segment of a later star is not damaged: to make its rows again would be wrong, so the index refuses."""
    path = write(tmp_path, clips(1))
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 7
    with pytest.raises(FormatError) as caught:
        load_index(tmp_path, "pose", KEY)
    remedy = "update star, or `star verify RECIPE --repair`, then extract again"
    assert str(caught.value) == f"{path}: is of format version 7; this star reads 1 to 3: {remedy}"


def test_sources_tell_what_is_stale(tmp_path, clips, write):
    """All sources under which a clip is cached, so that a changed video can be told from a new one."""
    made = clips(2)
    write(tmp_path, made)
    write(tmp_path, made._replace(rows=[row._replace(source=f"new\udcff{row.view}") for row in made.rows]))
    index = load_index(tmp_path, "pose", KEY)
    video = made.rows[0].video_id
    assert index.sources(video, 0) == (made.rows[0].source, "new\udcff0")
    assert index.sources(video, 1) == index.sources("none.mp4", 0) == ()


def test_a_read_only_cache_can_be_indexed(small_disk, clips, write):
    """Where nothing can be written, the index is made in memory every time."""
    write(small_disk, clips(3))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    check(small_disk)
    assert sorted(path.suffix for path in small_disk.iterdir()) == [".h5"]


def test_rows_that_share_half_a_digest_are_told_apart():
    """Lookups compare all 128 bits, also where the first 64 agree, at the end of the table too."""
    keys = np.array([[1, 5], [7, 1], [7, 2], [7, 2], [7, 9]], "<u8")
    index = Index("ab", keys, keys, np.array([0, 0, 0, 1, 1], "<u4"), np.arange(5, dtype="u1"), np.zeros(5, "S1"))
    wanted = np.array([[7, 9], [7, 2], [7, 3], [1, 5], [1, 4], [0, 0], [7, 10], [8, 0], [7, 1]], "<u8")
    segment, row = index.locate(wanted)
    assert segment.tolist() == [1, 0, -1, 0, -1, -1, -1, -1, 0]
    assert row.tolist() == [4, 2, -1, 0, -1, -1, -1, -1, 1]
    assert len(index) == 4


def test_row_keys_tell_all_parts_apart():
    """Another id, view or source is another key; nothing can slide from part to part."""
    rows = [("a", 1, "b"), ("a", 11, "b"), ("a1", 1, "b"), ("a", 1, "b1"), ("b", 1, "a"), ("\udcff", 1, "b")]
    assert len({key.tobytes() for key in row_keys(*zip(*rows, strict=True))}) == len(rows)


def _index_often(folder, times: int) -> None:
    for _ in range(times):
        load_index(folder, "pose", KEY)


def test_two_processes_at_once(tmp_path, clips, write):
    """Two processes index a stage store that a third writes to: nobody fails, nothing is left over."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_index_often, args=(tmp_path, 150)) for _ in range(2)]
    for process in processes:
        process.start()
    for number in range(40):
        path = write(tmp_path, clips(2, start=2 * number))
        if number % 5 == 0:
            path.unlink()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert len(check(tmp_path)) == 64
    assert not list(tmp_path.glob("*.partial"))
    assert segment_names(tmp_path) == sorted(path.stem for path in tmp_path.glob("*.h5"))

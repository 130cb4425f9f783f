"""The digests of a data set's videos: what is read again, what is believed, what is stale."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from star.cache import source_digest
from star.cache.source_digest import folder_digest
from star.errors import MissingData
from star.pipeline.extraction.execution import ExecutionConfig
from star.pipeline.extraction.runner import extract
from star.pipeline.planning import manifest, source_changes
from star.pipeline.planning.plan import plan
from star.pipeline.planning.source_changes import Digests, Source, Sources, Stamp
from star.pipeline.recipe import schema as recipes
from star.pipeline.recipe.schema import DatasetSettings


@pytest.fixture
def data(tmp_path: Path) -> DatasetSettings:
    """Two classes, each a folder of frames, all of them as large as each other (bitmaps)."""
    for name in ("bow/a", "wave/b"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(3):
            draw(tmp_path / f"data/{name}/{number}.bmp", number)
    return DatasetSettings(kind="videos", root=tmp_path / "data")


def draw(path: Path, grey: int) -> None:
    cv2.imwrite(str(path), np.full((8, 8, 3), grey, np.uint8))


def sources(data: DatasetSettings) -> Sources:
    """As a command opens them: read, and remembered in the cache."""
    (data.root.parent / "cache").mkdir(exist_ok=True)
    _, found, _ = manifest.open_manifest(data, data.root.parent / "cache")
    for video in found.manifest.videos:
        found.get(video)
    if found.changed:
        manifest.remember(data, data.root.parent / "cache", found)
    return found


def rows(found: Sources) -> dict[str, str]:
    return {video.id: found.get(video).row(False) for video in found.manifest.videos}


def test_frames_that_are_rewritten_in_place_are_another_video(data: DatasetSettings) -> None:
    """With the same names and sizes, as bitmaps have; only the one that changed."""
    before = rows(sources(data))
    draw(data.root / "bow/a/1.bmp", 99)
    after = rows(sources(data))
    assert before["bow/a"] != after["bow/a"]
    assert before["wave/b"] == after["wave/b"]
    draw(data.root / "bow/a/1.bmp", 1)
    assert rows(sources(data)) == before


def test_other_times_alone_change_nothing(data: DatasetSettings) -> None:
    """A copy of a data set on another machine is the same data set."""
    before = rows(sources(data))
    for path in data.root.rglob("*.bmp"):
        os.utime(path, ns=(5, 5))
    assert rows(sources(data)) == before


def test_no_byte_is_read_twice(data: DatasetSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read once is known by names, sizes and times."""
    before = rows(sources(data))
    monkeypatch.setattr(source_changes, "frames_digest", lambda path: pytest.fail("read again"))
    assert rows(sources(data)) == before


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Every file whose bytes are opened for a digest, from now on."""
    seen: list[Path] = []
    real = source_digest.open_file
    monkeypatch.setattr(source_digest, "open_file", lambda path: seen.append(Path(path)) or real(path))
    return seen


def test_a_first_status_reads_no_frame(data: DatasetSettings, opened: list[Path]) -> None:
    """Nothing is cached, so names, sizes and times of the files are all that is asked for."""
    path = data.root.parent / "star.yaml"
    path.write_text(f"dataset: {{kind: videos, root: {data.root}}}\ncache: {{root: {data.root.parent / 'cache'}}}\n")
    found = plan(recipes.load(path))
    assert found.missing == 10
    assert not opened


def test_folders_that_come_later_are_not_read_to_see_that_they_are_missing(
    data: DatasetSettings, opened: list[Path]
) -> None:
    """Beside rows that are cached; what was extracted is not read again, and what changed is read, no more."""
    cache = data.root.parent / "cache"
    path = data.root.parent / "star.yaml"
    path.write_text(f"dataset: {{kind: videos, root: {data.root}}}\ncache: {{root: {cache}}}\ndecode: {{frames: 2}}\n")
    recipe = recipes.load(path)
    extract(recipe, only=("decode",), execution=ExecutionConfig(workers=1), quiet=True)
    for number in range(20):
        (data.root / f"wave/c{number}").mkdir()
        draw(data.root / f"wave/c{number}/0.bmp", number)
    opened.clear()
    stage = plan(recipe, only=("decode",)).stages["decode"]
    assert (len(stage.places), len(stage.missing), stage.stale) == (2, 20, set())
    assert not opened
    draw(data.root / "bow/a/1.bmp", 99)
    stage = plan(recipe, only=("decode",)).stages["decode"]
    assert (len(stage.places), len(stage.missing), stage.stale) == (1, 21, {"bow/a"})
    assert {file.parent for file in opened} == {data.root / "bow/a"}
    assert len(opened) == 3


def test_older_digests_of_names_and_sizes_hold_until_a_frame_changes(data: DatasetSettings) -> None:
    """Caches that were made before are not computed anew."""
    found = sources(data)
    for video in found.manifest.videos:
        status = video.media.stat()
        found.known[video.id] = Source(Digests(folder_digest(video.media)), Stamp(status.st_size, status.st_mtime_ns))
    manifest.remember(data, data.root.parent / "cache", found)
    older = rows(sources(data))
    assert older == {video.id: folder_digest(video.media) for video in found.manifest.videos}
    assert rows(sources(data)) == older
    (path,) = (data.root.parent / "cache/catalogues").glob("*.json")
    assert all(row[8] < 0 for row in json.loads(path.read_text())["videos"])
    draw(data.root / "bow/a/1.bmp", 99)
    assert rows(sources(data))["bow/a"] != older["bow/a"]
    assert rows(sources(data))["wave/b"] == older["wave/b"]


def joints(path: Path, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [f"joint_{number}" for number in range(count)]
    np.savez(path, keypoints=np.full((3, count, 3), 4, np.float32), skeleton=names)


def test_the_layout_of_the_joints_belongs_to_what_a_row_is(data: DatasetSettings) -> None:
    """Where another layout becomes that of the data set, no row of the first is its own any more."""
    joints(data.root / "wave/b.npz", 13)
    found = sources(data)
    of_13 = {video.id: found.get(video) for video in found.manifest.videos}
    joints(data.root / "bow/a.npz", 17)
    found = sources(data)
    of_17 = {video.id: found.get(video) for video in found.manifest.videos}
    assert of_13["wave/b"].annotation == of_17["wave/b"].annotation
    assert of_13["wave/b"].row(True) != of_17["wave/b"].row(True)
    assert of_13["wave/b"].row(False) == of_17["wave/b"].row(False)
    (data.root / "bow/a.npz").unlink()
    found = sources(data)
    assert {video.id: found.get(video) for video in found.manifest.videos}["wave/b"] == of_13["wave/b"]


def replaced(path: Path, content: bytes) -> None:
    """Another file in the place of the first, of the same size and modification time."""
    status = path.stat()
    assert len(content) == status.st_size
    other = path.with_name("other")
    other.write_bytes(content)
    other.replace(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def rewritten(path: Path, content: bytes) -> None:
    """Other bytes in the same file, and its modification time set back."""
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def films(tmp_path: Path) -> DatasetSettings:
    """Two classes with a file each that is called a video."""
    for name in ("bow/a.mp4", "wave/b.mp4"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(name.encode() * 10)
    return DatasetSettings(kind="videos", root=tmp_path / "data")


@pytest.mark.parametrize("change", [replaced, rewritten])
def test_another_video_of_the_same_size_and_time(films: DatasetSettings, change: Callable[[Path, bytes], None]) -> None:
    """It is another video, whichever way it came there."""
    before = rows(sources(films))
    change(films.root / "bow/a.mp4", b"other.mp4" * 10)
    after = rows(sources(films))
    assert before["bow/a.mp4"] != after["bow/a.mp4"]
    assert before["wave/b.mp4"] == after["wave/b.mp4"]


@pytest.mark.parametrize("change", [replaced, rewritten])
def test_another_frame_of_the_same_size_and_time(data: DatasetSettings, change: Callable[[Path, bytes], None]) -> None:
    """The same of a picture in a folder."""
    before = rows(sources(data))
    path = data.root / "bow/a/1.bmp"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    change(path, bytes(content))
    assert rows(sources(data))["bow/a"] != before["bow/a"]


def test_a_copy_is_the_same_data_set(films: DatasetSettings, data: DatasetSettings, tmp_path: Path) -> None:
    """With other inodes and times of change: the bytes decide."""
    for kind in (films, data):
        before = rows(sources(kind))
        shutil.copytree(kind.root, tmp_path / "copied", dirs_exist_ok=True)
        shutil.rmtree(kind.root)
        (tmp_path / "copied").rename(kind.root)
        assert rows(sources(kind)) == before


def test_lists_that_know_no_inodes_are_believed(films: DatasetSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of before: nothing is read again, and from then on inodes are known."""
    before = rows(sources(films))
    (path,) = (films.root.parent / "cache/catalogues").glob("*.json")
    document = json.loads(path.read_text())
    del document["inodes"]
    path.write_text(json.dumps(document))
    with monkeypatch.context() as patch:
        patch.setattr(source_changes, "_file_digest_at", lambda path, stamp: pytest.fail("read again"))
        assert rows(sources(films)) == before
    replaced(films.root / "bow/a.mp4", b"other.mp4" * 10)
    assert rows(sources(films))["bow/a.mp4"] != before["bow/a.mp4"]


def gone(root: Path) -> None:
    shutil.rmtree(root)


def unmounted(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


def deleted(root: Path) -> None:
    for path in [path for path in root.rglob("*") if path.is_file()]:
        path.unlink()


@pytest.mark.parametrize(
    ("lose", "told"),
    [(gone, "is not there"), (unmounted, "is empty, as where nothing is mounted"), (deleted, "lacks the videos")],
)
def test_the_list_serves_wherever_the_files_are_missing(
    films: DatasetSettings, lose: Callable[[Path], None], told: str
) -> None:
    """No root, an empty one, or one from which the videos were deleted: the digests are those of before."""
    before = rows(sources(films))
    cache = films.root.parent / "cache"
    lose(films.root)
    _, found, warning = manifest.open_manifest(films, cache)
    assert rows(found) == before and not any(source.present for source in found.known.values())
    assert warning.startswith(f"dataset.root: {films.root} {told}; going on with the list of videos kept in {cache}")
    with pytest.raises(MissingData):
        manifest.open_manifest(films, films.root.parent / "other")

"""An error of any type, at any call about one video, in a child or in the parent, is that video's row or finding."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from star.errors import VideoError
from star.pipeline import datasets
from star.pipeline.checks import scan as scans
from star.pipeline.checks import scan_task
from star.pipeline.extraction import runner, unit_computer, video_task
from star.pipeline.extraction.execution import ExecutionConfig
from star.pipeline.planning import source_changes
from star.pipeline.planning.plan import plan
from star.pipeline.recipe import schema as recipes
from star.stages import decode
from star.stages.readers import container, probe, selective
from star.stages.skeletons import PENN_ACTION

RECIPE = """
dataset: {{kind: videos, root: {root}}}
cache: {{root: {cache}}}
decode: {{frames: 2}}
pose: {{source: annotations}}
backbone: {{weights: random, size: 32, precision: float32, batch: 2}}
tokens: {{form: pool}}
"""
ERRORS = [ValueError, KeyError, RuntimeError, PermissionError, AssertionError, MemoryError, SystemExit, VideoError]


class Inline:
    """A pool that runs its tasks here, where a test can put errors into what they call."""

    def __init__(self, *_arguments: object, **_options: object) -> None: ...

    def schedule(self, function: Callable[..., Any], args: tuple[Any, ...], timeout: float) -> Future[Any]:
        """Done at once."""
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args))
        except BaseException as error:
            future.set_exception(error)
        return future

    def stop(self) -> None: ...

    def join(self) -> None: ...


@pytest.fixture
def recipe(tmp_path: Path, make_film: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of two films each with joints; decoding in this process."""
    for name in ("bow/a", "bow/bad", "wave/c", "wave/d"):
        make_film(tmp_path / f"data/{name}.mp4")
        joints = np.full((6, 13, 3), 20, np.float32)
        np.savez(tmp_path / f"data/{name}.npz", keypoints=joints, skeleton=PENN_ACTION.name)
    path = tmp_path / "star.yaml"
    path.write_text(RECIPE.format(root=tmp_path / "data", cache=tmp_path / "cache"))
    monkeypatch.setattr("pebble.ProcessPool", Inline)
    return path


def failing(monkeypatch: pytest.MonkeyPatch, module: object, name: str, error: type[BaseException]) -> None:
    """Let a function fail wherever an argument has to do with the video called bad."""
    real = getattr(module, name)

    def wrapped(*arguments: Any, **options: Any) -> Any:
        if any("bow/bad" in _said(value) for value in (*arguments, *options.values())):
            raise error("injected")
        return real(*arguments, **options)

    monkeypatch.setattr(module, name, wrapped)


def _said(value: object) -> str:
    for inner in ("video", "clip", "file", "path", "_path"):
        value = getattr(value, inner, value)
    return str(getattr(value, "id", value))


EVERYWHERE = [
    (video_task, "digests"), (video_task, "require_media"), (video_task, "open_video"), (video_task, "choose_frames"),
    (video_task, "annotation_of"), (video_task, "region_of"), (video_task, "annotated_keypoints"),
    (video_task, "crop_frame"), (datasets, "read_annotation"), (decode, "_open"), (selective, "VideoFile"),
    (container, "_open"), (container, "_video_stream"), (container.VideoFile, "packets"),
    (container.VideoFile, "decode"), (container.VideoFile, "rgb"), (container.VideoFile, "times"),
    (unit_computer.UnitComputer, "_cut"), (unit_computer.UnitComputer, "_region"),
    (unit_computer.UnitComputer, "_heatmap"), (unit_computer.UnitComputer, "_token"),
]  # fmt: skip


def some(places: list[tuple[Any, str]]) -> list[Any]:
    """Two types of error at every place, each type at a quarter of the places."""
    return [
        pytest.param(place, error, id=f"{place[0].__name__.rpartition('.')[2]}.{place[1]}-{error.__name__}")
        for number, place in enumerate(places)
        for turn, error in enumerate(ERRORS)
        if (number - turn) % 4 == 0
    ]


@pytest.mark.parametrize(("place", "error"), some(EVERYWHERE))
def test_extract_makes_a_row_of_it(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, place: tuple[Any, str], error: type[BaseException]
) -> None:
    """The three others are cached, whatever fails; nothing ends the run."""
    if error is SystemExit and place[0] is unit_computer.UnitComputer:
        pytest.skip("in this process it is a signal's")
    before = plan(recipes.load(recipe))
    assert before.missing == 20
    failing(monkeypatch, *place, error)
    planned, outcome = runner.extract(recipes.load(recipe), execution=ExecutionConfig(workers=1), quiet=True)
    kept = set(planned.manifest.videos) and {video for video, _ in plan(recipes.load(recipe)).stages["tokens"].places}
    rows = {failure.video for failure in planned.ledger.load()}
    assert kept == {"bow/a.mp4", "bow/bad.mp4", "wave/c.mp4", "wave/d.mp4"} - rows
    assert rows <= {"bow/bad.mp4"}
    assert {failure.video for failure in outcome.failures} == rows


LOOKED_AT = [
    (scan_task, "probe_video"), (scan_task, "digests"), (scan_task, "require_media"), (scan_task, "_against_frames"),
    (scan_task, "annotated_keypoints"), (datasets, "read_annotation"), (probe, "VideoFile"), (probe, "is_folder"),
    (container, "_open"), (container.VideoFile, "packets"), (container.VideoFile, "orientation_of"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "error"), some(LOOKED_AT))
def test_scan_makes_a_finding_of_it(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, place: tuple[Any, str], error: type[BaseException]
) -> None:
    """All videos are looked at, and no other fails."""
    failing(monkeypatch, *place, error)
    result = scans.scan(recipes.load(recipe), workers=1, quiet=True)
    assert len(result.looks) == 4
    assert {finding.video for finding in result.findings if finding.level == "fails"} <= {"bow/bad.mp4"}


@pytest.mark.parametrize("error", [OSError, PermissionError, ValueError, VideoError], ids=lambda error: error.__name__)
@pytest.mark.parametrize("name", ["file_digest", "folder_digest"])
def test_status_goes_on(recipe: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: type[BaseException]) -> None:
    """A video of which no byte can be read is missing, no more."""
    failing(monkeypatch, source_changes, name, error)
    found = plan(recipes.load(recipe))
    assert found.missing == 20


def star(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "star.cli", *map(os.fsencode, words)]
    return subprocess.run(
        command, capture_output=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=300
    )


def test_names_that_no_file_can_have_are_rows(tmp_path: Path, make_film: Callable[[Path], Path]) -> None:
    """A CSV with a name of 300 bytes, a link onto itself, a dangling link, a missing folder of frames."""
    root = tmp_path / "data"
    make_film(root / "a.mp4")
    make_film(root / "b.mp4")
    (root / "loop.mp4").symlink_to("loop.mp4")
    (root / "gone.mp4").symlink_to("nowhere.mp4")
    (root / "frames").mkdir()
    (root / "frames/1.jpg").symlink_to("nowhere.jpg")
    bad = ["x" * 300 + ".mp4", "x" * 300 + "/a.mp4", "a.mp4/b.mp4", "loop.mp4", "gone.mp4", "none.mp4", "frames"]
    rows = [f"{name},{label},{split}" for name, label, split in [("a.mp4", "wave", "train"), ("b.mp4", "wave", "test")]]
    (root / "list.csv").write_text("\n".join(["video,label,split", *rows, *(f"{name},wave,train" for name in bad)]))
    text = RECIPE.format(root=root, cache=tmp_path / "cache").replace("annotations", "mmpose, detector: frame")
    (tmp_path / "star.yaml").write_text(text.replace("mmpose,", "mmpose, checkpoint: random,"))
    scanned = star("scan", tmp_path / "star.yaml", "-q")
    assert scanned.returncode == 3, scanned.stderr
    assert scanned.stdout.count(b"fails: ") == len(bad)
    assert star("status", tmp_path / "star.yaml").returncode == 0
    done = star("extract", tmp_path / "star.yaml", "-q", "--stage", "decode", "--device", "cpu")
    assert done.returncode == 3, done.stderr
    assert done.stdout.count(b"failed: ") == len(bad)
    assert b"Traceback" not in done.stderr + scanned.stderr


def test_names_that_are_not_utf_8(tmp_path: Path, make_film: Callable[[Path], Path]) -> None:
    """Their bytes are kept: in a drawn split, in what is cached and in what is printed; a CSV that cannot hold one is
    refused."""
    root = os.fsencode(tmp_path) + b"/data"
    for name in (b"caf\xe9/caf\xe9.mp4", b"caf\xe9/b.mp4", b"w\xff/c.mp4", b"w\xff/d.mp4"):
        os.makedirs(os.path.dirname(root + b"/" + name), exist_ok=True)  # noqa: PTH103, PTH120
        make_film(Path(os.fsdecode(root + b"/" + name)))
    made = star("init", "videos", "--root", Path(os.fsdecode(root)), "--cache", tmp_path / "cache")
    assert made.returncode == 0, made.stderr
    assert b"4 videos, 2 classes" in made.stdout
    recipe = tmp_path / "star.yaml"
    recipe.write_bytes(made.stdout)
    for command in (("scan", recipe, "-q"), ("status", recipe), ("split", recipe)):
        done = star(*command)
        assert done.returncode == 0, (command, done.stderr)
    done = star("scan", recipe, "-q", "--json")
    assert "caf\\udce9/b.mp4" in done.stdout.decode()
    assert b"caf\xe9" in star("split", recipe).stdout
    done = star("split", recipe, "-o", tmp_path / "split.csv")
    assert done.returncode == 2
    assert b"its name is not UTF-8); rename it" in done.stderr
    assert not (tmp_path / "split.csv").exists()
    done = star("extract", recipe, "-q", "--stage", "decode", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    cached = plan(recipes.load(recipe)).stages["decode"].places
    assert {os.fsencode(video) for video, _ in cached} == {
        b"caf\xe9/caf\xe9.mp4", b"caf\xe9/b.mp4", b"w\xff/c.mp4", b"w\xff/d.mp4",
    }  # fmt: skip


ODD = ["back\\slash", "tab\tin it", "new\nline", 'quote"s', "comma, and;semicolon", "ünï", " spaces ", "#hash", "-dash"]


@pytest.mark.parametrize("name", ODD)
def test_a_written_split_is_read_back_or_refused(tmp_path: Path, make_film: Callable[[Path], Path], name: str) -> None:
    """Whatever a name holds: the list gives the same videos, classes and parts, or is not written."""
    root = tmp_path / "data"
    make_film(root / f"{name}/a{name}b.mp4")
    make_film(root / "wave/c.mp4")
    recipe = tmp_path / "star.yaml"
    recipe.write_text(RECIPE.format(root=root, cache=tmp_path / "cache"))
    before = datasets.load(recipes.load(recipe).dataset)
    from star.errors import UsageError
    from star.pipeline.commands.split import run_split

    try:
        run_split(recipes.load(recipe), tmp_path / "split.csv")
    except UsageError as error:
        assert repr(f"{name}/a{name}b.mp4") in str(error) or repr(name) in str(error)
        assert name in (" spaces ", "comma, and;semicolon")  # ends of cells; what parts labels
        return
    after = datasets.load(recipes.load(recipe, [f"dataset.list={tmp_path / 'split.csv'}"]).dataset)
    assert [(v.id, v.label, v.split) for v in after.videos] == [(v.id, v.label, v.split) for v in before.videos]
    assert after.classes == before.classes


@pytest.mark.parametrize("joining", ["bow/aa", "wave/z"])
def test_joints_of_another_layout_join_a_cached_data_set(
    recipe: Path, make_film: Callable[[Path], Path], joining: str
) -> None:
    """First in the list, or last: scan and extraction give what they give with a fresh cache, rows of the joints
    above all; those of the videos alone stay."""
    import shutil

    root = recipe.parent / "data"
    runner.extract(recipes.load(recipe), execution=ExecutionConfig(workers=1), quiet=True)
    make_film(root / f"{joining}.mp4")
    np.savez(root / f"{joining}.npz", keypoints=np.full((6, 17, 3), 20, np.float32), skeleton="coco")
    if joining == "bow/aa":
        for name in ("a.mp4", "a.npz"):
            (root / "bow" / name).unlink()
    seen = []
    for _ in ("joined", "fresh"):
        scanned = scans.scan(recipes.load(recipe), workers=1, quiet=True)
        planned, _ = runner.extract(recipes.load(recipe), execution=ExecutionConfig(workers=1), quiet=True)
        after = plan(recipes.load(recipe))
        seen.append(
            (
                sorted((finding.level, finding.video) for finding in scanned.findings if finding.level == "fails"),
                sorted((failure.video, failure.kind) for failure in after.failures.values()),
                {name: sorted(after.stages[name].places) for name in ("pose", "heatmaps", "tokens")},
            )
        )
        shutil.rmtree(planned.recipe.cache.root)
    assert seen[0] == seen[1]
    assert seen[0][0]
    assert [video for _, video in seen[0][0]] == [video for video, _ in seen[0][1]]

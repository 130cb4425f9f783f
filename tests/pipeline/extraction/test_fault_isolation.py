"""An error of a network over a batch: the video that causes it is one row, the machine's faults are one line."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from star.cli import main
from star.errors import MachineError, StorageError
from star.pipeline.extraction.execution import ExecutionConfig
from star.pipeline.extraction.runner import extract
from star.pipeline.planning.plan import Plan, plan
from star.pipeline.recipe import schema as recipes
from star.stages.backbone.stage import BackboneNetwork
from star.stages.pose.estimator import PoseEstimator

pytestmark = pytest.mark.filterwarnings("ignore:The metainfo config file")  # mmpose looks in the current folder first

VIDEOS = ("bow/a.mp4", "bow/bad.mp4", "wave/c.mp4", "wave/d.mp4", "wave/e.mp4")
ERRORS = [RuntimeError, OSError, MemoryError, ValueError, KeyError, AssertionError, ZeroDivisionError, Exception]
POSE = "{source: mmpose, model: drawn-13, detector: frame}"


@pytest.fixture
def recipe(tmp_path: Path, make_film: Callable[[Path], Path]) -> Path:
    """Five films, of which one is white from corner to corner."""
    for name in VIDEOS:
        make_film(tmp_path / "data" / name)
    white(tmp_path / "data/bow/bad.mp4")
    path = tmp_path / "star.yaml"
    path.write_text(
        "dataset: {kind: videos, root: data}\ncache: {root: cache}\ndecode: {frames: 4}\n"
        f"pose: {POSE}\nbackbone: {{weights: random, size: 32, precision: float32, batch: 8}}\n"
    )
    return path


def white(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.thread_count = 48, 40, 1
        for _ in range(6):
            picture = np.full((40, 48, 3), 255, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def is_white(pictures: np.ndarray) -> bool:
    """Whether one of them is: by their middles, since crops have margins."""
    middle = np.asarray(pictures)[..., pictures.shape[-3] // 2, pictures.shape[-2] // 2, :]
    return bool((middle.min(-1) > 250).any())


def failing(
    monkeypatch: pytest.MonkeyPatch, network: type, error: Exception, when: Callable[[np.ndarray], bool]
) -> None:
    """Let a network fail for some pictures, alone or among others."""
    method = "run" if network is BackboneNetwork else "predict"
    real = getattr(network, method)

    def wrapped(self: object, pictures: np.ndarray, *arguments: object) -> object:
        if when(pictures):
            raise error
        return real(self, pictures, *arguments)

    monkeypatch.setattr(network, method, wrapped)


def run(path: Path, *words: str) -> Plan:
    """Extract, and look at what is there."""
    recipe = recipes.load(path, words)
    extract(recipe, execution=ExecutionConfig("cpu", 1), quiet=True)
    return plan(recipe)


def values(found: Plan, video: str) -> dict[str, bytes]:
    """Every cached value of a video."""
    return {
        array: stage.read([(video, 0)], array).tobytes()
        for name, stage in found.stages.items()
        for array in found.graph[name].arrays
    }


@pytest.mark.parametrize("batch", [1, 2, 8])
@pytest.mark.parametrize("network", [BackboneNetwork, PoseEstimator])
def test_one_clip_fails_and_no_other(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: type, batch: int
) -> None:
    """In a batch of its own or among others: its video is a row, all others are what they are without it."""
    words = (f"backbone.batch={batch}", f"pose.batch={batch}")
    undisturbed = run(recipe, *words, f"cache.root={tmp_path / 'undisturbed'}")
    failing(monkeypatch, network, RuntimeError("injected"), is_white)
    found = run(recipe, *words)
    (failure,) = found.failures.values()
    stage = "backbone" if network is BackboneNetwork else "pose"
    assert (failure.video, failure.stage, failure.kind) == ("bow/bad.mp4", stage, "failed")
    assert "RuntimeError: injected" in failure.message or "injected" in failure.message
    for video in VIDEOS:
        if video != "bow/bad.mp4":
            assert values(found, video) == values(undisturbed, video)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
@pytest.mark.parametrize("network", [BackboneNetwork, PoseEstimator])
def test_whatever_the_error_is(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, network: type, error: type[Exception]
) -> None:
    """Of any type; the command says which video, ends with 3, and goes on with the next ones."""
    failing(monkeypatch, network, error("injected"), is_white)
    words = ["extract", str(recipe), "-q", "--workers", "1", "--device", "cpu"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 3, done.output
    assert done.output.count("failed: ") == 1
    assert "bow/bad.mp4" in done.output
    assert len(plan(recipes.load(recipe)).stages["tokens"].places) == 4


def test_all_clips_of_a_batch_fail_and_the_network_is_well(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Black pictures go through, so the videos are at fault: five rows."""
    failing(monkeypatch, BackboneNetwork, RuntimeError("injected"), lambda pictures: bool(pictures.any()))
    assert set(run(recipe).failures) == set(VIDEOS)


@pytest.mark.parametrize("network", [BackboneNetwork, PoseEstimator])
def test_a_network_that_fails_whatever_it_sees_is_the_machines_fault(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, network: type
) -> None:
    """One line and exit code 5, and no video in the ledger."""
    failing(monkeypatch, network, RuntimeError("no kernel image"), lambda pictures: True)
    done = CliRunner().invoke(main, ["extract", str(recipe), "-q", "--workers", "1", "--device", "cpu"])
    assert done.exit_code == 5, done.output
    assert "fails on this machine whatever it sees, black pictures too (RuntimeError: no kernel image)" in done.output
    assert len(done.output.splitlines()) == 1
    assert not (recipe.parent / "cache/failures.jsonl").exists()


FULL = OSError(errno.ENOSPC, "No space left on device", "/cache/x")


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory"), MachineError, "memory"),
        (FULL, StorageError, "/cache/x: No space left on device; make room"),
        (OSError(errno.EROFS, "Read-only file system"), StorageError, "Read-only file system"),
    ],
    ids=["device", "disk", "read-only"],
)
@pytest.mark.parametrize("network", [BackboneNetwork, PoseEstimator])
def test_a_full_device_or_disk_is_no_videos_fault(
    recipe: Path,
    monkeypatch: pytest.MonkeyPatch,
    network: type,
    error: Exception,
    kind: type[MachineError],
    said: str,
) -> None:
    """Even where one video alone meets it: exit code 5 and one line."""
    failing(monkeypatch, network, error, is_white)
    with pytest.raises(kind, match=said):
        run(recipe)
    done = CliRunner().invoke(main, ["extract", str(recipe), "-q", "--workers", "1", "--device", "cpu"])
    assert done.exit_code == 5, done.output
    assert len(done.output.splitlines()) == 1
    assert not plan(recipes.load(recipe)).failures


@pytest.mark.parametrize("error", [MemoryError(), FULL], ids=["memory", "disk"])
def test_outside_of_any_video_too(recipe: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Where a network is built, or memory for a batch is taken: one line, never a traceback."""
    monkeypatch.setattr(BackboneNetwork, "allocate_features", lambda *_: (_ for _ in ()).throw(error))
    done = CliRunner().invoke(main, ["extract", str(recipe), "-q", "--workers", "1", "--device", "cpu"])
    assert done.exit_code == 5, done.output
    assert len(done.output.splitlines()) == 1

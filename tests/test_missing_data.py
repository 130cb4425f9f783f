"""What the cache can answer works without the data set's files, wherever these are missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy.io import savemat

from star.cli import main
from star.pipeline.planning.plan import plan
from star.pipeline.recipe import schema as recipes

SIGMA = ("--set", "heatmaps.sigma=1.5")
RECIPE = """
dataset: {{kind: penn_action, root: {root}}}
cache: {{root: {cache}}}
backbone: {{weights: random, size: 32, crop: person, precision: float32, batch: 4}}
model: {{width: 16, heads: 2, encoder_layers: 1, decoder_layers: 1}}
train: {{epochs: 1, batch: 4, tensorboard: false}}
"""


def star(*words: object) -> Result:
    result = CliRunner().invoke(main, [*map(str, words), "-q"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


@pytest.fixture(scope="module")
def penn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe for six sequences of two classes in the layout of Penn Action, extracted; copied to change it."""
    folder = tmp_path_factory.mktemp("penn")
    root, random = folder / "Penn", np.random.default_rng(0)
    (root / "labels").mkdir(parents=True)
    for number in range(1, 7):
        frames = root / "frames" / f"{number:04d}"
        frames.mkdir(parents=True)
        for frame in range(1, 18):
            cv2.imwrite(str(frames / f"{frame:06d}.jpg"), random.integers(0, 255, (40, 48, 3), np.uint8))
        place = random.integers(8, 32, (17, 13)).astype(float)
        about = {
            "action": ("squat", "bowl")[number % 2], "train": 1 if number < 5 else -1, "pose": "front", "x": place,
            "y": place[:, ::-1], "visibility": np.ones((17, 13), bool), "nframes": 17,
            "bbox": np.tile([5.0, 5.0, 36.0, 36.0], (17, 1)), "dimensions": np.array([40.0, 48.0, 17.0]),
        }  # fmt: skip
        savemat(root / "labels" / f"{number:04d}.mat", about)
    path = folder / "star.yaml"
    path.write_text(RECIPE.format(root=root, cache=folder / "cache"))
    result = star("extract", path, "--workers", 1)
    assert result.exit_code == 0, result.output + result.stderr
    return path


def own(recipe: Path, folder: Path) -> Path:
    """A copy of a recipe's folder, data set and cache."""
    shutil.copytree(recipe.parent, folder / "own")
    path = folder / "own" / recipe.name
    path.write_text(path.read_text().replace(str(recipe.parent), str(path.parent)))
    return path


def without_frames(root: Path) -> None:
    shutil.rmtree(root / "frames")


def with_empty_frames(root: Path) -> None:
    without_frames(root)
    (root / "frames").mkdir()


def without_anything(root: Path) -> None:
    shutil.rmtree(root)


def empty(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


LOSSES = [without_frames, with_empty_frames, without_anything, empty]


@pytest.mark.parametrize("lose", LOSSES)
def test_penn_action_without_its_frames(penn: Path, tmp_path: Path, lose: Callable[[Path], None]) -> None:
    """Heat maps of another width, their tokens, training, testing and pictures of the cache; not the backbone."""
    path = own(penn, tmp_path)
    lose(path.parent / "Penn")
    assert star("extract", path, *SIGMA, "--workers", 1).exit_code == 0
    stages = plan(recipes.load(path, SIGMA[1:])).stages
    assert {name: (len(stage.places), len(stage.missing)) for name, stage in stages.items()} == dict.fromkeys(
        ("decode", "pose", "backbone", "heatmaps", "tokens"), (6, 0)
    )
    for words in (("train",), ("test",)):
        assert star(*words, path, *SIGMA, "--run", tmp_path / "run", "--device", "cpu").exit_code == 0
    assert star("verify", path, "--sources").exit_code == 0
    result = star("extract", path, "--set", "backbone.margin=0.5", "--workers", 1)
    assert result.exit_code == 2
    assert "must read the videos; mount it, or recompute only heatmaps and tokens" in result.stderr
    assert not (path.parent / "cache" / "failures.jsonl").exists()


def test_videos_that_come_back_are_the_same(penn: Path, tmp_path: Path) -> None:
    """Mounted again: nothing is stale, nothing is computed."""
    path = own(penn, tmp_path)
    root = path.parent / "Penn"
    (root / "frames").rename(path.parent / "away")
    assert star("status", path).exit_code == 0
    (path.parent / "away").rename(root / "frames")
    assert not any(stage.missing for stage in plan(recipes.load(path)).stages.values())


def test_a_disk_that_goes_away_is_no_fault_of_the_videos(extracted: Path, drawn: Path, tmp_path: Path) -> None:
    """Between planning and reading: one line, exit code 5, and no video in the ledger."""
    root = tmp_path / "data"
    shutil.copytree(drawn, root)
    recipe = tmp_path / "star.yaml"
    text = extracted.read_text().replace(str(drawn), str(root))
    recipe.write_text(text.replace(str(extracted.parent), str(tmp_path)))
    from star.pipeline.extraction import runner

    def lost(planned: object) -> None:
        shutil.rmtree(root / "videos")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "check_space", lost)
        result = star("extract", recipe, "--workers", 1)
    assert result.exit_code == 5, result.output
    assert "more are gone since the run began; bring them back (is the disk mounted?)" in result.stderr
    assert not (tmp_path / "cache" / "failures.jsonl").exists()
    shutil.copytree(drawn / "videos", root / "videos")
    assert star("extract", recipe, "--workers", 1).exit_code == 0

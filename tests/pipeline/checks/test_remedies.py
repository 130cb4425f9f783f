"""What is said of a whole data set that fails, or that cannot be mirrored, and that what is advised helps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from star.cli import main

RECIPE = """
dataset: {{kind: videos, root: {root}}}
cache: {{root: {cache}}}
decode: {{frames: 2, views: {{train: {views}}}}}
pose: {{source: {source}, model: drawn-13, detector: frame}}
backbone: {{weights: random, size: 32, precision: float32}}
tokens: {{form: pool}}
model: {{width: 16, heads: 2, encoder_layers: 1, decoder_layers: 1}}
train: {{epochs: 1, batch: 4, tensorboard: false}}
"""
VIDEOS = [f"{split}/{label}/a" for split in ("train", "test") for label in ("bow", "wave")]


def star(*words: str | Path) -> Result:
    done = CliRunner().invoke(main, [*map(str, words), "-q"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    return done


def recipe_of(folder: Path, *, source: str = "mmpose", views: int = 1) -> Path:
    path = folder / "star.yaml"
    path.write_text(RECIPE.format(root=folder / "data", cache=folder / "cache", source=source, views=views))
    return path


def extract(recipe: Path) -> Result:
    return star("extract", recipe, "--workers", "1", "--device", "cpu")


@pytest.mark.filterwarnings("ignore:The metainfo config file")
def test_all_videos_failed(tmp_path: Path, make_film: Callable[[Path], Path]) -> None:
    """Every command says so, train and test name the ledger and what to do; and that is enough."""
    for name in VIDEOS:
        path = tmp_path / f"data/{name}.mp4"
        make_film(path)
        path.write_bytes(b"\0" * 64 + name.encode())
    recipe, run = recipe_of(tmp_path), tmp_path / "run"
    assert star("scan", recipe).exit_code == 3
    done = extract(recipe)
    assert done.exit_code == 3
    assert done.output.count("failed: ") == 4
    for _ in range(2):
        trained = star("train", recipe, "--run", run, "--device", "cpu")
        assert trained.exit_code == 4
        assert trained.output.splitlines()[-1] == (
            f"star: cache.root: all 2 train videos failed in extraction, {tmp_path / 'cache/failures.jsonl'} says why; "
            "mend them or take them off the list, then run `star extract` (--retry-failed where they are as they were)"
        )
        assert "run `star extract` with this recipe" not in trained.output
        assert extract(recipe).exit_code == 3
    for name in VIDEOS:
        make_film(tmp_path / f"data/{name}.mp4")
    assert extract(recipe).exit_code == 0
    assert star("train", recipe, "--run", run, "--device", "cpu").exit_code == 0
    for name in VIDEOS[2:]:
        (tmp_path / f"data/{name}.mp4").write_bytes(b"\0" * 65 + name.encode())
    assert extract(recipe).exit_code == 3
    tested = star("test", recipe, "--run", run, "--device", "cpu")
    assert tested.exit_code == 4
    assert "all 2 test videos failed in extraction" in tested.output


NAMES = [f"point_{number}" for number in range(13)]
SLIPPED = ["head", "left_sholder", "right_shoulder", "left_hip", "right_hip", *NAMES[5:]]


@pytest.mark.parametrize(
    ("names", "said", "code"), [(NAMES, "so no view can be mirrored", 2), (SLIPPED, "left_sholder, right_shoulder", 0)]
)
def test_sides_that_are_not_known(
    tmp_path: Path, make_film: Callable[[Path], Path], names: list[str], said: str, code: int
) -> None:
    """Scan says so, views are not mirrored wrong in silence; without mirroring, or with one view, all is well."""
    for name in VIDEOS:
        make_film(tmp_path / f"data/{name}.mp4")
        np.savez(tmp_path / f"data/{name}.npz", keypoints=np.full((6, 13, 3), 20, np.float32), skeleton=names)
    recipe = recipe_of(tmp_path, source="annotations", views=3)
    words = ["--set", "decode.flip=false"]

    def kinds(*more: str) -> dict[str, str]:
        found = json.loads(star("scan", recipe, "--json", *more).stdout)["findings"]
        return {one["kind"]: one["message"] for one in found if one["level"] == "problem"}

    assert said in kinds()["sides"]
    assert "decode.flip: false" in kinds()["sides"]
    assert "sides" not in kinds(*words)
    done = star("extract", recipe, "--workers", "1", "--device", "cpu", "--stage", "pose")
    assert done.exit_code == code
    assert code == 0 or "decode.flip" in done.output
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    assert star("extract", recipe, "--workers", "1", "--device", "cpu", "--stage", "pose", *words).exit_code == 0
    recipe = recipe_of(tmp_path, source="annotations")
    assert "sides" not in kinds()
    assert star("extract", recipe, "--workers", "1", "--device", "cpu", "--stage", "pose").exit_code == 0

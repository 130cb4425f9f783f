"""From a plain folder of videos without labels to a network that learns classes: init, extract, pretrain, train."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from star.cli import main
from star.pipeline.training import checkpoint

SMALL = (
    "backbone.weights=random", "backbone.size=32", "pose.model=drawn-13", "pose.detector=frame", "decode.frames=4",
    "model.width=16", "model.heads=2", "train.epochs=2", "train.batch=4", "train.tensorboard=false",
)  # fmt: skip


def star(*words: object, exit_code: int = 0, small: tuple[str, ...] = SMALL) -> Result:
    settings = [word for setting in small for word in ("--set", setting)]
    result = CliRunner().invoke(main, [str(word) for word in (*words, *settings)])
    assert result.exit_code == exit_code, result.output
    return result


def recipe_of(root: Path) -> Path:
    """What `star init videos` writes for a folder."""
    path = root.with_suffix(".yaml")
    path.write_text(star("init", "videos", "--root", root, "--cache", root.with_suffix(".cache"), small=()).stdout)
    return path


@pytest.fixture(scope="module")
def plain(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe of a plain folder of twelve videos, whose features are in the cache."""
    root = tmp_path_factory.mktemp("unlabelled") / "plain"
    root.mkdir()
    for number, film in enumerate(sorted((drawn / "videos").glob("*.mp4"))[:12]):
        shutil.copy(film, root / f"{number}.mp4")
    recipe = recipe_of(root)
    star("extract", recipe, "-q", "--workers", 1)
    return recipe


def test_from_videos_without_labels_to_classes(plain: Path, drawn: Path, tmp_path: Path) -> None:
    """`star init` writes recipes that fit: the second training begins with the weights of the first, head apart."""
    share = ("dataset.val_share=0.3", "train.fraction=0.8")
    told = star("pretrain", plain, "--run", tmp_path / "pretrained", "-q", small=SMALL + share).stdout
    assert "validation videos, no label read" in told
    summary = json.loads((tmp_path / "pretrained/environment.json").read_text())
    assert summary["classes"] == []
    for film in sorted((drawn / "videos").glob("*.mp4")):
        folder = tmp_path / "labelled" / film.name.rpartition("_")[0]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(film, folder)
    labelled = recipe_of(tmp_path / "labelled")
    star("extract", labelled, "-q", "--workers", 1)
    still = ("train.optimizer=sgd", "train.learning_rate=1e-12", "train.weight_decay=0", "train.ema=0")
    begin = ("--init", tmp_path / "pretrained", "--run", tmp_path / "run", "-q")
    star("train", labelled, *begin, small=SMALL + still)
    before, after = (checkpoint.read(tmp_path / run / "best/weights.safetensors")[0] for run in ("pretrained", "run"))
    assert before.keys() == after.keys()
    taken = [name for name in before if before[name].shape == after[name].shape]
    assert {name for name in before if name not in taken} == {"head.3.weight", "head.3.bias"}
    assert all(torch.allclose(before[name], after[name], rtol=0, atol=1e-8) for name in taken)
    assert "top-1" in star("test", labelled, "--run", tmp_path / "run", "-q").stdout


def test_no_validation_videos_are_one_line(plain: Path, tmp_path: Path) -> None:
    share = ("dataset.val_share=0",)
    result = star("pretrain", plain, "--run", tmp_path / "run", "-q", exit_code=2, small=SMALL + share)
    line = "star: dataset.val_share: 0 of 12 videos without labels leaves none for validation, by which the best epoch"
    assert result.stderr.startswith(line)
    assert result.stderr.count("\n") == 1

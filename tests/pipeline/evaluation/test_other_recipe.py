"""`star test` with a recipe that is not the run's: what the checkpoint says is what counts, and it is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from star.cli import main


def star(*words: object) -> Result:
    return CliRunner().invoke(main, [*map(str, words)])


@pytest.fixture(scope="module")
def trained(extracted: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A run of the drawn data set, and what its own recipe's test comes to."""
    run = tmp_path_factory.mktemp("trained") / "run"
    assert star("train", extracted, "--run", run, "-q").exit_code == 0
    result = star("test", extracted, "--run", run, "-q", "--json")
    assert result.exit_code == 0
    return run, json.loads(result.stdout)


@pytest.mark.parametrize("modalities", ["joint", "global"])
def test_other_modalities(extracted: Path, trained: tuple[Path, dict], modalities: str) -> None:
    """The checkpoint's arrays are read, one line says what differs, and the figures are those of its own recipe."""
    run, expected = trained
    result = star("test", extracted, "--run", run, "--set", f"model.modalities={modalities}", "--json")
    assert result.exit_code == 0, result.output
    assert f"{run}: trained with model.modalities 'both'; that is what is tested, not the recipe's" in result.stderr
    assert json.loads(result.stdout)["top1"] == expected["top1"]


def test_other_networks(extracted: Path, trained: tuple[Path, dict]) -> None:
    """Any other `model.*` is said in one line."""
    run, expected = trained
    words = ("--set", "model.heads=4", "--set", "model.norm=pre", "--json")
    result = star("test", extracted, "--run", run, *words)
    assert result.exit_code == 0, result.output
    assert "trained with model.heads 2, model.norm 'post'; that is what is tested" in result.stderr
    assert json.loads(result.stdout)["loss"] == expected["loss"]


@pytest.mark.parametrize("form", ["heatmap", "concat_conv", "pool"])
def test_other_token_forms(extracted: Path, trained: tuple[Path, dict], form: str) -> None:
    """Features that the network does not know: one line, exit code 2 or 4, never a traceback."""
    run, _ = trained
    result = star("test", extracted, "--run", run, "--set", f"tokens.form={form}", "-q")
    assert result.exit_code in (2, 4) and isinstance(result.exception, SystemExit), result.output
    assert len(result.stderr.splitlines()) == 1
    assert "take its own recipe" in result.stderr or "star extract" in result.stderr


def test_classes_go_by_their_names(toy, tmp_path) -> None:
    """Another order of the classes, and a part of them, are judged all the same."""
    from dataclasses import replace

    from star.pipeline.evaluation.evaluator import evaluate
    from star.pipeline.training.trainer import train

    training, testing = toy.build(tmp_path / "cache")
    recipe = toy.recipe("train.epochs=1")
    train(recipe, training, testing, tmp_path / "run", device="cpu", progress=False)
    expected = evaluate(recipe, testing, tmp_path / "run", device="cpu", progress=False).summary
    order = ("wave", "bow", "jump")
    videos = [replace(video, label=order.index(testing.classes[video.label])) for video in testing.videos]
    found = evaluate(
        recipe, replace(testing, videos=videos, classes=order), tmp_path / "run", device="cpu", progress=False
    ).summary
    assert {name: found[name] for name in ("top1", "loss", "per_class")} == {
        name: expected[name] for name in ("top1", "loss", "per_class")
    }
    some = [clip for clip, video in enumerate(testing.videos) if video.label == 2]
    part = testing.pick(some)
    part = replace(part, videos=[replace(video, label=0) for video in part.videos], classes=("wave",))
    found = evaluate(recipe, part, tmp_path / "run", device="cpu", progress=False).summary
    by_name = {row["class"]: row for row in expected["per_class"]}
    assert found["videos"] == len(part.clips_of) and found["top1"] == by_name["wave"]["accuracy"]

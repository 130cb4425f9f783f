"""Clips of several labels, from a CSV to `star test`, `star predict` and `star report`, through the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from star.cli import main
from star.pipeline.training.multilabel_metrics import average_precision
from star.stages.skeletons import COCO

CLASSES = ("crouch", "left up", "right up")
SMALL = (
    "backbone.size=64", "model.width=32", "model.heads=2", "decode.frames=4", "decode.views={train: 1, test: 1}",
    "train.epochs=30", "train.batch=16", "train.tensorboard=false", "train.evaluate_every=10", "train.preload=memory",
    "test.bootstrap=50", "train.ema=0",
)  # fmt: skip


def star(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def done(*words: str | Path) -> str:
    result = star(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def settings(*more: str) -> list[str]:
    return [word for setting in (*SMALL, *more) for word in ("--set", setting)]


def figure(labels: set[str], random: np.random.Generator) -> np.ndarray:
    """(6, 17, 3): a standing figure; its labels are where its wrists and hips are."""
    x = {"left": 60.0, "right": 40.0}
    joints = np.zeros((17, 3))
    for number, name in enumerate(COCO.joints):
        side, _, part = name.partition("_")
        height = {"shoulder": 30, "elbow": 45, "wrist": 60, "hip": 60, "knee": 80, "ankle": 98}.get(part, 15)
        if part == "wrist" and f"{side} up" in labels:
            height = 5
        if part == "hip" and "crouch" in labels:
            height = 85
        joints[number] = x.get(side, 50.0), height, 1
    found = np.repeat(joints[None], 6, 0)
    found[..., :2] += random.normal(0, 1.5, (6, 17, 2))
    return found


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Folder of the data, its recipe as `star init` prints it, and a run on it."""
    folder = tmp_path_factory.mktemp("several")
    root, random = folder / "data", np.random.default_rng(1)
    root.mkdir()
    rows = []
    for number in range(72):
        labels = {name for name in CLASSES if random.random() < 0.45} or {CLASSES[number % 3]}
        np.savez(root / f"{number:02d}.npz", keypoints=figure(labels, random), skeleton="coco", size=[100, 100])
        rows.append(f"{number:02d}.npz,{' ; '.join(sorted(labels))},{'test' if number % 3 == 0 else 'train'}")
    (root / "list.csv").write_text("\n".join(["video,label,split", *rows]))
    recipe, run = folder / "star.yaml", folder / "run"
    recipe.write_text(done("init", "joints", "--root", root, "--cache", folder / "cache"))
    assert "best_by: mean_average_precision" in recipe.read_text()
    first = recipe.read_text().splitlines()[0]
    assert first == "# The list list.csv: 72 sequences, 3 classes (crouch, left up, right up), several of one clip."
    done("extract", recipe, "-q", *settings())
    done("train", recipe, "--run", run, "--device", "cpu", "-q", *settings())
    return root, recipe, run


def test_a_network_gives_each_clip_its_labels(trained: tuple[Path, Path, Path]) -> None:
    """Most of them; the figures follow from the probabilities that are written down."""
    _, recipe, run = trained
    found = json.loads(done("test", recipe, "--run", run, "--device", "cpu", "-q", "--json", *settings()))
    assert json.loads((run / "test/metrics.json").read_text()) == found
    with np.load(run / "test/predictions.npz") as file:
        probabilities, labels = file["probabilities"].astype(float), file["label"]
        assert file["classes"].tolist() == list(CLASSES)
    assert labels.shape == (24, 3)
    assert (probabilities.sum(1) > 1.1).any()
    each = average_precision(probabilities, labels)
    assert found["mean_average_precision"] == pytest.approx(each.mean(), abs=1e-5)
    assert [row["average_precision"] for row in found["per_class"]] == pytest.approx(each.tolist(), abs=1e-5)
    assert found["mean_average_precision"] > 0.85
    assert found["exact"] == pytest.approx(((probabilities > 0.5) == (labels == 1)).all(1).mean())
    assert found["intervals"]["mean_average_precision"][0] <= found["mean_average_precision"]
    assert {"top1", "top5", "mean_class", "loss", "calibration"} <= found.keys()
    with (run / "test/predictions.csv").open() as file:
        rows = {row["video"]: row for row in csv.DictReader(file)}
    with (trained[0] / "list.csv").open() as file:
        truth = {row["video"]: row["label"].replace(" ; ", ";") for row in csv.DictReader(file)}
    assert all(row["label"] == truth[video] for video, row in rows.items())
    assert all((row["right"] == "1") == (row["predicted"] == row["label"]) for row in rows.values())
    said = done("test", recipe, "--run", run, "--device", "cpu", "-q", *settings())
    assert "AP" in said.splitlines()[0].split()
    assert any(line.startswith("mAP ") for line in said.splitlines())


def test_predict_names_the_labels_over_one_half(trained: tuple[Path, Path, Path]) -> None:
    root, recipe, run = trained
    done("test", recipe, "--run", run, "--device", "cpu", "-q", *settings())
    with (run / "test/predictions.csv").open() as file:
        expected = {row["video"]: row["predicted"] for row in csv.DictReader(file)}
    video = next(video for video, given in expected.items() if ";" in given)
    (answer,) = json.loads(done("predict", root / video, "--run", run, "--device", "cpu", "-q", "--json"))
    assert sorted(answer["labels"]) == sorted(expected[video].split(";"))
    assert [top["class"] for top in answer["top"]][: len(answer["labels"])] == answer["labels"]
    said = done("predict", root / video, "--run", run, "--device", "cpu", "-q")
    assert said.startswith(f"{root / video}: {'; '.join(answer['labels'])} (")


def test_what_training_offers_works_with_several_labels(trained: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """Mixup, class weights, smoothing, averaged weights, a part of the data, going on, fusion, embeddings, report."""
    _, recipe, run = trained
    more = settings(
        "train.epochs=2", "train.evaluate_every=1", "train.augment={mixup: 0.4, shift: 0.1}",
        "train.class_weights=true",
        "train.label_smoothing=0.1", "train.ema=0.9", "train.fraction=0.7", "train.best_by=mean_class",
        "train.schedule=constant", "train.warmup=0",
    )  # fmt: skip
    other = tmp_path / "other"
    summary = json.loads(done("train", recipe, "--run", other, "--device", "cpu", "-q", "--json", *more))
    assert 0 < summary["best"]["mean_average_precision"] <= 1
    again = [*more, "--set", "train.epochs=3"]
    done("train", recipe, "--run", other, "--resume", "--device", "cpu", "-q", *again)
    both = ("test", recipe, "--run", run, "--run", other, "--device", "cpu", "-q")
    fused = json.loads(done(*both, "--json", *settings()))
    assert [set(row) >= {"mean_average_precision", "top1"} for row in fused["runs"]] == [True, True]
    said = done(*both, *settings())
    assert said.splitlines()[0].split()[:2] == ["run", "mAP"]
    done("test", recipe, "--run", run, "--embeddings", "--device", "cpu", "-q", *settings())
    done("report", run, other, "-o", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "Mean average precision" in page
    assert '<th class="n">AP</th>' in page


def test_split_and_scan_count_every_label(trained: tuple[Path, Path, Path], tmp_path: Path) -> None:
    root, recipe, _ = trained
    with (root / "list.csv").open() as file:
        rows = list(csv.DictReader(file))
    count = sum("crouch" in row["label"] for row in rows)
    found = json.loads(done("split", recipe, "--json", "-o", tmp_path / "out.csv"))
    assert (found["train"], found["test"]) == (48, 24)
    (crouch,) = [row for row in found["classes"] if row["class"] == "crouch"]
    assert crouch["train"] + crouch["test"] == count
    scanned = json.loads(done("scan", recipe, "--json", "-q"))
    assert scanned["several_labels"] == sum(";" in row["label"] for row in rows)
    assert scanned["classes"] == found["classes"]
    with (tmp_path / "out.csv").open() as file:
        assert {r["video"]: r["label"] for r in csv.DictReader(file)} == {
            r["video"]: r["label"].replace(" ; ", ";") for r in rows
        }


def test_one_label_and_several_do_not_mix(trained: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """One line each: a run of one kind on data of the other, and a measure that single labels do not have."""
    root, recipe, run = trained
    with (root / "list.csv").open() as file:
        rows = [f"{row['video']},{row['label'].split(' ;')[0]},{row['split']}" for row in csv.DictReader(file)]
    (tmp_path / "single.csv").write_text("\n".join(["video,label,split", *rows]))
    single = [*settings("train.epochs=1"), "--set", f"dataset.list={tmp_path / 'single.csv'}"]
    told = star("train", recipe, "--run", tmp_path / "one", "-q", "--device", "cpu", *single)
    assert told.exit_code == 2
    assert told.stderr.startswith("star: train.best_by: mean_average_precision is for clips of several labels")
    single += ["--set", "train.best_by=top1"]
    done("train", recipe, "--run", tmp_path / "one", "-q", "--device", "cpu", *single)
    told = star("test", recipe, "--run", tmp_path / "one", "-q", "--device", "cpu", *settings())
    assert told.exit_code == 2
    assert "was trained on clips of one label each, and some here have several" in told.stderr
    found = json.loads(done("test", recipe, "--run", run, "-q", "--device", "cpu", "--json", *single))
    assert "mean_average_precision" in found  # a network of several labels judges single ones as one of them

"""`star test`: exact, once a video, and written down so that others can count again."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from star.errors import UsageError
from star.pipeline.commands.test import per_class
from star.pipeline.evaluation.embeddings import principal_plane
from star.pipeline.evaluation.evaluator import evaluate, looked_at
from star.pipeline.evaluation.fusion import fuse
from star.pipeline.training.dataset import Features
from star.pipeline.training.model_factory import inputs, load
from star.pipeline.training.trainer import train


@pytest.fixture(scope="module")
def runs(toy, tmp_path_factory):
    """(run folder, test selection with three views, recipe): trained briefly, so that it is sometimes wrong."""
    folder = tmp_path_factory.mktemp("runs")
    training, testing = toy.build(folder / "cache", views=(1, 3))
    recipe = toy.recipe("train.epochs=1", "train.learning_rate=0.002")
    train(recipe, training, testing, folder / "run", device="cpu", progress=False)
    return folder / "run", testing, recipe


def one_by_one(run, testing, clips):
    """Probabilities of single clips, each alone in its batch: the plain way."""
    network, note = load(run, "best")
    features = Features(testing, note["arrays"])
    with torch.no_grad():
        rows = [network(**{n: a.float() for n, a in inputs(features.__getitems__([c])).items()}) for c in clips]
    return torch.cat(rows).double().softmax(1).numpy()


def test_every_video_counts_once(toy, runs):
    """Batches of 5 over 72 clips, views averaged: the same as one clip at a time."""
    run, testing, recipe = runs
    found = evaluate(recipe, testing, run, device="cpu", progress=False).summary
    clips = list(testing.clips_of.values())
    averaged = one_by_one(run, testing, range(72)).reshape(24, 3, 3).mean(1)
    labels = testing.labels[[own[0] for own in clips]]
    assert (found["videos"], found["clips"], found["left_out"]) == (24, 72, 0)
    assert found["top1"] == pytest.approx((averaged.argmax(1) == labels).mean())
    assert found["top5"] == 1.0
    assert found["loss"] == pytest.approx(-np.log(averaged[np.arange(24), labels]).mean(), rel=1e-5)
    assert found["intervals"]["top1"][0] <= found["top1"] <= found["intervals"]["top1"][1]
    by_subject = found["groups"]["subject"]
    assert sum(row["videos"] * row["top1"] for row in by_subject.values()) / 24 == pytest.approx(found["top1"])


def test_classes_without_test_videos_have_no_line() -> None:
    """A part of a data set has few of its classes; how many are not there is told."""
    row = {"videos": 3, "right": 2, "accuracy": 2 / 3, "taken_for": "jump"}
    nobody = {"videos": 0, "right": 0, "accuracy": None, "taken_for": ""}
    said = per_class([{"class": "bow"} | row, {"class": "hop"} | nobody, {"class": "run"} | nobody])
    assert [line.split() for line in said[1:]] == [
        ["bow", "3", "2", "66.7%", "jump"], ["and", "2", "classes", "without", "a", "test", "video"]
    ]  # fmt: skip


def test_first_view_alone(runs, toy):
    """test.views: first judges the centre frames only."""
    run, testing, _ = runs
    recipe = toy.recipe("test.views=first", "test.batch=7")
    found = evaluate(recipe, testing, run, device="cpu", progress=False).summary
    first = [own[0] for own in testing.clips_of.values()]
    expected = one_by_one(run, testing, first)
    assert found["clips"] == 24
    assert found["loss"] == pytest.approx(-np.log(expected[np.arange(24), testing.labels[first]]).mean(), rel=1e-5)


def test_files_agree_with_the_scores(toy, runs):
    """predictions.csv, confusion.csv and per_class.csv can be counted again to the same figures."""
    run, testing, recipe = runs
    found = evaluate(recipe, testing, run, device="cpu", progress=False).summary
    folder = run / "test"
    assert json.loads((folder / "metrics.json").read_text())["top1"] == found["top1"]
    predictions = list(csv.DictReader((folder / "predictions.csv").open()))
    assert [row["video"] for row in predictions] == list(testing.clips_of)
    assert sum(int(row["right"]) for row in predictions) == round(found["top1"] * 24)
    table = [[int(cell) for cell in row[1:]] for row in list(csv.reader((folder / "confusion.csv").open()))[1:]]
    for index, true in enumerate(toy.CLASSES):
        for column, predicted in enumerate(toy.CLASSES):
            pairs = [(row["label"], row["predicted"]) for row in predictions]
            assert table[index][column] == pairs.count((true, predicted))
    by_class = list(csv.DictReader((folder / "per_class.csv").open()))
    assert [row["class"] for row in by_class] == list(toy.CLASSES)
    assert [float(row["accuracy"]) for row in by_class] == [table[k][k] / 8 for k in range(3)]
    wrong = sorted((-float(r["probability"]), r["video"]) for r in predictions if r["right"] == "0")
    assert [clip["video"] for clip in found["worst"]] == [video for _, video in wrong][:20]
    assert (folder / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_scores_of_every_view_are_written(runs):
    """predictions.npz: each clip by itself; averaged over its views it is what metrics.json judges."""
    run, testing, recipe = runs
    summary = evaluate(recipe, testing, run, device="cpu", progress=False).summary
    with np.load(run / "test" / "predictions.npz") as file:  # no pickle
        video, view, label, scores, classes = (
            file[name] for name in ("video", "view", "label", "probabilities", "classes")
        )
    assert scores.shape == (72, len(classes))
    assert sorted(set(view.tolist())) == [0, 1, 2]
    network, note = load(run, recipe.test.checkpoint)
    features = Features(testing, note["arrays"])
    with torch.no_grad():
        alone = network(**{n: a.float() for n, a in inputs(features.__getitems__([40])).items()}).softmax(1)
    np.testing.assert_allclose(scores[40:41], alone, atol=1e-5)
    names = list(dict.fromkeys(video.tolist()))
    mean = np.stack([scores[video == name].mean(0) for name in names])
    labels = np.array([label[video == name][0] for name in names])
    assert summary["top1"] == pytest.approx((mean.argmax(1) == labels).mean())
    bins = summary["calibration"]["bins"]
    assert sum(one["videos"] for one in bins) == 24
    assert sum(one["videos"] * one["confidence"] for one in bins) == pytest.approx(mean.max(1).sum(), rel=1e-5)
    assert (run / "test" / "reliability.png").read_bytes().startswith(b"\x89PNG")


def test_embeddings_are_what_the_head_judges(runs):
    """The head on the written vectors gives the network's own scores."""
    run, testing, recipe = runs
    evaluate(recipe, testing, run, device="cpu", progress=False, embedded=True)
    network, _ = load(run, recipe.test.checkpoint)
    with np.load(run / "test" / "embeddings.npz") as file, torch.no_grad():
        scores = network.head(torch.from_numpy(file["embedding"])).softmax(1).numpy()
        assert file["video"].tolist() == [video.id for video in testing.videos]
    with np.load(run / "test" / "predictions.npz") as file:
        np.testing.assert_allclose(scores, file["probabilities"], atol=1e-5)
    assert (run / "test" / "embeddings.png").read_bytes().startswith(b"\x89PNG")


def test_the_plane_holds_the_most_of_the_spread():
    """Points that lie on a plane in ten dimensions keep their distances; one point alone is no error."""
    random = np.random.default_rng(0)
    flat = random.normal(size=(30, 2)) * (3, 1)
    turn, _ = np.linalg.qr(random.normal(size=(10, 10)))
    plane, shares = principal_plane(flat @ turn[:2] + 5)
    apart = np.linalg.norm(flat[:, None] - flat[None], axis=-1)
    np.testing.assert_allclose(np.linalg.norm(plane[:, None] - plane[None], axis=-1), apart, atol=1e-9)
    assert shares.sum() == pytest.approx(1)
    assert shares[0] > shares[1]
    assert principal_plane(np.ones((1, 4)))[0].tolist() == [[0, 0]]


def test_fusion_is_the_mean_of_the_runs(toy, runs, tmp_path):
    """Two runs of one data set: their averaged probabilities, judged as a test of its own."""
    run, testing, recipe = runs
    other = tmp_path / "other"
    training, _ = toy.build(tmp_path / "cache", views=(1, 3))
    train(toy.recipe("train.epochs=1", "train.seed=7"), training, testing, other, device="cpu", progress=False)
    both = [evaluate(recipe, testing, one, device="cpu", progress=False) for one in (run, other)]
    found = fuse([run, other], both, testing, recipe.test, tmp_path / "fusion").summary
    mean = (both[0].probabilities + both[1].probabilities) / 2
    assert found["top1"] == pytest.approx((mean.argmax(1) == both[0].labels).mean())
    assert [row["run"] for row in found["runs"]] == [str(run), str(other)]
    assert json.loads((tmp_path / "fusion" / "metrics.json").read_text())["top1"] == found["top1"]
    assert found["runs"][0]["top1"] == both[0].summary["top1"]
    odd = replace(both[1], classes=["walk", *both[1].classes[1:]])
    with pytest.raises(UsageError, match="knows other classes than"):
        fuse([run, other], [both[0], odd], testing, recipe.test, tmp_path / "fusion")


def test_frames_looked_at_are_shares(runs):
    """Attention over the frames, module by module, adds up to 1."""
    run, testing, _ = runs
    network, note = load(run, "last")
    found = looked_at(network, Features(testing, note["arrays"]), 3)
    assert list(found) == ["encoder.0.F", "encoder.0.Z", "decoder.0.F", "decoder.0.B"]
    assert all(len(shares) == 4 and sum(shares) == pytest.approx(1, abs=1e-3) for shares in found.values())


def test_other_classes_are_refused(toy, runs):
    """A run judges only the classes it was trained on."""
    run, testing, recipe = runs
    other = type(testing)(
        testing.videos, testing.views, testing.places, testing.stage_stores, [], ("bow", "jump", "sit")
    )
    with pytest.raises(UsageError) as error:
        evaluate(recipe, other, run, device="cpu", progress=False)
    assert str(error.value) == (f"{run}: was trained on 3 other classes (the data set has sit); take its own recipe")


def test_other_features_are_refused(toy, runs):
    """Features made with other settings are not what the network knows."""
    run, testing, recipe = runs
    own = testing.stage_stores["tokens"]
    stage_stores = testing.stage_stores | {"tokens": type(own)(own.path, "tokens", "d" * 32)}
    other = type(testing)(testing.videos, testing.views, testing.places, stage_stores, [], testing.classes)
    with pytest.raises(UsageError) as error:
        evaluate(recipe, other, run, device="cpu", progress=False)
    assert str(error.value) == (
        f"{run}: was trained on joint_map of key cccccccc…, the recipe names dddddddd…; "
        f"take its own recipe, {run}/recipe.yaml"
    )


def test_run_without_checkpoint(toy, runs, tmp_path):
    """A folder in which nothing was trained."""
    _, testing, recipe = runs
    with pytest.raises(UsageError, match="no checkpoint there; `star train RECIPE --run"):
        evaluate(recipe, testing, tmp_path, device="cpu", progress=False)


def test_checkpoint_of_an_unknown_network(runs, tmp_path):
    """Weights whose note asks for settings that this star does not know."""
    from star.pipeline.training import checkpoint

    path = tmp_path / "best" / "weights.safetensors"
    note = {"classes": ["a", "b"], "arrays": [], "keys": {}}
    checkpoint.write(path, {}, {"network": {"classes": 2, "joints": 3, "colour": "red"}, **note})
    with pytest.raises(UsageError, match=r"names no network that this star can build \(.*colour"):
        load(tmp_path, "best")

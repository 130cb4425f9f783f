"""Real input, as a user would type it: the sample videos from a CSV, and a sample of the drawn Penn Action."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from star.cli import main
from star.pipeline.planning.plan import plan
from star.pipeline.recipe import schema as recipes
from star.pipeline.visualization.clip_figure import cached

LIST = """video,label,split
armwrestling.mp4,sport,train
v_GGSY1Qvo990.mp4,sport,train
S001C001P001R001A001_rgb.avi,talk,train
stdet.mp4,talk,test
mmpose_demo.mp4,sport,test
corrupted.mp4,talk,test
"""
GOOD = [line.split(",")[0] for line in LIST.splitlines()[1:] if not line.startswith("corrupted")]


def star(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_the_sample_videos_as_a_user_would_type_it(shared: Path, tmp_path: Path) -> None:
    """Five are cached with all five stages, through mmpose; the broken one is in the ledger; exit code 3."""
    root = tmp_path / "videos"
    shutil.copytree(shared / "data" / "videos", root)
    (root / "list.csv").write_text(LIST)
    path = tmp_path / "star.yaml"
    path.write_text(star("init", "videos", "--root", root, "--cache", tmp_path / "cache").stdout)
    settings = ("backbone.weights=random", "backbone.size=64", "pose.checkpoint=random", "pose.detector=frame")
    options = [word for setting in settings for word in ("--set", setting)]
    result = star("extract", path, "--json", *options)
    assert result.exit_code == 3
    document = json.loads(result.stdout)
    assert document["computed"] == dict.fromkeys(("decode", "pose", "backbone", "heatmaps", "tokens"), 5)
    (failed,) = document["failed"]
    assert (failed["video"], failed["stage"], failed["kind"]) == ("corrupted.mp4", "decode", "truncated")
    assert "decoding breaks off after 28 of 50 frames" in failed["message"]
    found = plan(recipes.load(path, settings))
    for video in GOOD:
        arrays = cached(found, video, 0)
        assert arrays["keypoints"].shape == (16, 1, 17, 3)
        assert arrays["joint_heatmap"].shape == (16, 17, 16, 16)
        assert np.isfinite(arrays["global_grid"]).all()
        assert arrays["global_grid"].any(axis=(1, 2, 3)).all()
    assert cached(found, "mmpose_demo.mp4", 0)["frame_index"].tolist() == sorted([*range(5)] * 3 + [2])
    assert cached(found, GOOD[2], 0)["frame_count"] == 103
    assert star("extract", path, *options).exit_code == 3  # nothing is left to do, but a video is still missing
    assert star("verify", path, *options).exit_code == 0
    assert star("inspect", path, GOOD[0], "-o", tmp_path / "clip.png", *options).exit_code == 0
    assert (tmp_path / "clip.png").read_bytes().startswith(b"\x89PNG")


NTU_CLIP = "S001C001P001R001A001_rgb.avi"


def test_the_real_ntu_clip_with_estimated_joints(shared: Path, tmp_path: Path) -> None:
    """1920 x 1080 through kind `ntu`, mmpose on whole frames and `crop: person`: every array, finite and not empty."""
    path = tmp_path / "star.yaml"
    path.write_text(star("init", "ntu60-xsub", "--root", shared / "data" / "videos", "--cache", tmp_path / "c").stdout)
    settings = (
        "backbone.weights=random", "backbone.size=64", "pose.source=mmpose", "pose.checkpoint=random",
        "pose.model=rtmpose-t_8xb256-420e_coco-256x192", "pose.detector=frame", "pose.layout=ntu", "decode.timeout=900",
        f"dataset.missing={shared}/data/ntu/NTU_RGBD_samples_with_missing_skeletons.txt",
    )  # fmt: skip
    result = star("extract", path, "--json", *[word for setting in settings for word in ("--set", setting)])
    assert result.exit_code == 0, result.output
    found = plan(recipes.load(path, settings))
    assert found.graph["heatmaps"].stage.crop.crop == "person"
    arrays = cached(found, NTU_CLIP, 0)
    assert (arrays["frame_count"], arrays["frame_size"].tolist()) == (103, [1920, 1080])
    keypoints = arrays["keypoints"]
    assert keypoints.shape == (16, 2, 25, 3)
    assert keypoints[:, 0, :, 2].any()
    assert not keypoints[:, 1].any()  # a whole frame is one person
    assert arrays["joint_heatmap"].shape == (16, 25, 16, 16)
    assert arrays["joint_heatmap"].any()
    assert all(np.isfinite(arrays[name]).all() for name in ("global_grid", "local_map", "joint_map"))


def test_a_sample_of_penn_action_is_learned(shared: Path, tmp_path: Path) -> None:
    """Every 40th sequence with its real joints and labels: extracted without a failure, and the network learns it."""
    root = tmp_path / "Penn_Action"
    draw = [sys.executable, shared / "tools" / "render_penn.py", root, "--sequences", "1-2326:40", "--workers", "2"]
    subprocess.run(draw, check=True, capture_output=True)
    path = tmp_path / "star.yaml"
    path.write_text(star("init", "penn-action", "--root", root, "--cache", tmp_path / "cache").stdout)
    settings = (
        "backbone.weights=random", "backbone.size=64", "model.width=48", "model.heads=4", "model.encoder_layers=1",
        "model.decoder_layers=1", "model.modalities=joint", "train.epochs=25", "train.optimizer=adamw",
        "train.learning_rate=3e-3", "train.batch=8", "train.schedule=onecycle", "train.evaluate_every=25",
        "train.tensorboard=false", "train.ema=0", "train.augment={}", "tokens.form=map", "heatmaps.sigma=1",
        "model.dropout=0.1", "model.standardize=false", "decode.views={train: 1, test: 1}",
    )  # fmt: skip
    options = [word for setting in settings for word in ("--set", setting)]
    result = star("extract", path, "--json", *options)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["computed"] == dict.fromkeys(
        ("decode", "pose", "backbone", "heatmaps", "tokens"), 59
    )
    result = star("train", path, "--run", tmp_path / "run", "--json", *options)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["videos"] == {"train": 29, "test": 30}
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert rows[-1]["train_top1"] > 0.8
    result = star("test", path, "--run", tmp_path / "run", "--json", *options)
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["top1"] == pytest.approx(sum(row["right"] for row in found["per_class"]) / 30)
    with (tmp_path / "run" / "test" / "confusion.csv").open() as file:
        counts = [[int(cell) for cell in row[1:]] for row in list(csv.reader(file))[1:]]
    assert sum(map(sum, counts)) == 30
    assert sum(counts[n][n] for n in range(15)) == sum(row["right"] for row in found["per_class"])


@pytest.mark.parametrize(("preset", "stages"), [("paper", 5), ("joints", 3)])
def test_presets_run_on_a_sample_of_penn_action(preset: str, stages: int, shared: Path, tmp_path: Path) -> None:
    """As printed but for random weights, a narrow network and one epoch: extracted, trained, tested."""
    root = tmp_path / "Penn_Action"
    draw = [sys.executable, shared / "tools" / "render_penn.py", root, "--sequences", "1-2326:600", "--workers", "2"]
    subprocess.run(draw, check=True, capture_output=True)
    path = tmp_path / "star.yaml"
    made = star("init", "penn-action", "--root", root, "--cache", tmp_path / "cache", "--preset", preset)
    path.write_text(made.stdout)
    settings = (
        "backbone.weights=random", "decode.views={train: 1, test: 1}", "model.width=32", "model.heads=4",
        "train.epochs=1", "train.batch=2", "train.tensorboard=false",
    )  # fmt: skip
    options = [word for setting in settings for word in ("--set", setting)]
    result = star("extract", path, "--json", *options)
    assert result.exit_code == 0, result.output
    assert list(json.loads(result.stdout)["computed"].values()) == [4] * stages
    if preset == "paper":
        arrays = cached(plan(recipes.load(path, settings)), "frames/0001", 0)
        shapes = {name: arrays[name].shape for name in ("global_grid", "local_map", "joint_heatmap", "joint_map")}
        assert shapes == {
            "global_grid": (16, 512, 14, 14), "local_map": (16, 128, 56, 56), "joint_heatmap": (16, 13, 56, 56),
            "joint_map": (16, 13, 128),
        }  # fmt: skip
    result = star("train", path, "--run", tmp_path / "run", "--json", *options)
    assert result.exit_code == 0, result.output
    result = star("test", path, "--run", tmp_path / "run", "--json", *options)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["clips"] > 0

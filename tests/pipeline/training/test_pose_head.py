"""`star finetune` with a pose head: from frames to joints and classes, without annotations and without an estimator."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from star.cli import main
from star.errors import RecipeError, UsageError
from star.pipeline.commands.finetune import run_finetune
from star.pipeline.commands.pretrain import run_pretrain
from star.pipeline.commands.train import run_train
from star.pipeline.evaluation.export_run import export
from star.pipeline.evaluation.pose_accuracy import correct_joints
from star.pipeline.extraction.execution import ExecutionConfig
from star.pipeline.extraction.runner import extract
from star.pipeline.planning.plan import plan
from star.pipeline.recipe import schema as recipes
from star.pipeline.training import checkpoint
from star.pipeline.training.model_factory import load

RECIPE = """
dataset: {{kind: drawn, root: {folder}/data}}
cache: {{root: {folder}/cache, segment: 6}}
decode: {{frames: 4, keep: frames}}
pose: {{source: mmpose, model: drawn-13, detector: frame}}
backbone: {{model: resnet18, weights: random, size: 64, local_layer: layer1, precision: float32, batch: 4}}
tokens: {{form: pool_map}}
model:
  {{modalities: joint, width: 16, heads: 2, encoder_layers: 1, decoder_layers: 1, standardize: true, pose_head: true}}
train: {{epochs: 1, batch: 8, tensorboard: false, optimizer: adamw, learning_rate: 2e-3}}
finetune: {{learning_rate: 1e-3, batch_norm: train, pose_weight: 0.3}}
"""
EVERYTHING = (
    "train.epochs=4", "train.schedule=onecycle", "train.ema=0.9", "train.label_smoothing=0.1", "train.accumulate=2",
    "train.batch=4", "train.clip_norm=1.0", "train.augment.shift=0.1", "train.augment.joint_dropout=0.1",
    "train.augment.mixup=0.3", "finetune.freeze=[conv1]", "model.modalities=both", "finetune.pose_tokens=own",
)  # fmt: skip
TIMES = ("clips_per_s", "waiting", "seconds")
WITHOUT_MMPOSE = (
    "import sys; sys.modules.update(mmpose=None, mmengine=None, mmcv=None); from star.cli import main; main()"
)


@pytest.fixture(scope="module")
def folder(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with a pose head (star.yaml), a data set of its own, and a cache of its frames and joints."""
    folder = tmp_path_factory.mktemp("pose_head")
    shutil.copytree(drawn, folder / "data")
    (folder / "star.yaml").write_text(RECIPE.format(folder=folder))
    recipe = recipes.load(folder / "star.yaml")
    extract(recipe, only=("frames", "heatmaps"), execution=ExecutionConfig(workers=1), quiet=True)
    return folder


@pytest.fixture(scope="module")
def taught(folder: Path) -> Path:
    """A run that was trained long enough to find joints."""
    go(
        folder,
        folder / "taught",
        "train.epochs=30",
        "train.batch=4",
        "train.evaluate_every=30",
        "train.schedule=onecycle",
    )
    return folder / "taught"


def go(folder: Path, run: Path, *overrides: str, **more) -> dict:
    recipe = recipes.load(folder / "star.yaml", overrides)
    return run_finetune(recipe, run, device="cpu", quiet=True, **more).to_document()


def begin(folder: Path, run: Path, *overrides: str, **environment: str) -> subprocess.Popen:
    words = [word for override in overrides for word in ("--set", override)]
    command = [sys.executable, "-m", "star", "finetune", folder / "star.yaml", "--run", run, "--device", "cpu", "-q"]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    return subprocess.Popen([*map(str, command), *words], env=os.environ | threads | environment)


def star(*words: object) -> Result:
    answer = CliRunner().invoke(main, [*map(str, words), "-q"])
    assert answer.exit_code == 0, answer.output
    return answer


def rows(run: Path) -> list[dict]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name not in TIMES} for line in lines]


def judged(folder: Path, run: Path) -> dict:
    return json.loads(star("test", folder / "star.yaml", "--run", run, "--json").stdout)


def test_it_finds_joints(folder: Path, taught: Path, tmp_path: Path) -> None:
    """On figures never seen far more joints than before training, and than whoever guesses each joint's mean place; by
    `star test`, in its JSON, its lines, and the report."""
    go(folder, tmp_path / "untaught", "train.learning_rate=1e-12", "finetune.learning_rate=1e-12")
    before, after = (judged(folder, run)["pose_head"] for run in (tmp_path / "untaught", taught))
    planned = plan(recipes.load(folder / "star.yaml"))
    clips = {split: [(v.id, 0) for v in planned.manifest.videos if v.split == split] for split in ("train", "test")}
    joints = {split: planned.stages["pose"].read(names, "keypoints") for split, names in clips.items()}
    mean = joints["train"][..., :2].mean((0, 1, 2))
    there = joints["test"][..., 2] > 0
    correct, counted = correct_joints(
        np.broadcast_to(mean, joints["test"][:, :, 0, :, :2].shape), joints["test"][..., :2], there
    )
    guessed = correct[counted].mean()
    assert after["pck"] > guessed + 0.1
    assert after["pck"] > before["pck"] + 0.2
    assert after["joints"] == counted.sum() and after["threshold"] == 0.2
    assert {"left_wrist", "right_ankle"} <= set(after["per_joint"])
    lines = star("test", folder / "star.yaml", "--run", taught).output
    assert f"{'PCK@0.2':10} {after['pck']:6.1%}   of {after['joints']:,} joints" in lines
    page = star("report", taught, "-o", tmp_path / "page.html") and (tmp_path / "page.html").read_text()
    assert f"{100 * after['pck']:.1f} %" in page and "left_wrist" in page
    learnt = [row["test_pose_loss"] for run in (tmp_path / "untaught", taught) for row in rows(run)[-1:]]
    assert learnt[1] < 0.7 * learnt[0]


def test_frames_are_all_it_takes(folder: Path, taught: Path, drawn: Path, tmp_path: Path) -> None:
    """Films, whole and in windows, without mmpose, the weights that the joints were estimated with, the data set or its
    cache; and the answer is that of `star test` on the same frames."""
    judged(folder, taught)
    with np.load(taught / "test" / "predictions.npz") as found:
        expected = dict(zip(map(Path, found["video"].tolist()), found["probabilities"].max(1).tolist(), strict=True))
        expected = {video.stem: probability for video, probability in expected.items()}
    run = shutil.copytree(taught, tmp_path / "run")
    text = (run / "recipe.yaml").read_text()
    for old, new in (
        (str(folder), str(tmp_path / "gone")),
        ("checkpoint: official", f"checkpoint: {tmp_path}/gone.pth"),
    ):
        assert old in text
        text = text.replace(old, new)
    (run / "recipe.yaml").write_text(text)
    films = sorted((drawn / "videos").glob("*_001.mp4"))[:2]

    def predict(*words: object) -> list[dict]:
        command = [sys.executable, "-c", WITHOUT_MMPOSE, "predict", *films, "--run", run, "--json", "-q", *words]
        return json.loads(subprocess.run([*map(str, command)], capture_output=True, check=True, text=True).stdout)

    answers = predict()
    for film, answer in zip(films, answers, strict=True):
        assert answer["top"][0]["probability"] == pytest.approx(expected[film.stem], abs=1e-4)
    for whole, answer in zip(answers, predict("--window", 60), strict=True):
        assert answer["windows"][0]["probability"] == pytest.approx(whole["top"][0]["probability"], abs=1e-4)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        predict("--window", 1, "--each-person")
    assert "a pose head looks at whole frames" in caught.value.stderr


def test_a_killed_run_goes_on_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    """4 epochs straight = kill -9, then --resume: backbone, pose head, transformer, average, optimizer, figures."""
    go(folder, tmp_path / "straight", *EVERYTHING)
    process = begin(folder, tmp_path / "killed", *EVERYTHING)
    metrics = tmp_path / "killed" / "metrics.jsonl"
    while not metrics.exists() or metrics.read_text().count("\n") < 2:
        assert process.poll() is None, "it ended too early"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    go(folder, tmp_path / "killed", *EVERYTHING, resume=True)
    for name in ("last/state.safetensors", "last/weights.safetensors", "best/weights.safetensors"):
        (one, _), (other, _) = (checkpoint.read(tmp_path / run / name) for run in ("straight", "killed"))
        assert one.keys() == other.keys()
        assert any("pose_head.maps" in tensor for tensor in one)
        assert all(torch.equal(one[tensor], other[tensor]) for tensor in one), name
    assert rows(tmp_path / "straight") == rows(tmp_path / "killed")


def test_two_processes_are_one(folder: Path, tmp_path: Path) -> None:
    """Two processes with gloo come to the weights of one, up to rounding: what they change is the same within 2 %."""
    settings = ("train.epochs=2", "model.dropout=0", "finetune.batch_norm=eval", "train.optimizer=sgd",
                "train.learning_rate=1e-3", "train.augment.mixup=0.3", "finetune.pose_tokens=own",
                "tokens.form=heatmap", "model.modalities=joint", "model.standardize=false")  # fmt: skip
    go(folder, tmp_path / "alone", *settings)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    both = [begin(folder, tmp_path / "shared", *settings, **group, RANK=rank, LOCAL_RANK=rank) for rank in ("0", "1")]
    assert [process.wait(300) for process in both] == [0, 0]
    go(folder, tmp_path / "begun", *settings, "train.learning_rate=1e-12", "finetune.learning_rate=1e-12")
    begun, one, other = (
        checkpoint.read(tmp_path / run / "last/weights.safetensors")[0] for run in ("begun", "alone", "shared")
    )
    for name in ("backbone.taken.conv1.weight", "backbone.taken.layer1.0.conv1.weight", "pose_head.maps.weight",
                 "pose_head.around.weight", "transformer.tokens.joints.project.weight"):  # fmt: skip
        change = one[name] - begun[name]
        assert (other[name] - one[name]).norm() < 0.02 * change.norm(), name
    losses = [rows(tmp_path / run)[-1]["test_pose_loss"] for run in ("alone", "shared")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize(
    "overrides",
    [
        ("tokens.form=heatmap",),
        ("tokens.form=concat_conv", "model.standardize=false"),
        ("tokens.form=pool", "model.standardize=false", "finetune.batch_norm=eval", "finetune.checkpointing=true"),
        (
            "backbone.model=mc3_18",
            "backbone.local_layer=layer2",
            "backbone.size=32",
            "tokens.form=map",
            "model.modalities=both",
        ),
    ],
)
def test_every_kind_of_token_and_network(folder: Path, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    """Each trains, and its run is taken again, with frames as all that it reads."""
    recipe = recipes.load(folder / "star.yaml", overrides)
    extract(recipe, only=("frames", "heatmaps"), execution=ExecutionConfig(workers=1), quiet=True)
    go(folder, tmp_path / "run", *overrides)
    network, note = load(tmp_path / "run", "last")
    assert tuple(note["arrays"]) == network.inputs == ("frames",)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("dataset.kind=joints", "dataset.kind: joints has no pictures to find joints in; set it to false"),
        ("model.modalities=global", "model.modalities: global takes no joints; set it to false"),
        ("backbone.crop=person", "backbone.crop: person cuts frames around joints, which nobody knows of a new video"),
    ],
)
def test_where_it_cannot_be(folder: Path, override: str, told: str) -> None:
    """One line, when the recipe is read."""
    more = ("decode.keep=none", "pose.source=annotations", "tokens.form=heatmap", "model.modalities=joint")
    with pytest.raises(RecipeError) as caught:
        recipes.load(folder / "star.yaml", (*(more if "kind" in override else ()), override))
    assert f"model.pose_head: true: {told}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_finetune_teaches_it(folder: Path, taught: Path, tmp_path: Path) -> None:
    """`star train` and `star pretrain` are one line and write nothing, as is an ONNX file; `star model` counts it."""
    extract(recipes.load(folder / "star.yaml"), execution=ExecutionConfig(workers=1), quiet=True)
    for run in (run_train, run_pretrain):
        with pytest.raises(RecipeError, match=r"model\.pose_head: true: the head sees the backbone's maps, and only"):
            run(recipes.load(folder / "star.yaml"), tmp_path / "run", device="cpu", quiet=True)
    assert not (tmp_path / "run" / "recipe.yaml").exists()
    with pytest.raises(UsageError, match="a run of `star finetune`, with a backbone; only runs of `star train`"):
        export(taught, tmp_path / "a.onnx")
    modules = json.loads(star("model", folder / "star.yaml", "--json").stdout)["modules"]
    network, _ = load(taught, "last")
    own = sum(weight.numel() for name, weight in network.named_parameters() if name.startswith("pose_head."))
    assert own == next(row["parameters"] for row in modules if row["module"] == "pose_head")
    transformer = sum(weight.numel() for weight in network.transformer.parameters())
    assert modules[-1]["parameters"] == own + transformer

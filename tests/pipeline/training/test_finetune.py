"""`star finetune`: backbone and transformer trained together, resumed to the bit, and taken by the other commands."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from star.cli import main
from star.errors import RecipeError, UsageError
from star.pipeline.commands.finetune import run_finetune
from star.pipeline.commands.train import run_train
from star.pipeline.evaluation.export_run import export
from star.pipeline.evaluation.predictor import predict
from star.pipeline.evaluation.timeline import TimelineOptions, open_timeline
from star.pipeline.extraction.execution import ExecutionConfig
from star.pipeline.extraction.runner import extract
from star.pipeline.planning.plan import plan
from star.pipeline.planning.train_test_selection import training_selections
from star.pipeline.recipe import schema as recipes
from star.pipeline.training import checkpoint
from star.pipeline.training.dataset import Features
from star.pipeline.training.model_factory import load
from star.pipeline.training.optimizer import make_optimizer
from star.stages.backbone.weights import load as load_backbone

KEEP = "decode.keep=frames"
HERE = ExecutionConfig(workers=1)
EVERYTHING = (
    KEEP, "train.epochs=4", "train.schedule=onecycle", "train.ema=0.9", "train.label_smoothing=0.1",
    "train.accumulate=2", "train.batch=4", "train.clip_norm=1.0", "train.optimizer=adamw",
    "train.augment.shift=0.1", "train.augment.joint_dropout=0.1", "train.augment.mixup=0.3", "model.standardize=true",
    "finetune.batch_norm=train", "finetune.learning_rate=1e-4", "finetune.freeze=[stem]", "train.learning_rate=1e-3",
)  # fmt: skip
TIMES = ("clips_per_s", "waiting", "seconds")


@pytest.fixture(scope="module")
def kept(extracted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe of four frames a clip, and a cache with the frames and all else."""
    folder = tmp_path_factory.mktemp("kept")
    path = folder / "star.yaml"
    text = extracted.read_text().replace(str(extracted.parent), str(folder)) + "decode: {frames: 4}\n"
    path.write_text(text)
    extract(recipes.load(path, (KEEP,)), execution=HERE, quiet=True)
    return path


def go(path: Path, run: Path, *overrides: str, **more) -> dict:
    return run_finetune(recipes.load(path, (KEEP, *overrides)), run, device="cpu", quiet=True, **more).to_document()


def begin(path: Path, run: Path, *overrides: str, **environment: str) -> subprocess.Popen:
    words = [word for override in overrides for word in ("--set", override)]
    command = [sys.executable, "-m", "star", "finetune", str(path), "--run", str(run), "--device", "cpu", "-q", *words]
    return subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())} | environment)


def rows(run: Path) -> list[dict]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name not in TIMES} for line in lines]


def test_it_learns_and_the_backbone_changes(kept: Path, tmp_path: Path) -> None:
    """The loss falls; what is frozen keeps its bits, all else moves."""
    run = tmp_path / "run"
    more = ("train.epochs=8", "train.batch=4", "train.optimizer=adamw", "train.learning_rate=1e-3",
            "finetune.learning_rate=1e-4", "model.dropout=0", "model.standardize=true")  # fmt: skip
    summary = go(kept, run, *more, freeze="stem,layer1")
    found = [row["train_loss"] for row in rows(run)]
    assert found[-1] < found[0]
    state, before = load_file(run / "backbone.safetensors"), load_backbone("random", 0).state_dict()
    assert state.keys() == before.keys()
    moved = {name for name, tensor in state.items() if not torch.equal(tensor, before[name])}
    trained = {name for name in state if name.endswith(("weight", "bias"))}
    assert moved == {name for name in trained if not name.startswith(("stem.", "layer1."))}
    assert summary["backbone"] == str(run / "backbone.safetensors")


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_tokens_are_standardised_as_training_sees_them(kept: Path, tmp_path: Path, mode: str) -> None:
    """Whichever statistics batch norms use in training, grid tokens have mean 0 and deviation 1 there and in tests."""
    still = ("train.epochs=1", "train.learning_rate=1e-9", "finetune.learning_rate=1e-12", "model.standardize=true")
    asked = recipes.load(kept, (KEEP, *still, f"finetune.batch_norm={mode}"))
    run_finetune(asked, tmp_path / "run", device="cpu", quiet=True)
    network, _ = load(tmp_path / "run", "last")
    training = training_selections(asked, True, ("frames", "heatmaps"))[0]
    clips = Features(training, ("frames",)).__getitems__(np.arange(len(training)))
    network.batch_norm = mode
    for training_mode in (True, False):
        network.train(training_mode)
        with torch.no_grad():
            grid = network.arrays(clips["frames"].float())["global_grid"].flatten(3).transpose(2, 3)
        tokens = network.transformer.tokens.standardize(grid)
        spread = tokens.flatten(0, 2)
        assert spread.mean(0).abs().mean() < 0.3
        assert 0.7 < spread.std(0).mean() < 1.4


def test_a_killed_run_goes_on_bit_for_bit(kept: Path, tmp_path: Path) -> None:
    """4 epochs straight = kill -9, then --resume: weights, average, optimizer, batch norms, and every figure."""
    go(kept, tmp_path / "straight", *EVERYTHING)
    process = begin(kept, tmp_path / "killed", *EVERYTHING)
    metrics = tmp_path / "killed" / "metrics.jsonl"
    while not metrics.exists() or metrics.read_text().count("\n") < 2:
        assert process.poll() is None, "it ended too early"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    go(kept, tmp_path / "killed", *EVERYTHING, resume=True)
    for name in ("last/state.safetensors", "last/weights.safetensors", "best/weights.safetensors"):
        (one, _), (other, _) = (checkpoint.read(tmp_path / run / name) for run in ("straight", "killed"))
        assert one.keys() == other.keys()
        assert all(torch.equal(one[tensor], other[tensor]) for tensor in one), name
    files = [(tmp_path / run / "backbone.safetensors").read_bytes() for run in ("straight", "killed")]
    assert files[0] == files[1]
    assert rows(tmp_path / "straight") == rows(tmp_path / "killed")


def test_two_processes_are_one(kept: Path, tmp_path: Path) -> None:
    """Two processes with gloo come to the weights of one, up to rounding."""
    settings = (KEEP, "train.epochs=2", "train.batch=8", "model.dropout=0", "train.learning_rate=1e-3")
    go(kept, tmp_path / "alone", *settings)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    both = [begin(kept, tmp_path / "shared", *settings, **group, RANK=rank, LOCAL_RANK=rank) for rank in ("0", "1")]
    assert [process.wait() for process in both] == [0, 0]
    one, other = (load_file(tmp_path / run / "backbone.safetensors") for run in ("alone", "shared"))
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=1e-3, atol=1e-5)


def test_test_and_predict_take_the_run(kept: Path, tmp_path: Path) -> None:
    """As any run, on the cache and on video files; both agree on the same clip."""
    run = tmp_path / "run"
    go(kept, run, "train.epochs=2")
    answer = CliRunner().invoke(main, ["test", str(kept), "--set", KEEP, "--run", str(run), "--json", "--embeddings"])
    assert answer.exit_code == 0, answer.output
    assert 0 <= json.loads(answer.stdout)["top1"] <= 1
    planned = plan(recipes.load(kept, (KEEP,)))
    videos = [video for video in planned.manifest.videos if video.split == "test"][:2]
    found = predict([video.media for video in videos], run, execution=HERE, quiet=True)
    network, note = load(run, "last")
    for video, row in zip(videos, found.videos, strict=True):
        clip = [(video.id, 0)]
        frames, heat = (
            torch.from_numpy(planned.stages[stage].read(clip, array))
            for stage, array in (("frames", "frames"), ("heatmaps", "joint_heatmap"))
        )
        with torch.no_grad():
            expected = network(frames, heat.float()).softmax(-1)[0]
        top = row.top[0]
        assert top.name == note["classes"][int(expected.argmax())]
        assert top.probability == pytest.approx(float(expected.max()), abs=1e-4)


def test_the_cheap_half_goes_on_with_its_backbone(kept: Path, tmp_path: Path) -> None:
    """`backbone.weights: RUN/backbone.safetensors` extracts from the same kept frames, and the cached features are
    those of the fine-tuned network."""
    run = tmp_path / "run"
    go(kept, run, "train.epochs=1", "finetune.learning_rate=1e-3", "finetune.batch_norm=train")
    overrides = (KEEP, f"backbone.weights={run / 'backbone.safetensors'}")
    extract(recipes.load(kept, overrides), execution=HERE, quiet=True)
    planned = plan(recipes.load(kept, overrides))
    assert planned.missing == 0
    clip = [next(iter(planned.stages["backbone"].places))]
    network, _ = load(run, "last")
    frames, heat = (
        torch.from_numpy(planned.stages[stage].read(clip, array))
        for stage, array in (("frames", "frames"), ("heatmaps", "joint_heatmap"))
    )
    with torch.no_grad():
        arrays = network.arrays(frames, heat.float())
    for stage, array in (("backbone", "global_grid"), ("tokens", "joint_map")):
        cached = planned.stages[stage].read(clip, array).astype(np.float32)
        assert np.linalg.norm(arrays[array].numpy() - cached) < 2e-3 * np.linalg.norm(cached)
    run_train(recipes.load(kept, overrides), tmp_path / "cheap", device="cpu", quiet=True)


def test_it_begins_where_a_cached_training_ended(kept: Path, tmp_path: Path) -> None:
    """--init takes the transformer of a run of `star train`: before the first step the scores are that run's."""
    run_train(recipes.load(kept), tmp_path / "first", device="cpu", quiet=True)
    go(kept, tmp_path / "tuned", "train.learning_rate=1e-12", "finetune.learning_rate=1e-12", init=tmp_path / "first")
    begun, ended = rows(tmp_path / "first")[-1], rows(tmp_path / "tuned")[0]
    assert ended["test_loss"] == pytest.approx(begun["test_loss"], abs=0.01)


def test_rates_of_their_own() -> None:
    """The backbone's groups run at their own rate, norms and biases without decay in both."""
    layers = torch.nn.ModuleDict({"backbone": torch.nn.Linear(2, 2), "transformer": torch.nn.Linear(2, 2)})
    train = recipes.TrainSettings(weight_decay=0.3)
    groups = make_optimizer(layers, train, {"backbone.": 0.05}).param_groups
    assert [(group["weight_decay"], group.get("slower", 1.0)) for group in groups] == [
        (0.3, 1.0), (0.0, 1.0), (0.3, 0.05), (0.0, 0.05),
    ]  # fmt: skip
    assert [len(group["params"]) for group in groups] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (("decode.keep=none",), "decode.keep: none: star finetune trains on kept frames; set it to frames, and run"),
        (("train.compile=true",), "train.compile: true: star finetune does not compile; set it to false"),
        (
            ("tokens.form=heatmap", "model.modalities=joint"),
            "tokens.form: heatmap: with model.modalities joint nothing reads the backbone, so there is nothing to",
        ),
        (
            ("finetune.checkpointing=true", "finetune.batch_norm=train"),
            "finetune.checkpointing: true: goes clip by clip, and batch norms in training see the whole batch; set",
        ),
        (("finetune.freeze=[layer9]",), "finetune.freeze: layer9: the backbone has no such layer; it has stem, layer1"),
    ],
)
def test_what_cannot_be_is_one_line(kept: Path, tmp_path: Path, overrides: tuple[str, ...], told: str) -> None:
    """Before anything is read or written."""
    with pytest.raises(RecipeError) as caught:
        go(kept, tmp_path / "run", *overrides)
    assert str(caught.value).startswith(told)
    assert not (tmp_path / "run" / "recipe.yaml").exists()


def test_what_an_end_to_end_run_is_not_for(kept: Path, tmp_path: Path) -> None:
    """One line."""
    go(kept, tmp_path / "run")
    with pytest.raises(UsageError, match="a run of `star finetune`, with a backbone; only runs of `star train`"):
        export(tmp_path / "run", tmp_path / "a.onnx")


def test_windows_of_a_film(kept: Path, tmp_path: Path) -> None:
    """One window over all of a film says what is said of the film."""
    run = tmp_path / "run"
    go(kept, run)
    video = next(video for video in plan(recipes.load(kept)).manifest.videos if video.split == "test")
    (whole,) = predict([video.media], run, execution=HERE, quiet=True).videos
    with open_timeline(run, TimelineOptions(60, 60), execution=HERE) as timeline:
        (window,) = timeline.film(replace(video, label=0))
    assert window.label == whole.top[0].name
    assert window.probability == pytest.approx(whole.top[0].probability, abs=1e-5)


@pytest.mark.parametrize(
    "overrides",
    [
        ("model.modalities=global",),
        ("tokens.form=concat_conv",),
        ("tokens.form=pool_map", "model.standardize=true"),
        ("backbone.model=resnet18", "finetune.checkpointing=true"),
        ("backbone.model=vit_b_16", "backbone.global_layer=encoder.layers.encoder_layer_3",
         "backbone.local_layer=encoder.layers.encoder_layer_1"),
    ],
)  # fmt: skip
def test_every_kind_of_token_and_network(kept: Path, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    """Each trains, and its run is taken again."""
    extract(recipes.load(kept, (KEEP, *overrides)), only=("frames", "heatmaps"), execution=HERE, quiet=True)
    go(kept, tmp_path / "run", *overrides)
    network, note = load(tmp_path / "run", "last")
    assert tuple(note["arrays"]) == network.inputs

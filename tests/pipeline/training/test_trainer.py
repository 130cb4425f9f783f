"""Training: what a run's folder holds, that it goes on exactly, and that it stops for a reason."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from star.errors import Interrupted, MissingPackage, StarError, UsageError
from star.pipeline.training import checkpoint
from star.pipeline.training.trainer import train

TOY = Path(__file__).parents[1] / "toy.py"
ALL_AT_ONCE = (
    "train.epochs=6", "train.schedule=onecycle", "train.ema=0.9", "train.label_smoothing=0.1", "train.accumulate=2",
    "train.batch=3", "train.clip_norm=1.0", "train.class_weights=true", "train.weight_decay=0.05",
    "train.augment.shift=0.1", "train.augment.scale=0.1", "train.augment.joint_dropout=0.1", "train.augment.mixup=0.3",
    "train.augment.joint_jitter=0.3", "train.augment.token_dropout=0.1", "model.standardize=true",
)  # fmt: skip
TIMES = ("clips_per_s", "waiting", "seconds")


def go(toy, toys, run, *overrides, **more):
    """Train the toy recipe with these overrides."""
    return train(toy.recipe(*overrides), *toys, run, device="cpu", progress=False, **more)


HIDDEN = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in "decord mmpose mmcv mmengine mmdet av cv2 dask distributed".split():
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
import runpy
import star.pipeline.evaluation.evaluator, star.pipeline.evaluation.report, star.pipeline.training.trainer

sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def cache_of(toys):
    """The cache's folder."""
    return toys[0].stage_stores["tokens"].path.parents[1]


def start(toys, run, *words):
    """Train in a process of its own, where what only stage one needs cannot be imported."""
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    command = [sys.executable, "-c", HIDDEN, str(TOY), str(cache_of(toys)), str(run), *words]
    return subprocess.Popen(command, env=environment)


def rows(run):
    """The rows of metrics.jsonl without what a clock said."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{name: value for name, value in json.loads(line).items() if name not in TIMES} for line in lines]


def wait_for_rows(run, count, process=None):
    """Wait until so many epochs are done."""
    metrics = run / "metrics.jsonl"
    while not metrics.exists() or metrics.read_text().count("\n") < count:
        assert process is None or process.poll() is None, "it ended too early"
        time.sleep(0.005)


def same_run(one, other):
    """Whether two runs came to the same weights, bit for bit, and the same figures."""
    for name in ("last/state.safetensors", "last/weights.safetensors", "best/weights.safetensors"):
        (a, note_a), (b, note_b) = checkpoint.read(one / name), checkpoint.read(other / name)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[tensor], b[tensor]) for tensor in a), name
        assert note_a.get("epoch") == note_b.get("epoch")
    assert rows(one) == rows(other)
    return True


def test_run_learns_and_leaves_its_folder(toy, toys, tmp_path):
    """The toy classes are learnt, and the folder holds what docs/architecture.md lists."""
    summary = go(toy, toys, tmp_path / "run", "train.epochs=6", "train.tensorboard=true")
    run = tmp_path / "run"
    assert summary["best"]["top1"] == 1.0
    assert (summary["epochs"], summary["steps"], summary["videos"]) == (6, 36, {"train": 24, "test": 24})
    files = {str(file.relative_to(run)) for file in run.rglob("*") if file.is_file()}
    events = {name for name in files if name.startswith("events.out.tfevents")}
    assert files - events == {
        "recipe.yaml", "environment.json", "metrics.jsonl", "last/state.safetensors", "last/weights.safetensors",
        "best/weights.safetensors", "lock",
    }  # fmt: skip
    assert b"top1" in b"".join((run / name).read_bytes() for name in events)
    environment = json.loads((run / "environment.json").read_text())
    assert environment["features"]["keys"]["tokens"] == toy.KEYS["tokens"]
    assert environment["classes"] == list(toy.CLASSES)
    found = rows(run)
    assert [row["epoch"] for row in found] == [1, 2, 3, 4, 5, 6]
    assert set(found[0]) == {
        "epoch", "step", "lr", "train_loss", "train_top1", "test_loss", "top1", "top5", "mean_class",
    }  # fmt: skip


def test_killed_run_goes_on_bit_for_bit(toy, toys, tmp_path):
    """6 epochs straight = 3, kill -9, resume; with every setting on that keeps or draws something.

    What is killed trains where decord, mmpose, mmcv, mmengine, PyAV, OpenCV and Dask are not installed.
    """
    go(toy, toys, tmp_path / "straight", *ALL_AT_ONCE)
    process = start(toys, tmp_path / "killed", *ALL_AT_ONCE)
    wait_for_rows(tmp_path / "killed", 3, process)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    go(toy, toys, tmp_path / "killed", *ALL_AT_ONCE, resume=True)
    assert same_run(tmp_path / "straight", tmp_path / "killed")


def test_sigterm_saves_within_an_epoch(toy, toys, tmp_path):
    """SIGTERM stops at the next step, says how to go on, and going on changes nothing."""
    words = ("train.epochs=12", "train.batch=1", "train.augment.shift=0.1")
    go(toy, toys, tmp_path / "straight", *words)
    run, before = tmp_path / "stopped", signal.getsignal(signal.SIGTERM)

    def interrupt():
        wait_for_rows(run, 2)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Interrupted) as error:
        go(toy, toys, run, *words)
    thread.join()
    counters = checkpoint.read(run / "last" / "state.safetensors")[1]["counters"]
    where = f"epoch {counters['epoch'] + 1} of 12, step {counters['step']}"
    assert str(error.value) == f"{run}: stopped in {where}; the same command with --resume goes on from there"
    assert counters["batch"] == counters["step"] % 24 or counters["batch"] == 24
    assert signal.getsignal(signal.SIGTERM) is before
    go(toy, toys, run, *words, resume=True)
    assert same_run(tmp_path / "straight", run)


def test_accumulated_batches_are_one_batch(toy, toys, tmp_path):
    """Two batches of 2 to a step give the gradient of one batch of 4, short last steps included."""
    fixed = ("model.dropout=0", "train.optimizer=sgd", "train.learning_rate=0.05", "train.fraction=0.9")
    go(toy, toys, tmp_path / "a", *fixed, "train.batch=4")
    go(toy, toys, tmp_path / "b", *fixed, "train.batch=2", "train.accumulate=2")
    for one, other in zip(rows(tmp_path / "a"), rows(tmp_path / "b"), strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize("form", ["map", "heatmap", "concat_conv"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_forms_and_precisions_train(toy, toys, tmp_path, form, precision):
    """Cached joint tokens, or computed ones, in both precisions: the loss falls."""
    words = (f"tokens.form={form}", f"train.precision={precision}", "train.epochs=3", "train.augment.shift=0.1")
    go(toy, toys, tmp_path / "run", *words)
    found = rows(tmp_path / "run")
    assert found[-1]["train_loss"] < found[0]["train_loss"] - 0.05


TOGETHER = ("model.dropout=0", "train.epochs=2", "train.batch=5", "train.augment.shift=0.1", "train.accumulate=2")


def compare_processes(one, two):
    """Two processes came to the losses of one, but for the order in which gradients were added up."""
    for alone, shared in zip(rows(one), rows(two), strict=True):
        assert alone == pytest.approx(shared, rel=1e-3, abs=1e-5)
    assert json.loads((two / "environment.json").read_text())["processes"] == 2


def test_two_processes_are_one_run(toy, toys, tmp_path, monkeypatch):
    """Two processes with gloo come to the losses of one process with the same global batch."""
    go(toy, toys, tmp_path / "one", *TOGETHER)
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    for name, value in {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port, "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    other = start(toys, tmp_path / "two", *TOGETHER)
    monkeypatch.setenv("RANK", "0")
    go(toy, toys, tmp_path / "two", *TOGETHER)
    assert other.wait(timeout=60) == 0
    compare_processes(tmp_path / "one", tmp_path / "two")


@pytest.mark.soak
def test_torchrun(toy, toys, tmp_path):
    """The same, started by torchrun itself."""
    go(toy, toys, tmp_path / "one", *TOGETHER)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(TOY)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    words = [*command, str(cache_of(toys)), str(tmp_path / "two"), *TOGETHER]
    subprocess.run(words, env=environment, check=True, timeout=300)
    compare_processes(tmp_path / "one", tmp_path / "two")


@pytest.mark.soak
def test_torchrun_as_the_page_writes_it(small, tmp_path):
    """The command of docs/clusters.md trains, and one of the processes speaks for all."""
    page = (TOY.parents[2] / "docs" / "clusters.md").read_text()
    (line,) = re.findall(r"^torchrun --standalone .*$", page, re.MULTILINE)
    words = [*line.replace("star.yaml", str(small)).split(), "--json", "-q", "--device", "cpu"]
    command = [sys.executable, "-m", "torch.distributed.run", *words[1:]]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, cwd=tmp_path, check=True, timeout=900, stdout=subprocess.PIPE)
    assert json.loads(done.stdout)["run"].endswith("runs/first")
    assert (tmp_path / "runs" / "first" / "last").is_dir()


@pytest.mark.soak
def test_compiled_network_is_the_same_network(toy, toys, tmp_path):
    """torch.compile changes the speed, not the losses."""
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs g++ on a CPU")
    words = ("model.dropout=0", "train.epochs=2", "train.augment.mixup=0.2", "train.ema=0.9")
    go(toy, toys, tmp_path / "eager", *words)
    go(toy, toys, tmp_path / "compiled", *words, "train.compile=true")
    for one, other in zip(rows(tmp_path / "eager"), rows(tmp_path / "compiled"), strict=True):
        assert one == pytest.approx(other, rel=1e-3)


def test_loss_that_is_not_finite_names_its_clips(toy, toys, tmp_path):
    """A run that blows up stops, and says in which batch and with which clips."""
    words = ("train.optimizer=sgd", "train.learning_rate=1e30", "train.batch=12")
    with pytest.raises(StarError) as error:
        go(toy, toys, tmp_path / "run", *words)
    message = str(error.value)
    assert message.startswith("train: the loss is nan in epoch 1, batch 2: train/")
    assert message.count("(view ") == 8
    assert message.endswith(
        " and 4 more; lower train.learning_rate, set train.clip_norm, or check these clips with `star verify RECIPE`"
    )
    assert type(error.value) is StarError
    go(toy, toys, tmp_path / "run", "train.epochs=1")  # what ended before its first epoch may be begun anew


def test_folder_of_another_run_is_refused(toy, toys, tmp_path):
    """No run is written over, and none is resumed that is not there."""
    run = tmp_path / "run"
    with pytest.raises(UsageError) as error:
        go(toy, toys, run, resume=True)
    assert str(error.value) == f"{run}: no run to resume; leave --resume out to start one"
    go(toy, toys, run, "train.epochs=1")
    with pytest.raises(UsageError) as error:
        go(toy, toys, run, "train.epochs=1")
    assert str(error.value) == f"{run}: holds a run already; --resume continues it, another folder starts anew"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.width=32", "began with model.width 16, now 32; set it back, or take another folder"),
        ("train.seed=3", "began with train.seed 0, now 3; set it back, or take another folder"),
    ],
)
def test_resuming_another_recipe_is_refused(toy, toys, tmp_path, change, message):
    """The first setting that differs is named."""
    run = tmp_path / "run"
    go(toy, toys, run, "train.epochs=1")
    with pytest.raises(UsageError) as error:
        go(toy, toys, run, "train.epochs=1", change, resume=True)
    assert str(error.value) == f"{run}: {message}"


def test_resuming_on_other_clips_is_refused(toy, toys, tmp_path):
    """A data set that has grown is another run."""
    go(toy, toys, tmp_path / "run", "train.epochs=1")
    fewer = (toys[0].pick(range(40)), toys[1])
    with pytest.raises(UsageError, match=r"began with features whose train clips was '48, [0-9a-f]{16}', now '40, "):
        go(toy, fewer, tmp_path / "run", "train.epochs=1", resume=True)


def test_longer_training_at_a_constant_rate(toy, toys, tmp_path):
    """Without a schedule more epochs are only more epochs; what cannot change results may change."""
    go(toy, toys, tmp_path / "straight", "train.epochs=2")
    go(toy, toys, tmp_path / "run", "train.epochs=1")
    go(toy, toys, tmp_path / "run", "train.epochs=2", "train.preload=memory", "test.batch=5", resume=True)
    assert same_run(tmp_path / "straight", tmp_path / "run")


def test_early_stop_and_best(toy, toys, tmp_path):
    """Training ends when nothing has got better for so long, and the best epoch is kept."""
    words = ("train.epochs=40", "train.patience=2", "train.best_by=loss", "train.learning_rate=0.05")
    summary = go(toy, toys, tmp_path / "run", *words)
    found = rows(tmp_path / "run")
    losses = [row["test_loss"] for row in found]
    assert summary["epochs"] == len(found) == int(np.argmin(losses)) + 3 < 40
    assert summary["best"]["epoch"] == int(np.argmin(losses)) + 1
    assert checkpoint.read(tmp_path / "run/best/weights.safetensors")[1]["epoch"] == summary["best"]["epoch"]


def test_evaluation_and_checkpoints_now_and_then(toy, toys, tmp_path):
    """evaluate_every and checkpoint_every leave epochs out, the last one never."""
    go(toy, toys, tmp_path / "run", "train.epochs=5", "train.evaluate_every=2", "train.checkpoint_every=3")
    assert [row["epoch"] for row in rows(tmp_path / "run") if "top1" in row] == [2, 4, 5]
    assert checkpoint.read(tmp_path / "run/last/state.safetensors")[1]["counters"]["epoch"] == 5


def test_wandb_that_is_not_installed(toy, toys, tmp_path):
    """An optional package that is asked for and absent."""
    if _installed("wandb"):
        pytest.skip("wandb is installed here")
    with pytest.raises(MissingPackage) as error:
        go(toy, toys, tmp_path / "run", "train.wandb=toy")
    assert str(error.value) == "train.wandb: wandb is not installed; `pip install wandb`, or set it to null"
    assert not (tmp_path / "run").exists()


def _installed(name):
    import importlib.util

    return importlib.util.find_spec(name) is not None

"""The edges of training: runs that diverge, disks that fill, folders that two runs want, processes that share."""

import errno
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from star.errors import MachineError, RecipeError, StarError, StorageError, UsageError
from star.pipeline.training import checkpoint, loggers, metrics
from star.pipeline.training.distributed import ProcessGroup
from star.pipeline.training.optimizer import rate
from star.pipeline.training.run_dir import RunFolder
from star.pipeline.training.sampler import portions
from star.pipeline.training.train_step import TrainStep
from star.pipeline.training.trainer import Training, train

TOY = Path(__file__).parents[1] / "toy.py"


def go(toy, toys, run, *overrides, **more):
    """Train the toy recipe with these overrides."""
    return train(toy.recipe(*overrides), *toys, run, device="cpu", progress=False, **more)


def files(run):
    """Every checkpoint of a run, by name."""
    return {str(path.relative_to(run)): path.read_bytes() for path in run.glob("*/*.safetensors")}


@pytest.fixture
def first_epoch(toy, toys, tmp_path):
    """A run of two epochs that was stopped after the first."""
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "_tired", lambda training: training.now.epoch >= 1)
        go(toy, toys, run)
    return run


def spoil_gradient(patch, value):
    """The first gradient of the second epoch gets a value in one place, after its loss was judged."""
    update, steps = TrainStep.update, []

    def spoiled(learner, step):
        steps.append(step)
        if len(steps) == 2:
            next(iter(learner.network.parameters())).grad.view(-1)[0] = value
        return update(learner, step)

    patch.setattr(TrainStep, "update", spoiled)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("overrides", [(), ("train.ema=0.9",), ("train.clip_norm=1.0",), ("train.batch=24",)])
def test_a_gradient_that_is_not_finite_replaces_nothing(toy, toys, first_epoch, monkeypatch, value, overrides):
    """One line; the checkpoints stay those of the epoch before, and --resume goes on from there."""
    if overrides:  # another run
        first_epoch = first_epoch.with_name("other")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Training, "_tired", lambda training: training.now.epoch >= 1)
            go(toy, toys, first_epoch, *overrides)
    before = files(first_epoch)
    with pytest.MonkeyPatch.context() as patch:
        spoil_gradient(patch, value)
        if overrides == ("train.batch=24",):  # the one step of an epoch: no loss can show it any more
            patch.setattr(TrainStep, "update", _spoilt_at_once(TrainStep.update, value))
        with pytest.raises(StarError, match=r"^train: the (loss is|gradient was|judged loss is) n[^\n]*last is kept"):
            go(toy, toys, first_epoch, *overrides, resume=True)
    assert files(first_epoch) == before
    assert go(toy, toys, first_epoch, *overrides, resume=True)["epochs"] == 2


def _spoilt_at_once(update, value):
    def spoiled(learner, step):
        next(iter(learner.network.parameters())).grad.view(-1)[0] = value
        return update(learner, step)

    return spoiled


def test_a_judged_loss_that_is_not_finite_replaces_nothing(toy, toys, first_epoch, monkeypatch):
    """Weights that are finite can still judge NaN: no `last`, no `best`, no row."""
    before, rows = files(first_epoch), (first_epoch / "metrics.jsonl").read_text()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "star.pipeline.training.trainer.probabilities",
            lambda *words, **more: np.full((len(toys[1]), len(toy.CLASSES)), np.nan),
        )
        with pytest.raises(StarError, match=r"^train: the judged loss is not finite in epoch 2; .*last is kept"):
            go(toy, toys, first_epoch, resume=True)
    assert files(first_epoch) == before and (first_epoch / "metrics.jsonl").read_text() == rows
    assert go(toy, toys, first_epoch, resume=True)["epochs"] == 2


def test_nan_is_wrong_in_every_figure():
    """Also where argmax would take the NaN of the true class for the answer."""
    labels = np.array([0, 1, 2])
    found = np.array([[np.nan, 0.2, 0.8], [0.1, np.nan, 0.1], [0.1, 0.1, 0.8]])
    assert metrics.ahead(found, labels).tolist() == [3, 3, 0]
    assert metrics.predicted(found).tolist() == [-1, -1, 2]
    assert metrics.confusion(metrics.predicted(found), labels, 3).tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]
    scores = metrics.scores(found, labels)
    assert scores["top1"] == pytest.approx(1 / 3) and np.isfinite(scores["loss"]) and scores["loss"] > 400


def test_nan_is_wrong_in_every_table(toy, toys, tmp_path):
    """A test whose scores are NaN: accuracy 0, and no file holds a NaN."""
    from star.pipeline.evaluation import results

    _, testing = toys
    note = {"epoch": 1}
    judged = results.judge(np.full((len(testing), 3), np.nan), testing, note, toy.recipe().test)
    assert judged.summary["top1"] == 0 and {row["accuracy"] for row in judged.summary["per_class"]} == {0.0}
    results.write(tmp_path, judged)
    assert all(b"nan" not in path.read_bytes().lower() for path in tmp_path.glob("*.[cj]s*"))


def test_one_cycle_of_one_step_up(toy):
    """The way up may be a single step, and a run may be a single step."""
    for steps, warmup in ((10, 0.1), (2, 0.5), (1, 1.0), (1, 0.0), (4, 0.25), (5, 1.0)):
        train_settings = toy.recipe("train.schedule=onecycle", f"train.warmup={warmup}").train
        rates = [rate(step, steps, train_settings) for step in range(steps)]
        assert all(np.isfinite(rates)) and max(rates) <= train_settings.learning_rate * (1 + 1e-9)


@pytest.mark.parametrize("value", ["-1", str(2**63), "1.5", ".nan"])
def test_seeds_that_are_none(toy, value):
    """One line that names the value."""
    with pytest.raises(RecipeError, match=r"train\.seed"):
        toy.recipe(f"train.seed={value}")


def test_a_full_disk_under_the_metrics(toy, toys, tmp_path, monkeypatch):
    """One line with what to do, exit code 5; what was finished goes on."""
    run, opened = tmp_path / "run", Path.open

    def full(path, mode="r", *words, **more):
        if path.name == "metrics.jsonl" and "a" in mode:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, mode, *words, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(StorageError, match=rf"^{run}/metrics.jsonl: the disk is full"):
            go(toy, toys, run)
    assert go(toy, toys, run)["epochs"] == 2


def test_curves_that_cannot_be_written(toy, toys, tmp_path, monkeypatch, capfd):
    """A disk that fills under TensorBoard costs the curves: one line, and the run ends well."""
    written = []

    def full(events, event):
        written.append(event)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(loggers._Events, "_write", full)
    assert go(toy, toys, tmp_path / "run", "train.tensorboard=true", "train.epochs=3")["epochs"] == 3
    said = capfd.readouterr().err.splitlines()
    assert said == ["train.tensorboard: no more curves, the run goes on without them (No space left on device)"]
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 3


def test_curves_are_tensorboards(toy, toys, tmp_path):
    """What star writes is what TensorBoard reads, over two parts of a run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Training, "_tired", lambda training: training.now.epoch >= 1)
        go(toy, toys, run, "train.tensorboard=true")
    go(toy, toys, run, "train.tensorboard=true", resume=True)
    read = EventAccumulator(str(run))
    read.Reload()
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [event.step for event in read.Scalars("train_loss")] == [1, 2]
    assert [event.value for event in read.Scalars("train_loss")] == pytest.approx([row["train_loss"] for row in rows])


def _hold(path, ready, done):
    folder = RunFolder(path)
    folder.claim(create=True)
    ready.set()
    done.wait(60)


def test_two_runs_in_one_folder(toy, toys, tmp_path):
    """The second is refused while the first is at work, with --resume too; a killed one holds nothing."""
    run, context = tmp_path / "run", multiprocessing.get_context("fork")
    go(toy, toys, run, "train.epochs=1")
    ready, done = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(run, ready, done))
    holder.start()
    assert ready.wait(60)
    with pytest.raises(UsageError, match=rf"^{run}: another `star train` is at work there; take another folder$"):
        go(toy, toys, run, "train.epochs=1", resume=True)
    holder.kill()
    holder.join()
    assert go(toy, toys, run, "train.epochs=1", resume=True)["epochs"] == 1


def test_runs_at_wandb_never_share_an_id(tmp_path):
    """Ablations name their folders alike; the parts of one run keep their id."""
    first, second = tmp_path / "a" / "seed 0", tmp_path / "b" / "seed 0"
    for run in (first, second):
        run.mkdir(parents=True)
        (run / "environment.json").write_text(json.dumps({"began": "2026-01-01T00:00:00+00:00"}, indent=1))
    assert loggers.wandb_id(first) != loggers.wandb_id(second)
    assert loggers.wandb_id(first) == loggers.wandb_id(first)
    before = loggers.wandb_id(first)
    (first / "environment.json").write_text(json.dumps({"began": "2026-01-02T00:00:00+00:00"}, indent=1))
    assert loggers.wandb_id(first) != before


def test_mixup_partners_are_drawn_over_the_whole_batch():
    """Every process blends each of its clips with the one that a single process would have taken."""
    order, mixed = np.arange(100, 123), (0.4, (7, 2))
    alone = [
        {int(clip): (int(p.read[q]), p.share) for clip, q in zip(p.clips, p.partners, strict=True)}
        for p in portions(order, 8, 1, ProcessGroup(), *mixed)
    ]
    for size in (2, 3, 5):
        by_rank = [list(portions(order, 8, 1, ProcessGroup(rank, size), *mixed)) for rank in range(size)]
        for number, whole in enumerate(alone):
            found = {}
            for rank in range(size):
                p = by_rank[rank][number]
                assert len(p.read) == len(set(p.read.tolist())) and p.read_picks.max() < p.size
                if p.weight:
                    found |= {int(c): (int(p.read[q]), p.share) for c, q in zip(p.clips, p.partners, strict=True)}
            assert found == whole
    assert len({share for batch in alone for _, share in batch.values()}) == len(alone)


def test_answers_of_blended_clips_count_by_their_shares(toy, toys, tmp_path):
    """train_top1 under mixup: what was right of either class, by how much of it was there."""
    summary = Training(toy.recipe("train.augment.mixup=1.0"), *toys, tmp_path, ProcessGroup(), quiet=True)
    micro_batch = next(portions(np.arange(6), 6, 1, ProcessGroup(), 1.0, (0, 0)))
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    answers = torch.tensor([0, 0, 2, 1, 1, 1])
    partner = labels[torch.from_numpy(micro_batch.partners)]
    expected = micro_batch.share * (answers == labels).float() + (1 - micro_batch.share) * (answers == partner).float()
    assert summary.learner._right(answers, labels, micro_batch).item() == pytest.approx(expected.sum().item())


def start(toys, run, rank, port, *words):
    """One of two processes of a training."""
    environment = os.environ | {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    cache = toys[0].stage_stores["tokens"].path.parents[1]
    command = [sys.executable, str(TOY), str(cache), str(run), *words]
    return subprocess.Popen(
        command, env=environment | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def both(toys, run, *words):
    """The exit codes and messages of two processes that train together."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    processes = [start(toys, run, rank, port, *words) for rank in range(2)]
    try:
        ends = [process.communicate(timeout=300) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [process.returncode for process in processes], [error for _, error in ends]


def test_a_refusal_of_the_first_process_ends_all(toy, toys, tmp_path):
    """A folder that holds a run: both end with exit code 2, neither waits for the other."""
    run = tmp_path / "run"
    go(toy, toys, run, "train.epochs=1")
    began = time.monotonic()
    codes, said = both(toys, run, "train.epochs=1")
    assert codes == [2, 2] and time.monotonic() - began < 290
    assert "holds a run already" in said[0] and "Traceback" not in "".join(said)


def test_two_processes_mix_as_one(toy, toys, tmp_path):
    """The losses of two processes with mixup are those of one."""
    words = ("train.augment.mixup=0.5", "model.dropout=0", "train.batch=6", "train.epochs=1")
    go(toy, toys, tmp_path / "one", *words)
    codes, said = both(toys, tmp_path / "two", *words)
    assert codes == [0, 0], said
    one, two = (json.loads((tmp_path / name / "metrics.jsonl").read_text()) for name in ("one", "two"))
    for name in ("train_loss", "train_top1", "test_loss"):
        assert one[name] == pytest.approx(two[name], rel=1e-3, abs=1e-5)


def test_checkpoints_hold_no_nan(tmp_path):
    """A note with a NaN in it is a bug, and never written."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        checkpoint.write(tmp_path / "x.safetensors", {}, {"scores": {"loss": float("nan")}})


def test_what_killed_writers_left_in_a_run_goes(toy, toys, first_epoch):
    """Their partial files, in all of its folders; those of living ones, and other files, stay."""
    script = (
        "import os, sys; from pathlib import Path; from star.cache import atomic\n"
        "for folder in sys.argv[1:]: atomic.partial(Path(folder)).__enter__().touch()\n"
        "os._exit(9)"
    )
    folders = [first_epoch, first_epoch / "last", first_epoch / "best"]
    subprocess.run([sys.executable, "-c", script, *map(str, folders)], check=False)
    assert len(list(first_epoch.rglob("*.partial"))) == 3
    (first_epoch / "notes.partial").touch()
    go(toy, toys, first_epoch, resume=True)
    assert [path.name for path in first_epoch.rglob("*.partial")] == ["notes.partial"]


def test_a_finished_run_without_its_weights_is_mended(toy, toys, tmp_path):
    """--resume writes them again from the state: the same tensors, the scores of the last epoch."""
    run = tmp_path / "run"
    go(toy, toys, run)
    path = run / "last" / "weights.safetensors"
    before = checkpoint.read(path)
    path.unlink()
    go(toy, toys, run, resume=True)
    after = checkpoint.read(path)
    assert all(torch.equal(tensor, after[0][name]) for name, tensor in before[0].items())
    assert {name: value for name, value in after[1].items() if name != "scores"} == {
        name: value for name, value in before[1].items() if name != "scores"
    }


def test_a_network_beyond_the_memory_is_refused(toy, toys, tmp_path):
    """Before it is built: one line with what it would take, exit code 5."""
    with pytest.raises(MachineError, match=r"^model: [\d,]+ parameters take .* to train, and cpu has .* free; lower "):
        go(toy, toys, tmp_path / "run", "model.width=65536", "model.encoder_layers=200")

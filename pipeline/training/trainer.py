"""`star train`: the loop, from a selection of cached clips to a run's folder.

Everything random is a function of (seed, epoch, batch), nothing of how the run came there: a run that was killed and
resumed, or stopped within an epoch, goes on as if nothing had happened, bit for bit on a CPU.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import Interrupted, RecipeError, StarError, UsageError
from ...stages.precision import float64_device
from ..planning.inputs import arrays_for
from ..planning.selection import Selection
from ..recipe import schema as settings
from ..utils.progress import Progress
from ..utils.signals import StopSignal
from . import checkpoint, metrics, multilabel_metrics
from .augmentation import check as check_augment
from .dataloader import FeatureLoader
from .dataset import Batch, Features, keys_of, part_of, views_of_epoch
from .distributed import ProcessGroup, join
from .initial_weights import Start
from .loggers import MetricLogger
from .loggers import check as check_board
from .model_factory import Network, Shapes, arguments
from .run_dir import RunFolder, describe_features, describe_machine
from .sampler import MicroBatch, portions, steps_of
from .train_step import TrainStep
from .validation import Watch, probabilities

AGREE_EVERY = 16  # steps after which several processes ask each other whether to stop
SHOWN = 8  # clips named in a message
SCORES = ("mean_average_precision", "top1", "top5", "mean_class")  # of a judged epoch


def train(
    recipe: settings.Recipe,
    training: Selection,
    testing: Selection,
    run: Path,
    *,
    device: str = "auto",
    ranks: ProcessGroup | None = None,
    resume: bool = False,
    progress: bool = True,
    start: Start | None = None,
    kind: type[Training] | None = None,
) -> dict[str, Any]:
    """Train the recipe's network and return a summary; what comes of it lies in the folder `run`.

    training, testing: the cached clips of the two splits. Every epoch sees each training video once, with a view
    drawn anew, and is judged on the first view of the test videos. device: "auto", "cpu", "cuda", "cuda:1". resume:
    go on with the run in the folder. start: another run's weights to begin with. kind: what is trained, `Training` (a
    STARTransformer on cached features) by default. Under torchrun every process calls
    this, and each batch is shared out. ranks: where they are known already, in place of `device`.
    Raises UsageError where the folder holds another run or random weights would be frozen, StarError where the loss is
    not finite, Interrupted after Ctrl-C or SIGTERM, once the state is saved, WeightsError where another run's weights
    do not fit.
    """
    if start and start.freeze and not (start.run or resume):
        raise UsageError("train --freeze: keeps the weights of another run as they are; name it with --init RUN")
    ranks = ranks or join(device)
    try:
        quiet = not (progress and ranks.first)
        return (kind or Training)(recipe, training, testing, run, ranks, quiet=quiet, start=start).go(resume=resume)
    except RuntimeError as error:
        raise ranks.lost(error) from None
    finally:
        ranks.close()


@dataclass
class Counters:
    """Where a run stands; saved with its state.

    epoch: finished epochs. batch: finished batches of the next one. step: optimizer steps. rate: of the last of them.
    loss, right, seen: over those batches, as this process saw them. busy, waited: seconds spent on them, and of these
    waiting for data. seconds: of the run. since_best: epochs judged since the best. best: that epoch's row.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    rate: float = 0.0
    loss: float = 0.0
    right: float = 0.0
    seen: float = 0.0
    busy: float = 0.0
    waited: float = 0.0
    seconds: float = 0.0
    since_best: int = 0
    best: dict[str, Any] = field(default_factory=dict)


class Training:
    """One run: its data, its learner (of the class `step`), its folder, and where it stands.

    labelled: whether every clip must have a label. teaches_pose: whether `model.pose_head` means something.
    """

    step: type[TrainStep] = TrainStep
    labelled = True
    teaches_pose = False

    def __init__(
        self,
        recipe: settings.Recipe,
        training: Selection,
        testing: Selection,
        run: Path,
        ranks: ProcessGroup,
        *,
        quiet: bool,
        start: Start | None = None,
    ) -> None:
        with ranks.together():
            check_augment(recipe)
            check_board(recipe)
            if recipe.model.pose_head and not self.teaches_pose:
                raise RecipeError(
                    "model.pose_head: true: the head sees the backbone's maps, and only `star finetune` trains on "
                    "them; run that, or set it to false"
                )
            if recipe.train.best_by == "mean_average_precision" and not training.multilabel:
                raise RecipeError(
                    "train.best_by: mean_average_precision is for clips of several labels, and these have one each; "
                    "set it to top1, mean_class or loss"
                )
        self.recipe, self.asked, self.folder = recipe, recipe.train, RunFolder(run)
        self.ranks, self.quiet = ranks, quiet
        if self.asked.fraction < 1:
            kept = part_of(training, self.asked.fraction, self.asked.seed)
            training = training.pick([clip for video in kept for clip in training.clips_of[video]])
        self.training, self.testing = training, testing.first_views()
        self.names = self._arrays()
        with ranks.together():
            preload, checksums = self.asked.preload, self.asked.checksums
            features = (
                Features(
                    part, self.names, preload=preload, device=ranks.device, checksums=checksums, labelled=self.labelled
                )
                for part in (self.training, self.testing)
            )
            self.stream, self.test_stream = (FeatureLoader(part, workers=self.asked.workers) for part in features)
        self.videos = list(self.training.clips_of)
        self.shapes = self.stream.features.shapes
        self.arguments = arguments(recipe, self._seen(self.shapes), max(1, len(training.classes)))
        steps = self.asked.epochs * steps_of(len(self.videos), self.asked.batch, self.asked.accumulate)
        self.start = start or Start()
        self.learner = self.step(
            recipe, self.arguments, self.training.targets, steps, ranks, head_alone=self.start.freeze
        )
        self.now = Counters()
        self.diverged: StarError | None = None

    def _arrays(self) -> tuple[str, ...]:
        """The cached arrays that are read."""
        return arrays_for(self.recipe.model, self.recipe.tokens.form)

    def _seen(self, shapes: Shapes) -> Shapes:
        """The shapes of the transformer's arrays; shapes: of those that are read."""
        return shapes

    def _note(self) -> dict[str, Any]:
        """What a checkpoint says besides of its network."""
        return {}

    def go(self, *, resume: bool) -> dict[str, Any]:
        """Train until the last epoch, or until nothing has got better for `train.patience` epochs."""
        with contextlib.closing(self.folder):
            self._open(resume)
            if self.now.epoch and not self.now.batch and not self.folder.weights("last").is_file():  # it was deleted
                self._save_weights("last", (self.folder.rows() or [{}])[-1])
            board = MetricLogger(self.folder.path, self.recipe, self.now.epoch + 1) if self.ranks.first else None
            left = (self.asked.epochs - self.now.epoch) * len(self.videos) - int(self.now.seen)
            with (
                contextlib.closing(board) if board else contextlib.nullcontext(),
                StopSignal() as stop,
                Progress("train", left, quiet=self.quiet) as bar,
            ):
                while self.now.epoch < self.asked.epochs and not self._tired():
                    self._train_epoch(stop, bar)
                    row = self._finish_epoch()
                    shown = f"epoch {row['epoch']} of {self.asked.epochs}, {row['waiting']:.1%} waiting for data"
                    shown += f", loss {row['train_loss']:.3f}"
                    score = "mAP" if "mean_average_precision" in row else "top-1"
                    value = row.get("mean_average_precision", row.get("top1"))
                    bar.advance(0, shown if value is None else f"{shown}, {score} {value:.1%}")
                    if board:
                        board.show(row)
            return self._summary()

    def _open(self, resume: bool) -> None:
        """Begin the folder, or go on where its last checkpoint stands."""
        described = describe_features(self.training, self.testing, self.shapes)
        with self.ranks.together():
            if self.ranks.first:
                self.folder.claim(create=not resume)
                self.folder.check(self.recipe, described, resume=resume)
                if resume:
                    self.start.check(self.folder.path, self.folder.read_environment().get("start", {}))
        with self.ranks.together():
            if resume and self.folder.state.exists():
                tensors, note = checkpoint.read(self.folder.state, checkpoint.STATE)
                self.learner.restore(tensors, self.folder.state)
                self.now = Counters(**note["counters"])
                self._check_counters()
                if not self.ranks.first:
                    self.now.loss = self.now.right = self.now.seen = 0.0
            else:
                self.learner.standardize_by(self.training)
                if self.start.run:
                    self.start.put(self.learner.transformer, self.recipe)
                    self.learner.average_anew()
                if self.ranks.first:
                    self.folder.begin(self.recipe, self._environment(described))
        with self.ranks.together():
            if self.ranks.first:
                self.folder.trim(self.now.epoch)

    def _environment(self, described: dict[str, Any]) -> dict[str, Any]:
        return {
            **describe_machine(self.ranks.device),
            "processes": self.ranks.size,
            "precision": self.learner.precision,
            "seed": self.asked.seed,
            "start": self.start.document(),
            "parameters": sum(p.numel() for p in self.learner.network.parameters()),
            "classes": list(self.training.classes),
            "network": self.arguments,
            "features": described,
            "left_out": [list(pair) for part in (self.training, self.testing) for pair in part.left_out],
        }

    def _tired(self) -> bool:
        return bool(self.asked.patience) and self.now.since_best >= self.asked.patience

    def _train_epoch(self, stop: StopSignal, bar: Progress) -> None:
        """The batches that are left of the next epoch. Raises Interrupted, with everything saved."""
        self.stream.features.load()  # once, and not within the time of an epoch
        order = views_of_epoch(self.training.clips_of, self.videos, self.asked.seed, self.now.epoch)
        mixup, seed = self.asked.augment.mixup, (self.asked.seed, self.now.epoch)
        cut = portions(order, self.asked.batch, self.asked.accumulate, self.ranks, mixup, seed)
        plan = list(cut)[self.now.batch :]
        before: tuple[MicroBatch, Tensor] | None = None
        for micro_batch, batch in self._timed(plan):
            found = self.learner.learn(micro_batch, batch, self.now.epoch)
            if micro_batch.steps:
                self.now.rate = self.learner.update(self.now.step)
                self.now.step += 1
            self.now.batch += 1
            self._count(before)  # one batch late: reading a result makes the host wait for the device
            before = micro_batch, found
            bar.advance(micro_batch.size)
            agree = micro_batch.steps and (self.ranks.size == 1 or self.now.step % AGREE_EVERY == 0)
            if agree and self.ranks.any(stop.asked):
                self._count(before)
                self.ranks.agree(self.diverged or self._not_finite_weights())
                self._add_up()
                self._save_state()
                where = f"epoch {self.now.epoch + 1} of {self.asked.epochs}, step {self.now.step}"
                go_on = "the same command with --resume goes on from there"
                raise Interrupted(f"{self.folder.path}: stopped in {where}; {go_on}")
        self._count(before)
        self.ranks.agree(self.diverged or self._not_finite_weights())

    def _timed(self, plan: list[MicroBatch]) -> Iterator[tuple[MicroBatch, Batch]]:
        """Each portion with its batch; counts the time that goes by, and of it the time spent waiting for data."""
        began = time.perf_counter()
        with contextlib.closing(self.stream([micro_batch.read for micro_batch in plan])) as batches:
            for micro_batch in plan:
                asked = time.perf_counter()
                batch = next(batches)
                self.now.waited += time.perf_counter() - asked
                yield micro_batch, batch
                self.now.busy += time.perf_counter() - began
                began = time.perf_counter()

    def _count(self, done: tuple[MicroBatch, Tensor] | None) -> None:
        """Take a batch's result into account. Raises StarError where its loss is not finite, in several processes at
        the end of the epoch."""
        if done is None:
            return
        micro_batch, found = done
        loss, right = found.tolist()
        if not math.isfinite(loss):
            clips, when = micro_batch.clips, f"epoch {self.now.epoch + 1}, batch {micro_batch.number + 1}"
            named = [f"{self.training.videos[clip].id} (view {self.training.views[clip]})" for clip in clips[:SHOWN]]
            more = f" and {len(clips) - SHOWN} more" if len(clips) > SHOWN else ""
            self.diverged = self.diverged or StarError(
                f"train: the loss is {loss} in {when}: {', '.join(named)}{more}; {self._kept()}lower "
                "train.learning_rate, set train.clip_norm, or check these clips with `star verify RECIPE`"
            )
            if self.ranks.size == 1:
                raise self.diverged
        if micro_batch.weight:
            self.now.loss += loss
            self.now.right += right
            self.now.seen += len(micro_batch.clips)

    def _not_finite_weights(self) -> StarError | None:
        """The error of a network that an infinite gradient went into: its weights stay so for good."""
        if self.learner.is_finite():
            return None
        return StarError(
            f"train: the gradient was not finite in epoch {self.now.epoch + 1}; {self._kept()}lower "
            "train.learning_rate or set train.clip_norm"
        )

    def _kept(self) -> str:
        """What a run that ends here leaves, as a part of a sentence."""
        return f"{self.folder.state.parent} is kept, " if self.folder.state.exists() else ""

    def _add_up(self) -> None:
        """What all ranks counted, on rank 0; the others begin again at nothing."""
        sums = torch.tensor(
            [self.now.loss, self.now.right, self.now.seen],
            dtype=torch.float64,
            device=float64_device(self.ranks.device),
        )
        self.now.loss, self.now.right, self.now.seen = self.ranks.add(sums).tolist()
        if not self.ranks.first:
            self.now.loss = self.now.right = self.now.seen = 0.0

    def _finish_epoch(self) -> dict[str, Any]:
        """Judge, write the epoch's row and its checkpoints, and return the row."""
        self._add_up()
        now = self.now
        now.epoch, now.batch, now.seconds = now.epoch + 1, 0, now.seconds + now.busy
        seen = max(now.seen, 1)
        row: dict[str, Any] = {"epoch": now.epoch, "step": now.step, "lr": now.rate}
        row |= self._learnt(seen)
        row |= {"clips_per_s": seen / max(now.busy, 1e-9), "waiting": now.waited / max(now.busy, 1e-9)}
        now.loss = now.right = now.seen = now.busy = now.waited = 0.0
        last = now.epoch == self.asked.epochs
        if last or now.epoch % self.asked.evaluate_every == 0:
            row |= self._judge()
        row["seconds"] = now.seconds
        with self.ranks.together():
            if self.ranks.first:
                self.folder.add(row)
        if last or self._tired() or now.epoch % self.asked.checkpoint_every == 0:
            self._save_weights("last", row)
            self._save_state()
        return row

    def _learnt(self, seen: float) -> dict[str, float]:
        """What an epoch's row says of its so many training clips."""
        return {"train_loss": self.now.loss / seen, "train_top1": self.now.right / seen}

    def _judge(self) -> dict[str, float]:
        """Scores on the first view of each test video; the best network so far is kept."""
        began = time.perf_counter()
        row = self._scores()
        if not math.isfinite(row["test_loss"]):
            error = StarError(
                f"train: the judged loss is not finite in epoch {self.now.epoch}; {self._kept()}lower "
                "train.learning_rate, set train.clip_norm, or check the test clips with `star verify RECIPE`"
            )
            self.ranks.agree(error)
        self.now.since_best += 1
        if self._merit(row) > self._merit(self.now.best):
            self.now.best, self.now.since_best = {"epoch": self.now.epoch, **row}, 0
            self._save_weights("best", self.now.best)
        self.now.seconds += time.perf_counter() - began
        return row

    def _scores(self, watch: Watch | None = None) -> dict[str, float]:
        """The loss ("test_loss") on the first view of each test video, and what else is said of them."""
        network = self.learner.judged
        assert isinstance(network, Network)
        found = probabilities(
            network,
            self.test_stream,
            len(self.testing.classes),
            self.recipe.test.batch,
            multilabel=self.testing.multilabel,
            precision=self.learner.precision,
            ranks=self.ranks,
            watch=watch,
        )
        judged = multilabel_metrics if self.testing.multilabel else metrics
        scores = judged.scores(found, self.testing.targets)
        loss = scores["loss"] if np.isfinite(found).all() else math.nan
        return {"test_loss": loss, **{name: scores[name] for name in SCORES if name in scores}}

    def _merit(self, row: dict[str, float]) -> tuple[float, float]:
        """What the best epoch has most of; among equals the lower loss wins."""
        loss = -row.get("test_loss", math.inf)
        return (loss if self.asked.best_by == "loss" else row.get(self.asked.best_by, -math.inf)), loss

    def _save_weights(self, which: str, scores: dict[str, Any]) -> None:
        with self.ranks.together():
            if self.ranks.first:
                self._write_weights(which, scores)

    def _write_weights(self, which: str, scores: dict[str, Any]) -> None:
        note = {"network": self.arguments, "classes": list(self.training.classes), "arrays": list(self.names)}
        note |= self._note() | {"keys": keys_of(self.training, self.names), "epoch": self.now.epoch, "scores": scores}
        note |= {"multilabel": True} if self.training.multilabel else {}
        checkpoint.write(self.folder.weights(which), self._weights(), note)

    def _weights(self) -> dict[str, Tensor]:
        """The tensors of the network that is judged."""
        return self.learner.judged.state_dict()

    def _save_state(self) -> None:
        with self.ranks.together():
            if self.ranks.first:
                checkpoint.write(self.folder.state, self.learner.tensors(), {"counters": asdict(self.now)})

    def _check_counters(self) -> None:
        """Raises UsageError for a state that this run cannot have come to."""
        now, each_epoch = self.now, steps_of(len(self.videos), self.asked.batch, self.asked.accumulate)
        if now.epoch > self.asked.epochs or not 0 <= now.step - now.epoch * each_epoch <= each_epoch:
            raise UsageError(
                f"{self.folder.state}: {now.epoch:,} epochs and {now.step:,} steps are done there, of "
                f"{self.asked.epochs:,} epochs with {each_epoch:,} steps each; take another folder"
            )

    def _summary(self) -> dict[str, Any]:
        now = self.now
        return {
            "run": str(self.folder.path),
            "device": str(self.ranks.device),
            "precision": self.learner.precision,
            "videos": {"train": len(self.videos), "test": len(self.testing)},
            "left_out": len(self.training.left_out) + len(self.testing.left_out),
            "parameters": sum(parameter.numel() for parameter in self.learner.network.parameters()),
            "epochs": now.epoch,
            "steps": now.step,
            "seconds": now.seconds,
            "best": now.best,
        }

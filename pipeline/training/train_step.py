"""The network and what changes it: one pass forward and back a batch, one update a step."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from ...errors import MachineError
from ...stages.precision import compute_precision
from ...stages.transformer import STARTransformer
from ...stages.transformer.embedding import Rescale
from ..planning.selection import Selection
from ..recipe import schema as settings
from . import checkpoint
from .augmentation import augment, map_side, mixup
from .dataset import Batch, to_device
from .distributed import ProcessGroup
from .feature_stats import length, moments, parts_of, pooled_moments
from .losses import class_weights, losses, targets
from .mixed_precision import PRECISIONS, autocast, quickest_attention
from .model_factory import inputs, require_memory
from .optimizer import WeightAverage, make_optimizer, rate
from .sampler import MicroBatch


class TrainStep:
    """A network in training.

    arguments: of STARTransformer. labels: `Selection.targets` of the training clips, for class weights. steps:
    optimizer steps of the whole run. head_alone: all but the head stays as it is. precision: what its products are
    computed in on this device. Raises MachineError where `train.compile` has no compiler, and where the memory is too
    small.
    """

    def __init__(
        self,
        recipe: settings.Recipe,
        arguments: dict[str, Any],
        labels: np.ndarray,
        steps: int,
        ranks: ProcessGroup,
        *,
        head_alone: bool = False,
    ) -> None:
        self.asked, self.steps, self.ranks, self.side = recipe.train, steps, ranks, map_side(recipe)
        self.precision = compute_precision(self.asked.precision, ranks.device)
        require_memory(arguments, self.asked, ranks.device)
        torch.manual_seed(self.asked.seed)
        self.network = self._build(recipe, arguments).to(ranks.device)
        self.head_alone = head_alone
        if head_alone:
            self.network.requires_grad_(False)
            self.transformer.head.requires_grad_(True)
        model: Any = self.network
        if self.asked.compile:
            if ranks.device.type == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
                raise MachineError("train.compile: needs a C++ compiler on a CPU; install g++, or set it to false")
            # On one GPU also recorded as CUDA graphs, since launching its kernels one by one takes the processor longer
            # than they run. (DistributedDataParallel's hooks cannot be recorded.)
            graphs = ranks.device.type == "cuda" and ranks.size == 1
            model = torch.compile(self.network, mode="reduce-overhead" if graphs else None)
        self.model = ranks.wrap(model)
        self.optimizer = self._make_optimizer(recipe)
        self.average = WeightAverage(self.network, self.asked.ema) if self.asked.ema else None
        self.standardize = self.transformer.tokens.standardize
        self.classes: int = arguments["classes"]
        self.multilabel = labels.ndim == 2
        weighted = self.asked.class_weights
        self.weights = class_weights(labels, self.classes).to(ranks.device) if weighted else None

    def _build(self, recipe: settings.Recipe, arguments: dict[str, Any]) -> nn.Module:
        """The network, on the CPU; from torch's generator."""
        return STARTransformer(**arguments)

    def _make_optimizer(self, recipe: settings.Recipe) -> Optimizer:
        return make_optimizer(self.network, recipe.train)

    @property
    def transformer(self) -> STARTransformer:
        """The part of the network that judges tokens; here all of it."""
        assert isinstance(self.network, STARTransformer)
        return self.network

    @property
    def judged(self) -> nn.Module:
        """The network that evaluation sees: the averaged one where the recipe averages."""
        return self.average.model if self.average else self.network

    def standardize_by(self, training: Selection) -> None:
        """Tell the network how the arrays of the training clips spread, where it asks for that."""
        tokens = self.transformer.tokens
        if tokens.standardize is not None:
            tokens.standardize.set_statistics(*moments(self._spread(training, "global_grid")))
        rescale = tokens.joints.rescale if tokens.joints else None
        if isinstance(rescale, Rescale):
            array = "joint_heatmap" if self.transformer.heatmaps else "joint_map"
            rescale.set_statistics(length(self._spread(training, array), rescale.pooled))
            if rescale.channels is not None:
                parts = self._spread(training, "joint_map")
                rescale.channels.set_statistics(*pooled_moments(parts, rescale.pooled))
        self.average_anew()

    def _spread(self, training: Selection, array: str) -> Iterator[Tensor]:
        """Some training clips of an array that the transformer takes, float64."""
        return parts_of(training, array)

    def average_anew(self) -> None:
        """Begin the averaged weights with the network's, after these were changed by hand."""
        if self.average:
            self.average.model.load_state_dict(self.network.state_dict())

    def learn(self, micro_batch: MicroBatch, batch: Batch, epoch: int) -> Tensor:
        """Add the batch's gradient. Returns (2) float32: the sum of the clips' losses, how many were right."""
        self.network.train()
        if self.head_alone:  # what stays as it is works as it will be judged: without dropout
            self.network.eval()
            self.transformer.head.train()
        random = self._begin(micro_batch, epoch)
        labels = batch["label"]
        with self._together(micro_batch):
            logits, wanted, more = self._answer(batch, micro_batch, random)
            found = losses(logits, wanted, self.weights, multilabel=self.multilabel) + more
            (found.sum() * (micro_batch.weight * self.ranks.size)).backward()
        return torch.stack([found.detach().sum(), self._right(logits.argmax(1), labels, micro_batch)])

    def _right(self, answers: Tensor, labels: Tensor, micro_batch: MicroBatch) -> Tensor:
        """How many answers are right, float32: of a clip that is two blended, each class by its share."""
        right = _are_right(answers, labels[: len(answers)])
        if micro_batch.partners is not None:
            other = _are_right(answers, labels[to_device(micro_batch.partners, labels.device)])
            right = micro_batch.share * right + (1 - micro_batch.share) * other
        return right.sum()

    def _begin(self, micro_batch: MicroBatch, epoch: int) -> np.random.Generator:
        """The random numbers of a batch; seeds torch's as well."""
        random = np.random.default_rng([self.asked.seed, epoch, micro_batch.number])
        torch.manual_seed(int(random.integers(2**62)) + self.ranks.rank)
        return random

    def _answer(
        self, batch: Batch, micro_batch: MicroBatch, random: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor | float]:
        """The network's scores (b, k) float32 of the batch as training changes it, what they should be, and what each
        clip's loss (b) has besides."""
        batch, wanted = self._prepare(batch, micro_batch, random)
        # an odd batch, as an epoch's last, is not worth a compilation of its own
        odd = self.asked.compile and self.ranks.size == 1 and len(micro_batch.clips) != self.asked.batch
        model: Any = self.network if odd else self.model
        with autocast(self.ranks.device, self.precision), quickest_attention(self.ranks.device):
            return model(**inputs(batch)).float(), wanted, 0.0

    def _prepare(self, batch: Batch, micro_batch: MicroBatch, random: np.random.Generator) -> tuple[Batch, Tensor]:
        """The batch, augmented, and its targets (b, k)."""
        batch = self._changed(batch, micro_batch, random)
        wanted = targets(batch["label"], self.classes, self.asked.label_smoothing)
        if micro_batch.partners is not None:
            return mixup(batch, wanted, micro_batch.partners, micro_batch.share)
        return batch, wanted

    def _changed(self, batch: Batch, micro_batch: MicroBatch, random: np.random.Generator) -> Batch:
        """The batch, augmented, in the type that the network computes in."""
        blank = self.standardize.mean if self.standardize else None
        batch = augment(batch, self.asked.augment, self.side, random, micro_batch.size, micro_batch.read_picks, blank)
        dtype = PRECISIONS[self.precision]
        # bfloat16 has no room for the small differences between large values that standardising brings out
        kept = {"global_grid"} if self.standardize else set()
        return {
            name: tensor.to(dtype) if tensor.is_floating_point() and name not in kept else tensor
            for name, tensor in batch.items()
        }

    def _together(self, micro_batch: MicroBatch) -> contextlib.AbstractContextManager[None]:
        """Gradients of a pass stay here; the pass before the step brings all of them together."""
        if micro_batch.steps or not isinstance(self.model, DistributedDataParallel):
            return contextlib.nullcontext()
        return self.model.no_sync()

    def update(self, step: int) -> float:
        """Take optimizer step `step` (from 0) and return its learning rate."""
        now = rate(step, self.steps, self.asked)
        for group in self.optimizer.param_groups:
            group["lr"] = now * group.get("slower", 1.0)
        if self.asked.clip_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.asked.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average:
            self.average.update(self.network, step)
        return now

    @torch.no_grad()
    def is_finite(self) -> bool:
        """Whether all weights are numbers: one gradient that is not makes some of them NaN or infinite for good."""
        weights = [*self.network.parameters(), *(self.average.model.parameters() if self.average else ())]
        return bool(torch.stack([weight.sum().isfinite() for weight in weights]).all())

    def tensors(self) -> dict[str, Tensor]:
        """All that must be kept to go on."""
        kept = checkpoint.prefixed("weights", self.network.state_dict())
        kept |= checkpoint.prefixed("optimizer", checkpoint.optimizer_tensors(self.optimizer))
        return kept | (checkpoint.prefixed("average", self.average.model.state_dict()) if self.average else {})

    def restore(self, tensors: dict[str, Tensor], where: Any) -> None:
        """Go on from what `tensors` gave. Raises WeightsError where they are another network's."""
        checkpoint.put(self.network, checkpoint.under("weights", tensors), where)
        checkpoint.put_optimizer(self.optimizer, checkpoint.under("optimizer", tensors), where)
        if self.average:
            checkpoint.put(self.average.model, checkpoint.under("average", tensors), where)


def _are_right(found: Tensor, labels: Tensor) -> Tensor:
    """(b,) float32: whether classes (b) are the clips' own; labels: (b), or (b, k) of 0 and 1."""
    if labels.ndim == 2:
        return labels.gather(1, found[:, None])[:, 0].float()
    return (found == labels).float()

"""`star pretrain`: a STAR-Transformer that finds hidden tokens of cached clips, by the loop that `star train` has.

No label is read. What it leaves is a run whose transformer `star train --init` begins with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import RecipeError
from ...stages.precision import float64_device
from ...stages.transformer import STARTransformer
from ...stages.transformer.masked_modeling import MaskedTransformer, masks
from ..recipe import schema as settings
from .dataset import Batch, to_device
from .mixed_precision import autocast, quickest_attention
from .model_factory import inputs
from .sampler import MicroBatch
from .train_step import TrainStep
from .trainer import Training
from .validation import Watch

JUDGED = 1  # the epoch by whose masks the test clips are judged: always the same ones, and no epoch of training


def check(recipe: settings.Recipe) -> None:
    """Refuse what cannot be done here. Raises RecipeError."""
    if recipe.train.compile:
        raise RecipeError("train.compile: true: star pretrain compiles nothing; set it to false")
    if recipe.tokens.form == "concat_conv" and recipe.model.modalities != "global":
        raise RecipeError(
            "tokens.form: concat_conv: its tokens are learned, so they cannot be what is to be found; set another form"
        )


def without_classes(recipe: settings.Recipe) -> tuple[settings.Recipe, tuple[str, ...]]:
    """The recipe without what is about classes, and the names of what was taken out: `star train` after it needs them.

    So one recipe serves both commands.
    """
    train = recipe.train
    found = {
        "train.augment.mixup": train.augment.mixup,
        "train.label_smoothing": train.label_smoothing,
        "train.class_weights": train.class_weights,
    }
    augment = train.augment.model_copy(update={"mixup": 0.0})
    plain = train.model_copy(update={"augment": augment, "label_smoothing": 0.0, "class_weights": False})
    return recipe.model_copy(update={"train": plain}), tuple(name for name, value in found.items() if value)


class PretrainStep(TrainStep):
    """A `MaskedTransformer` in training; see TrainStep."""

    network: MaskedTransformer

    def _build(self, recipe: settings.Recipe, arguments: dict[str, Any]) -> nn.Module:
        self.hiding = recipe.pretrain
        return MaskedTransformer(STARTransformer(**arguments))

    @property
    def transformer(self) -> STARTransformer:
        """What is kept of it."""
        return self.network.transformer

    def learn(self, micro_batch: MicroBatch, batch: Batch, epoch: int) -> Tensor:
        """Add the batch's gradient. Returns (2) float32: the sum of the clips' losses, and 0."""
        self.network.train()
        random = self._begin(micro_batch, epoch)
        hidden = masks(self.network.shapes, self.hiding.share, self.hiding.span, random, micro_batch.size)
        arrays = inputs(self._changed(batch, micro_batch, random))
        given = {name: to_device(mask[micro_batch.read_picks], self.ranks.device) for name, mask in hidden.items()}
        with self._together(micro_batch):
            with autocast(self.ranks.device, self.precision), quickest_attention(self.ranks.device):
                losses = self.model(given, **arrays)
            (losses.sum() * (micro_batch.weight * self.ranks.size)).backward()
        return torch.stack([losses.detach().sum(), losses.new_zeros(())])


class PretrainTraining(Training):
    """A run of `star pretrain`."""

    learner: PretrainStep
    step = PretrainStep
    labelled = False

    def _note(self) -> dict[str, Any]:
        return {"pretrained": True}

    def _learnt(self, seen: float) -> dict[str, float]:
        return {"train_loss": self.now.loss / seen}

    @torch.no_grad()
    def _scores(self, watch: Watch | None = None) -> dict[str, float]:
        """The loss on the first view of each test video, each under masks of its own that never change."""
        network, ranks, stream = self.learner.judged, self.ranks, self.test_stream
        assert isinstance(network, MaskedTransformer)
        network.eval()
        asked = self.recipe.pretrain
        clips, batch = len(self.testing), self.recipe.test.batch
        random = np.random.default_rng([self.asked.seed, JUDGED, 0, 2])
        hidden = masks(network.shapes, asked.share, asked.span, random, clips)
        sums = float64_device(ranks.device)
        found = torch.zeros(clips, dtype=torch.float64, device=sums)
        mine = ranks.share(np.arange(clips))
        for given in stream([mine[start : start + batch] for start in range(0, clips, batch) if start < len(mine)]):
            arrays = {name: array.float() for name, array in inputs(given).items()}
            own = {name: to_device(mask[given["clip"].cpu().numpy()], ranks.device) for name, mask in hidden.items()}
            with autocast(ranks.device, self.learner.precision):
                found[given["clip"].to(sums)] = network(own, **arrays).to(sums).double()
        return {"test_loss": float(ranks.add(found).mean())}

    def _merit(self, row: dict[str, float]) -> tuple[float, float]:
        loss = -row.get("test_loss", float("inf"))
        return loss, loss

    def _weights(self) -> dict[str, Tensor]:
        judged = self.learner.judged
        assert isinstance(judged, MaskedTransformer)
        return judged.transformer.state_dict()

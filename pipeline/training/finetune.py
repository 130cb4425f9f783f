"""`star finetune`: the backbone and the STAR-Transformer trained together, by the loop that `star train` has.

What is read is cached: the frames as the backbone sees them (`decode.keep: frames`), and the joints' heat maps. All
that `star train` changes of cached tokens (`train.augment`) is changed here of the same tokens on their way. With
`model.pose_head` the cached heat maps are what the network's own are to be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage] (all its kinds, and no more)
from torch.optim import Optimizer

from ...cache.atomic import reporting
from ...errors import RecipeError
from ...stages.backbone.weights import load
from ...stages.end_to_end import EndToEnd
from ...stages.pose_head import PoseHead, pose_losses
from ...stages.precision import float64_device
from ...stages.transformer import STARTransformer
from ..planning.array_shapes import shapes as planned_shapes
from ..planning.inputs import arrays_for as transformer_arrays
from ..planning.selection import Selection
from ..planning.stage_graph import graph, weights_file
from ..recipe import schema as settings
from ..utils.atomic import replace_bytes
from .dataset import Batch, Features
from .mixed_precision import autocast, quickest_attention
from .model_factory import Shapes, inputs
from .optimizer import make_optimizer
from .sampler import MicroBatch
from .train_step import TrainStep
from .trainer import Training
from .validation import Watch

CLIPS = 256  # looked at to standardise: each goes through the backbone
CHUNK = 8  # of them at once
BACKBONE = "backbone.safetensors"


def check(recipe: settings.Recipe) -> None:
    """Refuse what `star finetune` cannot do. Raises RecipeError."""
    if recipe.decode.keep != "frames":
        raise RecipeError(
            "decode.keep: none: star finetune trains on kept frames; set it to frames, and run `star extract` again"
        )
    bare = recipe.model.modalities == "joint" and recipe.tokens.form == "heatmap"
    if bare and not recipe.model.pose_head:
        raise RecipeError(
            "tokens.form: heatmap: with model.modalities joint nothing reads the backbone, so there is nothing to "
            "fine-tune; set another form, or use `star train`"
        )
    if recipe.train.compile:
        raise RecipeError("train.compile: true: star finetune does not compile; set it to false")
    if recipe.finetune.checkpointing and recipe.finetune.batch_norm == "train":
        raise RecipeError(
            "finetune.checkpointing: true: goes clip by clip, and batch norms in training see the whole batch; set "
            "finetune.batch_norm to eval"
        )


def arrays_for(recipe: settings.Recipe) -> tuple[str, ...]:
    """The cached arrays that it reads."""
    return ("frames",) if recipe.model.modalities == "global" else ("frames", "joint_heatmap")


class FinetuneStep(TrainStep):
    """An `EndToEnd` in training. recipe: see TrainStep; the backbone begins with `backbone.weights`."""

    network: EndToEnd

    def _build(self, recipe: settings.Recipe, arguments: Mapping[str, Any]) -> nn.Module:
        transformer = STARTransformer(**arguments)  # first, so that it begins as `star train` begins
        stage = graph(recipe).nodes["backbone"].stage
        file = weights_file(recipe.backbone.weights)
        backbone = load(stage.weights, stage.seed, file, model=stage.model, size=stage.size)
        self.pose_weight, self.read, head = recipe.finetune.pose_weight, arrays_for(recipe), None
        self.teacher_forced = recipe.finetune.pose_tokens == "cached"
        if recipe.model.pose_head:
            head = PoseHead(stage.shape("local_map").channels, arguments["joints"])
        network = EndToEnd(stage.model, tuple(stage.layers.values()), recipe.tokens.form, backbone, transformer, head)
        network.batch_norm = recipe.finetune.batch_norm
        network.checkpointing = recipe.finetune.checkpointing
        network.freeze(recipe.finetune.freeze)
        return network

    def _make_optimizer(self, recipe: settings.Recipe) -> Optimizer:
        slower = recipe.finetune.learning_rate / recipe.train.learning_rate
        return make_optimizer(self.network, recipe.train, {"backbone.": slower})

    @property
    def transformer(self) -> STARTransformer:
        """The part that `star train` trains."""
        return self.network.transformer

    def _answer(
        self, batch: Batch, micro_batch: MicroBatch, random: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor | float]:
        wanted: list[Tensor] = []
        maps: list[Tensor] = []

        def change(arrays: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
            with autocast(self.ranks.device, "float32"):  # as where the arrays are cached
                changed, targets = self._prepare({**arrays, "label": batch["label"]}, micro_batch, random)
            wanted.append(targets)
            return inputs(changed)

        given = {name: batch[name] for name in (self.read if self.teacher_forced else self.network.inputs)}
        with autocast(self.ranks.device, self.precision), quickest_attention(self.ranks.device):
            logits = self.model(**given, change=change, watch=maps.append).float()
        if not maps:
            return logits, wanted[0], 0.0
        own = slice(len(micro_batch.clips))  # without those that are only blended in
        return logits, wanted[0], self.pose_weight * pose_losses(maps[0][own], batch["joint_heatmap"][own])

    def standardize_by(self, training: Selection) -> None:
        """As of every training; with `finetune.batch_norm: train` batch norms first take the statistics of the training
        clips for their own, since what they make of other ones is not what training will see."""
        self.network.train()
        norms = [module for module in self.network.modules() if isinstance(module, _BatchNorm) and module.training]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all that is seen
        for given in self._parts(training) if norms else ():
            self._arrays(given)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        super().standardize_by(training)

    def _spread(self, training: Selection, array: str) -> Iterator[Tensor]:
        """Some clips of what the backbone, as it begins, makes of the training clips, float64."""
        self.network.eval()
        for given in self._parts(training):
            yield self._arrays(given)[array].double().cpu()

    @torch.no_grad()
    def _arrays(self, given: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        with autocast(self.ranks.device, self.precision):
            return self.network.arrays(**given)

    def _parts(self, training: Selection) -> Iterator[dict[str, Tensor]]:
        """Some training clips, CHUNK at a time, as `EndToEnd.arrays` takes them."""
        features = Features(training, self.read)  # with the cached heat maps, which those of a pose head come to
        clips = np.unique(np.linspace(0, len(features) - 1, min(len(features), CLIPS)).round().astype(np.int64))
        for start in range(0, len(clips), CHUNK):
            batch = inputs(features.__getitems__(clips[start : start + CHUNK]))
            yield {name: tensor.to(self.ranks.device).float() for name, tensor in batch.items()}


class FinetuneTraining(Training):
    """A run of `star finetune`."""

    learner: FinetuneStep
    step = FinetuneStep
    teaches_pose = True

    def _arrays(self) -> tuple[str, ...]:
        return arrays_for(self.recipe)

    def _seen(self, shapes: Shapes) -> Shapes:
        """The shapes of the arrays between backbone and transformer."""
        joints = shapes["joint_heatmap"][1] if "joint_heatmap" in shapes else 1
        people = self.recipe.pose.people if self.recipe.heatmaps.people == "separate" else 1
        made = planned_shapes(self.recipe, graph(self.recipe), joints // people)
        return {name: made[name] for name in transformer_arrays(self.recipe.model, self.recipe.tokens.form)}

    def _note(self) -> dict[str, Any]:
        network, settings_of = self.learner.network, self.recipe.backbone
        head = network.pose_head
        return {
            "arrays": list(network.inputs),
            "backbone": {
                "model": settings_of.model,
                "size": settings_of.size,
                "layers": [settings_of.global_layer, settings_of.local_layer],
                "form": self.recipe.tokens.form,
                **({"pose_head": {"channels": head.channels, "joints": head.joints}} if head else {}),
            },
        }

    def _scores(self, watch: Watch | None = None) -> dict[str, float]:
        """As of every training; of a pose head also how far its maps are from the cached ones ("test_pose_loss")."""
        if not self.recipe.model.pose_head:
            return super()._scores(watch)
        sums = torch.zeros(2, dtype=torch.float64, device=float64_device(self.ranks.device))

        def add(given: Batch, maps: Tensor) -> None:
            found = pose_losses(maps, given["joint_heatmap"]).to(sums.device)
            sums.add_(torch.stack([found.double().sum(), torch.tensor(float(len(found)), device=sums.device)]))

        row = super()._scores(add)
        total, clips = self.ranks.add(sums).tolist()
        return {**row, "test_pose_loss": total / clips}

    def _write_weights(self, which: str, scores: dict[str, Any]) -> None:
        super()._write_weights(which, scores)
        if which == self.recipe.test.checkpoint:
            from safetensors.torch import save

            judged = self.learner.judged
            assert isinstance(judged, EndToEnd)
            state = {
                name: tensor.detach().cpu().contiguous().clone() for name, tensor in judged.backbone_state().items()
            }
            path = self.folder.path / BACKBONE
            with reporting(path):
                replace_bytes(path, save(state))

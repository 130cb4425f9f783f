"""Optimizers, learning rates and averaged weights, as functions of settings and of the step's number."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..recipe import schema as settings

ONECYCLE_WARMUP = 0.3  # share of steps, where the recipe's warm-up is 0
ONECYCLE_START = 25.0  # the highest rate over the first
ONECYCLE_END = 1e4  # the first rate over the last
FREE_OF_DECAY = ("bias", "position", "cls")


def copies_of_weights(train: settings.TrainSettings) -> int:
    """How many numbers training keeps of each parameter: weight, gradient, the optimizer's, the average's."""
    return 2 + {"sgd": 1, "adamw": 2}[train.optimizer] + (train.ema > 0)


def decayed(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, bool]]:
    """(name, parameter, whether weight decay applies): matrices decay; biases, norms, tokens and embeddings do not."""
    for name, parameter in model.named_parameters():
        free = any(word in name.rpartition(".")[2] for word in FREE_OF_DECAY)
        yield name, parameter, parameter.ndim >= 2 and not free


def make_optimizer(
    model: nn.Module, train: settings.TrainSettings, slower: Mapping[str, float] = MappingProxyType({})
) -> Optimizer:
    """SGD with momentum, or AdamW, in two groups: with weight decay and without.

    slower: parameters whose names begin so have groups of their own, whose rate is so many times that of the others.
    """
    groups: list[dict[str, Any]] = []
    for prefix in ("", *slower):
        mine = [(p, decay) for name, p, decay in decayed(model) if next(filter(name.startswith, slower), "") == prefix]
        factor = {"slower": slower[prefix]} if prefix else {}
        groups += [
            {"params": [p for p, decay in mine if decay], "weight_decay": train.weight_decay, **factor},
            {"params": [p for p, decay in mine if not decay], "weight_decay": 0.0, **factor},
        ]
    groups = [group for group in groups if group["params"]]
    fused = next(model.parameters()).device.type in ("cpu", "cuda")
    if train.optimizer == "sgd":
        return SGD(groups, lr=train.learning_rate, momentum=train.momentum, fused=fused)
    return AdamW(groups, lr=train.learning_rate, fused=fused)


def rate(step: int, steps: int, train: settings.TrainSettings) -> float:
    """The learning rate of step `step` (from 0) of `steps`.

    constant, cosine (to 0): after a linear warm-up over `train.warmup` of all steps. onecycle: Smith & Topin 2018 as
    torch's OneCycleLR has it (cosine up, cosine down, momentum left alone).
    """
    if train.schedule == "onecycle":
        first, last = 1 / ONECYCLE_START, 1 / (ONECYCLE_START * ONECYCLE_END)
        peak = (train.warmup or ONECYCLE_WARMUP) * steps - 1
        if step <= peak:  # where the way up is one step, that is the peak
            return train.learning_rate * _between(first, 1.0, step / peak if peak else 1.0)
        return train.learning_rate * _between(1.0, last, (step - peak) / (steps - 1 - peak))
    rising = round(train.warmup * steps)
    if step < rising:
        factor = (step + 1) / rising
    elif train.schedule == "constant":
        factor = 1.0
    else:
        factor = 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))
    return train.learning_rate * factor


def _between(start: float, end: float, share: float) -> float:
    """From start to end along half a cosine."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


class WeightAverage:
    """Weights averaged over the steps (EMA): average = decay · average + (1 - decay) · weights.

    In the first steps the decay is held at (1 + step) / (10 + step), so that the start is soon forgotten. Buffers
    (statistics of batch norms) are the network's own.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards the model's weights; step: optimizer steps so far."""
        decay = min(self.decay, (1 + step) / (10 + step))
        get_ema_multi_avg_fn(decay)(list(self.model.parameters()), list(model.parameters()), step)
        for own, other in zip(self.model.buffers(), model.buffers(), strict=True):
            own.copy_(other)

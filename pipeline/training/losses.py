"""The loss, what it compares with, and how much each class counts."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot


def losses(logits: Tensor, wanted: Tensor, weights: Tensor | None, *, multilabel: bool) -> Tensor:
    """(b,) the loss of every clip, for logits and targets (b, k): cross-entropy, or where clips have several labels the
    mean over the classes of their binary cross-entropies. weights: see `class_weights`."""
    if multilabel:
        return binary_cross_entropy_with_logits(logits, wanted, pos_weight=weights, reduction="none").mean(1)
    return cross_entropy(logits, wanted, weights, reduction="none")


def targets(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """(b, k) float32 class probabilities: smoothing is spread over all classes (Szegedy et al. 2016).

    labels: (b) int, or (b, k) of 0 and 1 where clips have several; then each is moved towards one half.
    """
    if labels.ndim == 2:
        return labels.float() * (1 - smoothing) + smoothing / 2
    return one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes


def class_weights(labels: np.ndarray, classes: int) -> Tensor:
    """(k,) float32: the inverse of each class's share, mean over clips 1; 0 for a class without clips.

    labels: (clips,) int. Where clips have several labels, (clips, k) of 0 and 1: then what the clips of a class weigh
    in its question against all others, their number over that of its clips; 1 for a class without clips.
    """
    if labels.ndim == 2:
        own = labels.sum(0).astype(np.float64)
        return torch.from_numpy(np.divide(len(labels) - own, own, out=np.ones(classes), where=own > 0)).float()
    count = np.bincount(labels, minlength=classes)
    weight = np.divide(len(labels), count * np.count_nonzero(count), out=np.zeros(classes), where=count > 0)
    return torch.from_numpy(weight).float()

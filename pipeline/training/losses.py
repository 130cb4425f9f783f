"""What the loss compares with: smoothed targets and class weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot


def targets(labels: Tensor, classes: int, smoothing: float) -> Tensor:
    """(b, k) float32 class probabilities: smoothing is spread over all classes (Szegedy et al. 2016)."""
    return one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes


def class_weights(labels: np.ndarray, classes: int) -> Tensor:
    """(k,) float32: the inverse of each class's share, mean over clips 1; 0 for a class without clips."""
    count = np.bincount(labels, minlength=classes)
    weight = np.divide(len(labels), count * np.count_nonzero(count), out=np.zeros(classes), where=count > 0)
    return torch.from_numpy(weight).float()

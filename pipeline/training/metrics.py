"""Figures of merit from probabilities and labels: exact, over all videos at once, nothing padded.

Axes: v videos, k classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

TOP = 5


def ahead(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes stand before the true one: 0 is a correct answer, below 5 a top-5 hit.

    probabilities: (v, k); logits do as well. labels: (v,) int. Returns (v,) int. Among equals the lower class comes
    first, as with argmax; a row with a value that is not finite counts as wrong.
    """
    own = np.take_along_axis(probabilities, labels[:, None], 1)
    before = np.arange(probabilities.shape[1]) < labels[:, None]
    count = ((probabilities > own) | ((probabilities == own) & before)).sum(1)
    return np.where(np.isfinite(probabilities).all(1), count, probabilities.shape[1])


def top(count: int, classes: int) -> int:
    """What top-`count` means among so few classes: min(count, classes)."""
    return min(count, classes)


def confusion(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """(k, k) int: how often the row's class was taken for the column's."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def per_class(place: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """(k,) share of each class's videos with a correct answer, NaN for a class without videos; place: see `ahead`."""
    count = np.bincount(labels, minlength=classes)
    right = np.bincount(labels[place == 0], minlength=classes)
    return np.divide(right, count, out=np.full(classes, np.nan), where=count > 0)


def scores(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """top1, top5 and mean_class as shares, loss as the mean cross-entropy in nats. probabilities: (v, k)."""
    classes = probabilities.shape[1]
    place = ahead(probabilities, labels)
    own = np.take_along_axis(probabilities, labels[:, None], 1)
    return {
        "top1": float((place == 0).mean()),
        "top5": float((place < top(TOP, classes)).mean()),
        "mean_class": float(np.nanmean(per_class(place, labels, classes))),
        "loss": float(-np.log(np.maximum(own, np.finfo(np.float64).tiny)).mean()),
    }


def intervals(
    place: np.ndarray, labels: np.ndarray, classes: int, resamples: int, *, share: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Bootstrap intervals of top1, top5 and mean_class: {"top1": (low, high), …}; {} for no resamples.

    Drawing v videos with replacement only moves counts among the 3k cells (class; right, in the top 5, neither), so
    each resample is one multinomial draw over those cells, whatever v is. place: see `ahead`.
    """
    if not resamples or not len(place):
        return {}
    kind = np.where(place == 0, 0, np.where(place < top(TOP, classes), 1, 2))
    cells = np.bincount(labels * 3 + kind, minlength=3 * classes) / len(place)
    drawn = np.random.default_rng(seed).multinomial(len(place), cells, resamples).reshape(resamples, classes, 3)
    count = drawn.sum(2)
    share_right = np.divide(drawn[..., 0], count, out=np.full(count.shape, np.nan), where=count > 0)
    found = {
        "top1": drawn[..., 0].sum(1) / len(place),
        "top5": drawn[..., :2].sum((1, 2)) / len(place),
        "mean_class": np.nanmean(share_right, 1),
    }
    edges = ((1 - share) / 2, (1 + share) / 2)
    return {
        name: (float(low), float(high)) for name, (low, high) in ((n, np.quantile(f, edges)) for n, f in found.items())
    }


def by_group(place: np.ndarray, values: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Group value -> {"videos", "top1"}, in the values' order; place and values: one entry a video."""
    named = np.asarray(values, dtype=object)
    found: dict[str, dict[str, Any]] = {}
    for value in sorted(set(values)):
        own = place[named == value]
        found[value] = {"videos": len(own), "top1": float((own == 0).mean())}
    return found

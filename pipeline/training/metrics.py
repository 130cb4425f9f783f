"""Figures of merit from probabilities and labels: exact, over all videos at once, nothing padded.

Axes: v videos, k classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


def predicted(probabilities: np.ndarray) -> np.ndarray:
    """(v,) int: the likeliest class, -1 where a value is not finite: no answer is no right one."""
    return np.where(np.isfinite(probabilities).all(1), probabilities.argmax(1), -1)


def top(count: int, classes: int) -> int:
    """What top-`count` means among so few classes: min(count, classes)."""
    return min(count, classes)


def confusion(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """(k, k) int: how often the row's class was taken for the column's; -1 is taken for none."""
    labels, predicted = labels[predicted >= 0], predicted[predicted >= 0]
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def per_class(place: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """(k,) share of each class's videos with a correct answer, NaN for a class without videos; place: see `ahead`."""
    count = np.bincount(labels, minlength=classes)
    right = np.bincount(labels[place == 0], minlength=classes)
    return np.divide(right, count, out=np.full(classes, np.nan), where=count > 0)


def scores(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """top1, top5 and mean_class as shares, loss as the mean cross-entropy in nats. probabilities: (v, k).

    NaN is wrong, and as far off as can be.
    """
    classes = probabilities.shape[1]
    place = ahead(probabilities, labels)
    own = np.nan_to_num(np.take_along_axis(probabilities, labels[:, None], 1))
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


@dataclass(frozen=True)
class ReliabilityBin:
    """Answers whose probability lies in (low, high]: how many, their mean probability, the share that is right."""

    low: float
    high: float
    videos: int
    confidence: float
    accuracy: float


def reliability(probabilities: np.ndarray, labels: np.ndarray, bins: int = 15) -> list[ReliabilityBin]:
    """The answers (v, k) by their probability, in `bins` bins of equal width; empty ones are left out.

    What is not finite is no answer, and in no bin.
    """
    kept = np.isfinite(probabilities).all(1)
    probabilities, labels = probabilities[kept], labels[kept]
    predicted = probabilities.argmax(1)
    return binned(probabilities[np.arange(len(predicted)), predicted], predicted == labels, bins)


def binned(sure: np.ndarray, right: np.ndarray, bins: int) -> list[ReliabilityBin]:
    """Answers of probability `sure` (n) in `bins` bins of equal width, against whether they are right (n)."""
    number = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    found = []
    for index in range(bins):
        own = number == index
        if own.any():
            edges = index / bins, (index + 1) / bins
            found.append(ReliabilityBin(*edges, int(own.sum()), float(sure[own].mean()), float(right[own].mean())))
    return found


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Expected calibration error: the mean of |accuracy - confidence|, each bin by its videos (Guo et al. 2017)."""
    videos = sum(one.videos for one in bins)
    return sum(one.videos * abs(one.accuracy - one.confidence) for one in bins) / max(videos, 1)


def by_group(place: np.ndarray, values: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Group value -> {"videos", "top1"}, in the values' order; place and values: one entry a video."""
    named = np.asarray(values, dtype=object)
    found: dict[str, dict[str, Any]] = {}
    for value in sorted(set(values)):
        own = place[named == value]
        found[value] = {"videos": len(own), "top1": float((own == 0).mean())}
    return found

"""Figures of merit where clips have several labels. Axes: v videos, k classes; targets: (v, k) of 0 and 1.

A row of probabilities with a value that is not finite is no answer: it gives nothing, and stands behind all others.
"""

from __future__ import annotations

import numpy as np

from .metrics import TOP, ReliabilityBin, binned, top

HALF = 0.5  # what is more probable is given as a label


def given(probabilities: np.ndarray) -> np.ndarray:
    """(v, k) bool: the labels that are given, those over one half."""
    return np.isfinite(probabilities).all(1, keepdims=True) & (np.nan_to_num(probabilities) > HALF)


def place(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(v,) int: how many classes stand before the first that is among the video's labels: 0 where the likeliest class
    is one of them. Among equals the lower class comes first."""
    order = np.argsort(-np.nan_to_num(probabilities), axis=1, kind="stable")
    first = np.take_along_axis(targets, order, 1).astype(bool).argmax(1)
    return np.where(np.isfinite(probabilities).all(1), first, probabilities.shape[1])


def average_precision(probabilities: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(k,) each class's average precision over the videos, NaN for a class that no video has.

    The mean of the precision at every video of the class, videos in the order of the class's probability; those of
    equal probability count as one step. weights: (v,) how often each video counts, once by default.
    """
    scores = np.where(np.isfinite(probabilities).all(1, keepdims=True), probabilities, -np.inf)
    counts = np.ones(len(scores)) if weights is None else weights
    found = np.full(scores.shape[1], np.nan)
    for label in range(scores.shape[1]):
        order = np.argsort(-scores[:, label], kind="stable")
        ranked, seen = scores[order, label], np.cumsum(counts[order])
        right = np.cumsum(counts[order] * targets[order, label])
        last = np.append(ranked[1:] != ranked[:-1], True)  # of each step
        if right[-1] > 0:
            precision = right[last] / np.maximum(seen[last], 1e-12)
            found[label] = (precision * np.diff(right[last], prepend=0.0)).sum() / right[-1]
    return found


def recall(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(k,) share of each class's videos that are given it, NaN for a class that no video has."""
    count = targets.sum(0).astype(np.float64)
    right = (given(probabilities) & targets.astype(bool)).sum(0)
    return np.divide(right, count, out=np.full(len(count), np.nan), where=count > 0)


def scores(probabilities: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """mean_average_precision; top1 and top5: the share of videos of which the likeliest class, or one of the five, is
    among the labels; mean_class: mean recall at one half; exact: the share that is given exactly its labels; loss: the
    mean binary cross-entropy in nats."""
    first = place(probabilities, targets)
    tiny = np.finfo(np.float64).tiny
    safe = np.nan_to_num(probabilities)
    losses = np.where(targets == 1, np.log(np.maximum(safe, tiny)), np.log(np.maximum(1 - safe, tiny)))
    return {
        "mean_average_precision": float(np.nanmean(average_precision(probabilities, targets))),
        "top1": float((first == 0).mean()),
        "top5": float((first < top(TOP, probabilities.shape[1])).mean()),
        "mean_class": float(np.nanmean(recall(probabilities, targets))),
        "exact": float((given(probabilities) == targets.astype(bool)).all(1).mean()),
        "loss": float(-losses.mean()),
    }


def intervals(
    probabilities: np.ndarray, targets: np.ndarray, resamples: int, *, share: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Bootstrap intervals over videos of mean_average_precision, top1 and top5; {} for no resamples."""
    videos, classes = targets.shape
    if not resamples or not videos:
        return {}
    first, random = place(probabilities, targets), np.random.default_rng(seed)
    drawn = random.multinomial(videos, np.full(videos, 1 / videos), resamples)
    found = {
        "mean_average_precision": [float(np.nanmean(average_precision(probabilities, targets, one))) for one in drawn],
        "top1": drawn @ (first == 0) / videos,
        "top5": drawn @ (first < top(TOP, classes)) / videos,
    }
    edges = ((1 - share) / 2, (1 + share) / 2)
    quantiles = {name: np.quantile(values, edges) for name, values in found.items()}
    return {name: (float(low), float(high)) for name, (low, high) in quantiles.items()}


def reliability(probabilities: np.ndarray, targets: np.ndarray, bins: int = 15) -> list[ReliabilityBin]:
    """Every class of every video by its probability, against how often it is a label; `videos` counts such pairs."""
    kept = np.isfinite(probabilities).all(1)
    return binned(probabilities[kept].ravel(), targets[kept].ravel(), bins)

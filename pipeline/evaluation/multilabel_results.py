"""What a test comes to per class and video where clips have several labels; see `results.py`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..training import metrics
from ..training import multilabel_metrics as multilabel


def named(row: np.ndarray, classes: Sequence[str]) -> str:
    """The classes of a row of 0 and 1, as a list of videos has them."""
    return ";".join(name for name, own in zip(classes, row.tolist(), strict=True) if own)


def summary(probabilities: np.ndarray, targets: np.ndarray, classes: Sequence[str], resamples: int) -> dict[str, Any]:
    """Scores with intervals, and what each class came to."""
    return {
        **multilabel.scores(probabilities, targets),
        "intervals": multilabel.intervals(probabilities, targets, resamples),
        "per_class": per_class(probabilities, targets, classes),
    }


def table(probabilities: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(k, k) int: how many videos of the row's class are given the column's."""
    return targets.astype(np.int64).T @ multilabel.given(probabilities).astype(np.int64)


def per_class(probabilities: np.ndarray, targets: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    """One entry a class: average precision; recall (as accuracy) and precision at one half; what its videos are most
    often given in its place."""
    given, own = multilabel.given(probabilities), targets.astype(bool)
    precision = multilabel.average_precision(probabilities, targets)
    likeliest = np.argsort(-np.nan_to_num(probabilities), axis=1, kind="stable")
    order = likeliest[:, : metrics.top(metrics.TOP, len(classes))]
    near = np.zeros_like(own)
    np.put_along_axis(near, order, True, 1)
    wrong = (own & ~given).astype(np.int64).T @ (given & ~own).astype(np.int64)
    found: list[dict[str, Any]] = []
    for label, name in enumerate(classes):
        count, said = int(own[:, label].sum()), int(given[:, label].sum())
        right = int((own & given)[:, label].sum())
        row: dict[str, Any] = {"class": name, "videos": count, "right": right}
        row["accuracy"] = right / count if count else None
        row["top5"] = int((own & near)[:, label].sum()) / count if count else None
        row["precision"] = right / said if said else None
        row["average_precision"] = float(precision[label]) if count else None
        row["taken_for"] = classes[wrong[label].argmax()] if wrong[label].any() else ""
        found.append(row)
    return found


def predictions(
    videos: Sequence[str], probabilities: np.ndarray, targets: np.ndarray, place: np.ndarray, classes: Sequence[str]
) -> Iterable[Sequence[Any]]:
    """The rows of predictions.csv: labels and those given, whether they are the same, the probability of the likeliest
    class and of the least likely label, the place of the first label."""
    given = multilabel.given(probabilities)
    for index, video in enumerate(videos):
        own, row = targets[index].astype(bool), probabilities[index]
        finite = bool(np.isfinite(row).all())
        sure = [f"{value:.6f}" for value in (row.max(), row[own].min())] if finite else ["", ""]
        exact = int((given[index] == own).all())
        yield video, named(own, classes), named(given[index], classes), exact, *sure, place[index] + 1

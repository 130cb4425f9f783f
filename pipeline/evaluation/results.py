"""What a test comes to: from probabilities to scores, and the files that say so.

RUN/test/metrics.json       scores with intervals, per class, by group, and the surest wrong answers
RUN/test/per_class.csv      one row a class         RUN/test/confusion.csv, .png   true class x predicted class
RUN/test/predictions.csv    one row a video             RUN/test/reliability.png    probability against accuracy
RUN/test/predictions.npz    every clip's probabilities  (video, view, label, probabilities; classes)
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...untrusted_files import each, json_text, named, number, optional, plain, record, text, whole
from ..planning.selection import Selection
from ..recipe import schema as settings
from ..training import metrics, multilabel_metrics
from ..utils.atomic import replace_bytes
from ..visualization.plots import confusion_picture, reliability_picture
from . import multilabel_results

WORST = 20  # wrong answers named in metrics.json
SHOWN = 6  # clips of each kind that a report shows
_FIGURES = dict.fromkeys(("mean_average_precision", "top1", "top5", "mean_class", "exact", "loss"), optional(number))
_SHARES = dict.fromkeys(("accuracy", "precision", "top5", "average_precision"), optional(number))
_CLIP = record(
    {"video": text(), "label": text(), "predicted": text(), "probability": number}, {"frames": named(each(number))}
)
_CLASS = record({"class": text()}, {"videos": whole(), "taken_for": text(), **_SHARES})
SCORES = record(
    {},
    {
        **_FIGURES,
        **dict.fromkeys(("videos", "clips", "left_out"), whole()),
        "intervals": named(each(number, 2, 2)),
        "groups": named(named(record({}, {"videos": whole(), **_FIGURES}))),
        "per_class": each(_CLASS, 1 << 20),
        "worst": each(_CLIP, WORST),
        "surest": each(_CLIP, WORST),
        "calibration": plain,
        "pose_head": record(
            {"pck": optional(number), "threshold": number, "joints": whole()}, {"per_joint": named(optional(number))}
        ),
    },
)
"""metrics.json as `star report` reads it; any number of other entries may stand beside."""
PREDICTION = ("video", "label", "predicted", "right", "probability", "label_probability", "place")


@dataclass(frozen=True)
class EvaluationResult:
    """What a test came to.

    videos: ids, in order. labels, predicted: (v) int, of several labels the first. targets: see `Selection.targets`.
    probabilities: (v, k), averaged over views. place: (v) int, how many classes stand before the true one, or before
    the first of several. table: (k, k) int, true class x given class. summary: metrics.json. clips: what every view
    came to.
    """

    videos: Sequence[str]
    labels: np.ndarray
    targets: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray
    place: np.ndarray
    table: np.ndarray
    classes: Sequence[str]
    summary: dict[str, Any]
    clips: ClipScores


@dataclass(frozen=True)
class ClipScores:
    """Every clip by itself.

    videos, views: (c) its id and view. labels: `Selection.targets`, (c) int or (c, k). probabilities: (c, k).
    """

    videos: Sequence[str]
    views: Sequence[int]
    labels: np.ndarray
    probabilities: np.ndarray


def judge(
    found: np.ndarray, selection: Selection, note: Mapping[str, Any], asked: settings.TestSettings
) -> EvaluationResult:
    """From probabilities (clips, k) to a evaluation over videos; note: of the checkpoint."""
    clips_of = selection.clips_of
    averaged = np.stack([found[np.asarray(clips)].mean(0) for clips in clips_of.values()])
    first = np.array([clips[0] for clips in clips_of.values()])
    targets, classes = selection.targets[first], selection.classes
    several = selection.multilabel
    place = multilabel_metrics.place(averaged, targets) if several else metrics.ahead(averaged, targets)
    if several:
        scored = multilabel_results.summary(averaged, targets, classes, asked.bootstrap)
        table, bins = multilabel_results.table(averaged, targets), multilabel_metrics.reliability(averaged, targets)
    else:
        scored = {
            **metrics.scores(averaged, targets),
            "intervals": metrics.intervals(place, targets, len(classes), asked.bootstrap),
            "per_class": _per_class(place, metrics.predicted(averaged), targets, classes),
        }
        table = metrics.confusion(metrics.predicted(averaged), targets, len(classes))
        bins = metrics.reliability(averaged, targets)
    summary = {
        **scored,
        "calibration": {"error": metrics.calibration_error(bins), "bins": [asdict(one) for one in bins]},
        "videos": len(first),
        "clips": len(selection),
        "left_out": len(selection.left_out),
        "checkpoint": {"epoch": note["epoch"]},
        "groups": {
            name: metrics.by_group(place, [values[clip] for clip in first.tolist()])
            for name, values in selection.groups.items()
        },
        "worst": _surest(averaged, targets, place, list(clips_of), classes, right=False),
        "surest": _surest(averaged, targets, place, list(clips_of), classes, right=True),
    }
    clips = ClipScores([video.id for video in selection.videos], selection.views, selection.targets, found)
    return EvaluationResult(
        list(clips_of), selection.labels[first], targets, metrics.predicted(averaged), averaged, place, table, classes,
        summary, clips,
    )  # fmt: skip


def _per_class(
    place: np.ndarray, predicted: np.ndarray, labels: np.ndarray, classes: Sequence[str]
) -> list[dict[str, Any]]:
    """One entry a class: recall (its accuracy), precision, and what it is most often taken for."""
    table = metrics.confusion(predicted, labels, len(classes))
    hits = np.bincount(labels[place < metrics.top(metrics.TOP, len(classes))], minlength=len(classes))
    wrong = table - np.diag(np.diag(table))
    found: list[dict[str, Any]] = []
    for index, name in enumerate(classes):
        count, named = int((labels == index).sum()), int(table[:, index].sum())
        row: dict[str, Any] = {"class": name, "videos": count, "right": int(table[index, index])}
        row["accuracy"] = row["right"] / count if count else None
        row["top5"] = int(hits[index]) / count if count else None
        row["precision"] = row["right"] / named if named else None
        row["taken_for"] = classes[wrong[index].argmax()] if wrong[index].any() else ""
        found.append(row)
    return found


def _surest(
    probabilities: np.ndarray,
    targets: np.ndarray,
    place: np.ndarray,
    videos: Sequence[str],
    classes: Sequence[str],
    *,
    right: bool,
) -> list[dict[str, Any]]:
    """The right, or the wrong, answers of which the network was most sure, the surest first."""
    predicted, several = metrics.predicted(probabilities), targets.ndim == 2
    chosen = np.flatnonzero(((place == 0) == right) & (predicted >= 0))
    order: list[int] = chosen[np.argsort(-probabilities[chosen, predicted[chosen]], kind="stable")].tolist()
    return [
        {
            "video": videos[index],
            "label": multilabel_results.named(targets[index], classes) if several else classes[int(targets[index])],
            "predicted": classes[predicted[index]],
            "probability": float(probabilities[index, predicted[index]]),
        }
        for index in order[: SHOWN if right else WORST]
    ]


def write(folder: Path, evaluation: EvaluationResult) -> None:
    """Write RUN/test/; each file is replaced as a whole. Raises StorageError."""
    classes, table = evaluation.classes, evaluation.table
    replace_bytes(folder / "metrics.json", json_text(evaluation.summary, 1).encode())
    rows = evaluation.summary["per_class"]
    _write_csv(folder / "per_class.csv", list(rows[0]), [list(row.values()) for row in rows])
    _write_csv(
        folder / "confusion.csv",
        ["true", *classes],
        [[n, *row] for n, row in zip(classes, table.tolist(), strict=True)],
    )
    _write_csv(folder / "predictions.csv", PREDICTION, _predictions(evaluation))
    replace_bytes(folder / "confusion.png", confusion_picture(table, classes))
    calibration = evaluation.summary["calibration"]
    bins = [metrics.ReliabilityBin(**one) for one in calibration["bins"]]
    replace_bytes(folder / "reliability.png", reliability_picture(bins, calibration["error"]))
    clips, content = evaluation.clips, io.BytesIO()
    np.savez_compressed(  # all probabilities, as arrays that any numpy reads; no pickle is among them
        content,
        video=np.array(clips.videos, dtype=str),
        view=np.array(clips.views, dtype=np.int32),
        label=clips.labels.astype(np.uint8 if clips.labels.ndim == 2 else np.int32),
        probabilities=clips.probabilities.astype(np.float32),
        classes=np.array(classes, dtype=str),
    )
    replace_bytes(folder / "predictions.npz", content.getvalue())


def _predictions(evaluation: EvaluationResult) -> Iterable[Sequence[Any]]:
    if evaluation.targets.ndim == 2:
        yield from multilabel_results.predictions(
            evaluation.videos, evaluation.probabilities, evaluation.targets, evaluation.place, evaluation.classes
        )
        return
    for index, video in enumerate(evaluation.videos):
        label, predicted = evaluation.labels[index], evaluation.predicted[index]
        sure, own = (
            f"{evaluation.probabilities[index, which]:.6f}" if predicted >= 0 else "" for which in (predicted, label)
        )
        right = int(label == predicted)
        yield (
            video,
            evaluation.classes[label],
            evaluation.classes[predicted] if predicted >= 0 else "",
            right,
            sure,
            own,
            evaluation.place[index] + 1,
        )


def _write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    replace_bytes(path, text.getvalue().encode("utf-8", "surrogateescape"))

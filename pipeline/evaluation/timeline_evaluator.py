"""`star test --timeline`: windows slid over the test films of a data set whose spans are labelled.

RUN/test/timeline.json      mean average precision at temporal IoU 0.3, 0.5 and 0.7, and of every class
RUN/test/timeline.csv       the segments that were found: video, start, end, label, score
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UsageError, VideoError
from ...stages.decode import probe_video
from ..datasets.base import Video
from ..extraction.execution import ExecutionConfig
from ..planning.joint_layout import check
from ..planning.manifest import open_manifest
from ..recipe import schema as recipes
from ..recipe.run_recipe import run_recipe
from ..recipe.schema import Recipe
from ..training.model_factory import load
from ..utils.atomic import replace_bytes
from .predictor import TrainedPredictor, recipe_for
from .temporal_average_precision import THRESHOLDS, ActionSegment, per_class
from .temporal_segments import merged, outside
from .timeline import TimelineOptions, TimelinePredictor
from .window_features import open_window_computer

PARTS = 4  # windows begin so many times in the length of one, by default


@dataclass(frozen=True)
class TimelineFilm:
    """A film with test spans. true: these, in seconds. others: spans of other splits, in which nothing is judged."""

    video: Video
    true: Sequence[ActionSegment]
    others: Sequence[ActionSegment]


def default_window(videos: Iterable[Video], rates: Callable[[Video], float]) -> float:
    """The median length, s, of the training spans; rates: frames a second of a video, for spans in frames.

    Raises UsageError where there are none.
    """
    training = [_seconds(video, rates) for video in videos if video.split == "train" and video.span]
    lengths = [end - start for start, end in training]
    if not lengths:
        raise UsageError("--timeline: no training span says how long a window should be; add --window S")
    return round(float(np.median(lengths)), 3)


def evaluate_timeline(
    recipe: Recipe,
    run: Path,
    window: float | None,
    every: float | None,
    *,
    device: str = "auto",
    quiet: bool = False,
) -> dict[str, Any]:
    """Judge a network on the test films of a data set; write RUN/test/timeline.* and return what the JSON file says.

    window, every: seconds; by default the median length of the training spans, and a quarter of that. Raises
    UsageError for a data set without test spans or with other classes.
    """
    execution = ExecutionConfig(device)
    predictor, videos = _predictor(recipe, run, execution)
    rates = _Rates()
    films = films_with_spans(videos, predictor.classes, rates)
    if not films:
        raise UsageError("--timeline: no test video of the data set has labelled spans; see docs/own-videos.md")
    length = window or default_window(videos, rates)
    options = TimelineOptions(length, every or length / PARTS)
    found: list[ActionSegment] = []
    failed: dict[str, str] = {}
    with open_window_computer(predictor, execution) as windows:
        timeline = TimelinePredictor(predictor, windows, options)
        for film in films:
            try:
                answers = list(timeline.film(film.video, quiet=quiet))
            except VideoError as error:
                failed[film.video.id] = str(error)
                continue
            found += outside(merged(film.video.id, answers, options.every), film.others)
    true = [segment for film in films if film.video.id not in failed for segment in film.true]
    document = _document(found, true, options, predictor.classes, len(films), failed)
    replace_bytes(run / "test" / "timeline.json", json.dumps(document, indent=1).encode())
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(ActionSegment._fields)
    writer.writerows((one.video, f"{one.start:.6g}", f"{one.end:.6g}", one.label, f"{one.score:.6f}") for one in found)
    replace_bytes(run / "test" / "timeline.csv", table.getvalue().encode("utf-8", "surrogateescape"))
    return document


def films_with_spans(
    videos: Iterable[Video], classes: Sequence[str], rates: Callable[[Video], float]
) -> list[TimelineFilm]:
    """The files with test spans, each once."""
    spans: dict[Path, list[Video]] = {}
    for video in videos:
        if video.span is not None:
            spans.setdefault(video.media, []).append(video)
    films = []
    for own in spans.values():
        if not any(video.split == "test" for video in own):
            continue
        assert own[0].span is not None
        name = own[0].id.removesuffix(own[0].span.fragment())
        segments = [(video.split, ActionSegment(name, *_seconds(video, rates), classes[video.label])) for video in own]
        true = [segment for split, segment in segments if split == "test"]
        others = [segment for split, segment in segments if split != "test"]
        films.append(TimelineFilm(replace(own[0], id=name, span=None), true, others))
    return films


class _Rates:
    """Frames a second of videos, each file looked at once."""

    def __init__(self) -> None:
        self._known: dict[Path, float] = {}

    def __call__(self, video: Video) -> float:
        if video.media not in self._known:
            seen = probe_video(video.media)
            self._known[video.media] = seen.frames / seen.seconds
        return self._known[video.media]


def _seconds(video: Video, rates: Callable[[Video], float]) -> tuple[float, float]:
    """Start and end of a video's span, s."""
    assert video.span is not None
    if video.span.unit == "s":
        return video.span.start, video.span.end
    rate = rates(video)
    return video.span.start / rate, (video.span.end + 1) / rate


def _predictor(recipe: Recipe, run: Path, execution: ExecutionConfig) -> tuple[TrainedPredictor, Sequence[Video]]:
    """The run's network under the run's own recipe, on the data of this one, labels counted in the run's classes."""
    own = recipes.load(run_recipe(run)).model_copy(
        update={"dataset": recipe.dataset, "cache": recipe.cache, "test": recipe.test}
    )
    manifest, _, _ = open_manifest(own.dataset, own.cache.root)
    network, note = load(run, own.test.checkpoint, execution.devices[0])
    own = recipe_for(note, own)
    check(own, manifest.skeleton, run, note)
    classes = list(note["classes"])
    odd = [name for name in manifest.classes if name not in classes]
    if odd:
        raise UsageError(f"{run}: was trained on {len(classes)} other classes (the data set has {odd[0]})")
    videos = [
        replace(video, label=classes.index(manifest.classes[video.label])) if video.label >= 0 else video
        for video in manifest.videos
    ]
    return TrainedPredictor(own, network, note, {}, manifest.skeleton), videos


def _document(
    found: Sequence[ActionSegment],
    true: Sequence[ActionSegment],
    options: TimelineOptions,
    classes: Sequence[str],
    films: int,
    failed: Mapping[str, str],
) -> dict[str, Any]:
    judged = {threshold: per_class(found, true, threshold, classes) for threshold in THRESHOLDS}
    means = {str(threshold): float(np.mean(list(own.values()))) if own else 0.0 for threshold, own in judged.items()}
    return {
        "mean_average_precision": means,
        "mean": float(np.mean(list(means.values()))),
        "per_class": [
            {
                "class": name,
                "segments": sum(segment.label == name for segment in true),
                "found": sum(segment.label == name for segment in found),
                "average_precision": {str(threshold): judged[threshold][name] for threshold in THRESHOLDS},
            }
            for name in judged[THRESHOLDS[0]]
        ],
        "window": options.window,
        "every": options.every,
        "films": films,
        "failed": dict(failed),
    }

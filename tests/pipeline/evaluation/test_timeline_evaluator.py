"""`star test --timeline` on a real span-labelled data set: what is found, what is judged, what is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from star.pipeline.datasets.base import Span, Video
from star.pipeline.evaluation.temporal_average_precision import ActionSegment
from star.pipeline.evaluation.temporal_segments import merged, outside
from star.pipeline.evaluation.timeline import WindowAnswer
from star.pipeline.evaluation.timeline_evaluator import default_window, films_with_spans

RECIPE = """
dataset: {{kind: videos, root: {root}}}
cache: {{root: {cache}}}
decode: {{frames: 8}}
pose: {{source: mmpose, model: drawn-13, detector: frame}}
backbone: {{weights: random, size: 32, precision: float32, batch: 2}}
tokens: {{form: heatmap}}
model: {{modalities: joint, width: 16, heads: 2, encoder_layers: 1, decoder_layers: 1}}
train: {{epochs: 1, batch: 8, tensorboard: false}}
"""


@pytest.fixture(scope="module")
def spans(
    joined: Sequence[np.ndarray], tmp_path_factory: pytest.TempPathFactory, write_film: Callable, star: Callable
) -> Path:
    """A recipe of two films with three labelled spans each, and beside it a run; three classes."""
    folder = tmp_path_factory.mktemp("spans")
    (folder / "videos").mkdir()
    rows = []
    for name, split in (("first.mp4", "train"), ("second.mp4", "test")):
        write_film(folder / "videos" / name, joined)
        rows += [f"{name},{label},{split},{start},{start + 1.5}" for label, start in zip("abc", (0, 2, 4), strict=True)]
    (folder / "videos" / "list.csv").write_text("video,label,split,start,end\n" + "\n".join(rows) + "\n")
    recipe = folder / "star.yaml"
    recipe.write_text(RECIPE.format(root=folder / "videos", cache=folder / "cache"))
    assert star("extract", recipe).exit_code == 0
    assert star("train", recipe, "--run", folder / "run").exit_code == 0
    return recipe


def test_films_are_judged(spans: Path, star: Callable) -> None:
    run = spans.parent / "run"
    result = star("test", spans, "--run", run, "--timeline", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["window"] == 1.5 and document["every"] == 0.375 and document["films"] == 1
    assert list(document["mean_average_precision"]) == ["0.3", "0.5", "0.7"]
    assert [one["class"] for one in document["per_class"]] == ["a", "b", "c"]
    assert all(one["segments"] == 1 for one in document["per_class"])
    assert json.loads((run / "test" / "timeline.json").read_text()) == document
    with (run / "test" / "timeline.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert sum(one["found"] for one in document["per_class"]) == len(found)
    assert found[0]["video"] == "second.mp4" and float(found[0]["start"]) == 0
    said = star("test", spans, "--run", run, "--timeline", "--window", 2, "--every", 1).output
    assert "mean average precision at a temporal IoU of 0.5" in said and "windows of 2 s every 1 s" in said


def test_what_cannot_be_asked(spans: Path, extracted: Path, annotated_run: Path, star: Callable) -> None:
    run = spans.parent / "run"
    assert "are of --timeline" in star("test", spans, "--run", run, "--window", 1).output
    assert "of one run" in star("test", spans, "--run", run, "--run", run, "--timeline").output
    result = star("test", extracted, "--run", annotated_run, "--timeline")
    assert result.exit_code == 2 and "no test video of the data set has labelled spans" in result.output


def answers(labels: str) -> list[WindowAnswer]:
    """Windows of 2 s, one a second, each with a label."""
    return [
        WindowAnswer(start, start + 2.0, [{"class": label, "probability": 0.5 + start / 100}])
        for start, label in enumerate(labels)
    ]


def test_windows_that_agree_are_one_segment() -> None:
    """Each speaks for a second about its middle, the first and the last also for the ends of the film."""
    found = merged("f", answers("aabba"), 1.0)
    assert [(one.label, one.start, one.end) for one in found] == [("a", 0, 2.5), ("b", 2.5, 4.5), ("a", 4.5, 6)]
    assert [one.score for one in found] == pytest.approx([0.505, 0.525, 0.54])
    assert merged("f", [], 1.0) == []
    apart = merged("f", [answers("a")[0], answers("aaaaa")[4]], 1.0)
    assert [(one.start, one.end) for one in apart] == [(0, 1.5), (4.5, 6)]


def test_segments_of_other_splits_are_left_out() -> None:
    found = [ActionSegment("f", 0, 2, "a"), ActionSegment("f", 4, 6, "a")]
    assert outside(found, [ActionSegment("f", 4.5, 9, "b")]) == found[:1]


def test_spans_in_frames_and_in_seconds() -> None:
    def video(split: str, span: Span, name: str = "f.mp4") -> Video:
        return Video(name + span.fragment(), 0, split, Path(name), span=span)

    videos = [video("train", Span(0, 2)), video("train", Span(10, 49, "frame")), video("test", Span(50, 59, "frame"))]
    assert default_window(videos, lambda _video: 10.0) == 3
    [film] = films_with_spans(videos, ["a"], lambda _video: 10.0)
    assert film.video.id == "f.mp4" and film.video.span is None
    assert film.true == [ActionSegment("f.mp4", 5, 6, "a")]
    assert [(one.start, one.end) for one in film.others] == [(0, 2), (1, 5)]

"""Spans of one video: it is opened and decoded once for all of them, and each gets what it would get alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from star.errors import UnreadableVideo, VideoError
from star.pipeline.datasets.base import Span, Video
from star.pipeline.extraction import video_task
from star.pipeline.extraction.execution import ExecutionConfig
from star.pipeline.extraction.runner import extract
from star.pipeline.extraction.video_task import SharedTask, VideoTask, read_video, read_videos
from star.pipeline.planning.plan import plan
from star.pipeline.planning.work_units import units
from star.pipeline.recipe import schema as recipes
from star.stages.cropping import Crop
from star.stages.decode import DecodeStage, open_video

RECIPE = """
dataset: {{kind: videos, root: {root}}}
cache: {{root: {cache}, segment: {segment}}}
decode: {{frames: 4, views: {{train: 2, test: 2}}}}
pose: {{source: annotations}}
backbone: {{weights: random, size: 32, precision: float32, batch: 4, crop: frame}}
"""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty frames of H.264 at ten a second, a key frame every twelve."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "12", "bf": "2"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(60):
            picture = random.integers(0, 255, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


class Counter:
    """Counts how often a video is opened, and which pictures are decoded in each pass over it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened, self.passes = 0, []
        monkeypatch.setattr(video_task, "open_video", self.open)

    def open(self, *words, **named):
        self.opened += 1
        reader = open_video(*words, **named)
        frames = reader.frames

        def counted(indices: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
            delivered: list[int] = []
            self.passes.append(delivered)
            for index, picture in frames(indices):
                delivered.append(index)
                yield index, picture

        reader.frames = counted
        return reader


def tasks(film: Path, *spans: Span) -> tuple[VideoTask, ...]:
    videos = [Video(f"film.mp4{span.fragment()}", 0, "train", film, span=span) for span in spans]
    return tuple(VideoTask(video, "videos", (0, 1), DecodeStage(frames=4), Crop("frame"), 32) for video in videos)


SPANS = (Span(0, 2), Span(1.5, 3), Span(10, 40, "frame"), Span(5, 5.95))


@pytest.mark.parametrize("reader", ["auto", "pyav"])
@pytest.mark.parametrize("frames", ["cut", "full", "none"])
def test_one_decode_serves_all_spans(film: Path, monkeypatch: pytest.MonkeyPatch, reader: str, frames: str) -> None:
    """One opening, one pass over the pictures, none of them twice; every array to the bit what a span alone gets."""
    wanted = tuple(replace(task, reader=reader, frames=frames) for task in tasks(film, *SPANS))
    alone = [read_video(task) for task in wanted]
    counter = Counter(monkeypatch)
    together = read_videos(SharedTask(wanted))
    assert counter.opened == 1
    passes = [one for one in counter.passes if one != [0]]  # a look at the first picture tells how large they are
    union = {int(index) for found in alone for arrays in found.chosen.values() for index in arrays["frame_index"]}
    assert passes == ([] if frames == "none" else [sorted(union)])
    for one, found in zip(alone, together, strict=True):
        assert not isinstance(found, VideoError)
        assert found.digests == one.digests
        for view in (0, 1):
            for name, values in one.chosen[view].items():
                assert np.array_equal(found.chosen[view][name], values)
        for name in ("frames", "full"):
            given, expected = getattr(found, name), getattr(one, name)
            assert given.keys() == expected.keys()
            assert all(np.array_equal(given[key], expected[key]) for key in expected)


def test_a_span_that_fails_fails_alone(film: Path) -> None:
    """One beyond the end; the others have what they would have alone."""
    first, beyond, last = read_videos(SharedTask(tasks(film, Span(0, 2), Span(100, 110), Span(4, 5))))
    assert isinstance(beyond, UnreadableVideo)
    assert "no frame lies in its span; the video has 60 frames, the last at 5.90 s" in str(beyond)
    for found, span in ((first, Span(0, 2)), (last, Span(4, 5))):
        (task,) = tasks(film, span)
        assert np.array_equal(found.frames[0], read_video(task).frames[0])


def test_a_broken_video_fails_each_span(film: Path, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"no video")
    assert [type(found).__name__ for found in read_videos(SharedTask(tasks(path, *SPANS)))] == ["UnreadableVideo"] * 4


def data(film: Path, folder: Path, rows: list[str]) -> Path:
    """A folder with two copies of the film, joints for each, and a list."""
    root = folder / "data"
    root.mkdir(parents=True)
    for name in ("a", "b"):
        shutil.copy(film, root / f"{name}.mp4")
        with (root / f"{name}.mp4").open("ab") as file:
            file.write(b"\0\0\0\x0cfree" + name.encode() * 4)
        keypoints = np.random.default_rng(ord(name)).uniform(2, 46, (60, 1, 17, 3))
        np.savez(root / f"{name}.npz", keypoints=keypoints, skeleton="coco")
    (root / "list.csv").write_text("\n".join(["video,label,split,start,end", *rows]))
    return root


def recipe(root: Path, cache: Path, segment: int = 64) -> recipes.Recipe:
    return recipes.parse(RECIPE.format(root=root, cache=cache, segment=segment))


ROWS = [
    f"{name}.mp4,{'xy'[k % 2]},{'train' if k < 4 else 'test'},{k * 0.8:g},{k * 0.8 + 1.5:g}"
    for name in "ab"
    for k in range(6)
]


def test_units_keep_the_spans_of_a_video_together(film: Path, tmp_path: Path) -> None:
    """Where they fit: twelve clips a video, so one video a unit of up to twenty; a larger one is cut."""
    root = data(film, tmp_path, ROWS)
    found = units(plan(recipe(root, tmp_path / "cache", 20)))
    assert [{clip.video.path for clip in unit.clips} for unit in found] == [{"a.mp4"}, {"b.mp4"}]
    found = units(plan(recipe(root, tmp_path / "cache", 8)))
    assert [len(unit.clips) for unit in found] == [8, 4, 8, 4]
    assert sum(len({clip.video.path for clip in unit.clips}) for unit in found) == 4


def test_extraction_of_spans_gives_the_rows_of_each_alone(film: Path, tmp_path: Path) -> None:
    """Through processes, shared memory, networks and segments: the same keys, rows and bits."""
    together = recipe(data(film, tmp_path / "all", ROWS), tmp_path / "all/cache")
    _, outcome = extract(together, execution=ExecutionConfig("cpu", workers=1), quiet=True)
    assert not outcome.failures
    planned = plan(together)
    assert planned.missing == 0
    for row in (ROWS[1], ROWS[9]):
        folder = tmp_path / row.partition(",")[0]
        one = recipe(data(film, folder, [row]), folder / "cache")
        extract(one, execution=ExecutionConfig("cpu", workers=1), quiet=True)
        alone = plan(one)
        for name, stage in alone.stages.items():
            assert stage.stage_store.key == planned.stages[name].stage_store.key
            for place in stage.places:
                for array in alone.graph[name].arrays:
                    assert np.array_equal(stage.read([place], array), planned.stages[name].read([place], array))

"""Spans of videos: which rows name them, which frames they are, and that splits keep a video together."""

import json

import numpy as np
import pytest

from star.errors import DatasetError
from star.pipeline import datasets
from star.pipeline.checks.scan import overlaps
from star.pipeline.commands.split import run_split
from star.pipeline.datasets.base import Manifest, Span, Video
from star.pipeline.datasets.custom.csv_list import parse_csv
from star.pipeline.extraction.video_task import VideoTask, read_video
from star.pipeline.recipe import schema as recipes
from star.pipeline.recipe.schema import DatasetSettings
from star.stages.cropping import Crop
from star.stages.decode import DecodeStage


def test_a_row_names_a_span_in_seconds_or_frames(tmp_path):
    header = "video,label,start,end,start_frame,end_frame"
    rows = ["a.mp4,x,12.5,17,,", "a.mp4,y,,,10,50", "b.mp4,x,,,,", '"c#t=1,2.mp4",x,,,,']
    text = "\n".join([header, *rows])
    entries = parse_csv(tmp_path / "list.csv", text)
    assert [(entry.video, entry.path) for entry in entries] == [
        ("a.mp4#t=12.5,17", "a.mp4"),
        ("a.mp4#t=frame:10,50", "a.mp4"),
        ("b.mp4", "b.mp4"),
        ("c#t=1,2.mp4", "c#t=1,2.mp4"),
    ]


def test_times_of_a_clock_and_decimal_commas(tmp_path):
    rows = ["a.mp4;x;0:01:12.5;00:02:00", "b.mp4;x;1,5;2,25", "c.mp4;x;1:00;1:00:00,5"]
    entries = parse_csv(tmp_path / "list.csv", "\n".join(["video;label;start;end", *rows]))
    assert [entry.span for entry in entries] == [Span(72.5, 120), Span(1.5, 2.25), Span(60, 3600.5)]
    with pytest.raises(DatasetError, match=r"row 2: start '1:75' and end '2' are no two numbers; give seconds"):
        parse_csv(tmp_path / "list.csv", "video,label,start,end\na.mp4,x,1:75,2\n")
    with pytest.raises(DatasetError, match=r"row 2: a.mp4 starts and ends at 1, so its span is empty; correct or rem"):
        parse_csv(tmp_path / "list.csv", "video,label,start,end\na.mp4,x,1,1\n")


@pytest.mark.parametrize("cells", ["2,1", "1,1", "x,2", "1,", "-1,2", "nan,2", "1,inf"])
def test_what_names_no_part_of_a_video_is_refused_with_its_row(tmp_path, cells):
    with pytest.raises(DatasetError, match=r"^list\.csv, row 2: "):
        parse_csv(tmp_path / "list.csv", f"video,label,start,end\na.mp4,x,{cells}\n")


def test_frames_of_a_span():
    times = np.arange(100) / 10
    assert Span(1.0, 2.0).frames(times) == (10, 10)
    assert Span(1.05, 1.15).frames(times) == (11, 1)
    assert Span(9.5, 30).frames(times) == (95, 5)
    assert Span(11, 30).frames(times)[1] == 0
    assert Span(10, 20, "frame").frames(times) == (10, 11)
    assert Span(90, 200, "frame").frames(times) == (90, 10)
    assert Span(100, 200, "frame").frames(times)[1] == 0


def joints_file(root, frames: int = 60) -> np.ndarray:
    keypoints = np.random.default_rng(0).uniform(10, 90, (frames, 17, 3)).astype(np.float32)
    np.savez(root / "a.npz", keypoints=keypoints, skeleton="coco", rate=10.0)
    return keypoints


def test_a_clip_of_a_span_has_its_frames_times_and_joints(tmp_path):
    keypoints = joints_file(tmp_path)
    (tmp_path / "list.csv").write_text("video,label,split,start,end\na.npz,x,train,2,4\na.npz,y,test,4,6\n")
    manifest = datasets.load(DatasetSettings(kind="joints", root=tmp_path))
    assert [video.id for video in manifest.videos] == ["a.npz#t=2,4", "a.npz#t=4,6"]
    for video, first in zip(manifest.videos, (20, 40), strict=True):
        task = VideoTask(
            video, "joints", (0, 1), DecodeStage(flip=False), Crop("person"), 112, skeleton=manifest.skeleton,
            annotated=True, frames="none",
        )  # fmt: skip
        found = read_video(task)
        for view in (0, 1):
            arrays = found.chosen[view]
            index = arrays["frame_index"]
            assert ((index >= first) & (index < first + 20)).all()
            assert ((arrays["time"] >= first / 10) & (arrays["time"] < first / 10 + 2)).all()
            assert arrays["frame_count"] == 20
            assert np.array_equal(found.keypoints[view][:, 0], keypoints[index])
        again = read_video(VideoTask(**{**task.__dict__, "chosen": found.chosen}))  # decode cached, joints not
        assert all(np.array_equal(again.keypoints[view], found.keypoints[view]) for view in (0, 1))


def test_spans_of_one_video_stand_on_one_side_of_a_drawn_split(tmp_path):
    rows = [f"v{k}.npz,x,{s},{s + 1}" for k in range(30) for s in range(3)]
    (tmp_path / "list.csv").write_text("\n".join(["video,label,start,end", *rows]))
    for k in range(30):
        np.savez(tmp_path / f"v{k}.npz", keypoints=np.ones((90, 17, 3)), skeleton="coco")
    for settings in ({}, {"folds": 3, "held_out": 2}, {"val_share": 0.4}):
        manifest = datasets.load(DatasetSettings(kind="joints", root=tmp_path, **settings))
        sides = {}
        for video in manifest.videos:
            sides.setdefault(video.media, set()).add(video.split)
        assert all(len(split) == 1 for split in sides.values())
        assert {"train", "test"} <= {video.split for video in manifest.videos}
    assert {video.split for video in manifest.videos} == {"train", "val", "test"}


def test_folds_hold_out_each_group_once(tmp_path):
    rows = [f"v{k}.npz,x,P{k % 5}" for k in range(25)]
    (tmp_path / "list.csv").write_text("\n".join(["video,label,subject", *rows]))
    for k in range(25):
        np.savez(tmp_path / f"v{k}.npz", keypoints=np.ones((90, 17, 3)), skeleton="coco")
    held = []
    for number in range(1, 6):
        settings = {"folds": 5, "held_out": number, "split_by": "subject"}
        videos = datasets.load(DatasetSettings(kind="joints", root=tmp_path, **settings)).videos
        (subject,) = {dict(video.groups)["subject"] for video in videos if video.split == "test"}
        assert subject not in {dict(video.groups)["subject"] for video in videos if video.split == "train"}
        held.append(subject)
    assert sorted(held) == [f"P{k}" for k in range(5)]
    with pytest.raises(DatasetError, match=r"^dataset\.folds: 6, of which number 1 is held out, cannot be made of 5"):
        datasets.load(DatasetSettings(kind="joints", root=tmp_path, folds=6, split_by="subject"))


def test_a_written_split_of_spans_reads_back(tmp_path):
    joints_file(tmp_path)
    rows = ["video,label,split,start_frame,end_frame", "a.npz,x,train,2,20", "a.npz,y,test,30,50"]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    sections = {"dataset": {"kind": "joints", "root": str(tmp_path)}, "cache": {"root": "cache"}}
    text = json.dumps(sections | {"tokens": {"form": "heatmap"}, "model": {"modalities": "joint"}})
    run_split(recipes.parse(text), tmp_path / "out.csv")
    first = datasets.load(DatasetSettings(kind="joints", root=tmp_path, list=tmp_path / "list.csv"))
    assert (
        datasets.load(DatasetSettings(kind="joints", root=tmp_path, list=tmp_path / "out.csv")).videos == first.videos
    )


def test_overlaps_are_found(tmp_path):
    def video(start: float, end: float, split: str, label: int = 0) -> Video:
        span = Span(start, end)
        return Video(f"a.mp4{span.fragment()}", label, split, tmp_path / "a.mp4", span=span)

    videos = [video(0, 5, "train"), video(4, 8, "test"), video(8, 9, "train"), video(8.5, 10, "train", 1)]
    found = list(overlaps(Manifest("x", ("a", "b"), videos)))
    assert [(one.level, one.video) for one in found] == [("problem", "a.mp4#t=4,8"), ("note", "a.mp4#t=8.5,10")]

"""Exports of annotation tools as lists of spans: what each format says, written by hand after the tools' own files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from star.errors import DatasetError
from star.pipeline import datasets
from star.pipeline.datasets.base import Span
from star.pipeline.recipe.schema import DatasetSettings


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def load(root: Path, path: Path, **settings):
    return datasets.load(DatasetSettings(kind="videos", root=root, list=path, **settings))


def listed(root: Path, path: Path) -> list[tuple[str, str, str]]:
    """Id, classes and split of every entry."""
    manifest = load(root, path)
    return [(video.id, video.named(manifest.classes), video.split) for video in manifest.videos]


def refused(root: Path, path: Path) -> str:
    with pytest.raises(DatasetError) as error:
        load(root, path)
    assert "\n" not in str(error.value)
    return str(error.value)


ACTIVITYNET = {
    "version": "VERSION 1.3",
    "taxonomy": [{"nodeId": 1, "nodeName": "wave"}],
    "database": {
        "sJFgo9H6zNo": {
            "duration": 128.36, "subset": "training", "url": "https://www.youtube.com/watch?v=sJFgo9H6zNo",
            "annotations": [{"segment": [0, 12.5], "label": "wave"}, {"segment": ["13.0", "20"], "label": "bow"}],
        },
        "V1zhqaGFY2A": {"subset": "validation", "annotations": [{"segment": [1, 2], "label": "wave"}]},
        "gone": {"subset": "validation", "annotations": [{"segment": [1, 2], "label": "wave"}]},
        "unlabelled": {"subset": "testing", "annotations": []},
        "odd": {"subset": "training", "annotations": [{"segment": [5, 4], "label": "wave"}, {"segment": [1, 2]}]},
    },
}  # fmt: skip


def test_activitynet(tmp_path: Path) -> None:
    """Ids with and without v_ in front; validation is what results are published on; the rest is left out and said."""
    root = touch(tmp_path, "a/v_sJFgo9H6zNo.mp4", "b/V1zhqaGFY2A.mkv", "unlabelled.mp4", "odd.mp4", "other.mp4")
    path = write(root / "anno.json", ACTIVITYNET)
    assert listed(root, path) == [
        ("a/v_sJFgo9H6zNo.mp4#t=0,12.5", "wave", "train"),
        ("a/v_sJFgo9H6zNo.mp4#t=13,20", "bow", "train"),
        ("b/V1zhqaGFY2A.mkv#t=1,2", "wave", "test"),
    ]
    manifest = load(root, path)
    assert manifest.what == "ActivityNet JSON, anno.json"
    assert manifest.videos[0].media == root / "a/v_sJFgo9H6zNo.mp4"
    assert dict(manifest.left_out) == {
        "gone": "no video of its name below dataset.root",
        "unlabelled, video": "no labelled segment",
        "odd, segment 1": "it ends at 4, before it starts at 5",
        "odd, segment 2": "has no label",
    }


def test_activitynet_keeps_validation_apart_where_there_is_a_test(tmp_path: Path) -> None:
    """As THUMOS14's files have it; without `database` as others do."""
    root = touch(tmp_path, "a.mp4", "b.mp4", "c.mp4")
    database = {
        name: {"subset": subset, "annotations": [{"segment": [0, 1], "label": "x"}]}
        for name, subset in (("a", "training"), ("b", "Validation"), ("c", "Test"))
    }
    assert [row[2] for row in listed(root, write(root / "x.json", database))] == ["train", "val", "test"]


def test_equal_segments_are_one_clip_of_several_labels(tmp_path: Path) -> None:
    root = touch(tmp_path, "a.mp4")
    rows = [{"segment": [0, 1], "label": label} for label in ("wave", "bow", "wave")]
    path = write(root / "x.json", {"database": {"a": {"annotations": [*rows, {"segment": [1, 2], "label": "bow"}]}}})
    manifest = load(root, path)
    assert manifest.classes == ("bow", "wave")
    assert [(video.id, video.label, video.all_labels) for video in manifest.videos] == [
        ("a.mp4#t=0,1", 1, (1, 0)),
        ("a.mp4#t=1,2", 0, (0,)),
    ]
    assert manifest.is_multilabel


def boxes(*frames: tuple[int, int], action: str = "") -> str:
    inside = f'<attribute name="action">{action}</attribute>' if action else ""
    return "".join(
        f'<box frame="{frame}" outside="{outside}" occluded="0" keyframe="1" xtl="1" ytl="2">{inside}</box>'
        for frame, outside in frames
    )


def test_cvat_tracks_are_spans(tmp_path: Path) -> None:
    """Up to the frame before it leaves; twice there is two spans; an attribute `action` names what is done."""
    root = touch(tmp_path, "videos/match.mp4")
    walk = boxes((0, 0), (5, 0), action="walk")
    tracks = (
        f'<track id="0" label="serve">{boxes((12, 0), (13, 0), (80, 1), (90, 0), (95, 0))}</track>'
        f'<track id="1" label="person">{walk}{boxes((9, 0), (10, 1), action="run")}</track>'
        '<track id="2" label="empty"></track>'
    )
    meta = "<meta><task><id>7</id><name>My task</name><subset>Train</subset></task><source>match.mp4</source></meta>"
    path = write(root / "annotations.xml", f"<?xml version='1.0'?><annotations>{meta}{tracks}</annotations>")
    assert sorted(listed(root, path)) == [
        ("videos/match.mp4#t=frame:0,8", "walk", "train"),
        ("videos/match.mp4#t=frame:12,79", "serve", "train"),
        ("videos/match.mp4#t=frame:9,9", "run", "train"),
        ("videos/match.mp4#t=frame:90,95", "serve", "train"),
    ]
    assert load(root, path).what == "CVAT XML, annotations.xml"


def test_cvat_tags_on_frames_are_spans(tmp_path: Path) -> None:
    """Frames in a row, as far apart as the task's step; boxes beside tags are nobody's label."""
    root = touch(tmp_path, "a.mp4")
    images = "".join(
        f'<image id="{frame}" name="frame_{frame:06d}" width="9" height="9">{tag}<box label="ball" xtl="1"/></image>'
        for frame, tag in [(f, '<tag label="wave" source="manual"></tag>') for f in (0, 3, 6, 15, 18)] + [(21, "")]
    )
    meta = "<meta><task><id>1</id><name>a.mp4</name><frame_filter>step=3</frame_filter></task></meta>"
    path = write(root / "x.xml", f"<annotations>{meta}{images}</annotations>")
    assert [row[:2] for row in listed(root, path)] == [("a.mp4#t=frame:0,6", "wave"), ("a.mp4#t=frame:15,18", "wave")]


def test_cvat_of_a_project_and_of_folders_of_frames(tmp_path: Path) -> None:
    """Tracks name their task; pictures are numbered within their folder, whatever their names count from."""
    root = touch(tmp_path, "a.mp4", "b.mp4", *(f"walks/w1/img_{k:03d}.jpg" for k in range(100, 106)))
    tasks = "".join(
        f"<task><id>{number}</id><name>{name}</name><subset>{subset}</subset></task>"
        for number, name, subset in ((3, "a", "Train"), (4, "b.mp4", "Test"))
    )
    tracks = "".join(f'<track label="x" task_id="{task}">{boxes((0, 0), (task, 0))}</track>' for task in (3, 4))
    path = write(
        root / "p.xml", f"<annotations><meta><project><tasks>{tasks}</tasks></project></meta>{tracks}</annotations>"
    )
    assert listed(root, path) == [("a.mp4#t=frame:0,3", "x", "train"), ("b.mp4#t=frame:0,4", "x", "test")]
    tag = '<tag label="go"/>'
    images = "".join(
        f'<image id="{k}" name="walks/w1/img_{k + 100:03d}.jpg">{tag * (2 <= k <= 4)}</image>' for k in range(6)
    )
    path = write(root / "f.xml", f"<annotations><meta><task><id>1</id></task></meta>{images}</annotations>")
    assert [row[:2] for row in listed(root, path)] == [("walks/w1#t=frame:2,4", "go")]


def test_a_folder_of_exports_is_one_list(tmp_path: Path) -> None:
    """CVAT writes one file a task; where a task has no source, its video has the file's name."""
    root = touch(tmp_path, "one.mp4", "two.mp4")
    for name in ("one", "two"):
        write(root / f"{name}.xml", f'<annotations><track label="{name}">{boxes((1, 0), (4, 1))}</track></annotations>')
    assert [row[:2] for row in listed(root, root)] == [("one.mp4#t=frame:1,3", "one"), ("two.mp4#t=frame:1,3", "two")]


def region(kind: str, value: dict) -> dict:
    return {"id": "x", "type": kind, "from_name": "l", "to_name": "video", "origin": "manual", "value": value}


def timeline(start: int, end: int, *labels: str) -> dict:
    return region("timelinelabels", {"ranges": [{"start": start, "end": end}], "timelinelabels": list(labels)})


def test_exports_of_many_tasks_in_folders_of_their_own(tmp_path: Path) -> None:
    """As archives of CVAT unpack; every one counts, however many there are."""
    root = touch(tmp_path, *(f"v{k}.mp4" for k in range(60)))
    for k in range(60):
        folder = root / f"task_{k}"
        folder.mkdir()
        track = '<track label="wave"><box frame="1" outside="0"/><box frame="4" outside="1"/></track>'
        (folder / "annotations.xml").write_text(
            f"<annotations><meta><task><source>v{k}.mp4</source></task></meta>{track}</annotations>"
        )
    assert len(listed(root, root)) == 60


def test_label_studio(tmp_path: Path) -> None:
    """Frames count from 1; boxes are no labels; the ground truth is taken; sound is in seconds; a choice is of all."""
    root = touch(tmp_path, "clips/a.mp4", "b.mp4", "c.mp4", "d.mp4")
    rectangle = region("videorectangle", {"labels": ["ball"], "sequence": [{"frame": 1}]})
    whole = region("choices", {"choices": ["run"]})
    tasks = [
        {
            "id": 1, "data": {"video": "/data/upload/3/1a2b3c4d-a.mp4"},
            "predictions": [{"result": [timeline(1, 9, "no")]}],
            "annotations": [
                {"result": [timeline(1, 2, "no")]},
                {"result": [timeline(1, 61, "wave"), timeline(62, 62, "bow", "jump"), rectangle], "ground_truth": True},
            ],
        },
        {
            "id": 2, "data": {"url": "/data/local-files/?d=some/b%2Emp4"},
            "annotations": [
                {"result": [timeline(1, 2, "no")], "was_cancelled": True},
                {"result": [region("labels", {"start": 1.5, "end": 3, "channel": 0, "labels": ["talk"]})]},
            ],
        },
        {"id": 3, "data": {"video": "s3://bucket/x/c.mp4"}, "annotations": [{"result": [whole]}]},
        {"id": 4, "data": {"video": "d.mp4"}, "annotations": [{"result": []}]},
    ]  # fmt: skip
    path = write(root / "export.json", tasks)
    assert [row[:2] for row in listed(root, path)] == [
        ("b.mp4#t=1.5,3", "talk"),
        ("c.mp4", "run"),
        ("clips/a.mp4#t=frame:0,60", "wave"),
        ("clips/a.mp4#t=frame:61,61", "bow;jump"),
    ]
    manifest = load(root, path)
    assert manifest.what == "Label Studio JSON, export.json"
    assert manifest.left_out == [("d.mp4, video", "no labelled span")]


def test_label_studio_tracks_are_spans_where_there_is_nothing_else(tmp_path: Path) -> None:
    """A box is there from where it is switched on to where it is switched off, or to the end."""
    root = touch(tmp_path, "a.mp4", "b.mp4")
    keys = [(1, True), (5, True), (9, False), (21, True)]
    sequence = [{"frame": frame, "enabled": enabled, "x": 1, "y": 2} for frame, enabled in keys]
    track = region("videorectangle", {"labels": ["wave"], "framesCount": 30, "sequence": sequence})
    tasks = [{"id": 1, "data": {"video": "a.mp4"}, "annotations": [{"result": [track]}]}]
    path = write(root / "export.json", tasks)
    assert [row[:2] for row in listed(root, path)] == [
        ("a.mp4#t=frame:0,8", "wave"),
        ("a.mp4#t=frame:20,29", "wave"),
    ]
    tasks.append({"id": 2, "data": {"video": "b.mp4"}, "annotations": [{"result": [timeline(1, 2, "bow")]}]})
    assert [row[:2] for row in listed(root, write(path, tasks))] == [("b.mp4#t=frame:0,1", "bow")]


def test_label_studio_json_min(tmp_path: Path) -> None:
    root = touch(tmp_path, "a.mp4")
    task = {"video": "/data/upload/3/a.mp4", "id": 1, "annotator": 1, "lead_time": 3.2}
    task["videoLabels"] = [{"ranges": [{"start": 10, "end": 20}], "timelinelabels": ["wave"]}]
    assert [row[:2] for row in listed(root, write(root / "min.json", [task]))] == [("a.mp4#t=frame:9,19", "wave")]


def test_of_several_files_of_a_name_the_folders_decide(tmp_path: Path) -> None:
    root = touch(tmp_path, "x/1/a.mp4", "y/1/a.mp4", "x/b.mp4", "y/b.mp4")
    rows = {"annotations": [{"label": "wave", "segment": [0, 1]}]}
    path = write(root / "x.json", {"database": {"elsewhere/y/1/a.mp4": rows, "b.mp4": rows}})
    manifest = load(root, path)
    assert [video.id for video in manifest.videos] == ["y/1/a.mp4#t=0,1"]
    assert manifest.left_out == [("b.mp4", "2 videos have its name (x/b.mp4, y/b.mp4); rename them")]


def test_exports_list_files_of_joints_too(tmp_path: Path) -> None:
    """A sequence's file may have any ending that joints have; the joints of a span are those of its frames."""
    keypoints = np.random.default_rng(0).uniform(1, 90, (60, 17, 3))
    np.savez(tmp_path / "a.npz", keypoints=keypoints, skeleton="coco", rate=10.0)
    path = write(tmp_path / "x.json", {"database": {"a": {"annotations": [{"label": "wave", "segment": [2, 4]}]}}})
    manifest = datasets.load(DatasetSettings(kind="joints", root=tmp_path, list=path))
    (video,) = manifest.videos
    assert (video.id, video.span) == ("a.npz#t=2,4", Span(2, 4))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.xml", "<annotations><track", "not XML (unclosed token"),
        ("x.xml", "<html></html>", "is none of ActivityNet JSON, CVAT XML and Label Studio JSON"),
        ("x.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "declares a document type"),
        ("x.xml", "<annotations><track id='1'><box frame='1'/></track></annotations>", "no export of CVAT's ('label')"),
        (
            "x.xml",
            "<annotations><track label='a'><box frame='x'/></track></annotations>",
            "no export of CVAT's (invalid",
        ),
        ("x.xml", "<annotations>" + "<a>" * 100_000, "not XML (no element found"),
        ("x.xml", "<annotations></annotations>", "nothing in it can be used (x.xml: no labelled span)"),
        ("x.json", "[" * 100_000, "JSON nested without end"),
        ("x.json", '{"images": [], "annotations": []}', "is none of ActivityNet JSON"),
        ("x.json", '{"database": {}}', "is none of ActivityNet JSON"),
        (
            "x.json",
            '{"database": {"a": {"annotations": [1]}}}',
            "nothing in it can be used (a, segment 1: has no label)",
        ),
        ("x.json", '{"database": {"a": {"annotations": [{"label": "x", "segment": "no"}]}}}', "are no two numbers"),
        (
            "x.json",
            '{"database": {"a": {"annotations": [{"label": "x", "segment": [1e999, 2]}]}}}',
            "no part of a video",
        ),
        ("x.json", "\xff", "not JSON"),
    ],
)
def test_broken_and_hostile_exports_are_one_line(tmp_path: Path, name: str, content: str, said: str) -> None:
    root = touch(tmp_path, "a.mp4")
    (root / name).write_bytes(content.encode("latin-1"))
    assert said in refused(root, root / name)

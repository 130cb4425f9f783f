"""`star init` says in its first line what it took ROOT for, whatever that is; a wrong kind gets the right command."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from star.cli import main
from star.pipeline import datasets
from star.pipeline.recipe import schema as recipes
from star.pipeline.training.feature_dataset import FeatureDataset
from star.stages.pose.projection import Projection
from star.stages.skeletons import KINECT_V1


def star(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def init(kind: str, root: Path) -> tuple[str, str, str]:
    """First line of the recipe, its text, what is said beside it."""
    result = star("init", kind, "--root", root, "--cache", root.parent / "cache")
    assert result.exit_code == 0, result.output
    recipes.parse(result.stdout)
    return result.stdout.partition("\n")[0], result.stdout, result.stderr


def refused(kind: str, root: Path) -> str:
    result = star("init", kind, "--root", root)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("star: ").rstrip("\n")


def films(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def joints(path: Path, joints: int = 17) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, keypoints=np.ones((8, joints, 3)), skeleton="coco")
    return path


ACTIVITYNET = {
    "database": {name: {"annotations": [{"segment": [k, k + 1], "label": "xy"[k]} for k in (0, 1)]} for name in "ab"}
}
RANGES = [{"start": 1, "end": 9}]
LABEL_STUDIO = [
    {"video": f"{name}.mp4", "labels": [{"ranges": RANGES, "timelinelabels": [name]}], "id": k}
    for k, name in enumerate("ab")
]
CVAT = '<annotations><track label="{0}"><box frame="1" outside="0"/><box frame="4" outside="1"/></track></annotations>'


def test_lists_and_exports_of_videos(tmp_path: Path) -> None:
    for folder, files, said in (
        ("csv", {"list.csv": "video,label\na.mp4,x\nb.mp4,y\n"}, "The list list.csv: 2 videos, 2 classes (x, y)."),
        (
            "spans",
            {"list.csv": "video,label,start,end\na.mp4,x,0,1\na.mp4,y,1,2\nb.mp4,y,0,1\n"},
            "The list list.csv: 3 spans of 2 videos, 2 classes (x, y).",
        ),
        (
            "several",
            {"list.csv": "video,label\na.mp4,x;y\nb.mp4,y\n"},
            "The list list.csv: 2 videos, 2 classes (x, y), several of one clip.",
        ),
        (
            "activitynet",
            {"x.json": json.dumps(ACTIVITYNET)},
            "ActivityNet JSON, x.json: 4 spans of 2 videos, 2 classes (x, y).",
        ),
        (
            "label_studio",
            {"x.json": json.dumps(LABEL_STUDIO)},
            "Label Studio JSON, x.json: 2 spans of 2 videos, 2 classes (a, b).",
        ),
        ("cvat", {"a.xml": CVAT.format("x")}, "CVAT XML, a.xml: 1 span of 1 video, 1 class (x)."),
        (
            "cvats",
            {"a.xml": CVAT.format("x"), "b.xml": CVAT.format("y")},
            "CVAT XML, cvats: 2 spans of 2 videos, 2 classes (x, y).",
        ),
    ):
        root = films(tmp_path / folder, "a.mp4", "b.mp4")
        for name, text in files.items():
            (root / name).write_text(text)
        first, text, _ = init("videos", root)
        assert first == f"# {said}"
        assert ("best_by: mean_average_precision" in text) == (folder == "several")
    assert recipes.parse(text).dataset.list == root


def test_class_folders_and_other_files_beside_them(tmp_path: Path) -> None:
    """JSON and XML that no annotation tool exports, and lists of another kind, are passed over."""
    root = films(tmp_path / "data", "wave/a.mp4", "bow/b.mp4")
    (root / "notes.json").write_text('{"a": 1}')
    (root / "broken.json").write_text("{")
    (root / "page.xml").write_text("<html/>")
    (root / "train_list.txt").write_text("wave/a.mp4 wave\n")
    first, _, warned = init("videos", root)
    assert first == "# A folder per class: 2 videos, 2 classes (bow, wave)."
    assert "warning: broken.json, notes.json, page.xml, …: no list that star reads, so it counts for nothing" in warned


def nw_ucla(root: Path) -> Path:
    root.mkdir(parents=True)
    for view in "123":
        name = f"a01_s01_e00_v0{view}"
        places = np.random.default_rng(0).normal(size=(9, 20, 3)).tolist()
        (root / f"{name}.json").write_text(json.dumps({"file_name": name, "skeletons": places, "label": 1}))
    return root


def test_joints(tmp_path: Path) -> None:
    given = [
        {"frame_dir": name, "label": k, "img_shape": (9, 9), "keypoint": np.ones((1, 5, 17, 2), np.float16)}
        for k, name in enumerate("ab")
    ]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"split": {"train": ["a"], "test": ["b"]}, "annotations": given}))
    assert init("joints", tmp_path / "x.pkl")[0] == "# A pickle: 2 sequences, 2 classes (class_000, class_001)."
    first, text, _ = init("joints", nw_ucla(tmp_path / "ucla"))
    assert first.startswith(
        "# Northwestern-UCLA, by the files' names: 3 sequences, 10 classes (pick up with one hand, "
    )
    assert text.splitlines()[1].startswith("# Northwestern-UCLA JSON: joints kinect_v1 in three dimensions, up to 1 ")
    recipe = yaml.safe_load(text)
    assert recipe["pose"]["centre"] == "body"
    assert recipe["backbone"]["crop"] == "frame"
    picture = Projection("camera", up=recipe["pose"]["up"], scale=recipe["pose"]["scale"], centre="body")
    body = datasets.read_annotation("joints", tmp_path / "ucla" / "a01_s01_e00_v01.json", "").keypoints
    seen = picture.project(body, KINECT_V1, "a", 0)
    assert 0.5 < np.median(np.ptp(seen[..., 1], axis=-1)) / 1000 < 0.9  # a body is a good part of the picture
    for name in ("wave/a.npz", "bow/a.npz"):
        joints(tmp_path / "folders" / name)
    assert init("joints", tmp_path / "folders")[0] == "# A folder per class: 2 sequences, 2 classes (bow, wave)."
    for name in "ab":
        joints(tmp_path / "spans" / f"{name}.npz")
    (tmp_path / "spans/x.json").write_text(json.dumps(ACTIVITYNET))
    assert (
        init("joints", tmp_path / "spans")[0] == "# ActivityNet JSON, x.json: 4 spans of 2 sequences, 2 classes (x, y)."
    )
    frame = {"people": [{"pose_keypoints_2d": [1.0] * 75}]}
    for name in ("wave/v1", "bow/v2"):
        (tmp_path / "openpose" / name).mkdir(parents=True)
        for k in range(3):
            (tmp_path / "openpose" / name / f"v_{k:012d}_keypoints.json").write_text(json.dumps(frame))
    first, text, _ = init("joints", tmp_path / "openpose")
    assert first == "# A folder per class: 2 sequences, 2 classes (bow, wave)."
    assert text.splitlines()[1].startswith("# OpenPose JSON: joints openpose_25 in pixels, up to 1 at a time; ")


def test_a_wrong_kind_is_told_the_right_command(tmp_path: Path) -> None:
    root = films(tmp_path / "films", "wave/a.mp4")
    told = f"init joints: {root} holds videos and no joints; use `star init videos --root {root}`"
    assert refused("joints", root) == told
    pickled = tmp_path / "x.pkl"
    pickled.write_bytes(b"x")
    for root in (pickled, joints(tmp_path / "joints/wave/a.npz").parents[1], nw_ucla(tmp_path / "ucla")):
        told = f"init videos: {root} holds joints and no videos; use `star init joints --root {root}`"
        assert refused("videos", root) == told


def test_videos_without_labels_are_extracted_alone(drawn: Path, tmp_path: Path) -> None:
    """A plain folder: all that gives features works, and training, testing and splitting are one line."""
    root = tmp_path / "plain"
    root.mkdir()
    for video in sorted((drawn / "videos").glob("*.mp4"))[:3]:
        shutil.copy(video, root)
    (root / "more").mkdir()
    shutil.copy(video, root / "more/again.mov")
    first, text, told = init("videos", root)
    assert first == "# Videos without labels: 4 videos."
    assert "# No joints; for `star extract`, `star cache export`, `star pretrain`." in text
    assert told == ""
    assert recipes.parse(text).dataset.labels == "none"
    assert not {"test_share:", "label_smoothing:"} & set(text.split())
    recipe = tmp_path / "star.yaml"
    recipe.write_text(text)
    small = [
        "--set", "backbone.weights=random", "--set", "backbone.size=32", "--set", "pose.model=drawn-13",
        "--set", "pose.detector=frame",
    ]  # fmt: skip
    scanned = star("scan", recipe, "-q", *small)
    assert scanned.exit_code == 0, scanned.output
    assert scanned.stdout.startswith("plain: 4 videos, without labels\n")
    assert star("extract", recipe, "-q", "--workers", "1", *small).exit_code == 0
    status = star("status", recipe, *small)
    assert status.stdout.startswith(f"plain: 4 videos, without labels; cache {tmp_path / 'cache'}\n")
    assert star("verify", recipe, "-q", *small).exit_code == 0
    out = tmp_path / "features"
    assert star("cache", "export", recipe, "-o", out, "-q", *small).exit_code == 0
    manifest = json.loads((out / "manifest.json").read_text())
    assert {(clip["video"], clip["label"], clip["class"]) for clip in manifest["clips"]} == {
        (path.relative_to(root).as_posix(), None, -1) for path in root.rglob("*.m*")
    }
    assert star("inspect", recipe, "again.mov", "-o", tmp_path / "clip.png", *small).exit_code == 0
    assert star("inspect", recipe, "--worst", "2", "-o", tmp_path / "worst.png", "-q", *small).exit_code == 0
    features = FeatureDataset(recipes.load(recipe, tuple(small[1::2])))
    assert (len(features), features[0]["label"].item()) == (4, -1)
    line = "star: dataset.labels: none, so there are no classes to learn from plain: its recipe is for "
    for words in (("train", recipe, "--run", tmp_path / "run", "-q"), ("split", recipe), ("model", recipe)):
        result = star(*words, *small)
        assert result.exit_code == 2
        assert result.stderr.startswith(line)
        assert result.stderr.count("\n") == 1


def test_a_list_without_labels(drawn: Path, tmp_path: Path) -> None:
    """A CSV with videos alone says which of them count."""
    root = films(tmp_path / "data", "a.mp4", "b.mp4", "c.mp4")
    (root / "list.csv").write_text("video,start,end\na.mp4,0,1\na.mp4,1,2\nc.mp4,,\n")
    recipe = tmp_path / "star.yaml"
    recipe.write_text(f"{{dataset: {{kind: videos, root: {root}, labels: none}}, cache: {{root: cache}}}}")
    result = star("scan", recipe, "--json", "-q")
    found = json.loads(result.stdout)
    assert (found["videos"], found["spans"], found["classes"]) == (3, 2, [])


def test_split_and_scan_show_validation_and_spans(tmp_path: Path) -> None:
    root = tmp_path / "data"
    for name in "abc":
        joints(root / f"{name}.npz")
    rows = ["a.npz,x,train,0,3", "a.npz,y,train,4,7", "b.npz,x,val,0,3", "c.npz,y,test,,"]
    (root / "list.csv").write_text("\n".join(["video,label,split,start_frame,end_frame", *rows]))
    recipe = tmp_path / "star.yaml"
    recipe.write_text(init("joints", root)[1])
    assert "1 for training" not in recipe.read_text()
    assert "2 for training, 1 for validation, 1 for testing." in recipe.read_text()
    said = star("split", recipe).stdout.splitlines()
    assert said[0].split() == ["class", "train", "val", "test", "share", "of", "test"]
    assert said[1].split() == ["x", "1", "1", "0", "0%"]
    assert "3 spans of 2 videos" in said
    found = json.loads(star("split", recipe, "--json").stdout)
    assert (found["train"], found["val"], found["test"], found["spans"]) == (2, 1, 1, 3)
    said = star("scan", recipe, "-q").stdout.splitlines()
    assert said[0] == "data: 3 spans of 2 videos and 1 whole video, 2 classes"
    assert [line.split()[0] for line in said if line.startswith(("train ", "val ", "test "))] == [
        "train",
        "val",
        "test",
    ]
    assert ["class", "train", "val", "test"] in [line.split() for line in said]


@pytest.mark.parametrize("name", ["a;b"])
def test_a_class_that_a_list_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    root = films(tmp_path / "data", f"{name}/a.mp4", "c/b.mp4")
    recipe = tmp_path / "star.yaml"
    recipe.write_text(init("videos", root)[1])
    result = star("split", recipe, "-o", tmp_path / "x.csv")
    assert result.exit_code == 2
    assert "a CSV cannot hold class 'a;b': ';' parts labels; rename it" in result.stderr


def test_joints_that_chance_would_leave_without_a_test(tmp_path: Path) -> None:
    """Another seed parts them, in a folder and in a pickle without splits; splits of its own stay as they are."""
    root = tmp_path / "folder"
    for name in ("wave/a", "wave/b", "bow/a", "bow/b"):
        joints(root / f"{name}.npz")
    given = [
        {"frame_dir": f"s{k}", "label": k % 2, "img_shape": (9, 9), "keypoint": np.ones((1, 5, 17, 2), np.float16)}
        for k in range(4)
    ]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"annotations": given}))
    for data in (root, tmp_path / "x.pkl"):
        _, text, warned = init("joints", data)
        assert recipes.parse(text).dataset.split_seed > 0
        assert "no test video" not in warned
        assert "2 for training, 2 for testing" in text
    split = {"train": ["s0", "s1", "s2"], "test": ["s3"]}
    (tmp_path / "y.pkl").write_bytes(pickle.dumps({"annotations": given, "split": split}))
    _, text, warned = init("joints", tmp_path / "y.pkl")
    assert "split_seed" not in text
    assert "no test video of 1 of 2 classes (class_000)" in warned


def test_joints_whose_first_file_is_gone(tmp_path: Path) -> None:
    """The recipe is written; what is missing is for `star scan` to say."""
    joints(tmp_path / "data" / "z.npz")
    (tmp_path / "data" / "list.csv").write_text("video,label,split\na.npz,wave,train\nz.npz,wave,test\n")
    assert init("joints", tmp_path / "data")[0] == "# The list list.csv: 2 sequences, 1 class (wave)."


def test_joints_of_single_frames_are_doubted(tmp_path: Path) -> None:
    for name in ("wave/first", "bow/other"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        frame = {"people": [{"pose_keypoints_2d": [float(k) for k in range(75)]}]}
        (tmp_path / "data" / f"{name}.json").write_text(json.dumps(frame))
    assert "every sequence looked into has one frame" in init("joints", tmp_path / "data")[2]


def test_joints_without_any_label(tmp_path: Path) -> None:
    given = [{"frame_dir": "a", "img_shape": (9, 9), "keypoint": np.ones((1, 5, 17, 2), np.float16)}]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"annotations": given}))
    told = "nothing has a label, so there are no classes to learn; a CSV (video,label,split) can name them"
    assert told in init("joints", tmp_path / "x.pkl")[2]

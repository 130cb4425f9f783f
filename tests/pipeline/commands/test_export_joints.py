"""`star export --joints`: a pickle that pyskl's own loading reads, and star's `kind: joints` reads back equal."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from star.cli import main
from star.pipeline import datasets
from star.pipeline.datasets.keypoint_files.pyskl_writer import content, sample
from star.pipeline.planning.plan import plan
from star.pipeline.recipe import schema as recipes
from star.pipeline.recipe.schema import DatasetSettings
from star.stages.skeletons import H36M


def star(*words: str | Path) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


class OldNames(pickle.Unpickler):
    """Refuses names that numpy has only since its version 2."""

    def find_class(self, module: str, name: str):
        assert "_core" not in module
        return super().find_class(module, name)


def loaded(path: Path) -> dict:
    with path.open("rb") as file:
        return OldNames(file).load()


def read_back(path: Path, cache: Path):
    return datasets.load(DatasetSettings(kind="joints", root=path), cache)


def test_annotated_joints_go_out_and_come_back(small: Path, tmp_path: Path) -> None:
    """Drawn videos: every frame of every person, by the keys and shapes that pyskl documents."""
    out = tmp_path / "joints.pkl"
    result = star("export", "--joints", out, small, "-q")
    assert result.exit_code == 0, result.output
    assert "24 sequences (24 annotated, 0 estimated) of penn_action; train " in result.stdout
    manifest = datasets.load(recipes.load(small).dataset)
    document = loaded(out)
    assert set(document["split"]) == {"train", "test"}
    by_name = {one["frame_dir"]: one for one in document["annotations"]}
    back = read_back(out, tmp_path / "other")
    assert back.classes == manifest.classes
    assert back.skeleton.joints == manifest.skeleton.joints
    assert [(video.id, video.label, video.split) for video in back.videos] == [
        (video.id, video.label, video.split) for video in manifest.videos
    ]
    for video, again in zip(manifest.videos, back.videos, strict=True):
        truth = datasets.read_annotation("drawn", video.annotation).keypoints
        one = by_name[video.id]
        assert one["keypoint"].shape == (truth.shape[1], len(truth), 13, 2)
        assert one["keypoint_score"].shape == one["keypoint"].shape[:3]
        assert (one["total_frames"], one["img_shape"], one["original_shape"]) == (len(truth), (80, 96), (80, 96))
        assert one["label"] == video.label
        one["keypoint"][0, 0] = 0  # pyskl's transforms write into them
        found = datasets.read_annotation("joints", again.media, again.part)
        np.testing.assert_array_equal(found.keypoints, truth)
        assert found.size == (96, 80)


def test_estimated_joints_are_those_of_the_cache(drawn: Path, tmp_path: Path) -> None:
    """The frames of view 0, as mmpose found them; without a cache, one line."""
    path = tmp_path / "star.yaml"
    path.write_text(
        f"dataset: {{kind: drawn, root: {drawn}}}\ncache: {{root: {tmp_path / 'cache'}}}\n"
        "pose: {source: mmpose, model: drawn-13, detector: frame}\nbackbone: {weights: random, size: 32}\n"
    )
    told = star("export", "--joints", tmp_path / "x.pkl", path, "-q")
    assert told.exit_code == 4
    assert "no estimated joints in the cache; `star extract RECIPE --stage pose` first" in told.stderr
    assert star("extract", path, "--stage", "pose", "-q", "--workers", "1").exit_code == 0
    found = json.loads(star("export", "--joints", tmp_path / "x.pkl", path, "-q", "--json").stdout)
    assert (found["annotated"], found["estimated"], found["left_out"]) == (0, 24, [])
    planned = plan(recipes.load(path), only=("pose",))
    for video in read_back(tmp_path / "x.pkl", tmp_path / "other").videos:
        cached = planned.stages["pose"].read([(video.id, 0)], "keypoints")[0]
        back = datasets.read_annotation("joints", video.media, video.part).keypoints
        there = cached[..., 2] > 0
        np.testing.assert_array_equal(back[there], cached[there])
        assert not back[~there].any()


def test_spans_three_dimensions_several_labels_and_validation_come_back(tmp_path: Path) -> None:
    root, random = tmp_path / "data", np.random.default_rng(0)
    root.mkdir()
    places = random.normal(size=(40, 2, 25, 3)).astype(np.float32)
    np.savez(root / "a.npz", positions=places, skeleton="ntu", rate=10.0)
    rows = ["a.npz,x,train,0,2", "a.npz,x;y,val,2,3", "a.npz,y,test,3,4"]
    (root / "list.csv").write_text("\n".join(["video,label,split,start,end", *rows]))
    path = tmp_path / "star.yaml"
    path.write_text(
        f"dataset: {{kind: joints, root: {root}}}\ncache: {{root: {tmp_path / 'cache'}}}\npose: {{projection: front}}\n"
        "tokens: {form: heatmap}\nmodel: {modalities: joint}\n"
    )
    out = tmp_path / "x.pkl"
    assert star("export", "--joints", out, path, "-q").exit_code == 0
    manifest, back = (
        datasets.load(recipes.load(path).dataset, tmp_path / "cache"), read_back(out, tmp_path / "other"),
    )  # fmt: skip
    told = [[(video.id, video.all_labels, video.split) for video in one.videos] for one in (manifest, back)]
    assert told[0] == told[1]
    for video, (first, last) in zip(back.videos, ((0, 20), (20, 30), (30, 40)), strict=True):
        found = datasets.read_annotation("joints", video.media, video.part)
        assert found.is_spatial
        np.testing.assert_array_equal(found.keypoints[..., :3], places[first:last])


def test_a_layout_is_known_by_the_names_of_its_joints(tmp_path: Path) -> None:
    """17 joints are COCO's to pyskl; what star wrote says whose they are."""
    annotation = datasets.base.Annotation(np.ones((3, 1, 17, 3), np.float32), skeleton=H36M)
    rows = [sample(name, [0], annotation) for name in "ab"]
    (tmp_path / "x.pkl").write_bytes(content(rows, {"train": ["a"], "test": ["b"]}, ("go",), H36M))
    assert read_back(tmp_path / "x.pkl", tmp_path / "cache").skeleton == H36M


def test_files_that_cannot_be_read_are_left_out_and_said(small: Path, tmp_path: Path) -> None:
    """Exit code 3, as where extraction fails; the rest is written."""
    text = small.read_text().replace("kind: drawn", "kind: videos")
    root = tmp_path / "own"
    root.mkdir()
    for name in ("a", "b", "c"):
        (root / f"{name}.mp4").write_bytes(b"x")
        np.savez(root / f"{name}.npz", keypoints=np.ones((5, 17, 3)), skeleton="coco")
    (root / "c.npz").write_bytes(b"broken")
    (root / "list.csv").write_text("video,label,split\na.mp4,x,train\nb.mp4,y,test\nc.mp4,y,test\n")
    path = tmp_path / "own.yaml"
    path.write_text(text.replace(text.partition("root: ")[2].partition("}")[0], str(root), 1))
    result = star("export", "--joints", tmp_path / "x.pkl", path, "-q")
    assert result.exit_code == 3
    assert "left out: 1 video (c.mp4: " in result.stdout
    assert [one["frame_dir"] for one in loaded(tmp_path / "x.pkl")["annotations"]] == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize(
    "words", [[], ["--joints", "x.pkl"], ["--run", "r"], ["--joints", "x.pkl", "--run", "r", "s.yaml"]]
)
def test_a_network_or_joints(words: list[str]) -> None:
    told = star("export", *words)
    assert told.exit_code == 2
    assert told.stderr.startswith("star: export: either --run RUN -o FILE, for a network, or --joints FILE.pkl RECIPE")

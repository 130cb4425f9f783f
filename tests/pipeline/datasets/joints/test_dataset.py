"""Joints without videos: which sequences, labels and splits a pickle or a folder of files holds."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from star.errors import DatasetError
from star.pipeline import datasets
from star.pipeline.recipe.schema import DatasetSettings
from star.stages.skeletons import COCO, KINECT_V1, NTU, PENN_ACTION


def load(root: Path, cache: Path | None = None, **settings):
    return datasets.load(DatasetSettings(kind="joints", root=root, **settings), cache)


def refused(root: Path, **settings) -> str:
    with pytest.raises(DatasetError) as error:
        load(root, root.parent / "cache", **settings)
    assert "\n" not in str(error.value)
    return str(error.value)


def sequences(count: int, joints: int = 17, dimensions: int = 2) -> list[dict]:
    random = np.random.default_rng(0)
    found = []
    for number in range(count):
        frames, people = 5 + number, 1 + number % 2
        keypoint = random.uniform(1, 100, (people, frames, joints, dimensions)).astype(np.float16)
        one = {"frame_dir": f"v{number}", "label": number % 3, "img_shape": (120, 160), "total_frames": frames}
        one |= {"keypoint": keypoint}
        if dimensions == 2:
            one["keypoint_score"] = random.uniform(0.1, 1, (people, frames, joints)).astype(np.float16)
        found.append(one)
    return found


def write(path: Path, annotations: list[dict], split: dict | None, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps({"split": split or {}, "annotations": annotations}, protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_gives_what_numpy_wrote(tmp_path, protocol):
    """Against the arrays themselves; in every protocol that carries arrays."""
    given = sequences(6)
    names = [one["frame_dir"] for one in given]
    path = write(tmp_path / "a.pkl", given, {"train": names[:4], "val": names[4:]}, protocol)
    manifest = load(path, tmp_path / "cache")
    assert [(video.id, video.label, video.split) for video in manifest.videos] == [
        (name, number % 3, "train" if number < 4 else "test") for number, name in enumerate(names)
    ]
    assert manifest.skeleton == COCO
    for video, one in zip(manifest.videos, given, strict=True):
        found = datasets.read_annotation("joints", video.media, video.part)
        expected = np.concatenate([one["keypoint"], one["keypoint_score"][..., None]], -1).swapaxes(0, 1)
        assert np.array_equal(found.keypoints, expected.astype(np.float32))
        assert found.size == (160, 120)


def test_a_pickle_is_unpacked_once(tmp_path):
    given = sequences(4)
    path = write(tmp_path / "a.pkl", given, None)
    first = load(path, tmp_path / "cache")
    status = path.stat()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("star.pipeline.datasets.joints.pickle_index.unpack", lambda path, spool: pytest.fail("again"))
        assert load(path, tmp_path / "cache").videos == first.videos
    path.write_bytes(b"y" * status.st_size)  # other bytes of the same size and time are read, and refused
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(DatasetError, match="not a whole pickle"):
        load(path, tmp_path / "cache")


def test_a_changed_sequence_has_another_digest(tmp_path):
    given = sequences(4)
    before = load(write(tmp_path / "a.pkl", given, None), tmp_path / "cache").videos
    given[2]["keypoint"][0, 0, 0, 0] += 1
    after = load(write(tmp_path / "b.pkl", given, None), tmp_path / "cache").videos
    assert [a.digest == b.digest for a, b in zip(before, after, strict=True)] == [True, True, False, True]


def test_protocols_and_folds_are_the_pickles_own(tmp_path):
    given = sequences(4)
    names = [one["frame_dir"] for one in given]
    split = {"xsub_train": names[:2], "xsub_val": names[2:], "xview_train": names[2:], "xview_val": names[:2]}
    path = write(tmp_path / "a.pkl", given, split)
    cache = tmp_path / "cache"
    sides = {name: [v.split for v in load(path, cache, split=name).videos] for name in ("xsub", "xview")}
    assert sides == {"xsub": ["train"] * 2 + ["test"] * 2, "xview": ["test"] * 2 + ["train"] * 2}
    assert refused(path).endswith("is not among the pickle's protocols; choose one of xsub, xview")
    folds = {"train1": names[:3], "test1": names[3:], "train2": names[1:], "test2": names[:1]}
    path = write(tmp_path / "b.pkl", given, folds)
    assert [video.split for video in load(path, cache, fold=2).videos] == ["test", "train", "train", "train"]
    path = write(tmp_path / "c.pkl", given, {"train": names, "val": names[:1]})
    assert "1 sequences stand in both train and val" in refused(path)


def test_layouts_follow_from_joints_and_dimensions(tmp_path):
    cache = tmp_path / "cache"
    assert load(write(tmp_path / "a.pkl", sequences(2, 25, 3), None), cache).skeleton == NTU
    assert load(write(tmp_path / "b.pkl", sequences(2, 25), None), cache).skeleton.name == "openpose_25"
    assert load(write(tmp_path / "c.pkl", sequences(2, 20, 3), None), cache).skeleton == KINECT_V1
    unknown = load(write(tmp_path / "d.pkl", sequences(2, 7), None), cache).skeleton
    assert len(unknown.joints) == 7
    assert unknown.flip_pairs == ()


def test_the_kinetics_variant_says_where_its_joints_lie(tmp_path):
    given = [{"frame_dir": "a", "label": 0, "img_shape": (1, 1), "total_frames": 9, "raw_file": "x"}]
    assert "have no 'keypoint': the joints lie in files apart (kpfiles)" in refused(
        write(tmp_path / "a.pkl", given, None)
    )


class RunsCode:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_would_run_code_is_refused_before_it_does(tmp_path, protocol):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"annotations": [RunsCode(tmp_path / "harm")]}, protocol))
    assert "it names posix.mkdir, which is no array" in refused(path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a whole pickle"),
        (b"hello", "not a whole pickle"),
        (pickle.dumps([]), "no list 'annotations'"),
        (
            pickle.dumps({"annotations": [{"frame_dir": "a", "keypoint": np.zeros((1, 2), object)}]}),
            "'O8', not of numbers",
        ),
        (pickle.dumps({"annotations": [{"frame_dir": "a", "keypoint": np.zeros((2, 3))}]}), "keypoint is (2, 3) where"),
        (b"\x80\x04\x8e" + (1 << 60).to_bytes(8, "little"), "does not fit into memory"),
        (b"cbuiltins\neval\n(S'1'\ntR.", "it names builtins.eval"),
        (b"cnumpy\nsave\n(S'1'\ntR.", "it names numpy.save"),
        (b"(" * 10**6, "not a whole pickle"),
    ],
)
def test_what_is_no_pickle_of_joints_is_one_line(tmp_path, content, said):
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    assert said in refused(path)
    assert not list((tmp_path / "cache/joints").iterdir())


def nw_ucla(path: Path, frames: int = 4) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    places = np.random.default_rng(len(path.name)).normal(size=(frames, 20, 3)).round(3)
    path.write_text(json.dumps({"file_name": path.stem, "skeletons": places.tolist(), "label": 1}))
    return places


def test_northwestern_ucla_is_known_by_its_names(tmp_path):
    places = nw_ucla(tmp_path / "all/a01_s01_e00_v01.json")
    nw_ucla(tmp_path / "all/a12_s03_e02_v03.json")
    nw_ucla(tmp_path / "all/notes.json")
    manifest = load(tmp_path)
    assert [(v.id, manifest.classes[v.label], v.split, v.groups) for v in manifest.videos] == [
        ("all/a01_s01_e00_v01.json", "pick up with one hand", "train", (("subject", "s01"), ("camera", "v01"))),
        ("all/a12_s03_e02_v03.json", "carry", "test", (("subject", "s03"), ("camera", "v03"))),
    ]
    assert manifest.left_out == [("all/notes.json", "not named like a01_s01_e00_v01.json")]
    found = datasets.read_annotation("joints", manifest.videos[0].media)
    assert np.allclose(found.keypoints[:, 0, :, :3], places)
    assert found.skeleton == KINECT_V1
    assert found.is_spatial


def test_penn_action_needs_its_label_files_alone(tmp_path):
    x, y = np.tile(np.linspace(10, 50, 13), (9, 1)), np.tile(np.linspace(5, 40, 13), (9, 1))
    fields = {"action": "squat", "train": 1, "pose": "front", "x": x, "y": y, "visibility": np.ones((9, 13))}
    fields |= {"dimensions": [[48, 64, 9]], "bbox": np.tile([5.0, 5, 60, 45], (9, 1))}
    (tmp_path / "labels").mkdir()
    savemat(tmp_path / "labels/0001.mat", fields)
    savemat(tmp_path / "labels/0002.mat", fields | {"action": "dance"})
    manifest = load(tmp_path)
    (video,) = manifest.videos
    assert (video.id, manifest.classes[video.label], video.split) == ("labels/0001.mat", "squat", "train")
    assert manifest.skeleton == PENN_ACTION
    assert manifest.left_out[0][0] == "labels/0002.mat"
    found = datasets.read_annotation("joints", video.media)
    assert found.size == (64, 48)
    assert np.allclose(found.keypoints[:, 0, :, 0], x - 1)


def test_a_folder_per_class_and_a_csv(tmp_path):
    for label in ("bow", "wave"):
        (tmp_path / label).mkdir()
        np.savez(tmp_path / label / "a.npz", keypoints=np.ones((4, 17, 3)), skeleton="coco")
    assert {(v.id, v.label) for v in load(tmp_path).videos} == {("bow/a.npz", 0), ("wave/a.npz", 1)}
    (tmp_path / "list.csv").write_text("video,label,split\nwave/a.npz,greet,test\nbow/a.npz,bow,train\n")
    manifest = load(tmp_path)
    assert [(v.id, manifest.classes[v.label], v.split) for v in manifest.videos] == [
        ("bow/a.npz", "bow", "train"),
        ("wave/a.npz", "greet", "test"),
    ]


def test_what_is_no_data_set_of_joints_says_what_is_expected(tmp_path):
    assert "does not exist" in refused(tmp_path / "gone")
    assert "neither a CSV" in refused(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    assert "neither a folder nor a pickle" in refused(tmp_path / "a.txt")


def files(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        np.savez(root / name, keypoints=np.ones((4, 1, 17, 3), np.float32), skeleton="coco")
    return root


def test_what_is_left_out_of_class_folders_is_said(tmp_path):
    """Loose files, folders beside the parts of a split."""
    root = files(tmp_path / "a", "wave/a.npz", "bow/b.npz", "loose.npz")
    manifest = load(root)
    assert [video.id for video in manifest.videos] == ["bow/b.npz", "wave/a.npz"]
    assert list(manifest.left_out) == [("loose.npz", "in no class's folder")]
    root = files(tmp_path / "b", "train/wave/a.npz", "val/wave/b.npz", "test/wave/c.npz", "old/d.npz", "test/e.npz")
    manifest = load(root)
    assert {video.id: video.split for video in manifest.videos} == {
        "train/wave/a.npz": "train", "val/wave/b.npz": "val", "test/wave/c.npz": "test",
    }  # fmt: skip
    assert manifest.classes == ("wave",)
    assert dict(manifest.left_out) == {
        "old/d.npz": "a folder beside test/ and train/, so none of a class",
        "test/e.npz": "in no class's folder",
    }


def test_one_part_of_a_split_beside_classes_is_refused(tmp_path):
    """A class called train, or a part?"""
    root = files(tmp_path / "a", "train/a.npz", "bow/b.npz")
    assert refused(root).startswith(
        f"dataset.root: {root} holds train/ beside bow/: is it a part of a split, or a class?"
    )


def test_labels_of_a_pickle_may_be_names(tmp_path):
    given = sequences(4)
    for one, label in zip(given, ("wave", "bow", "wave", None), strict=True):
        one["label"] = label
    manifest = load(write(tmp_path / "a.pkl", given, None), tmp_path / "cache")
    assert manifest.classes == ("bow", "wave")
    assert [video.label for video in manifest.videos] == [1, 0, 1, -1]
    given[3]["label"] = 1.5
    manifest = load(write(tmp_path / "b.pkl", given, None), tmp_path / "cache")
    assert manifest.left_out == [("v3", "label '1.5' is neither a number nor a class")]


def test_names_of_a_split_without_annotation_are_said(tmp_path):
    given = sequences(3)
    path = write(tmp_path / "a.pkl", given, {"train": ["v0", "v1", "lost"], "val": ["v2"]})
    manifest = load(path, tmp_path / "cache")
    assert len(manifest.videos) == 3
    assert manifest.left_out == [("lost", "in the splits, and no annotation is called so")]


def test_a_third_number_that_is_a_score_is_no_place(tmp_path):
    """Pixels and scores in one array, without the picture's size."""
    given = sequences(2)
    for one in given:
        one["keypoint"] = np.concatenate([one["keypoint"], one.pop("keypoint_score")[..., None]], -1)
        del one["img_shape"]
    manifest = load(write(tmp_path / "a.pkl", given, None), tmp_path / "cache")
    assert manifest.skeleton == COCO
    found = datasets.read_annotation("joints", manifest.videos[1].media, manifest.videos[1].part)
    assert np.allclose(found.keypoints, given[1]["keypoint"].swapaxes(0, 1))


def kinetics(root: Path, part: str, clips: dict[str, tuple[str, int, bool]]) -> None:
    """One part of Kinetics-skeleton as it is published: a folder of clips, and their labels beside it."""
    (root / part).mkdir(parents=True)
    pose = {"pose": [0.1 * (k % 7) for k in range(36)], "score": [0.5] * 18}
    for name, (label, number, somebody) in clips.items():
        if somebody:
            document = {"data": [{"frame_index": 1, "skeleton": [pose]}], "label": label, "label_index": number}
            (root / part / f"{name}.json").write_text(json.dumps(document))
    rows = {
        name: {"has_skeleton": somebody, "label": label, "label_index": number}
        for name, (label, number, somebody) in clips.items()
    }
    (root / f"{part}_label.json").write_text(json.dumps(rows))


def test_kinetics_skeleton_as_published(tmp_path):
    """Its folders are parts of the split, and no classes; the labels stand in the files beside them."""
    kinetics(
        tmp_path, "kinetics_train", {"a": ("zumba", 1, True), "b": ("abseiling", 0, True), "c": ("zumba", 1, False)}
    )
    kinetics(tmp_path, "kinetics_val", {"d": ("zumba", 1, True)})
    (tmp_path / "kinetics_val" / "x.json").write_text((tmp_path / "kinetics_val" / "d.json").read_text())
    manifest = load(tmp_path)
    assert manifest.what == "Kinetics-skeleton, by its files of labels"
    assert manifest.classes == ("abseiling", "zumba")
    assert [(video.id, video.label, video.split) for video in manifest.videos] == [
        ("kinetics_train/a.json", 1, "train"),
        ("kinetics_train/b.json", 0, "train"),
        ("kinetics_val/d.json", 1, "test"),
    ]
    assert list(manifest.left_out) == [
        ("kinetics_train/c.json", "nobody was found in it"),
        ("kinetics_val/x.json", "in no file of labels"),
    ]
    (tmp_path / "kinetics_val_label.json").write_text("{")
    assert "kinetics_val_label.json: not JSON" in refused(tmp_path)


def openpose(folder: Path, name: str = "{:012d}_keypoints.json", frames: int = 3) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    joints = [float(10 + k) for k in range(75)]
    for frame in range(frames):
        (folder / name.format(frame)).write_text(json.dumps({"people": [{"pose_keypoints_2d": joints}]}))


def test_folders_of_openpose_say_what_is_amiss(tmp_path):
    """Frames of two videos in one folder; a folder per video and none per class."""
    for video in ("a", "b"):
        openpose(tmp_path / "mixed" / "wave", video + "_{:012d}_keypoints.json")
        openpose(tmp_path / "loose" / video)
    said = "wave holds the frames of several videos (a, b); put those of each into a folder of its own, CLASS/VIDEO/"
    assert said in refused(tmp_path / "mixed")
    assert "named as a data set names them; a, say, lies in no class's folder" in refused(tmp_path / "loose")


def test_frames_called_by_their_numbers_are_those_of_their_folder(tmp_path):
    for video in ("wave/a", "bow/b"):
        openpose(tmp_path / video, "{:06d}.json")
    manifest = load(tmp_path)
    assert [(video.id, manifest.classes[video.label]) for video in manifest.videos] == [
        ("bow/b", "bow"),
        ("wave/a", "wave"),
    ]
    assert len(datasets.read_annotation("joints", manifest.videos[0].media).keypoints) == 3

"""Anybody's videos: a list, or a folder per class."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from star.errors import DatasetError
from star.pipeline import datasets
from star.pipeline.datasets.custom.splits import hashed_split
from star.pipeline.recipe.schema import DatasetSettings


def load(root, **settings):
    return datasets.load(DatasetSettings(kind="videos", root=root, **settings))


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def listed(root, *rows):
    (root / "videos.csv").write_text("\n".join(["video,label,split", *rows]))
    return root


def message(root, **settings):
    with pytest.raises(DatasetError) as error:
        load(root, **settings)
    return str(error.value)


def test_a_list_gives_ids_labels_and_splits(tmp_path):
    """Classes are the labels found, sorted; videos come in the order of their ids."""
    manifest = load(listed(tmp_path, "b/x.mp4,wave,train", "a/x.mp4,bow,test"))
    assert manifest.name == tmp_path.name
    assert manifest.classes == ("bow", "wave")
    assert [(video.id, video.label, video.split) for video in manifest.videos] == [
        ("a/x.mp4", 0, "test"),
        ("b/x.mp4", 1, "train"),
    ]
    assert manifest.videos[0].media == tmp_path / "a/x.mp4"
    assert manifest.videos[0].annotation is None
    assert manifest.skeleton is None


def test_the_real_samples_as_a_user_would_list_them(shared, tmp_path):
    """Six real files in a CSV, the broken one included: the catalogue lists them all, extraction judges them."""
    names = sorted(path.name for path in (shared / "data/videos").iterdir())
    (tmp_path / "clips").symlink_to(shared / "data/videos")
    manifest = load(listed(tmp_path, *(f"clips/{name},{'ab'[k % 2]}," for k, name in enumerate(names))))
    assert [video.id for video in manifest.videos] == [f"clips/{name}" for name in names]
    assert all(video.media.is_file() for video in manifest.videos)


def test_a_listed_video_need_not_exist(tmp_path):
    """It stays in the catalogue: the ledger, not the list, says what cannot be opened."""
    video = load(listed(tmp_path, "gone.mp4,wave,train")).videos[0]
    assert not video.media.exists()


def test_the_classes_setting_fixes_order_and_members(tmp_path):
    """Labels count in the order that the recipe gives, also those without a video."""
    manifest = load(listed(tmp_path, "a.mp4,wave,", "b.mp4,bow,"), classes=("wave", "squat", "bow"))
    assert manifest.classes == ("wave", "squat", "bow")
    assert [video.label for video in manifest.videos] == [0, 2]


def test_a_label_that_is_not_in_the_list_is_refused(tmp_path):
    """Row, label, and the nearest label there is."""
    root = listed(tmp_path, "a.mp4,wave,", "b.mp4,wvae,")
    expected = "videos.csv, row 3: label 'wvae' is not in dataset.classes; did you mean 'wave'?"
    assert message(root, classes=("wave", "bow")) == expected
    root = listed(tmp_path, "a.mp4,???,")
    expected = "videos.csv, row 2: label '???' is not in dataset.classes; known are wave, bow"
    assert message(root, classes=("wave", "bow")) == expected


def test_folders_name_the_classes(tmp_path):
    """Films and folders of frames in any depth; equal names in different folders stay apart; the rest is ignored."""
    touch(tmp_path, "wave/a.mp4", "wave/day 2/a.mp4", "bow/a.AVI", "bow/frames/000001.jpg", "bow/frames/000002.jpg")
    touch(tmp_path, "bow/notes.txt", "bow/._a.mp4", ".cache/x.mp4", "readme.txt", "bow/empty/.keep")
    manifest = load(tmp_path)
    assert manifest.classes == ("bow", "wave")
    assert [(video.id, video.label) for video in manifest.videos] == [
        ("bow/a.AVI", 0), ("bow/frames", 0), ("wave/a.mp4", 1), ("wave/day 2/a.mp4", 1),
    ]  # fmt: skip


def test_folders_train_and_test_give_the_split(tmp_path):
    """ROOT/train/CLASS and ROOT/test/CLASS; the same name in both is two videos."""
    touch(tmp_path, "train/wave/a.mp4", "train/bow/b.mp4", "test/wave/a.mp4")
    manifest = load(tmp_path)
    assert manifest.classes == ("bow", "wave")
    assert [(video.id, video.label, video.split) for video in manifest.videos] == [
        ("test/wave/a.mp4", 1, "test"), ("train/bow/b.mp4", 0, "train"), ("train/wave/a.mp4", 1, "train"),
    ]  # fmt: skip


def test_links_are_followed_but_not_in_circles(tmp_path):
    """A class may lie on another disk; a link back to the root ends there."""
    touch(tmp_path, "disk/a.mp4", "root/bow/b.mp4")
    (tmp_path / "root/wave").symlink_to(tmp_path / "disk")
    (tmp_path / "root/bow/back").symlink_to(tmp_path / "root")
    (tmp_path / "root/bow/self").symlink_to("self")
    assert [video.id for video in load(tmp_path / "root").videos] == ["bow/b.mp4", "wave/a.mp4"]


def test_without_a_split_the_id_decides_for_good(tmp_path):
    """About test_share of the videos are for testing, and more videos move none of the earlier ones."""
    few = load(listed(tmp_path, *(f"{k}.mp4,wave," for k in range(500))), test_share=0.3)
    many = load(listed(tmp_path, *(f"{k}.mp4,wave," for k in range(2000))), test_share=0.3)
    split = {video.id: video.split for video in many.videos}
    assert all(split[video.id] == video.split for video in few.videos)
    assert Counter(split.values())["test"] == pytest.approx(600, abs=60)
    assert {hashed_split(str(k), 0.0) for k in range(99)} == {"train"}
    assert {hashed_split(str(k), 1.0) for k in range(99)} == {"test"}


def test_a_given_split_stands_beside_open_ones(tmp_path):
    """Only the rows that leave it open are decided by the hash."""
    manifest = load(listed(tmp_path, "a.mp4,wave,test", "b.mp4,wave,"), test_share=0.0)
    assert [video.split for video in manifest.videos] == ["test", "train"]


def test_roots_that_hold_no_list_or_two_are_refused(tmp_path):
    """What was found, and what to do."""
    assert message(tmp_path / "none") == (
        f"dataset.root: {tmp_path / 'none'} does not exist; give the folder that holds the data set"
    )
    expected = f"dataset.root: {tmp_path} has neither a CSV (video,label,split) nor a folder of videos per class"
    assert message(tmp_path) == expected
    touch(tmp_path, "wave/notes.txt")
    assert message(tmp_path) == expected
    touch(tmp_path, "train.csv", "test.CSV", ".hidden.csv")
    assert message(tmp_path) == (
        f"dataset.root: {tmp_path} holds 2 CSV files (test.CSV, train.csv); name one: dataset.list"
    )
    assert message(tmp_path / "wave/notes.txt") == (
        f"dataset.root: {tmp_path / 'wave/notes.txt'} is not a folder; give the folder that holds the data set"
    )


@pytest.mark.parametrize("column", [False, True])
def test_joints_beside_listed_videos_are_found(tmp_path, column):
    """As beside videos in folders; a list that names some says all."""
    touch(tmp_path, "clips/a.mp4", "clips/a.npz", "b.mov", "b.mov.npz", "frames/1.jpg", "frames.npz", "c.mp4")
    for path in tmp_path.rglob("*.npz"):
        np.savez(path.with_suffix(""), keypoints=np.ones((3, 13, 3)), skeleton="penn_action")
    rows = ["clips/a.mp4,wave", "b.mov,wave", "frames,wave", "c.mp4,wave"]
    text = "\n".join(["video,label", *rows])
    if column:
        text = "\n".join(["video,label,joints", *(f"{row},{'clips/a.npz' if 'a.mp4' in row else ''}" for row in rows)])
    (tmp_path / "list.csv").write_text(text)
    found = {video.id: video.annotation for video in load(tmp_path).videos}
    expected = {"clips/a.mp4": "clips/a.npz", "b.mov": "b.mov.npz", "frames": "frames.npz", "c.mp4": ""}
    for video, beside in expected.items():
        there = beside and (not column or video == "clips/a.mp4")
        assert found[video] == (tmp_path / beside if there else None)


def test_a_list_of_films_and_of_their_frames_has_each_video_once(tmp_path):
    """The film is taken, and the folder named; under another label both stay, for scan to judge."""
    touch(tmp_path, "a.mp4", "a/1.jpg", "videos/b.avi", "frames/b/1.jpg", "c.mp4", "c/1.jpg")
    rows = ["a.mp4,wave,train", "a,wave,test", "videos/b.avi,bow,", "frames/b,bow,", "c.mp4,wave,", "c,bow,"]
    manifest = load(listed(tmp_path, *rows))
    assert {video.id for video in manifest.videos} == {"a.mp4", "videos/b.avi", "c.mp4", "c"}
    assert manifest.left_out == [("a", "the frames of a.mp4"), ("frames/b", "the frames of videos/b.avi")]

"""A folder of videos per class: what counts as a video, as a class, as a part of a split; what is left out is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from star.errors import DatasetError
from star.pipeline.datasets.custom.class_folders import class_folders
from star.pipeline.datasets.folder_names import split_of_name
from star.stages.readers.base import VIDEO_SUFFIXES

HEADS = {
    "mp4": b"\0\0\0\x18ftypisom",
    "mov": b"\0\0\0\x08wide\0\0\0\0mdat",
    "mkv": b"\x1aE\xdf\xa3\x01\0\0\0",
    "avi": b"RIFF\0\0\0\0AVI LIST",
    "ts": (b"G" + bytes(187)) * 4,
    "m2ts": (bytes(4) + b"G" + bytes(187)) * 4,
    "ps": b"\0\0\x01\xba\x44\0",
    "flv": b"FLV\x01\x05",
    "wmv": b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",
    "ogg": b"OggS\0\x02",
    "gif": b"GIF89a\x10\0",
    "ivf": b"DKIF\0\0",
    "mxf": b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02",
    "dv": b"\x1f\x07\0\xbf",
}


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def videos(root: Path) -> dict[str, tuple[str, str]]:
    """Id -> label and split."""
    return {entry.video: (entry.label, entry.split) for entry in class_folders(root).entries}


def refusal(root: Path) -> str:
    with pytest.raises(DatasetError) as error:
        class_folders(root)
    return str(error.value)


@pytest.mark.parametrize("suffix", sorted(VIDEO_SUFFIXES))
def test_every_ending_of_a_video_counts_in_capitals_too(tmp_path: Path, suffix: str) -> None:
    """No file of a container that FFmpeg opens vanishes for its ending."""
    touch(tmp_path, f"wave/a{suffix}", f"wave/b{suffix.upper()}")
    assert set(videos(tmp_path)) == {f"wave/a{suffix}", f"wave/b{suffix.upper()}"}


@pytest.mark.parametrize("suffix", ".m2ts .gif .3gp .3g2 .vob .asf .mxf .dv .f4v .divx .ogv .mts".split())  # noqa: SIM905
def test_the_endings_that_users_have(suffix: str) -> None:
    """Those that were left out once."""
    assert suffix in VIDEO_SUFFIXES


@pytest.mark.parametrize("kind", HEADS)
def test_files_with_other_endings_count_by_their_first_bytes(tmp_path: Path, kind: str) -> None:
    """A video is one whatever it is called; what is none is named."""
    touch(tmp_path, "wave/notes.txt", "wave/sound.mp3", "wave/poster.jpg")
    (tmp_path / "wave/clip.xyz").write_bytes(HEADS[kind])
    (tmp_path / "wave/clip").write_bytes(HEADS[kind])
    (tmp_path / "wave/other.xyz").write_bytes(b"something else")
    found = class_folders(tmp_path)
    assert {entry.video for entry in found.entries} == {"wave/clip.xyz", "wave/clip"}
    assert found.left_out == [("wave/other.xyz", "no video, by its ending '.xyz' and its first bytes")]


def test_videos_and_pictures_outside_the_folders_of_classes_are_named(tmp_path: Path) -> None:
    """Beside the classes' folders, and pictures that lie in a class's folder itself."""
    touch(tmp_path, "loose.mp4", "wave/a.mp4", "bow/1.jpg", "bow/2.jpg")
    assert class_folders(tmp_path).left_out == [
        ("loose.mp4", "in no class's folder"),
        ("bow", "pictures that lie in a class's folder itself; a video is a folder of pictures in that folder"),
    ]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"), ("Train", "Test"), ("TRAIN", "TEST"), ("training", "testing"), ("Training", "Testing"),
        ("train", "val"), ("train", "valid"), ("train", "validation"), ("train", "dev"), ("train", "eval"),
        ("train_set", "test_set"), ("trainset", "testset"), ("TrainSet", "TestSet"), ("train-data", "test-data"),
        ("videos_train", "videos_val"), ("rawframes_train", "rawframes_val"), ("train_videos", "test_videos"),
        ("01_train", "02_test"), ("train256", "val256"),
    ],
)  # fmt: skip
def test_parts_of_a_split_in_every_usual_spelling(tmp_path: Path, train: str, test: str) -> None:
    """With further folders beside, or none; never classes."""
    touch(tmp_path, f"{train}/wave/a.mp4", f"{train}/bow/b/1.jpg", f"{test}/wave/c.mp4")
    expected = {
        f"{train}/wave/a.mp4": ("wave", "train"), f"{train}/bow/b": ("bow", "train"),
        f"{test}/wave/c.mp4": ("wave", "test"),
    }  # fmt: skip
    assert videos(tmp_path) == expected
    touch(tmp_path, "annotations/list.json", "more/x.mp4", "logs/.keep")
    assert videos(tmp_path) == expected
    assert [name for name, _ in class_folders(tmp_path).left_out] == ["more"]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("tr", "te"),
        ("TRN", "TST"),
        ("训练", "测试"),
        ("训练集", "验证集"),
        ("entrenamiento", "prueba"),
        ("treino", "teste"),
    ],
)
def test_short_and_foreign_words_are_parts_where_all_folders_are(tmp_path: Path, train: str, test: str) -> None:
    """Beside others they may be classes."""
    touch(tmp_path, f"{train}/wave/a.mp4", f"{test}/wave/c.mp4")
    assert videos(tmp_path) == {f"{train}/wave/a.mp4": ("wave", "train"), f"{test}/wave/c.mp4": ("wave", "test")}
    touch(tmp_path, "bow/x/d.mp4")
    assert {label for label, _ in videos(tmp_path).values()} == {train, test, "bow"}


def test_numbered_parts_of_a_data_set_are_no_classes(tmp_path: Path) -> None:
    """Folds, batches: which of them is for training nobody says. Classes may be called so where videos lie in them."""
    touch(tmp_path / "a", "fold1/wave/a.mp4", "fold2/wave/b.mp4", "fold_3/bow/c.mp4")
    assert "holds fold1/, fold2/, fold_3/, which are parts of a data set and no classes" in refusal(tmp_path / "a")
    touch(tmp_path / "b", "part1/a.mp4", "part2/b.mp4")
    assert set(videos(tmp_path / "b")) == {"part1/a.mp4", "part2/b.mp4"}


def test_a_third_part_is_for_validation(tmp_path: Path) -> None:
    """Of train, val and test, above the classes or below."""
    touch(tmp_path / "a", "train/wave/a.mp4", "val/wave/b.mp4", "test/wave/c.mp4")
    assert {split for _, split in videos(tmp_path / "a").values()} == {"train", "val", "test"}
    touch(tmp_path / "b", "wave/train/a.mp4", "wave/val/b.mp4", "wave/test/c.mp4")
    assert {name: split for name, (_, split) in videos(tmp_path / "b").items()} == {
        "wave/train/a.mp4": "train", "wave/val/b.mp4": "val", "wave/test/c.mp4": "test",
    }  # fmt: skip
    assert class_folders(tmp_path / "a").left_out == []


def test_the_split_below_the_class(tmp_path: Path) -> None:
    """wave/train/a.mp4 as train/wave/a.mp4."""
    touch(tmp_path, "wave/Training/a.mp4", "wave/Validation/b.mp4", "bow/c.mp4")
    assert videos(tmp_path) == {
        "wave/Training/a.mp4": ("wave", "train"), "wave/Validation/b.mp4": ("wave", "test"), "bow/c.mp4": ("bow", ""),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["train", "Val", "testing"])
def test_a_lone_part_beside_classes_is_refused(tmp_path: Path, name: str) -> None:
    """It may be either, and is never taken for a class."""
    touch(tmp_path, f"{name}/wave/a.mp4", "car/b.mp4")
    assert f"{name}/ beside car/: is it a part of a split, or a class?" in refusal(tmp_path)


def test_parts_without_classes_are_refused(tmp_path: Path) -> None:
    """Films, or folders of frames, right below train/."""
    touch(tmp_path, "train/a.mp4", "test/b.mp4")
    assert "holds videos but no folder of videos per class" in refusal(tmp_path)
    touch(tmp_path / "frames", "train/a/1.jpg", "test/b/1.jpg")
    assert "holds videos but no folder of videos per class" in refusal(tmp_path / "frames")


def test_folders_around_the_parts_are_refused(tmp_path: Path) -> None:
    """One folder too high, or folders that say only whether films or frames lie in them."""
    touch(tmp_path / "a", "data/train/wave/a.mp4", "data/val/wave/b.mp4")
    assert f"perhaps {tmp_path / 'a/data'}" in refusal(tmp_path / "a")
    touch(tmp_path / "b", "videos/wave/a.mp4", "frames/wave/a/1.jpg")
    assert "holds frames/" in refusal(tmp_path / "b")


@pytest.mark.parametrize("name", ["wave", "test tube", "train ride", "evaluate", "set", "videos", "devil", "3"])
def test_names_that_are_no_part_of_a_split(name: str) -> None:
    """Words that only contain one."""
    assert split_of_name(name) == ""


@pytest.mark.parametrize(
    ("film", "frames"),
    [
        ("wave/a.mp4", "wave/a"), ("wave/a.AVI", "wave/a"), ("wave/videos/a.mp4", "wave/frames/a"),
        ("wave/a.mp4", "wave/rawframes/a"), ("wave/day 1/a.webm", "wave/day 1/a"), ("wave/a.mp4", "wave/a_frames"),
        ("wave/a.mp4", "wave/a.mp4_frames"), ("wave/a.mp4", "wave/a-Images"), ("wave/a.mp4", "wave/a/frames"),
        ("wave/a.mp4", "wave/frames_a"), ("wave/a.mp4", "wave/frames/a_jpgs"),
    ],
)  # fmt: skip
def test_a_film_and_the_folder_of_its_frames_are_one_video(tmp_path: Path, film: str, frames: str) -> None:
    """The film is taken, and the folder named."""
    touch(tmp_path, film, f"{frames}/000001.jpg", "bow/day 1/a.mp4", "bow/day 2/a/1.jpg")
    found = class_folders(tmp_path)
    assert {entry.video for entry in found.entries} == {film, "bow/day 1/a.mp4", "bow/day 2/a"}
    assert found.left_out == [(frames, f"the frames of {film}")]


@pytest.mark.parametrize("name", ["thumbnails", "Thumbs", ".thumbnails", "@eaDir", "__MACOSX", "#recycle"])
def test_small_pictures_and_shadows_are_no_videos(tmp_path: Path, name: str) -> None:
    """As photo managers and network disks put them beside videos."""
    touch(tmp_path, "wave/a.mp4", f"wave/{name}/a.mp4/THUMB_M.jpg", f"wave/{name}/1.jpg", f"{name}/a/1.jpg")
    assert set(videos(tmp_path)) == {"wave/a.mp4"}


def test_links_below_a_class_are_followed_once(tmp_path: Path) -> None:
    """A folder on another disk counts; a link back, or to another class, gives no video twice."""
    touch(tmp_path, "disk/a.mp4", "root/bow/b.mp4", "root/wave/c.mp4")
    (tmp_path / "root/wave/more").symlink_to(tmp_path / "disk")
    (tmp_path / "root/wave/again").symlink_to(tmp_path / "disk")
    (tmp_path / "root/wave/others").symlink_to(tmp_path / "root/bow")
    (tmp_path / "root/wave/up").symlink_to(tmp_path / "root")
    assert set(videos(tmp_path / "root")) == {"bow/b.mp4", "wave/c.mp4", "wave/again/a.mp4"}


def test_a_folder_that_may_not_be_listed_is_a_video_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reader says why; a class's folder is named; neither ends the listing of the others."""
    from star.pipeline.datasets.custom import class_folders as module

    touch(tmp_path, "bow/a.mp4", "bow/closed/1.jpg", "wave/b.mp4")
    real = module.os.scandir

    def scandir(folder: Path):
        if Path(folder).name in ("closed", "wave"):
            raise PermissionError(13, "Permission denied")
        return real(folder)

    monkeypatch.setattr(module.os, "scandir", scandir)
    found = class_folders(tmp_path)
    assert [entry.video for entry in found.entries] == ["bow/a.mp4", "bow/closed"]
    assert found.left_out == [("wave", "may not be listed (Permission denied); check its permissions")]

"""mmaction2's annotation files, written by hand after its documentation: videos, folders of frames, several labels."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from star.cli import main
from star.errors import DatasetError
from star.pipeline import datasets
from star.pipeline.datasets.custom.mmaction2_list import holds, split_of_list
from star.pipeline.recipe.schema import DatasetSettings


def lay(root: Path, **files: str) -> Path:
    """Text files (called with __ for a slash and _dot_ for a dot) and, where they are empty, videos."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def listed(root: Path, **settings) -> list[tuple[str, str, str]]:
    """Id, classes and split of every video."""
    manifest = datasets.load(DatasetSettings(kind="videos", root=root, **settings))
    return [(video.id, video.named(manifest.classes), video.split) for video in manifest.videos]


def kinetics(root: Path) -> Path:
    """As data/kinetics400 lies after mmaction2's own preparation, one video lost."""
    lay(root, videos_train__abseiling__a_dot_mp4="", videos_train__bowling__b_dot_mp4="", videos_val__c_dot_mp4="")
    lay(root, kinetics400_train_list_videos_dot_txt="abseiling/a.mp4 0\nbowling/b.mp4 1\nbowling/gone.mp4 1\n")
    return lay(root, kinetics400_val_list_videos_dot_txt="c.mp4 1\n")


def test_lists_of_videos_for_training_and_validation(tmp_path: Path) -> None:
    """Both lists are one data set; validation serves for testing; what is not there is left out and named."""
    root = kinetics(tmp_path)
    assert listed(root, list=root) == [
        ("videos_train/abseiling/a.mp4", "class_000", "train"),
        ("videos_train/bowling/b.mp4", "class_001", "train"),
        ("videos_val/c.mp4", "class_001", "test"),
    ]
    manifest = datasets.load(DatasetSettings(kind="videos", root=root, list=root))
    assert manifest.left_out == [("bowling/gone.mp4", "no video of its name below dataset.root")]


def test_a_label_map_names_the_classes(tmp_path: Path) -> None:
    root = lay(kinetics(tmp_path), label_map_k400_dot_txt="abseiling\nbowling\n")
    assert [label for _, label, _ in listed(root, list=root)] == ["abseiling", "bowling", "bowling"]
    lay(root, label_map_k400_dot_txt="abseiling\n")
    manifest = datasets.load(DatasetSettings(kind="videos", root=root, list=root / "kinetics400_train_list_videos.txt"))
    assert ("bowling/b.mp4, line 2", "label 1, and the label map has 1 names") in manifest.left_out


def test_init_recognises_them(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["init", "videos", "--root", str(kinetics(tmp_path))])
    assert result.exit_code == 0, result.output
    assert "Annotation file of mmaction2, " in result.stdout.splitlines()[0] and f"list: '{tmp_path}'" in result.stdout


def test_folders_of_frames_and_several_labels(tmp_path: Path) -> None:
    """Of a folder the first number counts its frames; of a file all are labels; names may hold spaces."""
    lay(tmp_path, frames__a_b__img_00001_dot_jpg="", frames__c__img_00001_dot_jpg="", clips__d_e_dot_mp4="")
    (tmp_path / "clips" / "d_e.mp4").rename(tmp_path / "clips" / "d e.mp4")
    lay(tmp_path, train_list_dot_txt="frames/a_b 164 2\nframes/c 3 0 2\n\nclips/d e.mp4 0 1\n")
    assert listed(tmp_path, list=tmp_path / "train_list.txt") == [
        ("clips/d e.mp4", "class_000;class_001", "train"),
        ("frames/a_b", "class_002", "train"),
        ("frames/c", "class_000;class_002", "train"),
    ]


def test_a_video_in_two_parts_of_the_split_is_refused(tmp_path: Path) -> None:
    root = lay(kinetics(tmp_path), kinetics400_val_list_videos_dot_txt="abseiling/a.mp4 0\n")
    with pytest.raises(DatasetError, match=r"val_list_videos.txt, line 1: .*a.mp4 is in val, and in train by kinetics"):
        listed(root, list=root)


def test_a_line_that_is_none(tmp_path: Path) -> None:
    lines = "a.mp4 0\n" * 600 + "b.mp4 wave\n"  # further down than a file is looked into
    lay(tmp_path, a_dot_mp4="", list_dot_txt=lines)
    with pytest.raises(DatasetError, match=r"list.txt, line 601: 'b.mp4 wave' is no path with a label's number behind"):
        listed(tmp_path, list=tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.txt", "wave\nbow\n"), ("actionLabel.txt", "walk: 252 390\nsit: 572 686\n"),
        ("joints.txt", "1 0.2 0.3 4\n2 0.3 0.5 4\n"), ("numbers.txt", "1 2 3\n4 5 6\n"), ("empty.txt", ""),
        ("trainlist01.txt", "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\n"), ("readme.txt", "Recorded in 2013\n"),
        ("wave_test_split1.txt", "a_wave_f_cm_np1_fr_med_0.avi 1\nb_wave_f_cm_np1_fr_med_1.avi 2\n"),
    ],
)  # fmt: skip
def test_other_text_is_no_list(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert not holds(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "split"),
    [("ucf101_val_split_1_videos", "val"), ("sthv2_train_list_rawframes", "train"), ("list", ""), ("train_val", "")],
)
def test_the_name_says_the_part_of_the_split(name: str, split: str) -> None:
    assert split_of_list(Path(f"{name}.txt")) == split


def test_a_csv_that_is_called_txt_is_still_one(tmp_path: Path) -> None:
    lay(tmp_path, a_dot_mp4="", list_dot_txt="video,label,split\na.mp4,wave,train\n")
    assert listed(tmp_path, list=tmp_path / "list.txt") == [("a.mp4", "wave", "train")]

"""UCF101, HMDB51 and Kinetics: their split lists as published, around empty files that are named as theirs are."""

from __future__ import annotations

from pathlib import Path

import pytest

from star.errors import AnnotationError, DatasetError
from star.pipeline import datasets
from star.pipeline.recipe.schema import DatasetSettings

HMDB = "April_09_brush_hair_u_nm_np1_ba_goo_{}.avi"
KINETICS = "label,youtube_id,time_start,time_end,split\n"


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write(root: Path, name: str, text: str) -> None:
    touch(root, name)
    (root / name).write_bytes(text.encode())


def load(kind: str, root: Path, **settings):
    return datasets.load(DatasetSettings(kind=kind, root=root, **settings))


def refused(kind: str, root: Path, **settings) -> str:
    with pytest.raises(DatasetError) as error:
        load(kind, root, **settings)
    return str(error.value)


def table(manifest) -> list[tuple[str, str, str]]:
    return [(video.id, manifest.classes[video.label], video.split) for video in manifest.videos]


@pytest.fixture
def ucf(tmp_path):
    """Two classes as they are unpacked, with Windows line ends and the two spellings of the handstand."""
    root = tmp_path / "ucf"
    touch(
        root,
        *(f"UCF-101/Archery/v_Archery_g0{k}_c01.avi" for k in (1, 2, 3)),
        "UCF-101/Archery/._v_Archery_g01_c01.avi",
    )
    touch(
        root,
        "UCF-101/HandstandPushups/v_HandStandPushups_g01_c01.avi",
        "UCF-101/HandstandPushups/v_HandStandPushups_g08_c02.avi",
    )
    write(root, "ucfTrainTestlist/classInd.txt", "1 Archery\r\n2 HandstandPushups\r\n")
    for fold, (train, test) in {1: ("08", "01"), 2: ("01", "08")}.items():
        hands = "HandstandPushups/v_HandStandPushups_g{}_c0{}.avi"
        train_line, test_line = (hands.format(group, 1 + (group == "08")) for group in (train, test))
        lists = (
            f"Archery/v_Archery_g02_c01.avi 1\r\n{train_line} 2\r\n",
            f"Archery/v_Archery_g01_c01.avi\r\n{test_line}\r\n",
        )
        for name, text in zip(("train", "test"), lists, strict=True):
            write(root, f"ucfTrainTestlist/{name}list{fold:02d}.txt", text)
    return root


def test_ucf101_as_published(ucf):
    """Labels in the order of classInd.txt, the split of the lists, the name's group; what is unlisted is left out."""
    manifest = load("ucf101", ucf)
    hands = "UCF-101/HandstandPushups/v_HandStandPushups_g{}.avi"
    assert table(manifest) == [
        ("UCF-101/Archery/v_Archery_g01_c01.avi", "Archery", "test"),
        ("UCF-101/Archery/v_Archery_g02_c01.avi", "Archery", "train"),
        (hands.format("01_c01"), "HandstandPushups", "test"),
        (hands.format("08_c02"), "HandstandPushups", "train"),
    ]
    assert manifest.classes == ("Archery", "HandstandPushups")
    assert manifest.videos[1].groups == (("group", "g02"),)
    assert manifest.videos[1].media.is_file()
    assert manifest.left_out == [("UCF-101/Archery/v_Archery_g03_c01.avi", "not in the lists of split 1")]
    assert [video.split for video in load("ucf101", ucf, fold=2).videos] == ["test", "train", "train", "test"]


@pytest.mark.parametrize("folder", ["HandStandPushups", "handstandpushups"])
def test_ucf101_spelled_otherwise_and_in_other_places(ucf, tmp_path, folder):
    """Copies of the data set spell the handstand otherwise, keep the lists elsewhere, and hold .mp4 files."""
    films = tmp_path / "videos" / folder
    touch(films, "v_HandstandPushups_g01_c01.mp4", "v_handstandpushups_g08_c02.mkv")
    manifest = load("ucf101", tmp_path / "videos", lists=ucf / "ucfTrainTestlist")
    assert table(manifest) == [
        (f"{folder}/v_HandstandPushups_g01_c01.mp4", "HandstandPushups", "test"),
        (f"{folder}/v_handstandpushups_g08_c02.mkv", "HandstandPushups", "train"),
    ]
    assert manifest.left_out == [
        ("Archery/v_Archery_g01_c01", "testlist01.txt, line 1: no such file"),
        ("Archery/v_Archery_g02_c01", "trainlist01.txt, line 1: no such file"),
    ]


UCF_FRAMES = {
    "mmaction": "rawframes/Archery/v_Archery_g0{}_c01/img_00001.jpg",
    "as published, frames for films": "UCF-101/Archery/v_Archery_g0{}_c01/00001.png",
    "3D-ResNets": "jpg/archery/v_Archery_g0{}_c01/image_00001.jpg",
    "two-stream, no class folders": "jpegs_256/v_Archery_g0{}_c01/frame000001.jpg",
    "the film's name kept whole": "frames/Archery/v_Archery_g0{}_c01.avi/1.JPG",
}


@pytest.mark.parametrize("layout", UCF_FRAMES.values(), ids=UCF_FRAMES)
def test_ucf101_as_folders_of_frames(ucf, tmp_path, layout):
    """Wherever tools put the frames of a clip; optical flow beside them is none, nor are pictures of other things."""
    root = tmp_path / "frames"
    touch(root, *(layout.format(k) for k in (1, 2, 3)), "plots/loss.png", "readme.png")
    touch(root, "flow/Archery/v_Archery_g01_c01/1.jpg", "a_flow/u/v_Archery_g01_c01/frame000001.jpg")
    manifest = load("ucf101", root, lists=ucf / "ucfTrainTestlist")
    folder = layout.rpartition("/")[0]
    assert table(manifest) == [(folder.format(1), "Archery", "test"), (folder.format(2), "Archery", "train")]
    assert manifest.videos[0].media == root / folder.format(1)
    unlisted = [] if "jpegs_256" in layout else [(folder.format(3), "not in the lists of split 1")]
    assert manifest.left_out == sorted(
        [
            ("HandstandPushups/v_HandStandPushups_g01_c01", "testlist01.txt, line 2: no such file"),
            ("HandstandPushups/v_HandStandPushups_g08_c02", "trainlist01.txt, line 2: no such file"),
            *unlisted,
        ]
    )


def test_of_a_film_and_its_frames_the_film_is_taken(ucf):
    """Whoever has both has extracted the frames from the film."""
    before = table(load("ucf101", ucf))
    touch(ucf, *(f"A/Archery/v_Archery_g0{k}_c01/img_00001.jpg" for k in (1, 2)))
    (ucf / "ucfTrainTestlist/classInd.txt").rename(ucf / "ucfTrainTestlist/classind.txt")  # as some copies have it
    assert table(load("ucf101", ucf)) == before


def test_ucf101_that_is_not_whole_is_refused(ucf, tmp_path):
    """Which list, which line, what was expected."""
    lists = ucf / "ucfTrainTestlist"
    assert refused("ucf101", ucf, fold=3) == (
        f"dataset.root: no trainlist03.txt below {ucf}; say where the split lists lie: dataset.lists"
    )
    assert refused("ucf101", ucf, lists=tmp_path / "gone") == (
        f"dataset.lists: {tmp_path}/gone is not a folder; give that of the split lists"
    )
    touch(tmp_path, "empty/notes.txt")
    assert refused("ucf101", tmp_path / "empty", lists=lists) == (
        f"dataset.root: none of the 4 listed videos lies below {tmp_path}/empty; "
        "they are named like UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi, "
        "or are folders of frames of that name without .avi"
    )
    for line, told in (
        ("Archery", "'Archery' where CLASS/VIDEO.avi was expected; fetch the list again"),
        ("Archer/v_a_g01_c01.avi 1", "'Archer' is no class of classInd.txt; fetch the lists again"),
        ("Archery/v_a_g01_c01.avi 2", "class 2, but 'Archery' is 1 in classInd.txt"),
    ):
        write(lists, "trainlist01.txt", f"\n{line}\n")
        assert refused("ucf101", ucf) == f"trainlist01.txt, line 2: {told}"
    write(lists, "trainlist01.txt", "Archery/v_Archery_g01_c01.avi 1\n")
    assert refused("ucf101", ucf) == (
        "testlist01.txt, line 1: Archery/v_Archery_g01_c01 is listed already; fetch the list again"
    )
    write(lists, "classInd.txt", "1 Archery\n3 Bowling\n")
    assert refused("ucf101", ucf) == "classInd.txt, line 2: '3 Bowling' where '2 CLASS' was expected; fetch it again"


def test_hmdb51_as_published(tmp_path):
    """1 trains, 2 tests, 0 takes no part; names may hold odd signs; the name's tags are groups."""
    odd = "#20_Rhythm_clap_u_cm_np1_fr_med_0.avi"
    touch(tmp_path, *(f"hmdb51_org/brush_hair/{HMDB.format(k)}" for k in range(3)), f"hmdb51_org/clap/{odd}")
    lists = "testTrainMulti_7030_splits/{}_test_split{}.txt"
    write(
        tmp_path, lists.format("brush_hair", 1), "".join(f"{HMDB.format(k)} {n} \n" for k, n in enumerate((1, 0, 2, 1)))
    )
    write(tmp_path, lists.format("clap", 1), f"{odd} 2 \n")
    write(tmp_path, lists.format("clap", 2), f"{odd} 1 \n")
    manifest = load("hmdb51", tmp_path)
    hair = f"hmdb51_org/brush_hair/{HMDB}"
    assert table(manifest) == [
        (hair.format(0), "brush_hair", "train"),
        (hair.format(2), "brush_hair", "test"),
        (f"hmdb51_org/clap/{odd}", "clap", "test"),
    ]
    assert manifest.videos[2].groups == (("camera", "cm"), ("view", "fr"), ("quality", "med"))
    assert manifest.left_out == [
        (f"brush_hair/{HMDB.format(3)}", "brush_hair_test_split1.txt, line 4: no such file"),
        (hair.format(1), "not used by split 1"),
    ]
    assert table(load("hmdb51", tmp_path, fold=2)) == [(f"hmdb51_org/clap/{odd}", "clap", "train")]
    assert refused("hmdb51", tmp_path, fold=3) == (
        f"dataset.root: no CLASS_test_split3.txt below {tmp_path}; say where the split lists lie: dataset.lists"
    )
    write(tmp_path, lists.format("clap", 1), f"{odd} 3\n")
    assert refused("hmdb51", tmp_path) == (
        f"clap_test_split1.txt, line 1: '{odd} 3' where VIDEO.avi and 0, 1 or 2 were expected; fetch it again"
    )
    write(tmp_path, lists.format("clap", 1), f"{odd} 1\n{odd} 2\n")
    assert refused("hmdb51", tmp_path) == f"clap_test_split1.txt, line 2: {odd} is listed already; fetch the list again"


def test_kinetics_as_published(tmp_path):
    """Class folders or none, labels with spaces or underscores; what is missing is left out; validation is the test."""
    touch(tmp_path, "train/playing_chess/-3B32lodO2M_000059_000069.mp4", "val/_dbcJuKJQNs_000040_000050.mkv")
    write(tmp_path, "train.csv", f'{KINETICS}playing chess,-3B32lodO2M,59,69,train\n"abseiling",gone,0.0,10.0,train\n')
    write(tmp_path, "validate.csv", f"{KINETICS}playing_chess,_dbcJuKJQNs,40,50,validate\n")
    write(tmp_path, "test.csv", "youtube_id,time_start,time_end,split\nabc,1,11,test\n")
    manifest = load("kinetics", tmp_path)
    assert manifest.classes == ("abseiling", "playing chess")
    assert table(manifest) == [
        ("train/playing_chess/-3B32lodO2M_000059_000069.mp4", "playing chess", "train"),
        ("val/_dbcJuKJQNs_000040_000050.mkv", "playing chess", "test"),
    ]
    assert manifest.left_out == [("gone_000000_000010.mp4", "train.csv, row 3: was not downloaded")]
    few = load("kinetics", tmp_path, classes=("abseiling", "playing chess", "yoga"))
    assert (few.classes[2], [video.label for video in few.videos]) == ("yoga", [1, 1])


def test_hmdb51_and_kinetics_as_folders_of_frames(tmp_path):
    """Both with the classes' folders and without; names hold any signs, and words like flow."""
    names = ("#20_Rhythm_clap_u_cm_np1_fr_med_0", "Flow!_clap_u_cm_np1_fr_med_1")
    lists = "testTrainMulti_7030_splits/clap_test_split1.txt"
    for layout in ("rawframes/clap/{}", "jpegs_256/{}"):
        root = tmp_path / layout[:4]
        touch(root, *(f"{layout.format(name)}/img_00001.jpg" for name in names))
        write(root, lists, f"{names[0]}.avi 1 \n{names[1]}.avi 2 \n")
        assert [(video.id, video.split) for video in load("hmdb51", root).videos] == [
            (layout.format(names[0]), "train"), (layout.format(names[1]), "test")
        ]  # fmt: skip
    clips = ("rawframes_train/arranging_flowers/a_000001_000011", "rawframes_val/b_000001_000011")
    root = tmp_path / "kinetics"
    touch(root, *(f"{clip}/img_00001.jpg" for clip in clips), "flow/c_000001_000011/x_00001.jpg")
    rows = "arranging flowers,a,1,11,train\narranging flowers,b,1,11,val\narranging flowers,c,1,11,val\n"
    write(root, "all.csv", KINETICS + rows)
    manifest = load("kinetics", root)
    assert [(video.id, video.split) for video in manifest.videos] == [(clips[0], "train"), (clips[1], "test")]
    assert manifest.left_out == [("c_000001_000011.mp4", "all.csv, row 4: was not downloaded")]


def test_kinetics_in_one_list_and_with_some_classes(tmp_path):
    """One CSV of all parts; a clip that two rows call differently keeps the first label; other classes are left out."""
    touch(tmp_path, "a_000001_000011.mp4", "b_000001_000011.mp4", "c_000001_000011.mp4")
    rows = "yoga,a,1,11,train\nyoga,b,1,11,val\nchess,a,1,11,train\nchess,c,1,11,test\nchess,c,1,11,train\n"
    write(tmp_path, "lists/all.csv", f"{KINETICS.strip()},is_cc\n".replace("\n", "\r\n") + rows.replace("\n", ",0\r\n"))
    manifest = load("kinetics", tmp_path, classes=("yoga",))
    assert table(manifest) == [("a_000001_000011.mp4", "yoga", "train"), ("b_000001_000011.mp4", "yoga", "test")]
    assert manifest.left_out == [
        ("a_000001_000011.mp4", "all.csv, row 4: all.csv, row 2 has the same clip as 'yoga'"),
        ("c_000001_000011.mp4", "all.csv, row 6: 'chess' is not in dataset.classes"),
    ]


def test_kinetics_lists_that_make_no_sense_are_refused(tmp_path):
    """The row, or what is missing."""
    columns = KINETICS.strip()
    assert refused("kinetics", tmp_path) == (
        f"dataset.root: no CSV with the columns {columns} below {tmp_path}; "
        "say where the split lists lie: dataset.lists"
    )
    for row, told in (
        ("yoga,a,1,11,trial", "split 'trial' is none of train, validate, validation, val, test"),
        ("yoga,a,one,11,train", "'one' to '11' where seconds were expected; fetch the list again"),
        ("yoga,a,1", "split None is none of train, validate, validation, val, test"),
        ("yoga,,1,11,train", "no youtube_id; fetch the list again"),
        (",a,1,11,train", "no label; fetch the list again"),
    ):
        write(tmp_path, "train.csv", f"{KINETICS}{row}\n")
        assert refused("kinetics", tmp_path) == f"train.csv, row 2: {told}"
    write(tmp_path, "train.csv", "label,youtube_id,split\n")
    assert refused("kinetics", tmp_path) == (
        f"{tmp_path}/train.csv: no column 'time_start' in its first row; expected {columns}"
    )
    write(tmp_path, "train.csv", f"{KINETICS}yoga,a,1,11,train\n")
    assert refused("kinetics", tmp_path) == (
        f"dataset.root: none of the 1 listed videos lies below {tmp_path}; "
        "they are named like train/abseiling/-3B32lodO2M_000059_000069.mp4, "
        "or are folders of frames of that name without .mp4"
    )


@pytest.mark.parametrize("kind", ["ucf101", "hmdb51", "kinetics"])
def test_benchmarks_have_one_protocol_and_no_joints(kind, tmp_path):
    """dataset.split is NTU's; joints come from a pose estimator."""
    told = f"dataset.split: 'xsub' is a protocol of kind 'ntu'; for '{kind}' leave it 'official'"
    assert refused(kind, tmp_path, split="xsub") == told
    with pytest.raises(AnnotationError) as error:
        datasets.read_annotation(kind, tmp_path / "a.npz")
    assert str(error.value) == f"{tmp_path}/a.npz: kind '{kind}' has no annotated joints; set pose.source: mmpose"

"""NTU RGB+D: names, protocols and the official lists of missing skeletons."""

from __future__ import annotations

import os
from collections import Counter
from itertools import product

import pytest

from star.errors import DatasetError
from star.pipeline.datasets.ntu import dataset as ntu
from star.pipeline.datasets.ntu.classes import CLASSES, TWO_PERSONS
from star.pipeline.datasets.ntu.missing import read_list
from star.pipeline.recipe.schema import DatasetSettings


def load(root, split="xsub", version=60, missing="none", **settings):
    return ntu.load(
        DatasetSettings(kind="ntu", root=root, split=split, version=version, missing=str(missing), **settings)
    )


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.mark.parametrize(
    ("version", "split", "train", "test"),
    [
        # the whole data set's split (a multiple of its actions, cameras and replications) less docs/method.md's counts
        (60, "xsub", 40320 - 40091, 16560 - 16487),
        (60, "xview", 37920 - 37646, 18960 - 18932),
        (120, "xsub", 63360 - 63026, 51120 - 50919),
        (120, "xset", 54720 - 54468, 59760 - 59477),
    ],
)
def test_the_official_missing_lists_fall_on_both_sides_as_published(shared, version, split, train, test):
    """Splitting the 302 and 535 missing samples takes from training and test exactly what the published counts lack."""
    name = {60: "NTU_RGBD_samples_with_missing_skeletons.txt", 120: "NTU_RGBD120_samples_with_missing_skeletons.txt"}
    missing = read_list(shared / "data/ntu" / name[version])
    counts = Counter(ntu.split_of(sample, version, split) for sample in missing)
    assert counts == {"train": train, "test": test}


def test_the_first_302_missing_samples_are_among_the_535(shared):
    """The lists hold as many samples as their first lines say; the prose is not taken for samples."""
    first = read_list(shared / "data/ntu/NTU_RGBD_samples_with_missing_skeletons.txt")
    second = read_list(shared / "data/ntu/NTU_RGBD120_samples_with_missing_skeletons.txt")
    assert (len(first), len(second)) == (302, 535)
    assert first < second


def pairs(missing, setups, train, test, even):
    """(setup, performer) pairs of a part of the data set: so many of training and test subjects, `even` of even setups.

    Every pair with a missing sample is among them; the real ones are not published as a list, and no count needs them.
    """
    found = {(int(name[1:4]), int(name[9:12])) for name in missing if int(name[1:4]) in setups}
    lacking = {True: train, False: test}
    for _, performer in found:
        lacking[performer in ntu.SUBJECTS_120] -= 1
    even -= sum(setup % 2 == 0 for setup, _ in found)
    performers = range(1, 41) if max(setups) == 17 else range(41, 107)
    for setup, performer in product(sorted(setups, key=lambda number: number % 2), performers):  # even setups first
        side, evenly = performer in ntu.SUBJECTS_120, setup % 2 == 0
        if (setup, performer) not in found and lacking[side] and (even or not evenly):
            found.add((setup, performer))
            lacking[side] -= 1
            even -= evenly
    assert not even
    assert not any(lacking.values())
    return found


@pytest.fixture(scope="module")
def names(shared, tmp_path_factory):
    """Empty files with the names of all 114,480 samples, one folder per setup as downloaded; and the missing ones."""
    missing = read_list(shared / "data/ntu/NTU_RGBD120_samples_with_missing_skeletons.txt")
    root = tmp_path_factory.mktemp("nturgb+d")
    parts = [(range(1, 18), range(1, 61), (112, 46, 72)), (range(18, 33), range(61, 121), (64, 96, 80))]
    for setups, actions, counts in parts:
        for setup, performer in pairs(missing, setups, *counts):
            folder = root / f"nturgbd_rgb_s{setup:03d}"
            folder.mkdir(exist_ok=True)
            for action, camera, replication in product(actions, (1, 2, 3), (1, 2)):
                name = f"S{setup:03d}C{camera:03d}P{performer:03d}R{replication:03d}A{action:03d}_rgb.avi"
                os.close(os.open(folder / name, os.O_CREAT))
    return root


@pytest.mark.parametrize(
    ("version", "split", "train", "test"),
    [
        (60, "xsub", 40091, 16487), (60, "xview", 37646, 18932), (120, "xsub", 63026, 50919),
        (120, "xset", 54468, 59477),
    ],
)  # fmt: skip
def test_every_protocol_counts_as_published(names, shared, version, split, train, test):
    """docs/method.md's counts, from 114,480 file names and the official list, through the walk over the folders."""
    file = {60: "NTU_RGBD_samples_with_missing_skeletons.txt", 120: "NTU_RGBD120_samples_with_missing_skeletons.txt"}
    manifest = load(names, split, version, missing=shared / "data/ntu" / file[version])
    assert Counter(video.split for video in manifest.videos) == {"train": train, "test": test}
    assert len(manifest.videos) + len(manifest.left_out) == 114480


def test_training_subjects_are_as_many_as_published():
    """20 of 40 subjects and 53 of 106."""
    assert (len(ntu.SUBJECTS_60), len(ntu.SUBJECTS_120)) == (20, 53)


@pytest.mark.parametrize(
    ("sample", "version", "split", "side"),
    [
        ("S001C001P001R001A001", 60, "xsub", "train"),
        ("S001C001P003R001A001", 60, "xsub", "test"),
        ("S001C001P001R001A001", 60, "xview", "test"),
        ("S001C002P001R001A001", 60, "xview", "train"),
        ("S001C003P001R001A001", 60, "xview", "train"),
        ("S018C001P045R001A061", 120, "xsub", "train"),
        ("S018C001P048R001A061", 120, "xsub", "test"),
        ("S018C001P048R001A061", 120, "xset", "train"),
        ("S019C001P048R001A061", 120, "xset", "test"),
    ],
)
def test_each_protocol_reads_its_own_part_of_the_name(sample, version, split, side):
    """Subject, camera (2 and 3 train) and setup (even ones train)."""
    assert ntu.split_of(sample, version, split) == side


def test_the_real_clip_is_found_and_described(shared):
    """The name alone gives label, split and groups; files that are no samples do not disturb."""
    manifest = load(shared / "data/videos", version=60, split="xsub")
    assert len(manifest.videos) == 1
    video = manifest.videos[0]
    assert (video.id, manifest.classes[video.label]) == ("S001C001P001R001A001_rgb.avi", "drink water")
    assert (video.split, video.annotation) == ("train", None)
    assert video.groups == (("subject", "P001"), ("camera", "C001"), ("setup", "S001"))
    assert (len(manifest.classes), len(manifest.skeleton.joints)) == (60, 25)


def test_any_folders_and_both_file_types_with_skeletons_beside_them(tmp_path):
    """Clips and skeletons are found in any depth, in the order of their paths; infrared clips are not taken."""
    touch(tmp_path, "b/nturgb+d_rgb/S001C001P001R001A001_rgb.avi", "a/S001C001P001R001A002.MP4")
    touch(tmp_path, "skeletons/S001C001P001R001A001.skeleton", "ir/S001C001P001R001A003_ir.avi", "a/notes.txt")
    first, second = load(tmp_path).videos
    assert (first.id, first.annotation) == ("a/S001C001P001R001A002.MP4", None)
    assert second.id == "b/nturgb+d_rgb/S001C001P001R001A001_rgb.avi"
    assert second.annotation == tmp_path / "skeletons/S001C001P001R001A001.skeleton"


def test_folders_do_not_matter(tmp_path):
    """One folder per setup, as downloaded, or all files in one: the same samples, labels, splits and joints."""
    found = []
    for folders in (("nturgbd_rgb_s001/", "nturgbd_rgb_s002/", "nturgb+d_skeletons/"), ("", "", "")):
        root = tmp_path / f"root{len(found)}"
        touch(root, f"{folders[0]}S001C001P001R001A001_rgb.avi", f"{folders[1]}S002C002P003R001A050_rgb.avi")
        touch(root, f"{folders[2]}S001C001P001R001A001.skeleton", f"{folders[2]}S002C002P003R001A050.skeleton")
        videos = load(root).videos
        found.append([(v.media.name, v.label, v.split, v.annotation.name, v.groups) for v in videos])
    assert found[0] == found[1]
    assert [one[3] for one in found[0]] == ["S001C001P001R001A001.skeleton", "S002C002P003R001A050.skeleton"]


def test_skeletons_may_lie_elsewhere(tmp_path):
    """`dataset.skeletons` names another folder; one that is not there is an error."""
    touch(tmp_path, "rgb/S001C001P001R001A001_rgb.avi", "far/deep/S001C001P001R001A001.skeleton")
    video = load(tmp_path / "rgb", skeletons=tmp_path / "far").videos[0]
    assert video.annotation == tmp_path / "far/deep/S001C001P001R001A001.skeleton"
    with pytest.raises(DatasetError) as error:
        load(tmp_path / "rgb", skeletons=tmp_path / "nowhere")
    assert str(error.value) == (
        f"dataset.skeletons: {tmp_path / 'nowhere'} is not a folder; give the folder of the .skeleton files"
    )


def test_what_cannot_be_used_is_left_out_with_a_reason(tmp_path):
    """Missing skeletons, actions of NTU 120 under version 60, and the same sample a second time."""
    touch(tmp_path, "S001C002P005R002A008_rgb.avi", "S018C001P008R001A061_rgb.avi", "S001C001P001R001A001_rgb.avi")
    touch(tmp_path, "copy/S001C001P001R001A001_rgb.avi")
    (tmp_path / "missing.txt").write_text("302 samples are missing\n\nS001C002P005R002A008\r\n")
    manifest = load(tmp_path, missing=tmp_path / "missing.txt")
    assert [video.id for video in manifest.videos] == ["S001C001P001R001A001_rgb.avi"]
    assert manifest.left_out == [
        ("S001C002P005R002A008_rgb.avi", "on the list of missing skeletons"),
        ("S018C001P008R001A061_rgb.avi", "action 61 is not one of NTU RGB+D 60's 60"),
        ("copy/S001C001P001R001A001_rgb.avi", "the same sample as S001C001P001R001A001_rgb.avi"),
    ]
    assert len(load(tmp_path, version=120).videos) == 3


def test_a_link_that_leads_back_does_not_run_in_circles(tmp_path):
    """A folder that links to its own parent is walked once."""
    touch(tmp_path, "a/S001C001P001R001A001_rgb.avi")
    (tmp_path / "a/loop").symlink_to(tmp_path)
    assert [video.id for video in load(tmp_path).videos] == ["a/S001C001P001R001A001_rgb.avi"]


@pytest.mark.parametrize(
    ("version", "split", "choice"),
    [(60, "xset", "xsub or xview"), (120, "xview", "xsub or xset"), (60, "official", "xsub or xview")],
)
def test_a_protocol_of_the_other_version_is_refused(tmp_path, version, split, choice):
    """NTU 60 is split by subject or camera, NTU 120 by subject or setup."""
    with pytest.raises(DatasetError) as error:
        load(tmp_path, split, version)
    assert str(error.value) == f"dataset.split: '{split}' is no protocol of NTU RGB+D {version}; choose {choice}"


def test_a_root_without_samples_and_lists_without_names_are_refused(tmp_path):
    """Each in one line that says what was expected."""
    with pytest.raises(DatasetError) as error:
        load(tmp_path)
    assert str(error.value) == (f"dataset.root: no file below {tmp_path} is named like S001C001P001R001A001_rgb.avi")
    touch(tmp_path, "S001C001P001R001A001_rgb.avi")
    empty = tmp_path / "list.txt"
    empty.write_text("nothing\n")
    with pytest.raises(DatasetError) as error:
        load(tmp_path, missing=empty)
    assert str(error.value) == f"dataset.missing: {empty} names no sample; expected lines like S001C002P005R002A008"
    with pytest.raises(DatasetError) as error:
        load(tmp_path, missing=tmp_path / "none.txt")
    assert str(error.value) == (
        f"dataset.missing: {tmp_path / 'none.txt'}: No such file or directory; give the list of missing skeletons"
    )


def test_the_classes_stand_in_the_official_order():
    """120 different names; spot checks of the numbers that papers quote, and of the two-person actions."""
    assert len(set(CLASSES)) == 120
    known = {1: "drink water", 8: "sit down", 23: "hand waving", 43: "falling down", 50: "punch/slap", 55: "hugging"}
    known |= {60: "walking apart", 61: "put on headphone", 105: "blow nose", 106: "hit with object"}
    known |= {112: "high-five", 120: "rock-paper-scissors"}
    assert {number: CLASSES[number - 1] for number in known} == known
    assert len(TWO_PERSONS) == 26

"""Splits of one's own videos: as given, or drawn, also by group and with a seed."""

from __future__ import annotations

import hashlib

import pytest

from star.errors import DatasetError
from star.pipeline import datasets
from star.pipeline.datasets.custom.csv_list import Entry
from star.pipeline.datasets.custom.splits import hashed_split, sides
from star.pipeline.recipe.schema import DatasetSettings


def entries(count, people=10):
    return [
        Entry(f"{k}.mp4", "wave", "", (("subject", f"P{k % people}"),), f"list.csv, row {k + 2}") for k in range(count)
    ]


def refused(rows, **settings):
    with pytest.raises(DatasetError) as error:
        sides(rows, test_share=0.5, **settings)
    return str(error.value)


def test_seed_0_is_the_hash_of_the_id_alone():
    """What was drawn before there were seeds stays so: blake2b of the id, without salt."""
    for name in ("wave/a.mp4", "7.mp4"):
        share = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") / 2**64
        assert hashed_split(name, share + 1e-9) == "test"
        assert hashed_split(name, share - 1e-9) == "train"


def test_another_seed_draws_another_split():
    """Of the same share, and decided for each video by itself."""
    drawn = [tuple(sides(entries(1000), test_share=0.3, seed=seed)) for seed in (0, 1, 2)]
    assert len(set(drawn)) == 3
    assert all(split.count("test") == pytest.approx(300, abs=60) for split in drawn)
    assert tuple(sides(entries(500), test_share=0.3, seed=2)) == drawn[2][:500]


@pytest.mark.parametrize("seed", [0, 5])
def test_no_group_stands_on_both_sides(seed):
    """And more videos, of these groups or others, move none of the earlier ones."""
    few, many = entries(200, 40), entries(200, 40) + entries(900, 90)
    split = sides(many, test_share=0.3, seed=seed, by="Subject")
    assert split[:200] == sides(few, test_share=0.3, seed=seed, by="subject")
    side = {}
    for entry, found in zip(many, split, strict=True):
        assert side.setdefault(entry.groups, found) == found
    assert set(side.values()) == {"train", "test"}


def test_a_given_split_takes_its_group_along():
    """Rows that leave it open stand where others of their group were put."""
    rows = [entry._replace(split="test") if entry.video == "3.mp4" else entry for entry in entries(8, 4)]
    split = sides(rows, test_share=0.0, by="subject")
    assert split == ["train", "train", "train", "test"] * 2
    rows[7] = rows[7]._replace(split="train")
    assert refused(rows, by="subject") == (
        "list.csv, row 9: subject 'P3' is for train here and for test in list.csv, row 5; "
        "correct one of them, or leave dataset.split_by out"
    )


def test_columns_and_values_that_are_not_there_are_refused():
    """What the list has instead; the row that lacks its group."""
    assert refused(entries(3), by="camera") == (
        "dataset.split_by: 'camera' is no column of the list; it may be one of subject"
    )
    bare = [entry._replace(groups=()) for entry in entries(3)]
    assert refused(bare, by="camera") == (
        "dataset.split_by: 'camera' is no column of the list; add it to a CSV (video,label,split,camera)"
    )
    rows = [*entries(2), bare[2]]
    assert refused(rows, by="subject") == (
        "list.csv, row 4: 2.mp4 has no subject, and dataset.split_by needs one for every video"
    )


def test_the_recipe_says_how_it_is_drawn(tmp_path):
    """dataset.split_by, split_seed and list reach the catalogue."""
    (tmp_path / "list.csv").write_text("nothing")
    path = tmp_path / "own.csv"
    path.write_text("video,label,subject\n" + "".join(f"{k}.mp4,wave,P{k % 9}\n" for k in range(90)))
    gone = DatasetSettings(kind="videos", root=tmp_path, list=tmp_path / "gone.csv")
    with pytest.raises(DatasetError) as error:
        datasets.load(gone)
    assert str(error.value) == f"dataset.list: no file {tmp_path}/gone.csv; give a CSV (video,label,split)"
    found = datasets.load(
        DatasetSettings(kind="videos", root=tmp_path, list=path, split_by="subject", split_seed=4, test_share=0.5)
    )
    assert {(video.groups, video.split) for video in found.videos} == {
        ((("subject", f"P{k}"),), hashed_split(f"P{k}", 0.5, 4)) for k in range(9)
    }


@pytest.mark.parametrize(
    ("setting", "value"), [("split_by", "subject"), ("split_seed", 1), ("list", "a.csv"), ("fold", 2)]
)
def test_settings_of_other_kinds_are_refused(tmp_path, setting, value):
    """A setting that would do nothing is an error."""
    with pytest.raises(DatasetError) as error:
        datasets.load(DatasetSettings(kind="penn_action", root=tmp_path, **{setting: value}))
    kinds = "ucf101, hmdb51, joints" if setting == "fold" else "videos, joints"
    assert str(error.value) == f"dataset.{setting}: a setting of kind {kinds}; for kind 'penn_action' leave it out"

"""Proof: whatever is not as it was written is found, and what is found is said by video."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

from star.cache.digest import segment_name
from star.cache.keys import stage_key
from star.cache.segment import Segment
from star.cache.store import Store
from star.cache.verify import check_description, check_segment

KEY = "0123456789abcdef" * 2


def kinds(path: Path) -> list[str]:
    return [problem.kind for problem in check_segment(path)]


def rename(path: Path) -> Path:
    """Give a changed file the name that its bytes now deserve, so that only its inside can tell."""
    return path.rename(path.with_name(f"{name_of(path)}.h5"))


def name_of(path: Path) -> str:
    with path.open("rb") as file:
        return segment_name(file)


def change(path: Path, values) -> Path:
    with h5py.File(path, "r+") as file:
        values(file)
    return rename(path)


@pytest.mark.parametrize("compression", ["none", "lzf", "gzip"])
def test_a_whole_segment_has_no_problems(tmp_path, clips, write, compression):
    """What was just written is proved to be right."""
    assert check_segment(write(tmp_path, clips(64), compression), "pose", KEY) == []


def test_other_bytes_under_the_old_name(tmp_path, clips, write):
    """A file whose bytes are not those of its name is bad as a whole: all its videos are named."""
    made = clips(2)
    path = write(tmp_path, made)
    content = path.read_bytes()
    path.write_bytes(content + b"\0")
    (problem,) = check_segment(path)
    message = f"{path}: its bytes are not those that were written (their digest is {name_of(path)})"
    assert (problem.kind, problem.message) == ("digest", message)
    assert problem.videos == tuple(row.video_id for row in made.rows) and not problem.is_warning


def test_a_changed_value_names_its_video(tmp_path, clips, write):
    """One changed number is found by the checksum of its row, which names the video, even under a fitting file name."""

    def one(file):
        file["keypoints"][1, 3, 0, 5, 2] += 1

    made = clips(3)
    path = change(write(tmp_path, made), one)
    (problem,) = check_segment(path)
    assert (problem.kind, problem.videos) == ("checksum", (made.rows[1].video_id,))
    assert problem.message == f"{path}: 1 clip is not what was written"


def test_an_exchanged_name_is_found(tmp_path, clips, write):
    """Ids, sources and views are under the checksum too: features cannot be passed off as another video's."""
    for name, value in (("video_id", b"other.mp4"), ("source", b"0"), ("view", 5)):

        def exchange(file, name=name, value=value):
            file[name][0] = value

        assert kinds(change(write(tmp_path, clips(2)), exchange)) == ["checksum"]


def test_values_that_make_no_sense(tmp_path, clips, write):
    """NaN and infinity are wrong; a map of zeros may be right, and is a warning."""
    made = clips(4)
    made.arrays["keypoints"][0] = 0
    made.arrays["keypoints"][1, 0, 0, 0, 0] = np.nan
    made.arrays["keypoints"][2, 5, 1, 12, 2] = -np.inf
    made.arrays["frame_count"][:] = 0
    path = write(tmp_path, made)
    problems = check_segment(path)
    ids = [row.video_id for row in made.rows]
    assert [(problem.kind, problem.videos) for problem in problems] == [
        ("not_finite", (ids[1], ids[2])),
        ("all_zero", (ids[0],)),
    ]
    assert problems[0].message == f"{path}: keypoints of 2 clips are not finite"
    assert problems[1].message == f"{path}: keypoints of 1 clip is all zero"
    assert [problem.is_warning for problem in problems] == [False, True]


def test_segments_in_the_wrong_place(tmp_path, clips, write):
    """A segment that was copied to another stage store is noticed, and one with the same clip twice."""
    path = write(tmp_path, clips(2))
    (problem,) = check_segment(path, "pose", "f" * 32)
    assert (problem.kind, problem.message) == ("place", f"{path}: belongs to pose/{KEY}")
    assert [problem.kind for problem in check_segment(path, "heatmaps", KEY)] == ["place"]

    def twice(file):
        for name in ("video_id", "source", "view"):
            file[name][1] = file[name][0]

    assert kinds(change(path, twice)) == ["duplicate", "checksum"]


def test_what_cannot_be_read_is_a_problem(tmp_path, clips, write):
    """A broken head, a broken compressed row, another format version: a problem each, never an exception."""
    path = write(tmp_path, clips(2), "gzip")
    layout = Segment(path).layout("frame_count")
    content = bytearray(path.read_bytes())
    content[layout.offset - 3000 : layout.offset - 2000] = bytes(1000)
    path.write_bytes(content)
    assert kinds(rename(path)) == ["corrupt"]
    path = write(tmp_path, clips(2))
    path.write_bytes(path.read_bytes()[:-1000])
    assert kinds(rename(path)) == ["corrupt"]
    path = write(tmp_path, clips(2))
    assert kinds(change(path, lambda file: file.attrs.update(format_version=7))) == ["format"]


def test_descriptions_are_proved(tmp_path):
    """The settings in stage.json must make the key of the folder; no description is a problem too."""
    about = {"version": 2, "settings": {"sigma": 1.5}, "upstream": {"pose": KEY}}
    key = stage_key("heatmaps", 2, about["settings"], about["upstream"])
    stage_store = Store(tmp_path).stage_store("heatmaps", key)
    path = stage_store.path / "stage.json"
    assert [problem.message for problem in check_description(stage_store)] == [
        f"{path}: is not there; `star extract` writes it anew"
    ]
    stage_store.describe(about)
    assert check_description(stage_store) == []
    path.write_text(path.read_text().replace("1.5", "2.5"))
    expected = f"{path}: its settings are not those of this key; remove it"
    assert [problem.message for problem in check_description(stage_store)] == [expected]
    for broken in ("{}", path.read_text().replace("2.5", "NaN"), path.read_text().replace('"settings"', '"x"')):
        path.write_text(broken)
        assert [problem.kind for problem in check_description(stage_store)] == ["description"]


def everything(path: Path) -> list[object]:
    """All that can be read of a segment: by star, and once more by h5py alone."""
    segment = Segment(path)
    found: list[object] = [segment.rows, segment.stage, segment.key, segment.head.star_version, segment.head.provenance]
    found += [sorted(segment.head.attributes.items()), segment.names]
    found += [(name, segment.read(name).dtype, segment.read(name).tobytes()) for name in segment.head.datasets]
    with h5py.File(path, "r", locking=False) as file:
        found += sorted((name, str(value)) for name, value in file.attrs.items())
        for name, dataset in sorted(file.items()):
            found += [name, str(dataset.dtype), dataset.shape, dataset[()].tobytes()]
            found += sorted((key, str(value)) for key, value in dataset.attrs.items())
    return found


def flip_bits(path: Path, flips: int, seed: int) -> Counter[str]:
    """Flip one bit at a time, under the old name and under the name that fits; counts by what found it.

    A flip that the inside does not find ("harmless") must not change anything that can be read.
    """
    content, expected, random_ = path.read_bytes(), everything(path), random.Random(seed)
    found: Counter[str] = Counter()
    for _ in range(flips):
        position, bit = random_.randrange(len(content)), random_.randrange(8)
        flipped = bytearray(content)
        flipped[position] ^= 1 << bit
        path.write_bytes(flipped)
        assert check_segment(path) != []
        fitting = rename(path)
        problems = check_segment(fitting)
        found[problems[0].kind if problems else "harmless"] += 1
        if not problems:
            assert everything(fitting) == expected
        fitting.rename(path)
    return found


@pytest.mark.parametrize("compression", ["none", "lzf", "gzip"])
def test_single_bit_flips(tmp_path, clips, write, compression):
    """Each flipped bit is found by the file's name; without it, by HDF5's or star's checksums, or changes nothing."""
    found = flip_bits(write(tmp_path, clips(2), compression), flips=30, seed=0)
    assert found["checksum"] + found["corrupt"] > 0


@pytest.mark.soak
@pytest.mark.parametrize("compression", ["none", "lzf", "gzip"])
def test_single_bit_flips_soak(tmp_path, clips, write, compression):
    """The same with 1000 flips; prints what found them."""
    print(compression, dict(flip_bits(write(tmp_path, clips(2), compression), flips=1000, seed=1)))

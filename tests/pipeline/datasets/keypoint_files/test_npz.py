"""Joints of one's own videos in .npz files: what is read, what is refused, and in which words."""

from __future__ import annotations

import numpy as np
import pytest

from star.errors import AnnotationError, DatasetError
from star.pipeline import datasets
from star.pipeline.recipe.schema import DatasetSettings
from star.stages.skeletons import NTU, PENN_ACTION, SKELETONS

LAYOUT = "docs/own-videos.md says what it holds"


def joints(frames=3, people=1, count=13):
    """Keypoints that all differ, every joint seen."""
    places = np.arange(1, 1 + frames * people * count * 2, dtype=np.float32).reshape(frames, people, count, 2)
    return np.concatenate([places, np.ones_like(places[..., :1])], -1)


@pytest.fixture
def written(tmp_path):
    """A function: arrays -> the file that holds them."""

    def write(name="a.npz", **arrays):
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name

    return write


def read(path):
    return datasets.read_annotation("videos", path)


def refused(path):
    with pytest.raises(AnnotationError) as error:
        read(path)
    return str(error.value).removeprefix(f"{path}: ")


def test_a_file_gives_keypoints_boxes_and_a_skeleton(written):
    """The layout of the documentation, for two people."""
    boxes = np.tile(np.float32([1, 2, 30, 40]), (3, 2, 1))
    found = read(written(keypoints=joints(people=2, count=25), skeleton="ntu", boxes=boxes))
    assert found.skeleton == NTU
    assert found.keypoints.dtype == np.float32
    np.testing.assert_array_equal(found.keypoints, joints(people=2, count=25))
    np.testing.assert_array_equal(found.boxes, boxes)


def test_one_person_needs_no_axis_and_numbers_may_be_of_any_type(written):
    """(F, N, 3) and (F, 4) are one person's; integers and doubles are numbers too."""
    found = read(
        written(keypoints=joints()[:, 0].astype(np.int64), skeleton="penn_action", boxes=np.tile([1, 2, 3, 4], (3, 1)))
    )
    assert (found.keypoints.shape, found.boxes.shape) == ((3, 1, 13, 3), (3, 1, 4))
    np.testing.assert_array_equal(found.keypoints, joints())
    assert read(written(keypoints=joints().astype(np.float64), skeleton="penn_action")).boxes is None


def test_what_has_no_place_is_absent(written):
    """NaN, infinity, what float32 cannot hold, and score 0 or less: x = y = score = 0. A box without area is none."""
    given = joints().astype(np.float64)
    for joint, place in enumerate(
        ((np.nan, 1, 1), (1, np.inf, 1), (1, 1e300, 1), (1, 1, 0), (1, 1, -1), (1, 1, np.nan))
    ):
        given[0, 0, joint] = place
    boxes = np.float32([[0, 0, 9, 9], [np.nan, 0, 9, 9], [5, 5, 5, 9]])[:, None]
    found = read(written(keypoints=given, skeleton="penn_action", boxes=boxes))
    assert not found.keypoints[0, 0, :6].any()
    np.testing.assert_array_equal(found.keypoints[0, 0, 6:], joints()[0, 0, 6:])
    assert np.isnan(found.boxes[:, 0]).any(-1).tolist() == [False, True, True]


def test_joints_may_be_named(written):
    """left_x and right_x change places in a mirror; names that are a known skeleton's are that skeleton."""
    names = ["nose", "left_hand", "right_hand", "left_foot"]
    found = read(written(keypoints=joints(count=4), skeleton=names)).skeleton
    assert (found.name, found.joints, found.flip_pairs) == ("own, 4 joints", tuple(names), ((1, 2),))
    assert read(written(keypoints=joints(), skeleton=np.array(PENN_ACTION.joints, "S"))).skeleton == PENN_ACTION


def test_files_that_are_none_are_refused(written, tmp_path):
    """Missing, cut short, text, a bare array, pickled objects: one line each, and nothing is unpickled."""
    path = tmp_path / "none.npz"
    assert refused(path) == "No such file or directory; restore it, or correct the list"
    whole = written(keypoints=joints(), skeleton="penn_action").read_bytes()
    for name, content, kind in (
        ("cut", whole[: len(whole) // 2], "BadZipFile"),
        ("text", b"keypoints", "ValueError"),
        ("empty", b"", "EOFError"),
    ):
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        assert refused(path) == f"no .npz file of plain arrays ({kind}); write it anew, {LAYOUT}"
    path = written(keypoints=np.array([{}], object), skeleton="penn_action")
    assert refused(path) == f"no .npz file of plain arrays (ValueError); write it anew, {LAYOUT}"
    path = tmp_path / "bare.npz"
    with path.open("wb") as file:
        np.save(file, joints())
    assert refused(path) == f"no .npz file of plain arrays (AttributeError); write it anew, {LAYOUT}"


@pytest.mark.parametrize("place", range(0, 1400, 97))
def test_a_flipped_byte_is_refused_or_harmless(written, place):
    """Whatever is broken, the answer is joints or an AnnotationError."""
    path = written(keypoints=joints(), skeleton="penn_action")
    content = bytearray(path.read_bytes())
    content[place % len(content)] ^= 0xFF
    path.write_bytes(content)
    try:
        assert read(path).keypoints.shape == (3, 1, 13, 3)
    except AnnotationError as error:
        assert str(error).startswith(f"{path}: ")


def test_arrays_that_do_not_fit_are_refused(written):
    """Which array, its shape, and what was expected."""
    known = "penn_action"
    assert refused(written(skeleton=known)) == f"no array 'keypoints'; {LAYOUT}"
    assert refused(written(keypoints=joints())) == (
        f"no array 'skeleton'; add its name ({', '.join(SKELETONS)}) or the names of its joints"
    )
    assert refused(written(keypoints=joints()[..., :2], skeleton=known)) == (
        "keypoints (3, 1, 13, 2) where (frames, people, 13, 3) was expected, for 'penn_action' has 13 joints; "
        f"correct the file, {LAYOUT}"
    )
    assert refused(written(keypoints=joints(count=17), skeleton=known)).startswith("keypoints (3, 1, 17, 3) where ")
    assert refused(written(keypoints=np.full((3, 13, 3), "x"), skeleton=known)) == (
        f"keypoints holds <U1, not numbers; {LAYOUT}"
    )
    assert refused(written(keypoints=joints(), skeleton=known, boxes=np.zeros((2, 4)))) == (
        "boxes (2, 4) where (3, 1, 4) was expected, one for each person; correct them or leave them out"
    )


def test_skeletons_that_nobody_knows_are_refused(written):
    """The nearest name; and what a skeleton may be."""
    assert refused(written(keypoints=joints(), skeleton="penn-action")) == (
        "skeleton 'penn-action' is not known; did you mean 'penn_action'?"
    )
    assert refused(written(keypoints=joints(), skeleton="zzz")) == (
        f"skeleton 'zzz' is not known; known are {', '.join(SKELETONS)}; or name the joints"
    )
    for wrong, shown in (
        (13, "int64 ()"),
        (["a", "a"], "<U1 (2,)"),
        ([["a"]], "<U1 (1, 1)"),
        (np.array([], "U1"), "<U1 (0,)"),
    ):
        told = f"skeleton {shown} where a name or a row of different names was expected"
        assert refused(written(keypoints=joints(), skeleton=wrong)) == told


def test_the_list_and_the_folders_name_joints(written, tmp_path):
    """Column `joints` is no group; beside a video or a folder of frames, the file of its name counts."""
    (tmp_path / "list.csv").write_text("video,label,joints,city\na.mp4,wave,./a.npz,Rome\nb.mp4,bow,,Rome\n")
    written(skeleton="ntu")
    first, second = datasets.load(DatasetSettings(kind="videos", root=tmp_path)).videos
    assert (first.annotation, first.groups) == (tmp_path / "a.npz", (("city", "Rome"),))
    assert second.annotation is None
    root = tmp_path / "root"
    for name in ("wave/a.mp4", "wave/a.npz", "wave/b.mp4", "bow/c/000001.jpg", "bow/c.npz"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    np.savez(root / "wave/a.npz", skeleton="penn_action")
    manifest = datasets.load(DatasetSettings(kind="videos", root=root))
    found = {video.id: video.annotation for video in manifest.videos}
    assert found == {"wave/a.mp4": root / "wave/a.npz", "wave/b.mp4": None, "bow/c": root / "bow/c.npz"}
    assert manifest.skeleton == PENN_ACTION  # of the first file that can be read


def test_joints_that_cannot_be_read_at_all_name_the_row(tmp_path):
    """One broken file is one video's failure; where all are, the list is wrong."""
    (tmp_path / "list.csv").write_text("video,label,joints\na.mp4,wave,gone.npz\nb.mp4,wave,lost.npz\n")
    with pytest.raises(DatasetError) as error:
        datasets.load(DatasetSettings(kind="videos", root=tmp_path))
    told = f"{tmp_path}/gone.npz: No such file or directory; restore it, or correct the list"
    assert str(error.value) == f"list.csv, row 2: {told}"

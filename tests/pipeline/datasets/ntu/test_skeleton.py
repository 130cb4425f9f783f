"""The .skeleton parser, on files written the way Kinect's were."""

from __future__ import annotations

import numpy as np
import pytest

from star.errors import AnnotationError
from star.pipeline.datasets import read_annotation
from star.pipeline.datasets.ntu.skeleton import read_skeleton
from star.stages.pose.stage import annotated_keypoints

BODY_1, BODY_2, BODY_3 = "72057594037931101", "72057594037931102", "72057594037931103"  # equal as float64


def joint(x, y, state=2):
    return f"0.2 0.1 3.8 277.4 191.8 {x} {y} -0.1 0.03 0.98 0.05 {state}"


def body(name, points):
    """The lines of one body; points: 25 joint lines."""
    return [f"{name} 0 1 1 1 1 0 0.02 -0.2 2", "25", *points]


def write(path, frames):
    """A .skeleton file; frames: a list of bodies each."""
    lines = [str(len(frames))]
    for bodies in frames:
        lines += [str(len(bodies)), *(line for one in bodies for line in one)]
    path.write_text("\n".join(lines) + "\n")
    return path


def still(name, x=100.0):
    return body(name, [joint(x + k, 200 + k) for k in range(25)])


def test_color_coordinates_and_scores_are_read(tmp_path):
    """colorX and colorY become x and y; a joint that Kinect does not track has no score, an inferred one has."""
    points = [joint(10.5, 20.25), joint(11, 21, state=0), joint(12, 22, state=1)] + [joint(1, 2)] * 22
    keypoints = read_skeleton(write(tmp_path / "a.skeleton", [[body(BODY_1, points)]]))
    assert keypoints.shape == (1, 1, 25, 3)
    assert keypoints.dtype == np.float32
    assert keypoints[0, 0, :3].tolist() == [[10.5, 20.25, 1], [0, 0, 0], [12, 22, 1]]


def test_frames_without_bodies_keep_their_place(tmp_path):
    """Nobody, somebody, nobody: three frames, score 0 in the first and the last."""
    keypoints = read_skeleton(write(tmp_path / "a.skeleton", [[], [still(BODY_1)], []]))
    assert keypoints.shape == (3, 1, 25, 3)
    assert keypoints[..., 2].sum(axis=(1, 2)).tolist() == [0, 25, 0]
    assert read_skeleton(write(tmp_path / "b.skeleton", [[], []])).tolist() == np.zeros((2, 1, 25, 3)).tolist()


def test_bodies_are_linked_by_their_long_ids(tmp_path):
    """Ids that differ in the last digit only are different people, whichever is listed first in a frame."""
    frames = [[still(BODY_1, 100), still(BODY_2, 500)], [still(BODY_2, 540), still(BODY_1, 100)]]
    keypoints = read_skeleton(write(tmp_path / "a.skeleton", frames))
    assert keypoints[:, :, 0, 0].tolist() == [[500, 100], [540, 100]]


def test_the_body_that_moves_most_comes_first_and_only_two_stay(tmp_path):
    """Main actor, second actor; the third body, which stands still, is dropped."""
    frames = [[still(BODY_1, 100), still(BODY_2, 500 + 5 * t), still(BODY_3, 900 + 50 * t)] for t in range(4)]
    keypoints = read_skeleton(write(tmp_path / "a.skeleton", frames))
    assert keypoints.shape == (4, 2, 25, 3)
    assert keypoints[0, :, 0, 0].tolist() == [900, 500]


def test_a_body_that_is_lost_and_found_under_another_id_is_one(tmp_path):
    """The main actor keeps its place over a gap and two changes of ID, and the second actor is not crowded out."""
    names = [*[BODY_1] * 6, *[None] * 3, *[BODY_3] * 6, *["72057594037931104"] * 6]
    frames = [[still(BODY_2, 700 - t)] + [still(name, 100 + 4 * t)] * bool(name) for t, name in enumerate(names)]
    keypoints = read_skeleton(write(tmp_path / "a.skeleton", frames))
    expected = [100 + 4 * t if name else 0 for t, name in enumerate(names)]
    assert keypoints[:, 0, 0, 0].tolist() == expected
    assert keypoints[:, 1, 0, 0].tolist() == [700 - t for t in range(21)]


def test_two_that_change_their_ids_at_once_are_told_apart(tmp_path):
    """All links of a frame are chosen together, whichever body is listed first."""
    frames = [[still(BODY_1, 100 + t), still(BODY_2, 106 + 2 * t)] for t in range(4)]
    frames += [[still("9", 106 + 2 * t), still("8", 100 + t)] for t in range(4, 8)]
    keypoints = read_skeleton(write(tmp_path / "a.skeleton", frames))
    assert keypoints[:, 0, 0, 0].tolist() == [106 + 2 * t for t in range(8)]
    assert keypoints[:, 1, 0, 0].tolist() == [100 + t for t in range(8)]


@pytest.mark.parametrize(
    ("x", "gap", "people"),
    [(104, 14, 1), (130, 0, 2), (104, 15, 2), (104, -1, 2)],
    ids=["soon and near", "somewhere else", "much later", "while the first is there"],
)
def test_only_bodies_that_follow_each_other_are_one(tmp_path, x, gap, people):
    """At most half a second later, at most half a body away, and never both at once."""
    frames = [[still(BODY_1)] for _ in range(5)] + [[] for _ in range(gap)] + [[still(BODY_2, x)] for _ in range(5)]
    if gap < 0:
        frames[4].append(still(BODY_2, x))
    keypoints = read_skeleton(write(tmp_path / "a.skeleton", frames))
    assert keypoints.shape == (10 + max(gap, 0), people, 25, 3)
    assert (keypoints[..., 2] > 0).any(2).sum() == 10 + (gap < 0)


def test_a_body_without_joints_is_linked_to_nobody(tmp_path):
    """Kinect may list a body of which it tracks nothing."""
    nothing = body(BODY_2, [joint(1, 2, state=0)] * 25)
    keypoints = read_skeleton(write(tmp_path / "a.skeleton", [[still(BODY_1)], [nothing], [still(BODY_3)]]))
    assert keypoints[..., 0, 0].tolist() == [[100, 0], [0, 0], [100, 0]]


@pytest.mark.parametrize("bodies", range(5))
def test_any_number_of_bodies(tmp_path, bodies):
    """0 to 4 bodies, in every frame or from frame to frame more: never more than the two that move most."""
    names = [f"7205759403793110{number}" for number in range(bodies)]
    frames = [[still(name, 100 * n + 10 * n * t) for n, name in enumerate(names)] for t in range(3)]
    keypoints = read_skeleton(write(tmp_path / "a.skeleton", frames))
    assert keypoints.shape == (3, min(max(bodies, 1), 2), 25, 3)
    moving = sorted(range(bodies), reverse=True)[:2]
    assert [keypoints[2, place, 0, 0] for place in range(len(moving))] == [120 * n for n in moving]
    growing = read_skeleton(write(tmp_path / "b.skeleton", [frame[:t] for t, frame in enumerate(frames)]))
    assert growing.shape[1] == min(max(bodies, 1), 2)
    assert growing[..., 0, 2].sum(1).tolist() == [min(t, bodies) for t in range(3)]


def test_two_bodies_with_one_id_are_named(tmp_path):
    """Whose joints are whose? The line says where; the same id in other frames is one body, whatever lies between."""
    twice = [[still(BODY_1)], [still(BODY_1), still(BODY_2, 500), still(BODY_1, 900)]]
    path = write(tmp_path / "a.skeleton", twice)
    with pytest.raises(AnnotationError) as caught:
        read_skeleton(path)
    line = 1 + (1 + 27) + 1 + 2 * 27 + 1
    assert path.read_text().splitlines()[line - 1].startswith(BODY_1)
    assert str(caught.value) == (
        f"{path}, line {line}: second body {BODY_1} in frame 1, whose joints are whose? copy it anew"
    )
    assert read_skeleton(write(path, [[still(BODY_1)], [], [still(BODY_1)]])).shape[1] == 1


@pytest.mark.parametrize("count", [96, 100, 107])
def test_a_skeleton_and_its_video_may_differ_by_a_few_frames(tmp_path, count):
    """Frames that only the video has are empty and keep their place; frames that only the skeleton has are not used."""
    keypoints = read_skeleton(write(tmp_path / "a.skeleton", [[still(BODY_1, 100 + t)] for t in range(100)]))
    index = np.array([0, 50, 95, count - 1])
    found = annotated_keypoints(keypoints, index, count, people=2)
    assert found[:, 0, 0, 0].tolist() == [100 + t if t < 100 else 0 for t in index]
    assert not found[:, 1].any()


@pytest.mark.parametrize("nothing", ["NaN", "-inf", "-1.#IND", "1.#QNAN"])
def test_numbers_that_are_none_give_score_zero(tmp_path, nothing):
    """Kinect writes NaN for joints outside the colour image, Windows spells it its own way."""
    points = [joint(nothing, nothing)] + [joint(1, 2)] * 24
    keypoints = read_skeleton(write(tmp_path / "a.skeleton", [[body(BODY_1, points)]]))
    assert keypoints[0, 0, 0].tolist() == [0, 0, 0]
    assert keypoints[0, 0, 1].tolist() == [1, 2, 1]


def message(path):
    with pytest.raises(AnnotationError) as error:
        read_skeleton(path)
    return str(error.value)


def test_garbage_is_refused_with_its_line(tmp_path):
    """File, line, what stands there and what should."""
    path = write(tmp_path / "a.skeleton", [[still(BODY_1)], [still(BODY_1)]])
    lines = path.read_text().splitlines()

    def broken(index, text):
        path.write_text("\n".join([*lines[:index], text, *lines[index + 1 :]]))
        return message(path)

    assert broken(0, "many") == f"{path}, line 1: 'many' where a number of frames should stand; copy it anew"
    assert broken(1, "-1") == f"{path}, line 2: '-1' where a number of bodies should stand; copy it anew"
    assert broken(3, "x") == f"{path}, line 4: 'x' where 25 joints should stand; copy it anew"
    assert broken(3, "20") == f"{path}, line 4: '20' joints; a Kinect body has 25"
    expected = f"{path}, line 6: '1 2 3' where the 12 numbers of a joint should stand; copy it anew"
    assert broken(5, "1 2 3") == expected
    expected = f"{path}, line 6: 'a b c d e f g h i j k l' where the 12 numbers of a joint should stand; copy it anew"
    assert broken(5, "a b c d e f g h i j k l") == expected


def test_a_truncated_file_is_refused(tmp_path):
    """A file that ends early is never taken for a short one."""
    path = write(tmp_path / "a.skeleton", [[still(BODY_1)], [still(BODY_1)]])
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:-3]))
    assert message(path) == f"{path}: ends after line 54, in the middle of a body; copy it anew"
    path.write_text("\n".join(lines[:29]))
    assert message(path) == f"{path}: ends after line 29, where a number of bodies should follow; copy it anew"
    path.write_text("")
    assert message(path) == f"{path}: ends after line 0, where a number of frames should follow; copy it anew"
    path.write_bytes(b"\xff\xfe\x00")
    assert message(path) == f"{path}: not a text file; copy it anew"
    path.unlink()
    assert message(path) == f"{path}: No such file or directory"


def test_the_kind_reads_it_as_an_annotation(tmp_path):
    """Through the data set's door: joints without boxes."""
    annotation = read_annotation("ntu", write(tmp_path / "a.skeleton", [[still(BODY_1)]]))
    assert annotation.keypoints.shape == (1, 1, 25, 3)
    assert annotation.boxes is None

"""Joints in impossible units: what is found, with its likely cause, and what is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from star.pipeline.checks.joint_units import (
    all_in_a_corner,
    all_upside_down,
    changed_places,
    doubtful_values,
    impossible,
    reach,
    upright,
    wrong_boxes,
)
from star.stages.pose.stage import linked_keypoints
from star.stages.skeletons import COCO, PENN_ACTION

SIZE = (640, 360)


def people(count: int = 1, frames: int = 20) -> np.ndarray:
    """(F, P, 13, 3): figures 120 px wide and 250 high that walk to the right."""
    rng = np.random.default_rng(0)
    body = rng.uniform((0, 0), (120, 250), (13, 2))
    found = np.ones((frames, count, 13, 3), np.float32)
    for person in range(count):
        for frame in range(frames):
            found[frame, person, :, :2] = body + np.array([60 + 250 * person + 5 * frame, 60])
    return found


def changed(change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    joints = people()
    joints[..., :2] = change(joints[..., :2])
    return joints


CASES = {
    "from 0 to 1": lambda xy: xy / SIZE,
    "from -1 to 1": lambda xy: 2 * xy / SIZE - 1,
    "metres": lambda xy: (xy - 200) / 50,
    "exchanged": lambda xy: xy[..., ::-1] + (0, 200),
    "another size's": lambda xy: xy * 3,
    "point upwards": lambda xy: xy * (1, -1),
    "the middle of the picture": lambda xy: xy - np.array(SIZE) / 2,
}


@pytest.mark.parametrize("cause", CASES)
def test_the_likely_cause_is_named(cause: str) -> None:
    """One finding, for every unit that people's tools write."""
    (found,) = impossible(changed(CASES[cause]), SIZE)
    assert found[0] == "unit"
    assert cause in found[1]


def test_placeholders_are_found() -> None:
    """(0, 0, 1) for a joint that is missing."""
    joints = people()
    joints[::2, :, 4:7] = (0, 0, 1)
    ((kind, message),) = impossible(joints, SIZE)
    assert kind == "placeholder"
    assert "lie at (0, 0) with a score" in message
    joints[::2, :, 4:7] = 0
    assert not list(impossible(joints, SIZE))


@pytest.mark.parametrize("place", [(-1, -1), (320, 180), (7.5, 7.5)])
def test_other_placeholders_are_found(place: tuple[float, float]) -> None:
    """Any place at which different joints lie together again and again."""
    joints = people()
    joints[::2, :, 4:7] = (*place, 1)
    ((kind, message),) = impossible(joints, SIZE)
    assert kind == "placeholder"
    assert f"lie at ({place[0]:g}, {place[1]:g}) with a score" in message
    standing = people()
    standing[:] = standing[:1]
    assert not list(impossible(standing, SIZE))
    standing[:, :, 5] = standing[:, :, 4]  # two joints of a hand-made layout at one place are no placeholder's rule
    assert all(kind == "placeholder" for kind, _ in impossible(standing, SIZE))


def test_odd_scores_and_joints_that_never_move_are_notes() -> None:
    """From 0 to 100, as percent; one frame's joints for all frames. A person who stands still breathes."""
    assert not list(doubtful_values(people()))
    percent = people()
    percent[..., 2] = 90
    assert [kind for kind, _ in doubtful_values(percent)] == ["score"]
    frozen = people()
    frozen[:] = frozen[:1]
    assert [kind for kind, _ in doubtful_values(frozen)] == ["still"]
    frozen[3, 0, 0, 0] += 0.5
    assert not list(doubtful_values(frozen))
    assert not list(doubtful_values(people(frames=4)[:, :0]))


def test_heads_below_feet_in_all_videos_are_a_problem() -> None:
    """y counted from the bottom; not where a few do handstands, nor where nobody is seen whole."""
    standing = people()
    names = list(PENN_ACTION.joints)
    standing[..., 1] = 60 + 10 * np.arange(13)
    standing[:, :, names.index("head"), 1] = 50
    turned = standing.copy()
    turned[..., 1] = SIZE[1] - turned[..., 1]
    assert (upright(standing, PENN_ACTION), upright(turned, PENN_ACTION)) == (1, 0)
    assert upright(standing, None) is upright(standing, COCO) is upright(np.zeros_like(standing), PENN_ACTION) is None
    assert "write height - y" in all_upside_down([0.0] * 8 + [None])
    assert not all_upside_down([0.0] * 7)
    assert not all_upside_down([0.0] * 7 + [1.0])


@pytest.mark.parametrize("place", [(0, 0), (500, 0), (0, 100), (300, 100)])
def test_a_real_child_in_a_corner_is_no_finding(place: tuple[int, int]) -> None:
    """Small, anywhere in the picture, and in one video only."""
    joints = people()
    joints[..., :2] = joints[..., :2] / 4 + place
    assert not list(impossible(joints, SIZE))
    assert not all_in_a_corner([reach(joints, SIZE), *[reach(people(), SIZE)] * 5])
    assert not all_in_a_corner([reach(joints, SIZE)])


def test_all_videos_in_a_corner_are_a_smaller_picture_s() -> None:
    """Of a quarter of the size, or a half."""
    for factor in (2, 4):
        small = changed(lambda xy, factor=factor: xy / factor)
        line = all_in_a_corner([reach(small, SIZE)] * 6)
        assert "the joints of all 6 videos lie in the upper left" in line
        assert "of the size" in line


def test_boxes_with_width_and_height_are_found() -> None:
    """Some of them still have an area, or none has."""
    joints = people()
    low, high = joints[..., :2].min(2), joints[..., :2].max(2)
    assert not list(wrong_boxes(joints, np.concatenate([low, high], -1)))
    wide = np.concatenate([low * 0.1, high - low * 0.1], -1)
    assert not list(wrong_boxes(joints, None))
    moved = joints.copy()
    moved[..., :2] += (40 - low.min((0, 1))[0], 0)
    low, high = moved[..., :2].min(2), moved[..., :2].max(2)
    xywh = np.concatenate([low, high - low], -1)
    xywh[~(xywh[..., 2:] > xywh[..., :2]).all(-1)] = np.nan
    ((kind, message),) = wrong_boxes(moved, xywh)
    assert kind == "boxes"
    assert "x y width height" in message
    ((kind, message),) = wrong_boxes(joints, np.full_like(wide, np.nan))
    assert "none of its boxes has an area" in message


def test_people_who_change_places_are_found() -> None:
    """Now and then, in either direction; not those who walk, or leave. The remedy is pose.link, unless it is on."""
    joints = people(2)
    assert not list(changed_places(joints))
    for frame in (4, 5, 11, 15, 16, 17):
        joints[frame] = joints[frame, ::-1]
    ((kind, message),) = changed_places(joints)
    assert kind == "order"
    assert message.startswith("people change places along P in 6 of 19 frames; set pose.link: true, or give each")
    ((_, message),) = changed_places(joints, linked=True)
    assert "pose.link" not in message
    assert not list(changed_places(linked_keypoints(joints)))
    alone = people(2)
    alone[5:9, 1] = 0
    assert not list(changed_places(alone))


def test_any_two_of_many_and_empty_places_count() -> None:
    """The third and fourth of four; one person who is now at one place and now at another; a list sorted by x, into
    which people come from the left."""
    joints = people(4, 40)
    for frame in range(3, 40, 4):
        joints[frame, 2:] = joints[frame, :1:-1]
    assert [kind for kind, _ in changed_places(joints)] == ["order"]
    lone = people(2, 40)
    lone[:, 1] = 0
    lone[1::4] = lone[1::4, ::-1]
    assert [kind for kind, _ in changed_places(lone)] == ["order"]
    entering = people(3, 40)
    for frame in range(40):
        if frame % 8 < 4:
            entering[frame] = np.concatenate([entering[frame, 1:], 0 * entering[frame, :1]])
    assert [kind for kind, _ in changed_places(entering)] == ["order"]


def test_people_who_meet_or_stand_close_are_no_finding() -> None:
    """Two who cross, two who hug and sway, one who comes and goes; a crowd so large that it is looked at in parts."""
    crossing = people(2, 60)
    crossing[:, 0, :, 0] += np.linspace(0, 500, 60)[:, None]
    assert not list(changed_places(crossing))
    hugging = people(2, 60)
    hugging[:, 1] = hugging[:, 0]
    hugging[:, 1, :, :2] += 6 * np.sin(np.arange(60))[:, None, None]
    assert not list(changed_places(hugging))
    flickering = people(2, 60)
    flickering[::3, 1] = 0
    assert not list(changed_places(flickering))
    crowd = np.tile(people(1, 4), (1, 600, 1, 1))
    crowd[..., 0] += 200 * np.arange(600)[:, None]
    assert not list(changed_places(crowd))
    assert list(changed_places(np.stack([crowd[frame, :: 1 - 2 * (frame % 2)] for frame in range(4)])))

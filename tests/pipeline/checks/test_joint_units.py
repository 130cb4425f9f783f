"""Joints in impossible units: what is found, with its likely cause, and what is not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from star.pipeline.checks.joint_units import all_in_a_corner, changed_places, impossible, reach, wrong_boxes

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
    """Now and then, in either direction; not those who walk, or leave."""
    joints = people(2)
    assert not list(changed_places(joints))
    for frame in (4, 5, 11, 15, 16, 17):
        joints[frame] = joints[frame, ::-1]
    ((kind, message),) = changed_places(joints)
    assert kind == "order"
    assert message.startswith("two people change places along P 6 times in 19 frames")
    alone = people(2)
    alone[5:9, 1] = 0
    assert not list(changed_places(alone))

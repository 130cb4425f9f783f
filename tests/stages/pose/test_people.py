"""Boxes stay with their person over a clip, and a frame without a person keeps its place."""

from __future__ import annotations

import numpy as np
import pytest

from star.stages.pose.people import link_people, valid_boxes, whole_frame_boxes
from star.stages.pose.tracking import Detections

ALICE, BOB = np.array([10.0, 10, 50, 110]), np.array([200.0, 20, 230, 100])


def found(*boxes: np.ndarray, scores: tuple[float, ...] | None = None) -> Detections:
    stacked = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections(stacked, np.array(scores or [0.9] * len(boxes), np.float32))


def moved(box: np.ndarray, x: float) -> np.ndarray:
    return box + np.array([x, 0, x, 0])


def test_people_keep_their_places_whatever_the_order():
    """Two people who walk; the detector lists them in another order in each frame."""
    walk = [found(moved(ALICE, 5 * t), moved(BOB, -3 * t)) for t in range(8)]
    shuffled = [Detections(one.boxes[::-1], one.scores[::-1]) if t % 2 else one for t, one in enumerate(walk)]
    np.testing.assert_array_equal(link_people(shuffled, 2), np.stack([one.boxes for one in walk]))


def test_largest_and_surest_come_first():
    """One place: it goes to the larger person, and between equals to the surer one."""
    frames = [found(BOB, ALICE)] * 4
    np.testing.assert_array_equal(link_people(frames, 1)[:, 0], np.tile(ALICE.astype(np.float32), (4, 1)))
    twin = moved(ALICE, 300)
    frames = [found(ALICE, twin, scores=(0.5, 0.8))] * 4
    np.testing.assert_array_equal(link_people(frames, 1)[:, 0], np.tile(twin.astype(np.float32), (4, 1)))


@pytest.mark.parametrize(("choose", "first"), [("auto", ALICE), ("largest", ALICE), ("score", BOB), ("moving", BOB)])
def test_who_comes_first_is_a_choice(choose: str, first: np.ndarray):
    """A large person who stands still against a small, surer one who walks."""
    frames = [found(ALICE, moved(BOB, 5 * t), scores=(0.6, 0.9)) for t in range(4)]
    np.testing.assert_array_equal(link_people(frames, 1, choose)[0, 0], first.astype(np.float32))


def test_area_times_score_is_not_area():
    """By area alone the larger one comes first, however unsure the detector is of him."""
    frames = [found(ALICE, BOB, scores=(0.1, 0.9))] * 4
    assert link_people(frames, 1, "largest")[0, 0, 0] == ALICE[0]
    assert link_people(frames, 1)[0, 0, 0] == BOB[0]


def test_a_frame_without_a_person_keeps_its_place():
    """Nobody seen in the middle: NaN there, and the same person after it."""
    frames = [found(ALICE), found(), found(moved(ALICE, 10)), found()]
    boxes = link_people(frames, 2)
    assert valid_boxes(boxes).tolist() == [[True, False], [False, False], [True, False], [False, False]]
    np.testing.assert_array_equal(boxes[2, 0], moved(ALICE, 10).astype(np.float32))


def test_fast_people_are_followed():
    """Sampled frames lie far apart: a step of a whole width between two of them does not lose the runner."""
    run = [moved(ALICE, 40 * t) for t in range(6)]
    frames = [found(box, BOB, scores=(0.9, 0.3)) for box in run]
    np.testing.assert_array_equal(link_people(frames, 1)[:, 0], np.array(run, np.float32))


def test_a_track_that_breaks_off_is_continued():
    """Who is lost and found elsewhere fills the same place, so one place holds somebody whenever somebody is there."""
    frames = [found(ALICE)] * 3 + [found(moved(ALICE, 500))] * 2
    boxes = link_people(frames, 2)
    assert valid_boxes(boxes[:, 0]).all()
    assert not valid_boxes(boxes[:, 1]).any()


def test_nobody_at_all():
    """A clip in which nobody is found is all NaN, not an error."""
    boxes = link_people([found()] * 5, 2)
    assert boxes.shape == (5, 2, 4)
    assert np.isnan(boxes).all()


def test_whole_frame_is_the_first_persons_box():
    """detector: frame gives the frame to one person and nothing to the others."""
    boxes = whole_frame_boxes(3, 2, (640, 480))
    np.testing.assert_array_equal(boxes[:, 0], [[0, 0, 640, 480]] * 3)
    assert not valid_boxes(boxes[:, 1]).any()


def test_degenerate_boxes_are_no_boxes():
    """NaN, infinity, and boxes without width or height."""
    boxes = np.array([[0, 0, 1, 1], [0, 0, np.nan, 1], [0, 0, np.inf, 1], [5, 0, 5, 1], [0, 2, 1, 1]])
    assert valid_boxes(boxes).tolist() == [True, False, False, False, False]

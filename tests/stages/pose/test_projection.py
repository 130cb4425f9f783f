"""Joints in three dimensions as pixels: against rotations written out, and what must not change."""

import numpy as np
import pytest

from star.errors import AnnotationError
from star.stages.pose.projection import Projection
from star.stages.skeletons import KINECT_V1, Skeleton


def body(turn: float = 0.0, shift=(0.0, 0.0, 3.0)) -> np.ndarray:
    """(F, 1, 20, 4): left joints at x > 0, arms stretched forwards, turned about y by `turn` rad."""
    random = np.random.default_rng(1)
    places = np.zeros((6, 1, 20, 3))
    for joint, name in enumerate(KINECT_V1.joints):
        side = 1 if name.startswith("left") else -1 if name.startswith("right") else 0
        places[..., joint, :] = 0.2 * side, 1.7 - 0.08 * joint, -0.3 if "hand" in name else 0
    places[..., 4:, 1] += random.normal(0, 0.05, (6, 1, 16))
    c, s = np.cos(turn), np.sin(turn)
    places = places @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]) + shift
    return np.concatenate([places, np.ones((6, 1, 20, 1))], -1).astype(np.float32)


def test_front_does_not_depend_on_where_the_camera_stood():
    front = Projection("front")
    expected = front.project(body(), KINECT_V1, "a", 0)
    for turn in (0.3, 1.6, -2.5, np.pi):
        found = front.project(body(turn, (2.0, -1.0, 5.0)), KINECT_V1, "a", 0)
        assert np.allclose(found, expected, atol=0.05)


def test_camera_leaves_depth_away_and_side_is_a_quarter_turn():
    given = body()
    camera = Projection("camera", scale=100).project(given, KINECT_V1, "a", 0)
    x, y = given[..., 0], given[..., 1]
    assert np.allclose(camera[..., 0], 499.5 + 100 * (x - (x.min() + x.max()) / 2), atol=1e-3)
    assert np.allclose(camera[..., 1], 499.5 - 100 * (y - (y.min() + y.max()) / 2), atol=1e-3)
    side = Projection("side", scale=100).project(given, KINECT_V1, "a", 0)
    z = given[..., 2]
    assert np.allclose(np.ptp(side[..., 0]), 100 * np.ptp(z), atol=1e-3)


def test_views_after_the_first_turn_within_the_yaw_and_are_always_the_same():
    given = body()
    turned = Projection("front", yaw=40)
    still = Projection("front").project(given, KINECT_V1, "a", 0)
    assert np.array_equal(turned.project(given, KINECT_V1, "a", 0), still)
    shoulders = KINECT_V1.joints.index("left_shoulder"), KINECT_V1.joints.index("right_shoulder")

    def width(found: np.ndarray) -> float:
        return float(abs(found[..., shoulders[0], 0] - found[..., shoulders[1], 0]).mean())

    shares = [
        width(turned.project(given, KINECT_V1, name, view)) / width(still) for name in "abc" for view in range(1, 9)
    ]
    assert min(shares) > np.cos(np.deg2rad(40)) - 1e-3
    assert max(shares) < 1.001
    assert len({round(share, 6) for share in shares}) > 15
    again = turned.project(given, KINECT_V1, "a", 3)
    assert np.array_equal(again, turned.project(given, KINECT_V1, "a", 3))


def test_the_axis_that_points_up_is_a_setting():
    given = body()
    expected = Projection("front").project(given, KINECT_V1, "a", 0)
    upside = given.copy()
    upside[..., [0, 1]] *= -1
    assert np.allclose(Projection("front", up="-y").project(upside, KINECT_V1, "a", 0), expected, atol=0.05)


def test_absent_joints_stay_absent_and_do_not_move_the_others():
    given = body()
    expected = Projection("camera").project(given, KINECT_V1, "a", 0)
    given[2, 0, 5] = [1e6, np.nan, 3, 0]
    found = Projection("camera").project(given, KINECT_V1, "a", 0)
    assert not found[2, 0, 5].any()
    rest = np.ones((6, 1, 20), bool)
    rest[2, 0, 5] = False
    assert np.allclose(found[rest], expected[rest], atol=60)  # the middle may move a little, where it was the outermost


def test_who_has_no_sides_faces_nowhere():
    nameless = Skeleton("own", tuple(f"joint_{k}" for k in range(20)), ())
    assert Projection("camera").project(body(), nameless, "a", 0).any()
    with pytest.raises(AnnotationError, match="set it to camera"):
        Projection("front").project(body(), nameless, "a", 0)


def test_a_body_in_the_middle_stays_there_wherever_it_walks():
    """From left to right its hips are, whatever its arms do; up and down it goes about the clip's middle."""
    walking = body()
    walking[..., 0] += np.linspace(-2, 2, 6)[:, None, None]
    arms = [joint for joint, name in enumerate(KINECT_V1.joints) if "hand" in name or "wrist" in name]
    walking[3, 0, arms, 1] += 1
    still = body()
    still[3, 0, arms, 1] += 1
    middle = Projection("camera", scale=100, centre="body")
    found = middle.project(walking, KINECT_V1, "a", 0)
    assert np.allclose(found, middle.project(still, KINECT_V1, "a", 0), atol=1e-3)
    hips = [joint for joint, name in enumerate(KINECT_V1.joints) if "hip" in name]
    assert np.allclose(found[:, 0, hips, 0].mean(1), 499.5, atol=1e-3)
    sitting = still.copy()
    sitting[3:, ..., 1] -= 0.5
    assert np.allclose(np.diff(middle.project(sitting, KINECT_V1, "a", 0)[2:4, 0, 0, 1] - found[2:4, 0, 0, 1]), 50)
    in_clip = Projection("camera", scale=100).project(walking, KINECT_V1, "a", 0)
    assert np.ptp(in_clip[:, 0, hips, 0].mean(1)) > 390


def test_a_body_in_the_middle_without_hips_is_the_mean_of_its_joints():
    """In the frame that lacks them; and two people keep their places to one another."""
    given = body()
    hips = [joint for joint, name in enumerate(KINECT_V1.joints) if "hip" in name]
    given[2, 0, hips] = 0
    found = Projection("camera", centre="body").project(given, KINECT_V1, "a", 0)
    seen = [joint for joint in range(20) if joint not in hips]
    assert np.allclose(found[2, 0, seen, 0].mean(), 499.5, atol=1e-3)
    two = np.concatenate([body(), body(shift=(1.0, 0.0, 3.0))], 1)
    pair = Projection("camera", scale=100, centre="body").project(two, KINECT_V1, "a", 0)
    assert np.allclose(pair[:, 1, :, 0] - pair[:, 0, :, 0], 100, atol=1e-3)
    nobody = Projection("front", centre="body")
    with pytest.raises(AnnotationError, match=r"set it to camera"):
        nobody.project(np.zeros((3, 1, 20, 4)), KINECT_V1, "a", 0)

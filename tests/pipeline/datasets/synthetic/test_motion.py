"""The drawn figure's bones and motions."""

from __future__ import annotations

import numpy as np
import pytest

from star.pipeline.datasets.synthetic.motion import ACTIONS, SEGMENTS, STAND, Body, perform

HEAD, LEFT_SHOULDER, LEFT_ELBOW, LEFT_WRIST, LEFT_HIP, LEFT_KNEE, LEFT_ANKLE = 0, 1, 3, 5, 7, 9, 11


def motion(name, seed=0, frames=40):
    body = Body.drawn(np.random.default_rng(7))
    return body, perform(ACTIONS[name], body, frames, np.random.default_rng(seed))


@pytest.mark.parametrize("name", ACTIONS)
def test_bones_keep_their_length(name):
    """Whatever the figure does, upper arm, forearm, thigh and shin are as long in every frame as the body says."""
    body, points = motion(name)
    assert points.shape == (40, 16, 3)
    bones = ((1, 3, body.upper_arm), (3, 5, body.forearm), (7, 9, body.thigh), (9, 11, body.shin), (7, 8, body.hips))
    for start, end, length in bones:
        assert np.linalg.norm(points[:, start] - points[:, end], axis=1) == pytest.approx(length)


@pytest.mark.parametrize("name", ACTIONS)
def test_a_foot_is_on_the_floor_unless_it_jumps(name):
    """The lower ankle is 7 cm above the floor; only jumping jacks leave it."""
    _, points = motion(name)
    height = points[:, 11:13, 1].min(axis=1)
    if name == "jumping_jacks":
        assert height.min() >= 0.07
        assert 0.1 < height.max() < 0.2
    else:
        assert height == pytest.approx(0.07)


def test_each_action_does_what_its_name_says():
    """In metres, of the clip's largest excursion, whichever hand or foot does it."""
    moves = {name: motion(name)[1] for name in ACTIONS}

    def highest(name, joints):
        return moves[name][:, joints, 1].max()

    raised = moves["raise_arms"]
    assert raised[0, 5:7, 1].max() < raised[0, 7:9, 1].min() + 0.2
    assert raised[-1, 5:7, 1].min() > raised[-1, HEAD, 1]
    assert np.array_equal(moves["wave"], moves["wave_flag"])
    assert highest("jumping_jacks", [5, 6]) > moves["jumping_jacks"][:, HEAD, 1].max()
    assert np.ptp(moves["squat"][:, HEAD, 1]) > 0.3
    assert highest("kick", [11, 12]) > 0.5
    assert np.ptp(moves["bow"][:, HEAD, 1]) > 0.2
    assert max(highest("bow", [11, 12]), highest("squat", [11, 12]), highest("wave", [11, 12])) < 0.3


def test_figures_wave_with_either_hand():
    """Half of them are left-handed, so that no side is the label."""
    higher = {
        bool(points[:, 5, 1].mean() > points[:, 6, 1].mean()) for _, points in (motion("wave", s) for s in range(9))
    }
    assert higher == {True, False}


def test_key_poses_name_every_segment():
    """A forgotten segment would stand still."""
    assert set(STAND) == set(SEGMENTS)
    assert all(set(pose) == set(SEGMENTS) for action in ACTIONS.values() for pose in action.keys)

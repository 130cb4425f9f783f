"""The percentage of correct keypoints, on joints placed by hand."""

import numpy as np
import torch

from star.pipeline.evaluation.pose_accuracy import correct_joints, joints_in_frames
from star.stages.heatmaps import HeatmapsStage

# Two people of four joints: a box of 40 x 100 px, and one of 20 x 10 px.
TALL = np.array([[0.0, 0], [40, 0], [40, 100], [0, 100]])
FLAT = np.array([[200.0, 50], [220, 50], [220, 60], [200, 60]])
ALL = np.ones(4, bool)


def test_a_fifth_of_the_longer_side_is_near_enough():
    """20 px of 100 are, 20.1 are not; the box is that of the joints that are seen."""
    found = TALL + np.array([[20, 0], [20.1, 0], [0, -20], [0, 0]])
    correct, counted = correct_joints(found, TALL[None], ALL[None])
    assert correct.tolist() == [True, False, True, True]
    assert counted.all()
    there = np.array([True, True, False, False])  # 40 px are left: 8 px are near enough
    correct, counted = correct_joints(TALL + 5, TALL[None], there[None])
    assert (correct & counted).tolist() == [True, True, False, False] == counted.tolist()
    assert not correct_joints(TALL + 6, TALL[None], there[None])[0].any()


def test_who_does_not_count():
    """Nobody, and a person of whom one joint is seen, who has no box."""
    for seen in (0, 1):
        correct, counted = correct_joints(TALL, TALL[None], (np.arange(4) < seen)[None])
        assert not counted.any()
        assert not correct.any()


def test_several_people():
    """One map for all: whoever is near; maps apart: one's own person alone, by the measure of that person."""
    people, there = np.stack([TALL, FLAT]), np.stack([ALL, ALL])
    mixed = np.stack([TALL[0], FLAT[1], TALL[2] + 10, FLAT[3] + 10])
    correct, counted = correct_joints(mixed, people, there)
    assert correct.tolist() == [True, True, True, False]
    assert counted.shape == (4,)
    apart = np.concatenate([TALL, TALL])
    correct, counted = correct_joints(apart, people, there, separate=True)
    assert correct.tolist() == [[True] * 4, [False] * 4]
    assert counted.sum() == 8


def test_joints_of_maps_in_pixels():
    """Of the cached maps of a whole frame they are the joints; one of which there is no map has the score 0."""
    random = np.random.default_rng(0)
    joints = np.ones((2, 1, 5, 3), np.float32)
    joints[..., :2] = random.uniform(20, 70, (2, 1, 5, 2))
    joints[0, 0, 3, 2] = 0
    maps = HeatmapsStage(grid=16).compute(joints, (120, 90), np.array([0.0, 0, 120, 90]))
    found = joints_in_frames(torch.from_numpy(maps[None]), np.array([[120, 90]]))[0]
    seen = joints[:, 0, :, 2] > 0
    assert np.abs(found[..., :2] - joints[:, 0, :, :2])[seen].max() < 0.2
    assert ((found[..., 2] > 0) == seen).all()

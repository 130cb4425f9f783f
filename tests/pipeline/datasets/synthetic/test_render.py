"""One drawn clip: joints lie where the figure is painted."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from star.pipeline.datasets.synthetic.render import DrawnClip, shoot
from star.pipeline.datasets.synthetic.scene import BACKDROPS, CLOTHES

CLIP = DrawnClip("jumping_jacks", 0, "train", "train-0", 0, (12, 12), (160, 120))


def test_frames_and_joints_have_the_shapes_that_were_asked_for():
    """12 frames of 160 x 120 px, one person, 13 joints."""
    frames, joints = shoot(CLIP)
    frames = np.stack(list(frames))
    assert (frames.shape, frames.dtype) == ((12, 120, 160, 3), np.uint8)
    assert (joints.shape, joints.dtype) == ((12, 1, 13, 3), np.float32)


@pytest.mark.parametrize("action", ["squat", "kick", "raise_arms"])
def test_the_figure_is_painted_where_its_joints_are(action, monkeypatch):
    """Pixels that differ from the empty scene surround every joint; far from the joints nothing differs."""
    clip = CLIP._replace(action=action)
    frames, joints = shoot(clip)
    frames = np.stack(list(frames)).astype(int)
    monkeypatch.setattr("star.pipeline.datasets.synthetic.figure.Figure.paint", lambda *_: None)
    painted = np.abs(frames - np.stack(list(shoot(clip)[0])).astype(int)).max(axis=-1) > 0
    for picture, points in zip(painted, joints[:, 0], strict=True):
        seen = points[points[:, 2] > 0]
        assert picture[seen[:, 1].round().astype(int), seen[:, 0].round().astype(int)].all()
        y, x = np.nonzero(picture)
        low, high = seen[:, :2].min(axis=0) - 22, seen[:, :2].max(axis=0) + 22
        assert (x >= low[0]).all() and (x <= high[0]).all()
        assert (y >= low[1]).all() and (y <= high[1]).all()


def test_training_and_testing_share_no_hue():
    """Clothes and backdrops of the two splits, and the flag's magenta, come from ranges that do not meet."""
    for palette in (CLOTHES, BACKDROPS):
        ranges = sorted([*palette["train"], *palette["test"], (0.85, 0.95)])
        assert all(first[1] < second[0] for first, second in pairwise(ranges))


def test_length_and_look_vary_from_clip_to_clip():
    """Other numbers give other lengths, motions and pictures."""
    clips = [CLIP._replace(number=number, frames=(12, 40)) for number in range(6)]
    films = [shoot(clip) for clip in clips]
    assert len({len(joints) for _, joints in films}) > 2
    firsts = [next(frames) for frames, _ in films]
    assert all(np.abs(a.astype(int) - b).mean() > 5 for a, b in pairwise(firsts))

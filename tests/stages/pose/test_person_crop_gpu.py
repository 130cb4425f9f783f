"""Crops that are cut on the device are those of OpenCV and of torch's own grid sample, and so are their joints."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from star.stages.pose.estimator import person_crops
from star.stages.pose.person_crop import PersonCropper
from star.stages.pose.person_crop_gpu import person_crops_gpu

WINDOWS = [
    PersonCropper(w, h, unbiased=unbiased) for w, h in ((192, 256), (256, 256), (48, 40)) for unbiased in (False, True)
]


def smooth(frames: int) -> np.ndarray:
    """(frames, 120, 160, 3) uint8: waves of some 20 grey levels a pixel that fade out towards the frame's edges."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:120, :160]
    waves = [128 + 127 * np.sin(x / a + b) * np.sin(y / a + c) for a, b, c in random.uniform(6, 9, (frames * 3, 3))]
    fade = np.sin(np.pi * x / 159) * np.sin(np.pi * y / 119)
    return (
        np.stack([wave * fade for wave in waves], -1)
        .reshape(120, 160, frames, 3)
        .transpose(2, 0, 1, 3)
        .astype(np.uint8)
    )


def boxes_in(frames: int, people: int, seed: int = 0) -> np.ndarray:
    """Random boxes (frames, people, 4), small and large, some over the edge of a 160 x 120 frame, some absent."""
    random = np.random.default_rng(seed)
    low = random.uniform(-30, 100, (frames, people, 2))
    boxes = np.concatenate([low, low + random.uniform(5, 150, low.shape)], -1).astype(np.float32)
    boxes[random.random((frames, people)) < 0.2] = np.nan
    return boxes


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_pixels_are_those_of_opencv(window: PersonCropper):
    """Each crop within two grey levels of warpAffine's, which may round places to 1/32 px; in order, frame by frame."""
    frames, boxes = smooth(6), boxes_in(6, 3)
    cut, expected = person_crops_gpu(window, torch.from_numpy(frames), boxes), person_crops(window, frames, boxes)
    assert cut.dtype == torch.uint8
    assert cut.shape == expected.shape
    assert len(cut) == np.isfinite(boxes).all(-1).sum() < boxes[..., 0].size
    away = np.abs(cut.numpy().astype(int) - expected)
    assert away.max() <= 2
    assert away.mean() < 0.1
    assert expected.std(axis=(1, 2)).max() > 30  # half a pixel of these would be ten levels


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_pixels_are_those_of_a_grid_sample(window: PersonCropper):
    """Noise and the frame's edges too: torch's own, one crop at a time in float64, rounded."""
    frames, boxes = np.random.default_rng(1).integers(0, 256, (4, 30, 50, 3), np.uint8), boxes_in(4, 2, seed=1) / 3
    cut = iter(person_crops_gpu(window, torch.from_numpy(frames), boxes))
    for t, person in np.argwhere(np.isfinite(boxes).all(-1)):
        ends = [[0, 0], [window.width - 1, window.height - 1]]
        (x0, y0), (x1, y1) = cv2.transform(
            np.array([ends], float), cv2.invertAffineTransform(window.affine(boxes[t, person]))
        )[0]
        x, y = (
            torch.linspace(x0, x1, window.width, dtype=torch.float64),
            torch.linspace(y0, y1, window.height, dtype=torch.float64),
        )
        y, x = torch.meshgrid(2 * y / 29 - 1, 2 * x / 49 - 1, indexing="ij")
        frame = torch.from_numpy(frames[t]).permute(2, 0, 1)[None].double()
        exact = torch.nn.functional.grid_sample(frame, torch.stack([x, y], -1)[None], align_corners=True)
        assert (next(cut) - exact[0].permute(1, 2, 0)).abs().max() < 0.51
    assert next(cut, None) is None


def test_nobody_is_no_crop():
    """A clip without people gives none, of the right shape."""
    frames, boxes = torch.zeros((2, 8, 8, 3), dtype=torch.uint8), np.full((2, 1, 4), np.nan)
    assert person_crops_gpu(WINDOWS[0], frames, boxes).shape == (0, 256, 192, 3)

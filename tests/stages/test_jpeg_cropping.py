"""Regions cut from JPEG frames that were decoded at a reduced size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from star.stages.cropping import PADDING_COLOUR, crop_frame, mirror_region
from star.stages.decode import open_video
from star.stages.jpeg_cropping import crop_reduced_frame, reduction_factor

WIDTH, HEIGHT, SIZE = 645, 483, 56  # neither side is a multiple of 2


def test_the_region_keeps_as_many_pixels_as_are_wanted():
    """The largest factor at which the shorter side of the region still has `size` pixels."""
    for side, factor in ((112, 1), (223, 1), (224, 2), (447, 2), (448, 4), (895, 4), (896, 8), (9000, 8)):
        assert reduction_factor(np.array([5.0, 7.0, 5.0 + side, 7.0 + side]), 112) == factor
    assert reduction_factor(np.array([0.0, 0.0, 1920.0, 1080.0]), 112) == 8
    assert reduction_factor(np.array([0.0, 0.0, 2000.0, 200.0]), 112) == 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Folders of one picture: JPEG of slow waves (0), PNG of the same (1), and a JPEG file with a sharp edge
    at x = 301 and y = 203 (2)."""
    path = tmp_path_factory.mktemp("frames")
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    waves = np.stack([128 + 80 * np.sin(x / 30 + y / 50), 128 + 80 * np.cos(y / 40), 90 + x / 6], -1).astype(np.uint8)
    edge = np.where((x >= 301) & (y >= 203), 200, 40).astype(np.uint8)[:, :, None].repeat(3, 2)
    for name, picture in (("0/1.jpg", waves), ("1/1.png", waves), ("2/1.jpg", edge)):
        (path / name).parent.mkdir()
        cv2.imwrite(str(path / name), picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 97])
    return path


def both(folder, index: int, region: np.ndarray, factor: int, flip: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A region cut from the reduced frame and from the full one, as float."""
    with open_video(folder / str(index)) as video:
        ((_, small),) = video.reduced([0], factor)
        ((_, full),) = video.frames([0])
    found = crop_reduced_frame(small, region, SIZE, (WIDTH, HEIGHT), factor, flip=flip)
    assert found.shape == (SIZE, SIZE, 3)
    assert found.flags.c_contiguous
    return found.astype(float), crop_frame(full, region, SIZE, flip=flip).astype(float)


REGIONS = {
    "whole frame": (0, 0, WIDTH, HEIGHT),
    "odd edges": (101, 83, 549, 531),
    "over the left and upper edge": (-51, -37, 413, 427),
    "over all edges": (-21, -91, 667, 597),
}


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
@pytest.mark.parametrize("name", REGIONS)
@pytest.mark.parametrize("flip", [False, True])
def test_a_reduced_frame_shows_what_the_full_one_shows(folder, factor, name, flip):
    """A smooth picture: the same colours within the rounding of JPEG, but for the soft border of the frame."""
    found, expected = both(folder, 0, np.array(REGIONS[name], float), factor, flip)
    difference = np.abs(found - expected)
    assert np.median(difference) <= 1
    assert np.quantile(difference, 0.95) <= (0 if factor == 1 else 6)


def test_what_lies_outside_has_the_mean_colour(folder):
    """as `crop_frame` fills it."""
    found, _ = both(folder, 0, np.array([-400.0, 0, 83, 483]), 4)
    assert np.all(found[:, :40] == PADDING_COLOUR)


def edge_of(picture: np.ndarray) -> tuple[float, float]:
    """Where the dark part of a picture ends, in pixels of it, in x and y: the area under the curve of brightness."""
    dark = (200 - picture[:, :, 0]) / 160
    return float(dark[-3].sum()), float(dark[:, -3].sum())


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("shift", range(8))
@pytest.mark.parametrize("flip", [False, True])
def test_an_edge_stays_at_its_place(folder, factor, shift, flip):
    """Regions that begin and end inside small pixels: the edge is found within 0.15 pixels of the result."""
    region = np.array([71.0 + shift, 13 + shift, 519 + shift, 461 + shift])
    found, expected = both(folder, 2, mirror_region(region, WIDTH) if flip else region, factor, flip)
    if flip:
        found, expected = found[:, ::-1], expected[:, ::-1]
    true = (301 - region[0]) / 448 * SIZE, (203 - region[1]) / 448 * SIZE
    assert edge_of(expected) == pytest.approx(true, abs=0.05)
    assert edge_of(found) == pytest.approx(true, abs=0.15)


def test_only_jpeg_files_come_out_small(folder):
    """The sides are rounded up; a PNG file comes in full, and so does everything at factor 1."""
    for name, shape in (("0", (121, 162, 3)), ("1", (HEIGHT, WIDTH, 3))):
        with open_video(folder / name) as video:
            assert [picture.shape for _, picture in video.reduced([0], 4)] == [shape]
            for (_, plain), (_, picture) in zip(video.frames([0]), video.reduced([0], 1), strict=True):
                assert np.array_equal(plain, picture)

"""Pictures of one frame, to the pixel; what is drawn wrong on purpose is found."""

from __future__ import annotations

import numpy as np
import pytest

from star.pipeline.visualization import drawing
from star.pipeline.visualization.canvas import Canvas

SKELETON = {"limbs": [(0, 1)], "flip_pairs": [(1, 2)]}
PEOPLE = np.array([[[10, 20, 1], [30, 20, 1], [50, 40, 1], [5, 5, 0]]], np.float32)  # head, left, right, absent


def frame() -> np.ndarray:
    """(48, 64, 3), red to the left and blue to the right, with a green corner below on the left."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, :32], picture[:, 32:], picture[40:, :8] = (200, 0, 0), (0, 0, 200), (0, 200, 0)
    return picture


def drawn(picture: np.ndarray, people: np.ndarray = PEOPLE, **more) -> np.ndarray:
    return drawing.scene(picture, people, width=128, height=128, skeleton=SKELETON, **more)


def is_right(found: np.ndarray) -> bool:
    """Size, colours and joints are where they belong: pixel (x, y) of the frame is (2x + 1/2, 2y + 1/2) here."""
    if found.shape != (96, 128, 3):
        return False
    expected = {
        (20, 40): drawing.MIDDLE, (60, 40): drawing.LEFT, (100, 80): drawing.RIGHT, (100, 82): (0, 0, 200),
        (20, 20): (200, 0, 0), (110, 20): (0, 0, 200), (4, 92): (0, 200, 0), (10, 10): (200, 0, 0),
    }  # fmt: skip
    return all(tuple(found[y, x]) == colour for (x, y), colour in expected.items())


def test_a_frame_with_joints_is_drawn_to_the_pixel() -> None:
    """The frame's own colours, and each side's dots at the joints; an absent joint has none."""
    assert is_right(drawn(frame()))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: drawn(frame()[..., ::-1]),
        lambda: drawn(frame().transpose(1, 0, 2)),
        lambda: drawn(np.rot90(frame(), 2)),
        lambda: drawn(frame()[:, ::-1]),
        lambda: drawn(frame(), PEOPLE + np.float32([3, 0, 0])),
        lambda: drawn(frame(), PEOPLE[..., [1, 0, 2]]),
        lambda: drawn(frame(), PEOPLE[:, [0, 2, 1, 3]]),
    ],
    ids=["BGR", "transposed", "upside down", "mirrored", "shifted joints", "x and y swapped", "sides swapped"],
)
def test_every_common_mistake_shows(wrong) -> None:
    """The pixels that the test above pins are others."""
    assert not is_right(wrong())


def test_boxes_and_the_crop_are_outlines() -> None:
    """A box runs through its corners' pixels, the crop's outline inside its edges; a box with NaN is not drawn."""
    boxes = np.array([[4, 6, 60, 44], [np.nan] * 4], np.float32)
    found = drawn(frame(), PEOPLE[:0], boxes=boxes, region=np.array([8, 10, 40, 42.0]))
    assert tuple(found[12, 8]) == tuple(found[88, 120]) == drawing.BOX
    assert tuple(found[20, 16]) == tuple(found[83, 79]) == drawing.REGION
    assert tuple(found[50, 50]) == (200, 0, 0)


def test_limbs_join_joints_that_are_there() -> None:
    """Between two dots there is a line, and none to a joint below the floor."""
    assert drawn(frame())[40, 40].min() > 200  # white, and smoothed
    weak = PEOPLE.copy()
    weak[0, 1, 2] = 0.2
    assert tuple(drawn(frame(), weak, floor=0.3)[40, 40]) == (200, 0, 0)


def test_heat_lies_over_the_picture_and_lets_it_shine_through() -> None:
    """Without heat the picture is itself; at a peak three quarters are the colour of the peak; NaN is a peak."""
    picture, heat = np.full((8, 8, 3), (40, 80, 120), np.uint8), np.zeros((4, 4), np.float32)
    heat[1:3, 2:] = 1
    found = drawing.overlay(picture, heat, 64)
    peak = 0.25 * np.array([40, 80, 120]) + 0.75 * drawing.coloured(np.ones(()))
    assert np.abs(found[32, 56] - peak).max() <= 1
    assert tuple(found[60, 4]) == (40, 80, 120)
    heat[1:3, 2:] = np.nan
    assert np.abs(drawing.overlay(picture, heat, 64)[32, 56] - peak).max() <= 1


def test_energy_has_a_colour_a_cell_and_nan_another() -> None:
    """0 is black, the top is bright, NaN is magenta; a map of zeros does not divide by zero."""
    found = drawing.energy(np.array([[0, 2], [1, np.nan]], np.float32), 10, 2.0)
    bright, middle = drawing.coloured(np.array([1.0])), drawing.coloured(np.array([0.5]))
    for (y, x), colour in {(0, 0): [0, 0, 3], (0, 9): bright[0], (9, 0): middle[0], (9, 9): (255, 0, 255)}.items():
        assert np.abs(found[y, x].astype(int) - colour).max() <= 1
    assert not drawing.energy(np.zeros((2, 2), np.float32), 10, 0.0)[..., :2].any()


def test_a_sheet_keeps_its_pixels(tmp_path) -> None:
    """What is pasted is in the PNG as it was, at its place, whatever is written beside it."""
    import cv2

    sheet = Canvas(313, 207)
    picture = np.random.default_rng(0).integers(0, 255, (50, 70, 3), np.uint8)
    sheet.paste(picture, 101, 88)
    sheet.write("words with $ and _ and é", 3, 4)
    sheet.save(tmp_path / "new" / "a.png")
    found = cv2.imread(str(tmp_path / "new" / "a.png"))[..., ::-1]
    assert found.shape == (207, 313, 3)
    assert np.array_equal(found[88:138, 101:171], picture)
    assert found[4:20, 3:100].min() < 100  # the words
    assert found[150:, :].min() == 255

"""The region that the networks see, and the picture cut from it."""

import numpy as np
import pytest

from star.stages.cropping import PADDING_COLOUR, Crop, crop_frame, mirror_region, visible
from star.stages.heatmaps import HeatmapsStage
from star.stages.skeletons import PENN_ACTION

PERSON = Crop("person")


def keypoints_within(rng, width, height, frames=4, people=2):
    """Joints on a grid of 1/16 px (so that mirroring is exact in float32), some of them without a score."""
    places = np.round(rng.uniform((0, 0), (width - 1, height - 1), (frames, people, 13, 2)) * 16) / 16
    scores = rng.integers(0, 2, (frames, people, 13, 1))
    return np.concatenate([places, scores], axis=-1).astype(np.float32)


def test_frame_is_the_whole_frame():
    """`frame` takes all of the frame, whatever the joints and the view."""
    region = Crop("frame", jitter_scale=0.5, jitter_shift=0.5).region(np.ones((2, 1, 13, 3)), (340, 256), "a", 3)
    assert region.tolist() == [0, 0, 340, 256]
    assert region.dtype == np.float64


def test_person_is_a_snug_square_of_whole_pixels():
    """`person`: square, whole pixels, holds every visible joint and the margin, and little more."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        width, height = (int(side) for side in rng.integers(60, 800, 2))
        keypoints = keypoints_within(rng, width, height)
        margin = rng.uniform(0, 0.5)
        x0, y0, x1, y1 = Crop("person", margin).region(keypoints, (width, height), "a", 0)
        joints = keypoints[keypoints[..., 2] > 0][:, :2] + 0.5
        low, high = joints.min(axis=0), joints.max(axis=0)
        side = (high - low).max() * (1 + 2 * margin)
        assert x1 - x0 == y1 - y0
        assert [x0, y0, x1, y1] == np.round([x0, y0, x1, y1]).tolist()
        assert side <= x1 - x0 <= side + 3
        assert np.all((low + high) / 2 - side / 2 >= (x0, y0))
        assert np.all((low + high) / 2 + side / 2 <= (x1, y1))


def test_mirrored_joints_give_the_mirrored_region():
    """A flipped view sees the same part of the scene as an unflipped one."""
    rng = np.random.default_rng(1)
    for _ in range(100):
        width, height = (int(side) for side in rng.integers(60, 800, 2))
        keypoints = keypoints_within(rng, width, height, frames=2)
        region = PERSON.region(keypoints, (width, height), "a", 0)
        mirrored = PERSON.region(PENN_ACTION.flip(keypoints, width), (width, height), "a", 0)
        assert mirrored.tolist() == mirror_region(region, width).tolist()


def test_joints_that_cannot_be_seen_do_not_count():
    """Joints without a score, outside the frame or without a finite place leave the region as it was."""
    keypoints = np.zeros((3, 1, 6, 3), np.float32)
    keypoints[0, 0, :2] = (40, 30, 1), (80, 60, 1)
    region = PERSON.region(keypoints, (200, 100), "a", 0)
    keypoints[1, 0, :5] = (1, 1, 0), (-5, 50, 1), (1e9, 3, 1), (50, 100, 1), (np.nan, 50, 1)
    keypoints[2, 0, 0] = (50, np.inf, 1)
    assert PERSON.region(keypoints, (200, 100), "a", 0).tolist() == region.tolist()


def test_the_frames_edge_belongs_to_the_frame():
    """A joint anywhere in the last pixel is visible, further out it is not; scores must exceed the floor."""
    places = np.array([[-0.5, 0, 1], [9.5, 4.5, 1], [-0.6, 0, 1], [9.6, 0, 1], [0, 4.6, 1], [5, 2, 0.3]])
    assert visible(places, (10, 5)).tolist() == [True, True, False, False, False, True]
    assert visible(places, (10, 5), floor=0.3).tolist() == [True, True, False, False, False, False]


def test_nobody_gives_the_square_around_the_frame():
    """Without a visible joint nothing of the frame is cut off, and nothing is stretched."""
    assert PERSON.region(np.zeros((2, 1, 13, 3)), (200, 100), "a", 0).tolist() == [-1, -51, 201, 151]


def test_one_joint_is_not_a_picture():
    """A box without extent becomes an eighth of the frame's short side."""
    keypoints = np.array([[[[100, 40, 1]]]], np.float32)
    x0, y0, x1, y1 = PERSON.region(keypoints, (320, 240), "a", 0)
    assert 30 <= x1 - x0 == y1 - y0 <= 33
    assert abs((x0 + x1) / 2 - 100.5) <= 0.5
    assert abs((y0 + y1) / 2 - 40.5) <= 0.5


def test_jitter_belongs_to_the_view():
    """Views after the first are scaled and shifted within the limits, each the same way every time."""
    keypoints = keypoints_within(np.random.default_rng(2), 400, 300)
    crop = Crop("person", jitter_scale=0.2, jitter_shift=0.1, seed=5)
    plain = PERSON.region(keypoints, (400, 300), "a", 0)
    assert crop.region(keypoints, (400, 300), "a", 0).tolist() == plain.tolist()
    regions = np.array([crop.region(keypoints, (400, 300), "a", view) for view in range(1, 200)])
    again = np.array([crop.region(keypoints, (400, 300), "a", view) for view in range(1, 200)])
    assert np.array_equal(regions, again)
    side, plain_side = regions[:, 2] - regions[:, 0], plain[2] - plain[0]
    assert 0.8 * plain_side - 3 <= side.min() < 0.85 * plain_side
    assert 1.15 * plain_side < side.max() <= 1.2 * plain_side + 3
    shift = (regions[:, :2] + regions[:, 2:] - plain[:2] - plain[2:]) / 2
    assert 0.09 * plain_side < np.abs(shift).max() <= 0.1 * plain_side + 1
    assert crop.region(keypoints, (400, 300), "b", 1).tolist() != regions[0].tolist()
    assert Crop("person", 0.15, 0.2, 0.1, 6).region(keypoints, (400, 300), "a", 1).tolist() != regions[0].tolist()


def test_jitter_is_the_same_everywhere():
    """The draws for a clip are pinned: another machine or version must not move them."""
    keypoints = np.array([[[[100, 100, 1], [300, 200, 1]]]], np.float32)
    crop = Crop("person", 0.15, 0.2, 0.1, 0)
    assert crop.region(keypoints, (400, 300), "videos/a.mp4", 1).tolist() == [47, 18, 331, 302]


def test_settings_hold_what_can_change_a_region():
    """What has no effect is in no key: margin and jitter of a whole frame, the seed of no jitter."""
    assert Crop("frame", 0.3, 0.1, 0.1, 7).settings() == {"crop": "frame"}
    assert Crop("person", 0.3, seed=7).settings() == {"crop": "person", "margin": 0.3}
    assert Crop("person", 0.3, 0.1, 0.0, 7).settings() == {
        "crop": "person", "margin": 0.3, "jitter_scale": 0.1, "jitter_shift": 0.0, "seed": 7,
    }  # fmt: skip


def test_shrinking_averages_areas():
    """Each pixel of a shrunk picture is the mean of the pixels it covers."""
    frame = np.random.default_rng(3).integers(0, 256, (60, 90, 3), np.uint8)
    picture = crop_frame(frame, np.array([10, 5, 58, 53]), 16)
    expected = frame[5:53, 10:58].reshape(16, 3, 16, 3, 3).mean(axis=(1, 3))
    assert picture.shape == (16, 16, 3)
    assert picture.dtype == np.uint8
    assert np.abs(picture - expected).max() <= 0.51


def test_large_frames_are_averaged_too():
    """Full HD shrinks to the mean of the areas, with fractions of pixels at their edges, to a few grey levels."""
    rows, columns = np.mgrid[:1080, :1920]
    shapes = (np.sin(rows / 7) + np.sin(columns / 11 + rows / 30)) * 60 + 128
    frame = np.repeat(shapes[..., None], 3, axis=2).astype(np.uint8)
    expected = thread_shares(1080, 112) @ frame[..., 0].astype(float) @ thread_shares(1920, 112).T
    difference = crop_frame(frame, np.array([0, 0, 1920, 1080]), 112)[..., 0] - expected
    assert np.abs(difference).max() < 4
    assert np.abs(difference.mean()) < 0.5


def thread_shares(pixels, size):
    """(size, pixels): how much of each cell of the small picture each pixel covers."""
    edges = np.linspace(0, pixels, size + 1)
    first, last = edges[:-1, None], edges[1:, None]
    pixel = np.arange(pixels)
    return np.clip(np.minimum(last, pixel + 1) - np.maximum(first, pixel), 0, None) * size / pixels


def test_each_side_is_stretched_by_itself():
    """A side that shrinks is averaged even where the other one grows."""
    stripes = np.zeros((8, 320, 3), np.uint8)
    stripes[:, ::2] = 200
    picture = crop_frame(stripes, np.array([0, 0, 320, 8]), 32)
    assert picture.min() == picture.max() == 100


def test_outside_the_frame_is_the_mean_colour():
    """What a region takes from beyond the frame is Kinetics' mean colour, on any side, even all of it."""
    frame = np.full((20, 30, 3), 255, np.uint8)
    picture = crop_frame(frame, np.array([-16, -16, 48, 48]), 64)
    inside = np.zeros((64, 64), bool)
    inside[16:36, 16:46] = True
    assert np.all(picture[inside] == 255)
    assert np.all(picture[~inside] == PADDING_COLOUR)
    for away in ([100, 0, 132, 32], [-80, 0, -48, 32], [0, 100, 32, 132], [0, -80, 32, -48]):
        assert np.all(crop_frame(frame, np.array(away), 32) == PADDING_COLOUR)


def test_flipped_cut_is_the_cut_of_the_mirrored_frame():
    """`flip` gives what cutting the mirrored frame gives, without mirroring all of it."""
    frame = np.random.default_rng(4).integers(0, 256, (120, 161, 3), np.uint8)
    for region in ([20, 10, 100, 90], [-10, 5, 150, 165], [60, 0, 80, 20]):
        flipped = crop_frame(frame, np.array(region), 32, flip=True)
        mirrored = crop_frame(frame[:, ::-1], np.array(region), 32)
        assert np.abs(flipped.astype(int) - mirrored).max() <= 1
        assert flipped.flags.c_contiguous


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("crop", ["frame", "person"])
def test_picture_and_heat_map_agree(crop, flip):
    """A bright dot in the video is, in the cut picture, where the heat map has its peak: to 1/50 cell.

    Half a pixel of the video, which a wrong convention costs, would be 0.044 cells and more.
    """
    rng = np.random.default_rng(5)
    width, height, size, grid = 320, 240, 112, 28
    y, x = np.mgrid[:height, :width]
    for _ in range(20):
        place = rng.uniform((40, 40), (280, 200))
        dot = 255 * np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / (2 * 8**2))
        frame = np.repeat(dot[..., None], 3, axis=2).astype(np.uint8)
        others = rng.uniform((30, 30), (290, 210), (1, 1, 12, 2))
        keypoints = np.ones((1, 1, 13, 3), np.float32)
        keypoints[..., :1, :2], keypoints[..., 1:, :2] = place, others
        if flip:
            keypoints = PENN_ACTION.flip(keypoints, width)
        chosen = Crop(crop)
        region = chosen.region(keypoints, (width, height), "a", 0)
        picture = crop_frame(frame, region, size, flip=flip)[..., 0].astype(float)
        picture = np.maximum(picture - 112, 0)  # darker than that: background and padding
        heatmap = HeatmapsStage(grid=grid, crop=chosen).compute(keypoints, (width, height), region)[0, 0].astype(float)
        assert np.abs(centre_of(picture) * grid / size - centre_of(heatmap)).max() < 0.02


def centre_of(picture):
    """The centre of mass (y, x) in edge coordinates."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]] + 0.5
    return np.array([(y * picture).sum(), (x * picture).sum()]) / picture.sum()

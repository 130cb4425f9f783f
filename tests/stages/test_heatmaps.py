"""Joint heat maps against a loop over the equation."""

import math

import numpy as np
import pytest

from star.stages.backbone.stage import BackboneStage
from star.stages.cropping import Crop
from star.stages.heatmaps import HeatmapsStage
from star.stages.skeletons import NTU

FRAME = (320, 240)
REGION = np.array([30.0, -10.0, 230.0, 190.0])


def sample(seed, frames=3, people=2, joints=5):
    """Joints in and around the frame, with scores from 0 to 1."""
    rng = np.random.default_rng(seed)
    places = rng.uniform((-40, -40), (360, 280), (frames, people, joints, 2))
    return np.concatenate([places, rng.uniform(0, 1, (frames, people, joints, 1))], axis=-1).astype(np.float32)


def one_map(joint, frame, region, grid, sigma, floor):
    """docs/method.md, "Heat maps", cell by cell."""
    x, y, score = (float(value) for value in joint)
    X, Y = x + 0.5, y + 0.5
    x0, y0, x1, y1 = region
    cells = np.zeros((grid, grid))
    if score <= floor or not (0 <= X <= frame[0] and 0 <= Y <= frame[1] and x0 <= X <= x1 and y0 <= Y <= y1):
        return cells
    u, v = (X - x0) / (x1 - x0) * grid, (Y - y0) / (y1 - y0) * grid
    for row in range(grid):
        for column in range(grid):
            distance = (column + 0.5 - u) ** 2 + (row + 0.5 - v) ** 2
            cells[row, column] = math.exp(-distance / (2 * sigma**2))
    return cells


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.5])
def test_maps_are_the_equation(sigma):
    """Every value of every map equals the Gaussian of docs/method.md; people apart lie one after the other."""
    keypoints = sample(0)
    stage = HeatmapsStage(sigma=sigma, score_floor=0.2, people="separate", grid=14)
    maps = stage.compute(keypoints, FRAME, REGION)
    assert maps.shape == (3, 10, 14, 14)
    assert maps.dtype == np.float16
    seen = 0
    for t, p, n in np.ndindex(3, 2, 5):
        expected = one_map(keypoints[t, p, n], FRAME, REGION, 14, sigma, 0.2)
        assert np.allclose(maps[t, p * 5 + n], expected, atol=3e-4)
        seen += expected.any()
    assert 0 < seen < 30


def test_merged_people_are_the_largest_value():
    """`merge`: one map a joint, the maximum over people."""
    keypoints = sample(1)
    apart = HeatmapsStage(people="separate", grid=14).compute(keypoints, FRAME, REGION)
    merged = HeatmapsStage(people="merge", grid=14).compute(keypoints, FRAME, REGION)
    assert merged.shape == (3, 5, 14, 14)
    assert np.array_equal(merged, apart.reshape(3, 2, 5, 14, 14).max(axis=1))


def test_peak_is_one_at_a_cells_centre():
    """A joint on a cell's centre gives exactly 1 there, and exp(-1/2) one sigma away."""
    keypoints = np.array([[[[103.5, 55.5, 1.0]]]], np.float32)
    centred = HeatmapsStage(grid=28).compute(keypoints, (224, 224), np.array([-4.0, -4.0, 220.0, 220.0]))[0, 0]
    assert centred[7, 13] == 1
    assert centred[7, 14] == np.float16(math.exp(-0.5))
    assert centred[8, 13] == np.float16(math.exp(-0.5))


ABSENT = {
    "no score": (100, 100, 0),
    "score at the floor": (100, 100, 0.25),
    "out of the frame": (-3, 100, 1),
    "out of the region": (20, 100, 1),
    "not finite": (math.nan, 100, 1),
    "infinite": (100, math.inf, 1),
}


@pytest.mark.parametrize("joint", ABSENT.values(), ids=ABSENT.keys())
def test_an_absent_joint_is_all_zero(joint):
    """Nothing of an absent joint leaks into its map, nor any warning; its neighbour is untouched."""
    keypoints = np.array([[[joint, (120, 80, 0.26)]]], np.float32)
    with np.errstate(all="raise", under="ignore"):
        maps = HeatmapsStage(score_floor=0.25, grid=28).compute(keypoints, FRAME, REGION)
    assert not maps[0, 0].any()
    assert maps[0, 1].max() > 0.7


def test_an_empty_pose_is_all_zero():
    """Frames without people keep their place."""
    assert not HeatmapsStage().compute(np.zeros((16, 1, 13, 3), np.float32), FRAME, REGION).any()


def test_mirrored_joints_give_mirrored_maps():
    """A flipped view's maps are the mirror images, left and right joints exchanged."""
    keypoints = sample(2, joints=25)
    region = np.array([40.0, 20.0, 240.0, 220.0])
    mirrored = np.array([320 - 240.0, 20.0, 320 - 40.0, 220.0])
    stage = HeatmapsStage(people="merge")
    maps = stage.compute(keypoints, FRAME, region)
    flipped = stage.compute(NTU.flip(keypoints, 320), FRAME, mirrored)
    assert maps.any()
    assert np.allclose(flipped, maps[:, NTU.mirrored, :, ::-1], atol=1e-3)


def test_the_key_holds_the_geometry_of_the_backbone_and_not_its_weights():
    """Other weights leave heat maps valid; another crop or grid does not."""
    backbone = BackboneStage(crop="person", margin=0.2, size=224)
    stage = HeatmapsStage(1.5, 0.1, "separate", backbone.shape("local_map").side, backbone.cropping)
    assert stage.settings() == {"sigma": 1.5, "score_floor": 0.1, "people": "separate", **backbone.geometry()}
    assert backbone.geometry() == {"grid": 56, "crop": {"crop": "person", "margin": 0.2}}
    assert BackboneStage(weights="random", seed=4).geometry() == BackboneStage(precision="float32").geometry()
    assert HeatmapsStage(crop=Crop("person")).settings() != HeatmapsStage().settings()


def test_shape_at_the_defaults():
    """(T, N, 28, 28) float16, as the arrays' attributes say."""
    maps = HeatmapsStage().compute(sample(3, 16, 2, 13), FRAME, np.array([0.0, 0.0, 320.0, 240.0]))
    assert maps.shape == (16, 13, 28, 28)
    assert HeatmapsStage.arrays["joint_heatmap"].dtype == str(maps.dtype)


def one_limb(first, last, frame, region, grid, sigma):
    """Cell by cell: the Gaussian of the distance to the nearest of many points along the limb."""
    if not (one_map(first, frame, region, grid, 1, 0.2).any() and one_map(last, frame, region, grid, 1, 0.2).any()):
        return np.zeros((grid, grid))
    corner, size = np.array(region[:2]), region[2] - region[0]
    ends = [(np.array(joint[:2], float) + 0.5 - corner) / size * grid for joint in (first, last)]
    points = ends[0] + np.linspace(0, 1, 2001)[:, None] * (ends[1] - ends[0])
    rows, columns = np.mgrid[:grid, :grid] + 0.5
    distance = ((columns[..., None] - points[:, 0]) ** 2 + (rows[..., None] - points[:, 1]) ** 2).min(-1)
    return np.exp(-distance / (2 * sigma**2))


def test_maps_of_limbs_are_of_the_distance_to_them():
    """Both ends must be there; a limb of no length is its joint; people apart, or the largest value of all."""
    keypoints = sample(2)
    keypoints[1, 0, 1] = keypoints[1, 0, 0]
    limbs = ((0, 1), (3, 2), (4, 0))
    stage = HeatmapsStage(sigma=1.5, score_floor=0.2, people="separate", grid=14, limbs=limbs)
    maps = stage.compute(keypoints, FRAME, REGION)
    assert maps.shape == (3, 6, 14, 14) and stage.maps(5, 2) == 6
    for t, p, n in np.ndindex(3, 2, 3):
        first, last = (keypoints[t, p, joint] for joint in limbs[n])
        assert np.allclose(maps[t, p * 3 + n], one_limb(first, last, FRAME, REGION, 14, 1.5), atol=6e-4)
    assert 0 < maps.reshape(3, 6, -1).any(-1).sum() < 18
    merged = HeatmapsStage(sigma=1.5, score_floor=0.2, grid=14, limbs=limbs).compute(keypoints, FRAME, REGION)
    assert np.array_equal(merged, maps.reshape(3, 2, 3, 14, 14).max(axis=1))


def test_limbs_are_in_the_key_and_joints_are_as_ever():
    assert "limbs" not in HeatmapsStage().settings()
    assert HeatmapsStage(limbs=((0, 1),)).settings() == HeatmapsStage().settings() | {"limbs": [[0, 1]]}

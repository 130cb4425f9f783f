"""Joints of one layout in another: what is the same stays the same, and what is a mean says of what."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from star.errors import RecipeError
from star.stages.pose import mmpose_compat, mmpose_models
from star.stages.skeleton_mapping import convert_joints, joint_sources
from star.stages.skeletons import COCO, H36M, NTU, PENN_ACTION, SKELETONS, Skeleton

BOTH_WAYS = [pytest.param(a, b, id=f"{a.name}-{b.name}") for a, b in product(SKELETONS.values(), repeat=2)]
PAIRS = pytest.mark.parametrize(("source", "target"), BOTH_WAYS)


def joints_of(skeleton: Skeleton, seed: int = 0) -> np.ndarray:
    """Random joints (6, 2, N, 3) in a frame of 640 x 480, every tenth absent."""
    random = np.random.default_rng(seed)
    keypoints = random.uniform((0, 0, 0.1), (639, 479, 1), (6, 2, len(skeleton.joints), 3)).astype(np.float32)
    keypoints[random.random(keypoints.shape[:-1]) < 0.1] = 0
    return keypoints


def by_name(keypoints: np.ndarray, skeleton: Skeleton) -> dict[str, np.ndarray]:
    return {name: keypoints[..., index, :] for index, name in enumerate(skeleton.joints)}


@PAIRS
def test_flipping_and_converting_may_change_places(source: Skeleton, target: Skeleton):
    """The mirror image of the converted joints is what the converted mirror image is."""
    keypoints = joints_of(source)
    flipped = source.flip(keypoints, 640)
    flipped[keypoints[..., source.mirrored, 2] == 0] = 0
    expected = target.flip(converted := convert_joints(keypoints, source, target), 640)
    expected[converted[..., target.mirrored, 2] == 0] = 0
    np.testing.assert_allclose(convert_joints(flipped, source, target), expected, atol=1e-3)


@PAIRS
def test_shoulders_to_ankles_are_the_same_joints(source: Skeleton, target: Skeleton):
    """The twelve joints of arms and legs come over unchanged, there and back."""
    keypoints = joints_of(source)
    back = convert_joints(convert_joints(keypoints, source, target), target, source)
    limbs = [
        index
        for index, name in enumerate(source.joints)
        if name.startswith(("left_", "right_"))
        and name.split("_")[-1] in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    ]
    assert len(limbs) == (10 if source is H36M else 12)  # Human3.6M calls its ankles feet
    np.testing.assert_array_equal(back[..., limbs, :], keypoints[..., limbs, :])


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
def test_its_own_layout_changes_nothing(skeleton: Skeleton):
    """Converting to the layout that the joints have gives them back, to the bit."""
    keypoints = joints_of(skeleton)
    np.testing.assert_array_equal(convert_joints(keypoints, skeleton, skeleton), keypoints)
    assert joint_sources(skeleton, skeleton) == tuple((index,) for index in range(len(skeleton.joints)))


def test_cocos_head_is_the_middle_of_the_face():
    """Penn Action's head from COCO: the mean of nose, eyes and ears, as sure as the least sure of them."""
    keypoints = np.zeros((17, 3), np.float32)
    keypoints[:5] = [(10, 20, 0.9), (12, 18, 0.8), (8, 18, 0.7), (15, 19, 0.6), (5, 20, 0.5)]
    assert convert_joints(keypoints, COCO, PENN_ACTION)[0].tolist() == [10, 19, 0.5]
    keypoints[4] = 0
    assert convert_joints(keypoints, COCO, PENN_ACTION)[0].tolist() == [0, 0, 0]


def test_h36m_from_coco_is_what_mmpose_makes_of_it():
    """mmpose's own conversion for its lifters; only its head is the middle of the eyes alone."""
    keypoints = joints_of(COCO)[:, 0]
    keypoints[..., 2] = 1
    there = mmpose_compat.import_module("mmpose.apis.inference_3d").convert_keypoint_definition(
        keypoints, "coco", "h36m"
    )
    same = [index for index, name in enumerate(H36M.joints) if name != "head"]
    np.testing.assert_allclose(convert_joints(keypoints, COCO, H36M)[:, same], there[:, same], atol=1e-3)


def test_what_kinect_sees_and_coco_does_not():
    """NTU from COCO: the trunk is means of shoulders and hips, hands and feet are wrists and ankles, no fingers."""
    keypoints = joints_of(COCO)
    keypoints[..., 2] = 1
    own, found = by_name(keypoints, COCO), by_name(convert_joints(keypoints, COCO, NTU), NTU)
    shoulders, hips = (own[f"left_{name}"] + own[f"right_{name}"] for name in ("shoulder", "hip"))
    np.testing.assert_allclose(found["spine"], shoulders / 2, rtol=1e-5)
    np.testing.assert_allclose(found["neck"], shoulders / 2, rtol=1e-5)
    np.testing.assert_allclose(found["spine_base"], hips / 2, rtol=1e-5)
    np.testing.assert_allclose(found["spine_middle"], (shoulders + hips) / 4, rtol=1e-5)
    np.testing.assert_array_equal(found["left_hand"], own["left_wrist"])
    np.testing.assert_array_equal(found["right_foot"], own["right_ankle"])
    fingers = [found[f"{side}_{name}"] for side in ("left", "right") for name in ("thumb", "hand_tip")]
    assert not np.any(fingers)


def test_names_that_mean_another_joint_elsewhere():
    """ "spine" is between the shoulders in Kinect's layout and between hips and shoulders in Human3.6M's."""
    own = by_name(joints := joints_of(NTU), NTU)
    found = by_name(convert_joints(joints, NTU, H36M), H36M)
    np.testing.assert_array_equal(found["spine"], own["spine_middle"])
    np.testing.assert_array_equal(found["thorax"], own["spine"])
    np.testing.assert_array_equal(found["left_foot"], own["left_ankle"])
    np.testing.assert_array_equal(found["neck_base"], own["head"])


@pytest.mark.parametrize(
    "model", ["rtmpose-m_8xb512-700e_body8-halpe26-256x192", "td-hm_hrnet-w32_8xb64-210e_mpii-256x256"]
)
@pytest.mark.parametrize("target", SKELETONS.values(), ids=SKELETONS)
def test_other_estimators_of_bodies_serve_too(model: str, target: Skeleton):
    """Halpe's 26 and MPII's 16 joints give every layout all of its arms and legs."""
    found = joint_sources(mmpose_models.model_spec(model).skeleton, target)
    assert sum(len(own) == 1 for own in found) >= 12


def test_hands_are_no_bodies():
    """A layout without arms and legs is refused in one line, before anything is computed."""
    hand = Skeleton("onehand10k", ("wrist", "thumb1"), ())
    with pytest.raises(RecipeError) as caught:
        convert_joints(np.zeros((2, 3), np.float32), hand, PENN_ACTION)
    assert str(caught.value) == (
        "pose.layout: penn_action: joints of onehand10k have no left_shoulder; set it to own, or choose another "
        "pose.model"
    )

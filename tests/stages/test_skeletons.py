"""The layouts of joints are whole: names, mirror images and limbs fit each other, and mmpose's own."""

from __future__ import annotations

import numpy as np
import pytest

from star.stages.pose import mmpose_compat, mmpose_models
from star.stages.skeletons import COCO, H36M, SKELETONS, Skeleton

EVERY = pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)


def mirror_name(name: str) -> str:
    sides = {"left": "right", "right": "left"}
    side, _, rest = name.partition("_")
    part, _, last = name.rpartition("_")
    if side in sides:
        return f"{sides[side]}_{rest}"
    return f"{part}_{sides[last]}" if last in sides else name


def test_the_layouts_by_name():
    """Those of data sets, and of the pose estimators in use."""
    found = {name: len(skeleton.joints) for name, skeleton in SKELETONS.items()}
    assert found == {
        "penn_action": 13, "coco": 17, "h36m": 17, "ntu": 25, "kinect_v1": 20, "openpose_18": 18, "openpose_25": 25,
        "blazepose_33": 33, "halpe26": 26, "mpii": 16, "crowdpose": 14, "jhmdb": 15, "coco_wholebody": 133,
    }  # fmt: skip
    assert all(skeleton.name == name for name, skeleton in SKELETONS.items())


@EVERY
def test_names_and_mirror_images_agree(skeleton: Skeleton):
    """Names are unique, and a joint's place in the mirror is that of its name with left and right exchanged."""
    assert len(set(skeleton.joints)) == len(skeleton.joints)
    mirrored = [skeleton.joints[index] for index in skeleton.mirrored]
    sided = [number for number, name in enumerate(skeleton.joints) if not name.startswith("face-")]  # numbers, no sides
    assert [mirrored[number] for number in sided] == [mirror_name(skeleton.joints[number]) for number in sided]


@EVERY
def test_a_mirrored_mirror_image_is_the_picture(skeleton: Skeleton):
    """Flipping twice gives the joints back, to the bit."""
    keypoints = np.random.default_rng(0).integers(0, 640, (4, 2, len(skeleton.joints), 3)).astype(np.float32)
    np.testing.assert_array_equal(skeleton.flip(skeleton.flip(keypoints, 640), 640), keypoints)


@EVERY
def test_limbs_join_all_joints_and_have_mirror_images(skeleton: Skeleton):
    """From any joint one gets to any other over limbs, and each limb's mirror image is a limb."""
    limbs = {frozenset(limb) for limb in skeleton.limbs}
    assert len(limbs) == len(skeleton.limbs)
    order = skeleton.mirrored
    assert {frozenset(int(order[joint]) for joint in limb) for limb in limbs} == limbs
    if skeleton.name in ("blazepose_33", "coco_wholebody"):  # as published, the face hangs on nothing
        return
    reached = {0}
    for _ in skeleton.joints:
        reached |= {joint for limb in limbs if limb & reached for joint in limb}
    assert reached == set(range(len(skeleton.joints)))


def test_coco_and_h36m_are_mmposes_own():
    """What a pose estimator gives and what a recipe calls by the same name are one layout, joint by joint."""
    assert mmpose_models.model_spec("rtmpose-t_8xb256-420e_coco-256x192").skeleton == COCO
    config = mmpose_compat.import_module("mmengine.config").Config
    file = mmpose_compat.folder() / "configs" / "_base_" / "datasets" / "h36m.py"
    assert mmpose_models._as_skeleton(config.fromfile(str(file)).dataset_info) == H36M

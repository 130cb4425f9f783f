"""Sides by names of any convention, and the layouts against mmpose's own lists."""

import importlib.util
import runpy
from pathlib import Path

import numpy as np
import pytest

from star.stages.joint_names import common_name, flip_pairs, without_twin
from star.stages.skeleton_mapping import BODY, convert_joints, joint_sources
from star.stages.skeletons import COCO, SKELETONS

CONVENTIONS = [
    ("LShoulder", "RShoulder", "Neck"),
    ("left shoulder", "right shoulder", "neck"),
    ("shoulder_l", "shoulder_r", "neck"),
    ("LEFT_SHOULDER", "RIGHT_SHOULDER", "NECK"),
    ("leftShoulder", "rightShoulder", "neck"),
    ("ShoulderLeft", "ShoulderRight", "Neck"),
    ("leftshoulder", "rightshoulder", "neck"),
    ("Lshoulder", "Rshoulder", "neck"),
    ("shoulder.L", "shoulder.R", "neck"),
    ("L_Shoulder", "R_Shoulder", "lumbar"),
]
OTHERS = [
    ("shoulderl", "shoulderr", "neck"),
    ("lft_shoulder", "rgt_shoulder", "neck"),
    ("Shoulder-LT", "Shoulder-RT", "Neck"),
    ("Schulter links", "Schulter rechts", "Hals"),
    ("hombro_izquierdo", "hombro_derecho", "cuello"),
    ("épaule_gauche", "épaule_droite", "cou"),
    ("左肩", "右肩", "首"),
    ("肩左", "肩右", "首"),
]


@pytest.mark.parametrize("names", [*CONVENTIONS, *OTHERS])
def test_sides_are_known_in_every_convention(names):
    assert flip_pairs(names) == ((0, 1),)


def test_what_has_no_twin_has_no_side():
    assert flip_pairs(("lumbar", "rib", "head")) == ()
    assert flip_pairs(("joint_0", "joint_1", "joint_2")) == ()
    assert flip_pairs(("left_hip", "left_knee")) == ()


def test_conventions_may_be_mixed():
    """Each pair by whichever fits it; none of an earlier one is lost."""
    names = ("left_knee", "Lhip", "right_knee", "Rhip", "nose", "wristl", "wristr", "leftear", "rightear")
    assert flip_pairs(names) == ((0, 2), (1, 3), (5, 6), (7, 8))
    assert without_twin(names) == ()


def test_a_side_without_its_twin_is_named():
    """A slip of the pen, or a joint of one side only."""
    names = ("left_sholder", "right_shoulder", "left_hip", "right_hip", "nose", "leftear")
    assert flip_pairs(names) == ((2, 3),)
    assert without_twin(names) == ("left_sholder", "right_shoulder", "leftear")
    assert not any(without_twin(skeleton.joints) for skeleton in SKELETONS.values())


def test_names_come_in_one_spelling():
    assert {common_name(name) for name, _, _ in CONVENTIONS if name != "Lshoulder"} == {"left_shoulder"}


def of_mmpose(name: str) -> dict:
    spec = importlib.util.find_spec("mmpose")
    assert spec and spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / ".mim/configs/_base_/datasets"
    return runpy.run_path(str(folder / f"{name}.py"))["dataset_info"]["keypoint_info"]


@pytest.mark.parametrize("name", ["halpe26", "mpii", "crowdpose", "jhmdb", "coco_wholebody", "coco"])
def test_layouts_are_those_of_mmpose(name):
    info = of_mmpose(name)
    joints = [info[number] for number in range(len(info))]
    skeleton = SKELETONS[name]
    names = [joint["name"] for joint in joints]
    assert list(skeleton.joints) == names
    swaps = [names.index(joint["swap"]) if joint["swap"] else number for number, joint in enumerate(joints)]
    assert skeleton.mirrored.tolist() == swaps


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS)
def test_every_layout_is_sound(skeleton):
    count = len(skeleton.joints)
    assert len(set(skeleton.joints)) == count
    assert np.array_equal(skeleton.mirrored[skeleton.mirrored], np.arange(count))
    assert all(a != b and max(a, b) < count for a, b in skeleton.limbs)
    assert {index for limb in skeleton.limbs for index in limb} or not skeleton.limbs
    for left, right in skeleton.flip_pairs:
        if not skeleton.joints[left].startswith("face"):
            assert {"left", "right"} == {skeleton.joints[index].split("_")[0] for index in (left, right)} or (
                skeleton.joints[left] == "mouth_left"
            )


@pytest.mark.parametrize("source", SKELETONS.values(), ids=SKELETONS)
def test_every_layout_converts_to_coco(source):
    """Of what both name alike, the numbers stay."""
    found = joint_sources(source, COCO)
    keypoints = np.arange(3 * len(source.joints), dtype=np.float32).reshape(1, -1, 3) + 1
    converted = convert_joints(keypoints, source, COCO)
    for name in BODY & set(source.joints):
        index = COCO.joints.index(name)
        assert found[index]
        assert np.array_equal(converted[0, index], keypoints[0, source.joints.index(name)])

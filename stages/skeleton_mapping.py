"""From one layout of joints to another: a network trained on one data set's joints, and a pose estimator with others.

A joint of the target is the joint of the source that means the same; or else the first entry of MEANS of which the
source has every part: the mean of their places, with the smallest of their scores; or else it is absent. Nothing here
is a fit to data: a mean lies as near as anatomy puts it, and what would be a guess (a finger) stays away.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..errors import RecipeError
from .skeletons import Skeleton

# Layout -> what its joints are called here, where their own names would mislead.
MEANINGS: dict[str, dict[str, str]] = {
    "ntu": {"spine_base": "pelvis", "spine": "thorax"},
    "h36m": {
        "root": "pelvis", "left_foot": "left_ankle", "right_foot": "right_ankle", "spine": "spine_middle",
        "neck_base": "nose",
    },
    "kinect_v1": {"hip_center": "pelvis", "spine": "spine_middle", "shoulder_center": "thorax"},
    "halpe26": {"hip": "pelvis", "head": "head_top"},
    "mpii": {"upper_neck": "neck"},
    "crowdpose": {"top_head": "head_top"},
    "openpose_25": {"mid_hip": "pelvis"},
    "jhmdb": {"belly": "spine_middle"},
    "posetrack18": {"head_bottom": "neck"},
}  # fmt: skip

SHOULDERS, HIPS = ("left_shoulder", "right_shoulder"), ("left_hip", "right_hip")
MEANS: dict[str, tuple[tuple[str, ...], ...]] = {
    "nose": (("head",),),
    "head": (("nose", "left_eye", "right_eye", "left_ear", "right_ear"), ("head_top", "neck"), ("nose",)),
    "neck": (("thorax",), SHOULDERS),
    "thorax": (SHOULDERS,),
    "spine_middle": (SHOULDERS + HIPS,),
    "pelvis": (HIPS,),
    "left_hand": (("left_wrist",),),
    "right_hand": (("right_wrist",),),
    "left_foot": (("left_ankle",),),
    "right_foot": (("right_ankle",),),
}

# Without these there is no body; every layout of SKELETONS has them.
BODY = frozenset(
    f"{side}_{joint}"
    for side in ("left", "right")
    for joint in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
)  # fmt: skip


@lru_cache(maxsize=16)
def joint_sources(source: Skeleton, target: Skeleton) -> tuple[tuple[int, ...], ...]:
    """For each joint of `target`, the joints of `source` whose mean stands for it; () where it is absent.

    Raises RecipeError where `source` lacks a shoulder, elbow, wrist, hip, knee or ankle of the target's.
    """
    place = {name: index for index, name in enumerate(_meanings(source))}
    found: list[tuple[int, ...]] = []
    for name in _meanings(target):
        parts = next((names for names in ((name,), *MEANS.get(name, ())) if place.keys() >= set(names)), ())
        found.append(tuple(place[part] for part in parts))
    lacking = [name for name, own in zip(_meanings(target), found, strict=True) if name in BODY and not own]
    if lacking:
        raise RecipeError(
            f"pose.layout: {target.name}: joints of {source.name} have no {lacking[0]}; set it to own, or choose "
            "another pose.model"
        )
    return tuple(found)


def _meanings(skeleton: Skeleton) -> tuple[str, ...]:
    """The names of its joints in this module's words."""
    own = MEANINGS.get(skeleton.name, {})
    return tuple(own.get(name, name) for name in skeleton.joints)


def convert_joints(keypoints: np.ndarray, source: Skeleton, target: Skeleton) -> np.ndarray:
    """Joints (..., N, 3) x px, y px, score of one layout in another, (..., M, 3) float32; in its own, as they are.

    A joint of which a part is absent (score 0) is absent: all zero. Raises RecipeError as `joint_sources` does.
    """
    if source.joints == target.joints:
        return keypoints
    converted = np.zeros((*keypoints.shape[:-2], len(target.joints), 3), np.float32)
    for joint, own in enumerate(joint_sources(source, target)):
        if own:
            taken = keypoints[..., list(own), :]
            converted[..., joint, :2] = taken[..., :2].mean(-2, dtype=np.float64)
            converted[..., joint, 2] = taken[..., 2].min(-1)
    converted[~(converted[..., 2] > 0)] = 0
    return converted

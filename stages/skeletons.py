"""Skeletons: which joints a pose has, and which of them change places in a mirror."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import joint_names


@dataclass(frozen=True)
class Skeleton:
    """Joint names in order, left-right pairs (0-based), and the limbs to draw between them.

    name: what the data set or pose model calls it ("penn_action", "ntu", "coco").
    """

    name: str
    joints: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...]
    limbs: tuple[tuple[int, int], ...] = ()

    @property
    def mirrored(self) -> np.ndarray:
        """(N,) int: `keypoints[..., mirrored, :]` puts every joint where its mirror image's name belongs."""
        order = np.arange(len(self.joints))
        for left, right in self.flip_pairs:
            order[[left, right]] = right, left
        return order

    def flip(self, keypoints: np.ndarray, width: int) -> np.ndarray:
        """Mirror keypoints (..., N, 3) with x in px of a frame `width` px wide: x -> width - 1 - x, sides swapped.

        Absent joints too: their score stays 0, their x becomes width - 1.
        """
        flipped = keypoints[..., self.mirrored, :].copy()
        flipped[..., 0] = width - 1 - flipped[..., 0]
        return flipped


PENN_ACTION = Skeleton(
    "penn_action",
    (
        "head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
        "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
    ),
    ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12)),
    (
        (0, 1), (0, 2), (1, 2), (1, 3), (3, 5), (2, 4), (4, 6), (1, 7), (2, 8), (7, 8), (7, 9), (9, 11), (8, 10),
        (10, 12),
    ),
)  # fmt: skip

NTU = Skeleton(
    "ntu",
    (
        "spine_base", "spine_middle", "neck", "head", "left_shoulder", "left_elbow", "left_wrist", "left_hand",
        "right_shoulder", "right_elbow", "right_wrist", "right_hand", "left_hip", "left_knee", "left_ankle",
        "left_foot", "right_hip", "right_knee", "right_ankle", "right_foot", "spine", "left_hand_tip", "left_thumb",
        "right_hand_tip", "right_thumb",
    ),
    ((4, 8), (5, 9), (6, 10), (7, 11), (12, 16), (13, 17), (14, 18), (15, 19), (21, 23), (22, 24)),
    (
        (0, 1), (1, 20), (20, 2), (2, 3), (20, 4), (4, 5), (5, 6), (6, 7), (7, 21), (7, 22), (20, 8), (8, 9), (9, 10),
        (10, 11), (11, 23), (11, 24), (0, 12), (12, 13), (13, 14), (14, 15), (0, 16), (16, 17), (17, 18), (18, 19),
    ),
)  # fmt: skip

COCO = Skeleton(  # as mmpose has it, limbs included
    "coco",
    (
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
        "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
        "right_ankle",
    ),
    ((1, 2), (3, 4), (5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16)),
    (
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
        (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    ),
)  # fmt: skip

H36M = Skeleton(  # Human3.6M's usual 17, as mmpose names them: a foot is the ankle, the neck's base the nose's place
    "h36m",
    (
        "root", "right_hip", "right_knee", "right_foot", "left_hip", "left_knee", "left_foot", "spine", "thorax",
        "neck_base", "head", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow",
        "right_wrist",
    ),
    ((1, 4), (2, 5), (3, 6), (11, 14), (12, 15), (13, 16)),
    (
        (0, 4), (4, 5), (5, 6), (0, 1), (1, 2), (2, 3), (0, 7), (7, 8), (8, 9), (9, 10), (8, 11), (11, 12), (12, 13),
        (8, 14), (14, 15), (15, 16),
    ),
)  # fmt: skip

KINECT_V1 = Skeleton(  # of the first Kinect: Northwestern-UCLA, UTKinect, MSR Action3D
    "kinect_v1",
    (
        "hip_center", "spine", "shoulder_center", "head", "left_shoulder", "left_elbow", "left_wrist", "left_hand",
        "right_shoulder", "right_elbow", "right_wrist", "right_hand", "left_hip", "left_knee", "left_ankle",
        "left_foot", "right_hip", "right_knee", "right_ankle", "right_foot",
    ),
    ((4, 8), (5, 9), (6, 10), (7, 11), (12, 16), (13, 17), (14, 18), (15, 19)),
    (
        (0, 1), (1, 2), (2, 3), (2, 4), (4, 5), (5, 6), (6, 7), (2, 8), (8, 9), (9, 10), (10, 11), (0, 12), (12, 13),
        (13, 14), (14, 15), (0, 16), (16, 17), (17, 18), (18, 19),
    ),
)  # fmt: skip


def _layout(name: str, joints: tuple[str, ...], limbs: str, extra: tuple[tuple[int, int], ...] = ()) -> Skeleton:
    """A skeleton whose sides follow from its joints' names; limbs: "0-1 1-2", by index; extra: further pairs."""
    ends = (limb.split("-") for limb in limbs.split())
    return Skeleton(name, joints, joint_names.flip_pairs(joints) + extra, tuple((int(a), int(b)) for a, b in ends))


_COCO_LIMBS = " ".join(f"{a}-{b}" for a, b in COCO.limbs)
_FACE = joint_names.WHOLEBODY_133.index("face-0")
_HAND = " ".join(
    f"{root if number == 1 else root + 4 * finger + number - 1}-{root + 4 * finger + number}"
    for root in (91, 112)
    for finger in range(5)
    for number in (1, 2, 3, 4)
)

OPENPOSE_18 = _layout(
    "openpose_18",
    joint_names.OPENPOSE_18,
    "1-0 1-2 2-3 3-4 1-5 5-6 6-7 1-8 8-9 9-10 1-11 11-12 12-13 0-14 14-16 0-15 15-17",
)
OPENPOSE_25 = _layout(
    "openpose_25",
    joint_names.OPENPOSE_25,
    "1-0 1-2 2-3 3-4 1-5 5-6 6-7 1-8 8-9 9-10 10-11 8-12 12-13 13-14 0-15 15-17 0-16 16-18 14-19 19-20 14-21 11-22 "
    "22-23 11-24",
)
BLAZEPOSE_33 = _layout(
    "blazepose_33",
    joint_names.BLAZEPOSE_33,
    "0-2 2-7 0-5 5-8 9-10 11-12 11-13 13-15 15-17 15-19 15-21 12-14 14-16 16-18 16-20 16-22 11-23 12-24 23-24 23-25 "
    "25-27 27-29 29-31 24-26 26-28 28-30 30-32",
)
HALPE_26 = _layout(
    "halpe26",
    joint_names.HALPE_26,
    "15-13 13-11 11-19 16-14 14-12 12-19 17-18 18-19 18-5 5-7 7-9 18-6 6-8 8-10 1-2 0-1 0-2 1-3 2-4 3-5 4-6 15-20 "
    "15-22 15-24 16-21 16-23 16-25",
)
MPII = _layout("mpii", joint_names.MPII_16, "0-1 1-2 2-6 6-3 3-4 4-5 6-7 7-8 8-9 8-12 12-11 11-10 8-13 13-14 14-15")
CROWDPOSE = _layout(
    "crowdpose", joint_names.CROWDPOSE_14, "10-8 8-6 11-9 9-7 6-7 0-6 1-7 0-1 0-2 1-3 2-4 3-5 12-13 1-13 0-13"
)
JHMDB = _layout("jhmdb", joint_names.JHMDB_15, "13-9 9-5 5-1 1-6 6-10 10-14 1-0 0-2 0-3 3-7 7-11 0-4 4-8 8-12")
COCO_WHOLEBODY = _layout(
    "coco_wholebody",
    joint_names.WHOLEBODY_133,
    f"{_COCO_LIMBS} 15-17 15-18 15-19 16-20 16-21 16-22 {_HAND}",
    joint_names.face_pairs(_FACE),
)

SKELETONS = {
    skeleton.name: skeleton
    for skeleton in (
        PENN_ACTION, COCO, H36M, NTU, KINECT_V1, OPENPOSE_18, OPENPOSE_25, BLAZEPOSE_33, HALPE_26, MPII, CROWDPOSE,
        JHMDB, COCO_WHOLEBODY,
    )
}  # fmt: skip

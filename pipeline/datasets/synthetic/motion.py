"""How the drawn figure moves: eight actions as key poses, and a body of bones that follows them.

Space: metres, x to the figure's left, y up from the floor, z to where it faces. A limb points into a direction given
by two angles: elevation (0 hanging, pi/2 level, pi upright) and azimuth (0 sideways outward, pi/2 forward).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

SEGMENTS = (
    "left_upper_arm", "right_upper_arm", "left_forearm", "right_forearm",
    "left_thigh", "right_thigh", "left_shin", "right_shin",
    "torso", "lift",
)  # fmt: skip
# torso is (bent forward, leaning to the left) in radians; lift is (height of a hop in metres, nod in radians)

Pose = Mapping[str, tuple[float, float]]


def _both(segment: str, elevation: float, azimuth: float) -> Pose:
    return {f"left_{segment}": (elevation, azimuth), f"right_{segment}": (elevation, azimuth)}


STAND: Pose = {
    **_both("upper_arm", 0.18, 0.2), **_both("forearm", 0.28, 0.9), **_both("thigh", 0.08, 0.2),
    **_both("shin", 0.05, 0.0), "torso": (0.0, 0.0), "lift": (0.0, 0.0),
}  # fmt: skip
SIDEWAYS = {**STAND, **_both("upper_arm", 1.5, 0.25), **_both("forearm", 1.6, 0.3)}
UPRIGHT = {**STAND, **_both("upper_arm", 2.75, 0.2), **_both("forearm", 2.95, 0.2), "lift": (0.0, -0.15)}
HAND_OUT = {
    **STAND, "right_upper_arm": (1.55, 0.2), "right_forearm": (2.35, 0.2),
    "left_upper_arm": (0.55, -0.2), "left_forearm": (-0.6, 0.0), "torso": (0.0, 0.03),
}  # fmt: skip
HAND_IN = {**HAND_OUT, "right_upper_arm": (1.75, 0.2), "right_forearm": (3.45, 0.2), "torso": (0.0, -0.06)}
HALF_JACK = {
    **STAND, **_both("upper_arm", 1.5, 0.1), **_both("forearm", 1.6, 0.1), **_both("thigh", 0.25, 0.0),
    **_both("shin", 0.22, 0.0), "lift": (0.09, 0.0),
}  # fmt: skip
JACK = {
    **STAND, **_both("upper_arm", 2.6, 0.1), **_both("forearm", 3.0, 0.1), **_both("thigh", 0.48, 0.0),
    **_both("shin", 0.42, 0.0),
}  # fmt: skip
SQUAT = {
    **STAND, **_both("upper_arm", 1.45, 1.25), **_both("forearm", 1.5, 1.5), **_both("thigh", 1.3, 1.0),
    **_both("shin", 0.5, -1.9), "torso": (0.5, 0.0), "lift": (0.0, -0.3),
}  # fmt: skip
SWING_BACK = {
    **STAND, "right_thigh": (-0.35, 1.3), "right_shin": (-0.9, 1.3), "torso": (0.1, 0.05),
    "left_upper_arm": (0.8, 0.9), "right_upper_arm": (0.7, -0.4),
}  # fmt: skip
KICK = {
    **STAND, "right_thigh": (1.45, 0.75), "right_shin": (1.4, 0.75), "torso": (-0.2, 0.15),
    "left_upper_arm": (0.9, 0.2), "left_forearm": (1.1, 0.4), "right_upper_arm": (0.9, -0.3),
}  # fmt: skip
BOW = {
    **STAND, **_both("upper_arm", 0.35, 1.4), **_both("forearm", 0.4, 1.4), "torso": (1.25, 0.0),
    "lift": (0.0, 0.35),
}  # fmt: skip


@dataclass(frozen=True)
class Action:
    """Key poses in order.

    cycles: (least, most) repetitions of the keys as a loop; None runs through them once, from rest to rest.
    reverse: the finished clip runs backwards, camera and all.
    motion: actions of one name share their random numbers, so that clip k of one has exactly the joints of clip k of
        the other (backwards, where one is reversed).
    flag: a flag is held in the hand that waves.
    """

    keys: tuple[Pose, ...]
    cycles: tuple[float, float] | None = None
    reverse: bool = False
    motion: str = ""
    flag: bool = False


ACTIONS: Mapping[str, Action] = {
    "raise_arms": Action((STAND, SIDEWAYS, UPRIGHT), motion="arms"),
    "lower_arms": Action((STAND, SIDEWAYS, UPRIGHT), reverse=True, motion="arms"),
    "wave": Action((HAND_OUT, HAND_IN), (2.0, 3.0), motion="wave"),
    "wave_flag": Action((HAND_OUT, HAND_IN), (2.0, 3.0), motion="wave", flag=True),
    "jumping_jacks": Action((STAND, HALF_JACK, JACK, HALF_JACK), (1.5, 2.5), motion="jacks"),
    "squat": Action((STAND, SQUAT), (1.0, 2.0), motion="squat"),
    "kick": Action((STAND, SWING_BACK, KICK), (1.0, 1.8), motion="kick"),
    "bow": Action((STAND, BOW), (1.0, 1.8), motion="bow"),
}


@dataclass(frozen=True)
class Body:
    """Lengths of bones in metres; girth scales the thickness of limbs and trunk."""

    torso: float
    neck: float
    head: float
    shoulders: float
    hips: float
    upper_arm: float
    forearm: float
    thigh: float
    shin: float
    girth: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Body:
        """Somebody: 1.55 to 1.95 m, slim or stout, with longer or shorter limbs."""
        scale = rng.uniform(0.9, 1.1)
        limbs = scale * rng.uniform(0.94, 1.06, 4)
        return cls(
            torso=0.5 * scale * rng.uniform(0.93, 1.07),
            neck=0.08 * scale,
            head=0.115 * rng.uniform(0.92, 1.12),
            shoulders=0.36 * scale * rng.uniform(0.9, 1.12),
            hips=0.2 * scale * rng.uniform(0.9, 1.15),
            upper_arm=0.29 * limbs[0],
            forearm=0.25 * limbs[1],
            thigh=0.43 * limbs[2],
            shin=0.42 * limbs[3],
            girth=rng.uniform(0.85, 1.2),
        )


def perform(action: Action, body: Body, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Points of the body (frames, 16, 3) in metres: Penn Action's 13 joints, neck, left toes, right toes.

    Half of the figures are left-handed: the whole body is mirrored and left and right change names.
    """
    points = _skeleton(body, _angles(action, frames, rng))
    if rng.random() < 0.5:
        points = points[:, [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 13, 15, 14]] * (-1.0, 1.0, 1.0)
    return points


def _angles(action: Action, frames: int, rng: np.random.Generator) -> np.ndarray:
    """(frames, 10, 2): the key poses with this clip's vigour and slips, eased from one to the next, with some sway."""
    rest = np.array([STAND[name] for name in SEGMENTS])
    keys = np.array([[pose[name] for name in SEGMENTS] for pose in action.keys])
    slips = rng.normal(0, 0.06, keys.shape) * (np.array(SEGMENTS) != "lift")[:, None]
    keys = rest + rng.uniform(0.9, 1.1) * (keys - rest) + slips
    time, count = np.linspace(0, 1, frames), len(keys)
    if action.cycles is None:  # place: in the list of keys; 1.5 is half-way between the second and the third
        start, end = rng.uniform(0.05, 0.25), rng.uniform(0.75, 0.95)
        place = np.clip((time - start) / (end - start), 0, 1) * (count - 1.001)
    else:
        place = (rng.uniform(*action.cycles) * time + rng.uniform(0, 1)) * count
    first = np.floor(place).astype(int)
    ease = ((1 - np.cos(np.pi * (place - first))) / 2)[:, None, None]
    angles = keys[first % count] * (1 - ease) + keys[(first + 1) % count] * ease
    sway = np.sin(np.linspace(0, 2 * np.pi * rng.uniform(0.4, 0.9), frames)[:, None] + rng.uniform(0, 6.28, 2))
    angles[:, SEGMENTS.index("torso")] += 0.03 * sway
    return angles


def _skeleton(body: Body, angles: np.ndarray) -> np.ndarray:
    """Bones laid end to end, the lower foot on the floor: (frames, 16, 3)."""
    limb = {name: angles[:, index] for index, name in enumerate(SEGMENTS)}
    pitch, roll = limb["torso"].T
    hop, nod = limb["lift"].T
    up = np.stack([np.sin(roll), np.cos(roll) * np.cos(pitch), np.cos(roll) * np.sin(pitch)], axis=1)
    across = np.stack([np.cos(roll), -np.sin(roll), np.zeros_like(roll)], axis=1)
    along = np.stack([up[:, 0], np.cos(pitch + nod), np.sin(pitch + nod)], axis=1)
    neck = body.torso * up
    points = np.zeros((len(angles), 16, 3))
    points[:, 13] = neck + 0.3 * body.neck * up
    points[:, 0] = neck + body.neck * up + body.head * along
    for side, sign in ((0, 1.0), (1, -1.0)):
        name = ("left_", "right_")[side]
        points[:, 1 + side] = neck + sign * body.shoulders / 2 * across
        points[:, 7 + side] = (sign * body.hips / 2, 0, 0)
        for start, end, segment, length in (
            (1, 3, "upper_arm", body.upper_arm), (3, 5, "forearm", body.forearm),
            (7, 9, "thigh", body.thigh), (9, 11, "shin", body.shin),
        ):  # fmt: skip
            elevation, azimuth = limb[name + segment].T
            level = np.sin(elevation)
            bone = [sign * level * np.cos(azimuth), -np.cos(elevation), level * np.sin(azimuth)]  # of length 1
            points[:, end + side] = points[:, start + side] + length * np.stack(bone, axis=1)
        points[:, 14 + side] = points[:, 11 + side] + (sign * 0.05, -0.04, 0.15)
    ground = points[:, 11:13, 1].min(axis=1) - 0.07
    points[..., 1] += (hop - ground)[:, None]
    return points

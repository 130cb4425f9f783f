"""Names of joints: whose left and right belong together, in any convention, and the layouts of pose estimators.

`LShoulder`, `left shoulder`, `shoulder_l`, `LEFT_SHOULDER`, `shoulderLeft` and `leftShoulder` all name the same joint;
sides are also known in some other languages (`Schulter links`, `hombro_izquierdo`, `左肩`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
LEFT = ("left", "l", "lft", "lt", "links", "linke", "linker", "linkes", "gauche", "izquierda", "izquierdo", "izq",
    "esquerda", "esquerdo", "sinistra", "sinistro", "sx")  # fmt: skip
RIGHT = ("right", "r", "rgt", "rt", "rechts", "rechte", "rechter", "rechtes", "droite", "droit", "derecha", "derecho",
    "der", "direita", "direito", "destra", "destro", "dx")  # fmt: skip
LETTERS = {"l": "left", "r": "right", "左": "left", "右": "right"}


def flip_pairs(joints: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """The (left, right) pairs of indices among joints, by their names; the left one of each first, in its order.

    A side counts only where its twin is there, named by the same convention: `lumbar` has no `rumbar`, and is in the
    middle. Joints that one convention pairs are left to it; the others are looked at by the next one.
    """
    pairs: dict[int, int] = {}
    for sides in (_by_word, _by_prefix, _by_letter, _by_last_letter):
        taken = {*pairs, *pairs.values()}
        found = {index: sides(name) for index, name in enumerate(joints) if index not in taken}
        right = {rest: index for index, (side, rest) in found.items() if side == "right"}
        pairs |= {index: right[rest] for index, (side, rest) in found.items() if side == "left" and rest in right}
    return tuple(sorted(pairs.items()))


def without_twin(joints: Sequence[str]) -> tuple[str, ...]:
    """The joints whose names say a side in a word of its own, and whose twin is not there: the sides of `left_sholder`
    and `right_shoulder` are known, and that they belong together is not."""
    paired = {index for pair in flip_pairs(joints) for index in pair}
    return tuple(
        name
        for index, name in enumerate(joints)
        if index not in paired and any(sides(name)[0] for sides in (_by_word, _by_prefix))
    )


def common_name(joint: str) -> str:
    """A joint's name as star writes it: `left_shoulder`, whatever the convention."""
    side, rest = _by_word(joint)
    if not side:
        side, rest = _by_prefix(joint)
    return "_".join((side, *rest) if side else rest)


def _by_word(name: str) -> tuple[str, tuple[str, ...]]:
    """Side ("left", "right" or "") and the other words, where a word of its own says the side."""
    words = [word.lower() for word in WORD.findall(name)]
    for side, spellings in (("left", LEFT), ("right", RIGHT)):
        for spelling in spellings:
            if spelling in words and len(words) > 1:
                words.remove(spelling)
                return side, tuple(words)
    return "", tuple(words)


def _by_prefix(name: str) -> tuple[str, tuple[str, ...]]:
    """The same where the name begins with the side, without a gap: `leftshoulder`."""
    text = "_".join(word.lower() for word in WORD.findall(name))
    for side in ("left", "right"):
        if text.startswith(side) and len(text) > len(side):
            return side, (text.removeprefix(side).strip("_"),)
    return "", (text,)


def _by_letter(name: str) -> tuple[str, tuple[str, ...]]:
    """The same where the first letter is the side: `Lhip`."""
    text = name.lower()
    return LETTERS.get(text[:1], ""), (text[1:],)


def _by_last_letter(name: str) -> tuple[str, tuple[str, ...]]:
    """The same where the last one is: `elbowr`."""
    text = name.lower()
    return LETTERS.get(text[-1:], ""), (text[:-1],)


def _pairs(*names: str) -> tuple[str, ...]:
    """Each name for the left and for the right, one after the other."""
    return tuple(f"{side}_{name}" for name in names for side in ("left", "right"))


COCO_17 = ("nose", *_pairs("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"))

OPENPOSE_18 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye",
    "right_ear", "left_ear",
)  # fmt: skip

OPENPOSE_25 = (
    *OPENPOSE_18[:8], "mid_hip", *OPENPOSE_18[8:], "left_big_toe", "left_small_toe", "left_heel", "right_big_toe",
    "right_small_toe", "right_heel",
)  # fmt: skip

BLAZEPOSE_33 = (
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer",
    *_pairs("ear"), "mouth_left", "mouth_right",
    *_pairs("shoulder", "elbow", "wrist", "pinky", "index", "thumb", "hip", "knee", "ankle", "heel", "foot_index"),
)  # fmt: skip

HALPE_26 = (*COCO_17, "head", "neck", "hip", *_pairs("big_toe", "small_toe", "heel"))

MPII_16 = (
    "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax", "upper_neck",
    "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip

CROWDPOSE_14 = (*_pairs("shoulder", "elbow", "wrist", "hip", "knee", "ankle"), "top_head", "neck")

JHMDB_15 = (
    "neck", "belly", "head", "right_shoulder", "left_shoulder", "right_hip", "left_hip", "right_elbow", "left_elbow",
    "right_knee", "left_knee", "right_wrist", "left_wrist", "right_ankle", "left_ankle",
)  # fmt: skip

FINGERS = ("thumb", "forefinger", "middle_finger", "ring_finger", "pinky_finger")
TOES = ("big_toe", "small_toe", "heel")
FACE = 68  # landmarks, named by their numbers

WHOLEBODY_133 = (
    *COCO_17,
    *(f"{side}_{toe}" for side in ("left", "right") for toe in TOES),
    *(f"face-{number}" for number in range(FACE)),
    *(
        f"{side}_{part}"
        for side in ("left", "right")
        for part in ("hand_root", *(f"{finger}{number}" for finger in FINGERS for number in (1, 2, 3, 4)))
    ),
)


def face_pairs(first: int) -> tuple[tuple[int, int], ...]:
    """The pairs among the 68 landmarks of a face whose first has the index `first`."""
    jaw = [(number, 16 - number) for number in range(8)]
    brows = [(number, 43 - number) for number in range(17, 22)]
    nose = [(31, 35), (32, 34)]
    eyes = [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]
    mouth = [(48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)]
    return tuple((first + left, first + right) for left, right in (*jaw, *brows, *nose, *eyes, *mouth))

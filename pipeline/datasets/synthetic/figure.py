"""What the drawn figure looks like: limbs with outline and light, clothes, a face, and the flag.

Everything but trunk, flag and shadow is a limb: a tapering shape with round ends between two points. Their outlines
are computed for all frames at once, so that a frame costs little more than its strokes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np

from .motion import Body
from .scene import CLOTHES, Colour, colour, shade

FLAG = ((225.0, 0.0, 140.0), (255.0, 255.0, 255.0))  # chequered in two colours that nothing else has
SHIFT = 4  # cv2 takes coordinates in sixteenths of a pixel
OUTLINE = 0.5
INSIDE = 0.8  # of a limb's thickness
LIGHT = 1.2
POLE, CLOTH = (-0.2, 0.6), 0.26  # metres: the pole's reach beside the hand, a square of the cloth

LAYERS = ("trunk", "head", "left_leg", "right_leg", "left_arm", "right_arm")
HAND, FACE, CHIN, CROWN, NAPE, EYE = 16, 18, 19, 20, 21, 22  # points that are added to the body's 16


@dataclass(frozen=True)
class Appearance:
    """Colours in red, green, blue 0..255, and what is short or long."""

    shirt: Colour
    trousers: Colour
    skin: Colour
    hair: Colour
    shoes: Colour
    sleeves: bool
    shorts: bool
    long_hair: bool

    @classmethod
    def drawn(cls, split: str, rng: np.random.Generator) -> Appearance:
        """Clothes of the hues that this split has for itself."""
        hues, shoes = CLOTHES[split], float(rng.choice((35.0, 225.0)))
        return cls(
            shirt=colour(rng, hues, (0.6, 0.95), (0.55, 0.95)),
            trousers=colour(rng, hues, (0.3, 0.7), (0.2, 0.5)),
            skin=shade((236.0, 196.0, 164.0), rng.uniform(0.35, 1.0)),
            hair=shade((150.0, 110.0, 60.0), rng.uniform(0.1, 0.9)),
            shoes=(shoes, shoes, shoes),
            sleeves=bool(rng.random() < 0.5),
            shorts=bool(rng.random() < 0.3),
            long_hair=bool(rng.random() < 0.4),
        )


class Limb(NamedTuple):
    """From one point to another, in metres thick; `layer` says with what it lies in front of the rest."""

    layer: str
    start: int
    end: int
    thick: tuple[float, float]
    tint: Colour


class Figure:
    """One person through one clip.

    points: (F, 16, 2) px as `motion.perform` orders them. depth: (F, 16) metres towards the camera.
    scale: (F,) px per metre. yaw: where the face looks, radians. flag: the wrist (5 or 6) that holds it, or None.
    """

    def __init__(
        self,
        body: Body,
        look: Appearance,
        points: np.ndarray,
        depth: np.ndarray,
        scale: np.ndarray,
        yaw: float,
        flag: int | None,
    ) -> None:
        self.points = np.concatenate([points, _extra(points, body.head * scale, yaw)], axis=1)
        self.scale, self.girth, self.look, self.flag = scale, body.girth, look, flag
        self.eye = body.head * 0.11 * scale
        nearest = [depth[:, [1, 2, 7, 8]].mean(axis=1) + 0.04, depth[:, 0] + 0.2]  # (F,) of each layer
        nearest += [depth[:, [7 + side, 9 + side]].mean(axis=1) - 0.06 for side in (0, 1)]
        nearest += [depth[:, [3 + side, 5 + side]].mean(axis=1) + 0.08 for side in (0, 1)]
        self.order = np.argsort(np.stack(nearest, axis=1), axis=1, kind="stable")  # clothes lie over what they cover
        self.limbs = _limbs(look, body)
        self.strokes = [_strokes(self.points, limb, scale) for limb in self.limbs]
        self.members = [[k for k, limb in enumerate(self.limbs) if limb.layer == layer] for layer in LAYERS]
        self.cloth: tuple[list[Any], np.ndarray] | None = None
        if flag is not None:  # the pole's ends, and the corners of 4 x 3 squares (F, 12, 4, 2) that hang from it
            hand, size = self.points[:, HAND + flag - 5, None], scale[:, None, None]
            along = _unit(self.points[:, flag] - self.points[:, flag - 2])[:, None]
            out = np.stack([-along[..., 1], along[..., 0]], axis=-1) * (1.0 if flag == 5 else -1.0)
            pole = hand + size * along * np.array(POLE)[:, None]
            square = ((0, 0), (1, 0), (1, 1), (0, 1))
            steps = np.array([(i + a, j + b) for i in range(4) for j in range(3) for a, b in square])
            corners = hand + CLOTH * size * (steps[:, :1] * out + (steps[:, 1:] - 0.9) * along)
            self.cloth = _pairs(pole), _fixed_all(corners).reshape(len(points), 12, 4, 2)

    def paint(self, canvas: np.ndarray, frame: int) -> None:
        """Paint onto canvas (h, w, 3) uint8, from what is farthest to what is nearest."""
        self._shadow(canvas, frame)
        for layer in self.order[frame]:
            for member in self.members[layer]:
                self._limb(canvas, member, frame)
            if LAYERS[layer] == "trunk":
                self._trunk(canvas, frame)
            elif LAYERS[layer] == "head":
                for eye in (EYE, EYE + 1):
                    place, radius = _fixed(self.points[frame, eye]), max(9, int(16 * self.eye[frame]))
                    cv2.circle(canvas, place, radius, (25, 20, 20), -1, cv2.LINE_AA, SHIFT)
            elif self.flag is not None and LAYERS[layer] == ("left_arm" if self.flag == 5 else "right_arm"):
                self._flag(canvas, frame)

    def _limb(self, canvas: np.ndarray, member: int, frame: int) -> None:
        quads, ends, radii, stripe, width = self.strokes[member]
        tint = self.limbs[member].tint
        for shell, paint in enumerate((shade(tint, OUTLINE), tint)):
            cv2.fillConvexPoly(canvas, quads[frame, shell], paint, cv2.LINE_AA, SHIFT)
            for end in (0, 1):
                cv2.circle(canvas, ends[frame][end], radii[frame][shell][end], paint, -1, cv2.LINE_AA, SHIFT)
        start, stop = stripe[frame]
        cv2.line(canvas, start, stop, shade(tint, LIGHT), width, cv2.LINE_AA, SHIFT)

    def _trunk(self, canvas: np.ndarray, frame: int) -> None:
        left, right, hip_left, hip_right = self.points[frame, [1, 2, 7, 8]]
        corners = [_fixed_all(np.stack([left, right, hip_right, hip_left]))]
        radius = 0.085 * self.girth * self.scale[frame]
        for share, light in ((1.0, OUTLINE), (INSIDE, 1.0)):
            paint = shade(self.look.shirt, light)
            cv2.fillConvexPoly(canvas, corners[0], paint, cv2.LINE_AA, SHIFT)
            cv2.polylines(canvas, corners, True, paint, max(1, round(2 * radius * share)), cv2.LINE_AA, SHIFT)

    def _flag(self, canvas: np.ndarray, frame: int) -> None:
        assert self.cloth is not None
        pole, squares = self.cloth
        low, high = pole[frame]
        cv2.line(canvas, low, high, (90, 60, 35), max(1, round(0.03 * self.scale[frame])), cv2.LINE_AA, SHIFT)
        for index, square in enumerate(squares[frame]):
            cv2.fillConvexPoly(canvas, square, FLAG[(index // 3 + index % 3) % 2], cv2.LINE_AA, SHIFT)

    def _shadow(self, canvas: np.ndarray, frame: int) -> None:
        feet, scale = self.points[frame, 11:13], self.scale[frame]
        centre = feet.mean(axis=0) + np.array([0, 0.05 * scale])
        reach = np.array([0.34 * scale + abs(feet[0, 0] - feet[1, 0]) / 2, 0.1 * scale])
        low = np.maximum(np.floor(centre - reach), 0).astype(int)
        high = np.minimum(np.ceil(centre + reach), canvas.shape[1::-1]).astype(int)
        if (high <= low).any():
            return
        patch = canvas[low[1] : high[1], low[0] : high[0]]
        dark = patch.copy()
        cv2.ellipse(dark, _fixed(centre - low), _fixed(reach), 0, 0, 360, (20, 20, 20), -1, cv2.LINE_AA, SHIFT)
        cv2.addWeighted(dark, 0.45, patch, 0.55, 0, patch)


def _limbs(look: Appearance, body: Body) -> list[Limb]:
    """The limbs of a figure; within a layer, later ones lie over earlier ones."""
    shin = look.skin if look.shorts else look.trousers
    sleeve = look.shirt if look.sleeves else look.skin
    g, head = body.girth, body.head
    limbs = [Limb("trunk", 7, 8, (0.1 * g, 0.1 * g), look.trousers)]
    if look.long_hair:
        limbs.append(Limb("head", CROWN, NAPE, (head * 0.95, head * 0.85), look.hair))
    limbs += [
        Limb("head", CROWN, CROWN, (head, head), look.hair),
        Limb("head", 13, CHIN, (0.06 * g, 0.05 * g), look.skin),
        Limb("head", FACE, CHIN, (head * 0.8, head * 0.66), look.skin),
    ]
    for side, name in ((0, "left_"), (1, "right_")):
        limbs += [
            Limb(name + "leg", 11 + side, 14 + side, (0.052 * g, 0.044 * g), look.shoes),
            Limb(name + "leg", 9 + side, 11 + side, (0.064 * g, 0.046 * g), shin),
            Limb(name + "leg", 7 + side, 9 + side, (0.094 * g, 0.07 * g), look.trousers),
            Limb(name + "arm", 5 + side, HAND + side, (0.04 * g, 0.046 * g), look.skin),
            Limb(name + "arm", 3 + side, 5 + side, (0.052 * g, 0.04 * g), sleeve),
            Limb(name + "arm", 1 + side, 3 + side, (0.07 * g, 0.056 * g), look.shirt),
        ]
    return limbs


def _extra(points: np.ndarray, radius: np.ndarray, yaw: float) -> np.ndarray:
    """(F, 8, 2): hands, the ends of the face, crown, nape and eyes."""
    hands = points[:, 5:7] + 0.28 * (points[:, 5:7] - points[:, 3:5])
    centre, size = points[:, 0], radius[:, None]
    up = _unit(centre - points[:, 13])
    side = np.stack([-up[:, 1], up[:, 0]], axis=1)
    look = centre + 0.3 * np.sin(yaw) * side * size
    head = [look - 0.05 * up * size, look - 0.35 * up * size, centre + 0.2 * up * size, centre - 0.75 * up * size]
    eyes = [look + (0.2 * np.sin(yaw) + place) * side * size for place in (-0.3, 0.3)]
    return np.concatenate([hands, np.stack(head + eyes, axis=1)], axis=1)


def _strokes(points: np.ndarray, limb: Limb, scale: np.ndarray) -> tuple[Any, ...]:
    """What cv2 takes to draw a limb in every frame: quads (F, 2, 4, 2), ends, radii, the stripe of light, its width."""
    ends = points[:, [limb.start, limb.end]]
    radii = np.multiply.outer(scale, limb.thick)
    along = _unit(ends[:, 1] - ends[:, 0])
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)[:, None, None]
    shells = radii[:, None] * np.array([1.0, INSIDE])[:, None]
    reach = across * shells[..., None]
    quads = np.stack([ends[:, None] + reach, ends[:, None] - reach], axis=2)
    quads = np.stack([quads[:, :, 0, 0], quads[:, :, 0, 1], quads[:, :, 1, 1], quads[:, :, 1, 0]], axis=2)
    lit = across[:, 0] * np.where(across[:, 0, :, 1:] < 0, 1.0, -1.0)
    stripe = ends + 0.38 * lit * radii[..., None]
    width = max(1, round(0.6 * float(radii.mean())))
    return _fixed_all(quads), _pairs(ends), _fixed_all(shells).tolist(), _pairs(stripe), width


def _unit(vectors: np.ndarray) -> np.ndarray:
    """(F, 2) of length 1; (0, 1) where there is no direction."""
    length = np.hypot(vectors[:, 0], vectors[:, 1])[:, None]
    return np.where(length > 1e-9, vectors / np.maximum(length, 1e-9), (0.0, 1.0))


def _fixed(point: np.ndarray) -> tuple[int, int]:
    return round(float(point[0]) * 16), round(float(point[1]) * 16)


def _fixed_all(values: np.ndarray) -> np.ndarray:
    return np.round(values * 16).astype(np.int32)


def _pairs(points: np.ndarray) -> list[Any]:
    """(F, 2, 2) px as lists of two points each, in sixteenths."""
    return _fixed_all(points).tolist()

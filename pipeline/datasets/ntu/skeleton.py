"""The .skeleton text files of NTU RGB+D: Kinect's bodies, frame by frame.

frames
  bodies                                          may be 0
    bodyID clipped handL... trackingState         10 numbers
    joints                                        25
      x y z depthX depthY colorX colorY orientationW orientationX orientationY orientationZ trackingState
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, groupby
from operator import itemgetter
from pathlib import Path

import numpy as np

from ....errors import AnnotationError
from ....stages.pose.tracking import Detection, Track, match_boxes
from ....stages.skeletons import NTU
from ....untrusted_files import LARGE, UntrustedFile, read_bytes

JOINTS = len(NTU.joints)
COLUMNS = 12
COLOR_X, COLOR_Y, TRACKING = 5, 6, 11
WANTED = itemgetter(COLOR_X, COLOR_Y, TRACKING)
PEOPLE = 2  # no action has more; further bodies are furniture and reflections
LOST = 15  # frames, half a second: a body that Kinect lost and finds again within them has got another bodyID
NEAR = 0.5  # how far from where it is expected it is found again at most, see `tracking.REACH`

Body = tuple[list[int], np.ndarray]  # its frames, and its joints (f, 25, 3) in them


def read_skeleton(path: Path) -> np.ndarray:
    """The joints of up to two bodies in the pixels of the 1920x1080 video; the one that moves most comes first.

    Returns (F, P, 25, 3) float32: colorX, colorY, score; P is 1 or 2. A joint that Kinect does not track (state 0) or
    that has no finite place scores 0, all others 1. A body that is lost and found again nearby under another bodyID is
    one. Raises AnnotationError with the line of the first oddity.
    """
    if path.exists() and not path.is_file():  # a pipe would wait for ever
        raise AnnotationError(f"{path}: not a regular file; copy it anew")
    try:
        lines = read_bytes(path, LARGE).decode("ascii").splitlines()
    except OSError as error:
        raise AnnotationError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise AnnotationError(f"{path}: not a text file; copy it anew") from None
    except UntrustedFile as error:
        raise AnnotationError(f"{path}: {error}; copy it anew") from None
    frames, bodies = _structure(path, lines)
    found = _linked([(frame, _joints(path, lines, start)) for frame, start in bodies.values()])
    found = sorted(found, key=lambda body: -_motion(body[1]))[:PEOPLE]
    keypoints = np.zeros((frames, max(1, len(found)), JOINTS, 3), np.float32)
    for slot, (frame, joints) in enumerate(found):
        keypoints[frame, slot] = joints
    return keypoints


def _structure(path: Path, lines: list[str]) -> tuple[int, dict[str, tuple[list[int], list[int]]]]:
    """The number of frames, and per bodyID its frames and the indices of the lines where its joints begin."""
    bodies: dict[str, tuple[list[int], list[int]]] = {}
    frames = _count(path, lines, 0, "a number of frames")
    at = 1
    for frame in range(frames):
        present = _count(path, lines, at, "a number of bodies")
        at += 1
        for _ in range(present):
            body = lines[at].split(maxsplit=1)[0] if at < len(lines) and lines[at].strip() else ""
            if _count(path, lines, at + 1, f"{JOINTS} joints") != JOINTS:
                raise AnnotationError(f"{path}, line {at + 2}: {lines[at + 1]!r} joints; a Kinect body has {JOINTS}")
            seen, starts = bodies.setdefault(body, ([], []))
            if seen and seen[-1] == frame:
                raise AnnotationError(
                    f"{path}, line {at + 1}: second body {body} in frame {frame}, whose joints are whose? copy it anew"
                )
            seen.append(frame)
            starts.append(at + 2)
            at += 2 + JOINTS
    if at > len(lines):
        raise AnnotationError(f"{path}: ends after line {len(lines)}, in the middle of a body; copy it anew")
    return frames, bodies


def _count(path: Path, lines: list[str], index: int, expected: str) -> int:
    if index >= len(lines):
        raise AnnotationError(f"{path}: ends after line {len(lines)}, where {expected} should follow; copy it anew")
    text = lines[index].strip()
    if not text.isdecimal():
        raise AnnotationError(f"{path}, line {index + 1}: {text[:40]!r} where {expected} should stand; copy it anew")
    return int(text)


def _joints(path: Path, lines: list[str], start: list[int]) -> np.ndarray:
    """(bodies, 25, 3) float32 of the bodies whose joints begin at these lines."""
    rows = [line.split() for first in start for line in lines[first : first + JOINTS]]
    try:
        numbers = np.fromiter(map(float, chain.from_iterable(map(WANTED, rows))), np.float64, 3 * len(rows))
        numbers = numbers.reshape(-1, 3)
    except (ValueError, IndexError):
        numbers = np.array(list(_slowly(path, lines, start)))
    finite = np.isfinite(numbers).all(axis=1) & (numbers[:, 2] > 0)
    numbers[:, 2] = 1.0
    return np.where(finite[:, None], numbers, 0).astype(np.float32).reshape(-1, JOINTS, 3)


def _slowly(path: Path, lines: list[str], start: list[int]) -> Iterator[tuple[float, ...]]:
    """The same numbers one by one: finds the line that is wrong, and reads Windows' spellings of no number."""
    for index in (first + joint for first in start for joint in range(JOINTS)):
        row = lines[index].split()
        try:
            yield tuple(float("nan" if "#" in row[column] else row[column]) for column in (COLOR_X, COLOR_Y, TRACKING))
        except (ValueError, IndexError):
            message = (
                f"{path}, line {index + 1}: {lines[index][:40]!r} where the {COLUMNS} numbers of a joint should stand"
            )
            raise AnnotationError(f"{message}; copy it anew") from None


def _linked(bodies: list[Body]) -> list[Body]:
    """The bodies, in the order in which they appear, those made one that follow each other at one place."""
    if len({frames[0] for frames, _ in bodies}) < 2:  # all begin together
        return bodies
    whole: list[Body] = []
    for first, beginning in groupby(bodies, key=lambda body: body[0][0]):
        ended = [at for at, (frames, _) in enumerate(whole) if 0 < first - frames[-1] <= LOST]
        found = list(beginning)
        followed: dict[int, int] = {}  # which of those found is which of those that ended before
        if ended:
            before = [(at, track) for at in ended if (track := _track(*whole[at]))]
            after = [(at, next(iter(track.values()))) for at, body in enumerate(found) if (track := _track(*body))]
            boxes = np.array([sighting.box for _, sighting in after])
            pairs = match_boxes([track for _, track in before], first, boxes, NEAR)
            followed = {after[new][0]: before[old][0] for new, old in pairs.items()}
        for number, (frames, joints) in enumerate(found):
            if number in followed:
                at = followed[number]
                whole[at] = whole[at][0] + frames, np.concatenate([whole[at][1], joints])
            else:
                whole.append((frames, joints))
    return whole


def _track(frames: list[int], joints: np.ndarray) -> Track:
    """The boxes around a body's joints, in the frames in which it has two or more."""
    seen = joints[..., 2:] > 0
    low = np.where(seen, joints[..., :2], np.inf).min(1)
    high = np.where(seen, joints[..., :2], -np.inf).max(1)
    boxes = np.concatenate([low, high], 1)
    enough = np.count_nonzero(seen, (1, 2)) >= 2
    return {frame: Detection(box, 1.0) for frame, box, use in zip(frames, boxes, enough, strict=True) if use}


def _motion(joints: np.ndarray) -> float:
    """How much a body (F, 25, 3) moves: the squared distances of its joints from their mean places, summed."""
    seen = joints[..., 2:] > 0
    mean = joints[..., :2].sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    return float((np.square(joints[..., :2] - mean) * seen).sum())

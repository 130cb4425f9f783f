"""The joints of one's own videos: one .npz file a video, as `numpy.savez` writes it.

    keypoints   (F, P, N, 3) x px, y px, score of P people, or (F, N, 3) of one; any real numbers
    skeleton    the skeleton's name ("coco"), or the names of the N joints in order
    boxes       optional, (F, P, 4) or (F, 4) x0 y0 x1 y1 px
    positions   in place of keypoints: (F, P, N, 3) or (F, N, 3) x, y, z in any unit, with scores (F, P, N) or (F, N) on
                request
    size, rate  optional, w and h of the frames in px, and frames per second

A joint with score 0 (or less), or whose place is not finite, is absent. Nothing in the file is unpickled.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ....errors import AnnotationError
from ....stages.joint_names import flip_pairs
from ....stages.skeletons import SKELETONS, Skeleton
from ....untrusted_files import open_file
from ..base import Annotation
from .json_file import scored

MOST = 1 << 30  # bytes that a file may unpack into
LAYOUT = "docs/own-videos.md says what it holds"


def read_joints(path: Path) -> Annotation:
    """Keypoints (F, P, N, 3) float32, boxes (F, P, 4) float32 or None, and the skeleton of a file.

    Raises AnnotationError where the file is broken or its arrays do not fit each other.
    """
    arrays = _arrays(path, ("keypoints", "skeleton", "boxes", "positions", "scores", "size", "rate"))
    skeleton = _skeleton(path, arrays)
    sides = _positive(path, arrays, "size", 2, 1, "width and height in px")
    rates = _positive(path, arrays, "rate", 1, float(np.finfo(np.float32).tiny), "frames per second")
    size, rate = (int(sides[0]), int(sides[1])) if sides else None, rates[0] if rates else None
    if "positions" in arrays:
        return Annotation(_spatial(path, arrays, skeleton), skeleton=skeleton, size=size, rate=rate)
    keypoints = _numbers(path, arrays, "keypoints")
    if keypoints.ndim == 3:
        keypoints = keypoints[:, None]
    joints = len(skeleton.joints)
    if keypoints.ndim != 4 or keypoints.shape[2:] != (joints, 3):
        raise AnnotationError(
            f"{path}: keypoints {arrays['keypoints'].shape} where (frames, people, {joints}, 3) was expected, "
            f"for {skeleton.name!r} has {joints} joints; correct the file, {LAYOUT}"
        )
    absent = ~(np.isfinite(keypoints).all(-1) & (keypoints[..., 2] > 0))
    keypoints[absent] = 0
    boxes = _boxes(path, arrays, keypoints.shape[:2])
    return Annotation(keypoints, boxes, skeleton=skeleton, size=size, rate=rate)


def _spatial(path: Path, arrays: dict[str, np.ndarray], skeleton: Skeleton) -> np.ndarray:
    """(F, P, N, 4) float32 x, y, z, score; what is not finite or has no score is all zero."""
    places = _numbers(path, arrays, "positions")
    places = places[:, None] if places.ndim == 3 else places
    joints = len(skeleton.joints)
    if places.ndim != 4 or places.shape[2:] != (joints, 3):
        raise AnnotationError(
            f"{path}: positions {arrays['positions'].shape} where (frames, people, {joints}, 3) was expected, for "
            f"{skeleton.name!r} has {joints} joints; correct the file, {LAYOUT}"
        )
    scores = _numbers(path, arrays, "scores") if "scores" in arrays else np.ones(places.shape[:3], np.float32)
    if scores.size != places.size // 3:
        raise AnnotationError(f"{path}: scores {scores.shape} where {places.shape[:3]} was expected; {LAYOUT}")
    return scored(places, scores.reshape(places.shape[:3]))


def _positive(
    path: Path, arrays: dict[str, np.ndarray], name: str, count: int, least: float, expected: str
) -> list[float]:
    """An array of `count` numbers, none below `least`; empty where the file has none of this name."""
    if name not in arrays:
        return []
    values = _numbers(path, arrays, name).ravel()
    if len(values) != count or not (np.isfinite(values) & (values >= least)).all():
        raise AnnotationError(f"{path}: {name} is {values.tolist()} where {expected} were expected")
    return values.tolist()


def skeleton_of(path: Path) -> Skeleton:
    """The skeleton that a file of joints names; raises AnnotationError where it cannot be read."""
    return _skeleton(path, _arrays(path, ("skeleton",)))


def _arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of these names that the file has."""
    try:
        with open_file(path) as file:
            found = np.load(file, allow_pickle=False)
            wanted, entries = {f"{name}.npy" for name in names}, found.zip.infolist() if found.zip else []
            size = sum(entry.file_size for entry in entries if entry.filename in wanted)
            if size > MOST:  # a small file may unpack into more than any video's joints take
                raise AnnotationError(
                    f"{path}: unpacks into {size / 2**30:.1f} GB, and joints of one video take megabytes; write it anew"
                )
            return {name: found[name] for name in names if name in found.files}
    except AnnotationError:
        raise
    except OSError as error:
        if error.strerror:
            raise AnnotationError(f"{path}: {error.strerror}; restore it, or correct the list") from None
        raise _broken(path, error) from None
    except Exception as error:  # numpy and zipfile raise whatever their parsers trip over
        raise _broken(path, error) from None


def _broken(path: Path, error: Exception) -> AnnotationError:
    return AnnotationError(f"{path}: no .npz file of plain arrays ({type(error).__name__}); write it anew, {LAYOUT}")


def _numbers(path: Path, arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """A float32 copy of an array of real numbers."""
    if name not in arrays:
        raise AnnotationError(f"{path}: no array {name!r}; {LAYOUT}")
    if arrays[name].dtype.kind not in "iuf":
        raise AnnotationError(f"{path}: {name} holds {arrays[name].dtype}, not numbers; {LAYOUT}")
    with np.errstate(over="ignore"):  # what float32 cannot hold is not finite, and so absent
        return arrays[name].astype(np.float32)


def _boxes(path: Path, arrays: dict[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray | None:
    """(F, P, 4) float32, NaN where a box is not finite or has no area."""
    if "boxes" not in arrays:
        return None
    boxes = _numbers(path, arrays, "boxes")
    if boxes.ndim == 2:
        boxes = boxes[:, None]
    if boxes.shape != (*shape, 4):
        raise AnnotationError(
            f"{path}: boxes {arrays['boxes'].shape} where {(*shape, 4)} was expected, one for each person; "
            "correct them or leave them out"
        )
    sound = np.isfinite(boxes).all(-1) & (boxes[..., 2:] > boxes[..., :2]).all(-1)
    boxes[~sound] = np.nan
    return boxes


def _skeleton(path: Path, arrays: dict[str, np.ndarray]) -> Skeleton:
    """The skeleton by its name, or made of the names of its joints."""
    given = arrays.get("skeleton")
    if given is None:
        known = ", ".join(SKELETONS)
        raise AnnotationError(f"{path}: no array 'skeleton'; add its name ({known}) or the names of its joints")
    names = [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in given.flat]
    if given.dtype.kind not in "US" or given.ndim > 1 or not all(names) or len(set(names)) < max(1, len(names)):
        raise AnnotationError(
            f"{path}: skeleton {given.dtype} {given.shape} where a name or a row of different names was expected"
        )
    if given.ndim:  # the joints of the left and the right, in any spelling, change places in a mirror
        own = Skeleton(f"own, {len(names)} joints", tuple(names), flip_pairs(names))
        return next((skeleton for skeleton in SKELETONS.values() if skeleton.joints == own.joints), own)
    if names[0] in SKELETONS:
        return SKELETONS[names[0]]
    close = difflib.get_close_matches(names[0], SKELETONS, 1)
    remedy = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(SKELETONS)}; or name the joints"
    raise AnnotationError(f"{path}: skeleton {names[0]!r} is not known; {remedy}")

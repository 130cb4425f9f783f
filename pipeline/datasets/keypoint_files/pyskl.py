"""Pickles of pyskl and mmaction2: a whole data set's joints in one file.

    {"split": {name: [frame_dir, ...]},
     "annotations": [{"frame_dir", "label", "img_shape", "original_shape", "total_frames",
                      "keypoint" (M, T, V, 2 or 3), "keypoint_score" (M, T, V)}, ...]}

A pickle is a program. This one is run by an unpickler that knows how numpy puts its arrays together, in old and new
spellings, and nothing else: any other name is refused before it is looked up, so nothing of a stranger's ever runs.
Arrays go to a file while the pickle is read, see `SpooledArray`; until its end the unpickler keeps their bytes too.
"""

from __future__ import annotations

import pickle
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ....errors import DatasetError
from ....stages.skeletons import COCO, H36M, NTU, OPENPOSE_25, SKELETONS, Skeleton
from ....untrusted_files import open_file

NAME = "pyskl pickle"
SUFFIXES = (".pkl", ".pickle")
ALIGNED = 64  # bytes: where arrays begin in the spool
BY_JOINTS = {len(skeleton.joints): skeleton for skeleton in SKELETONS.values()}
IN_PLANE, IN_SPACE = {17: COCO, 25: OPENPOSE_25}, {17: H36M, 25: NTU}  # where two layouts have as many joints


class ForeignPickle(pickle.UnpicklingError):
    """A pickle that asks for something that no array of numbers needs."""


@dataclass(frozen=True)
class SpooledPart:
    """Where an array lies in the spool."""

    offset: int
    dtype: str
    shape: tuple[int, ...]


class PickledDtype:
    """What a dtype of the pickle becomes: a plain kind of numbers, its byte order set apart as numpy pickles it."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or not re.fullmatch(r"[<>|=]?[iufb]\d{1,2}", code):
            raise ForeignPickle(f"it holds an array of {code!r}, not of numbers")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        """Take numpy's state of a dtype, of which only the byte order says something here."""
        order = state[1]
        if order in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(order)


class SpooledArray:
    """What an array of the pickle becomes: its bytes go to the spool, and only their place is kept."""

    spool: Spool

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.place: SpooledPart | None = None

    def __setstate__(self, state: Any) -> None:
        """Take the state that numpy's arrays are pickled with: version, shape, dtype, Fortran order, bytes."""
        _, shape, dtype, fortran, content = state
        self.place = self.spool.add(tuple(int(side) for side in shape), dtype, content, fortran=bool(fortran))


class Spool:
    """A file of arrays, one behind the other."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.bytes = 0

    def add(self, shape: tuple[int, ...], dtype: Any, content: Any, *, fortran: bool) -> SpooledPart:
        """Write an array; returns where it is. Raises ForeignPickle where it is none of numbers, ValueError where
        its bytes do not fit its shape."""
        if not isinstance(dtype, PickledDtype):
            raise ForeignPickle("it holds an array of no plain numbers")
        if isinstance(content, str):
            content = content.encode("latin-1")
        array = np.frombuffer(content, dtype.dtype).reshape(shape, order="F" if fortran else "C")
        content = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).tobytes()
        self.file.write(b"\0" * (-self.bytes % ALIGNED))
        self.bytes += -self.bytes % ALIGNED
        place = SpooledPart(self.bytes, array.dtype.newbyteorder("=").str, shape)
        self.file.write(content)
        self.bytes += len(content)
        return place


class ArraysOnly(pickle.Unpickler):
    """An unpickler for dicts, lists, strings, numbers and numpy's arrays of numbers."""

    def __init__(self, file: BinaryIO, spool: Spool) -> None:
        super().__init__(file, encoding="latin1")
        self.spool = spool

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name of the pickle. Raises ForeignPickle for any that is not numpy's."""
        package, _, inside = module.partition(".")
        if package == "numpy" and inside in ("core.multiarray", "_core.multiarray"):
            if name == "_reconstruct":
                return lambda kind, shape, typecode: SpooledArray(self.spool)
            if name == "scalar":
                return _scalar
        if package == "numpy" and inside in ("core.numeric", "_core.numeric") and name == "_frombuffer":
            return self._from_buffer
        if module == "numpy" and name in ("ndarray", "dtype"):
            return PickledDtype if name == "dtype" else object
        if (module, name) == ("_codecs", "encode"):  # bytes in pickles that Python 2 can read
            return _encode
        raise ForeignPickle(f"it names {module}.{name}, which is no array")

    def persistent_load(self, pid: Any) -> Any:
        """Nothing lies outside the file."""
        raise ForeignPickle("it refers to something outside the file")

    def _from_buffer(self, content: Any, dtype: Any, shape: Any, order: str) -> SpooledArray:
        found = SpooledArray(self.spool)
        found.place = self.spool.add(tuple(shape), dtype, content, fortran=order == "F")
        return found


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ForeignPickle("it encodes something that is no array's bytes")
    return text.encode("latin-1")


def _scalar(dtype: Any, content: Any = b"") -> Any:
    if not isinstance(dtype, PickledDtype):
        raise ForeignPickle("it holds a number of no plain kind")
    content = content.encode("latin-1") if isinstance(content, str) else content
    return np.frombuffer(content, dtype.dtype, 1)[0].item()


@dataclass(frozen=True)
class Sample:
    """One sequence of a pickle: its name, labels, frame size (w, h) px, and where its arrays are.

    keypoint: (M, T, V, 2 or 3). score: (M, T, V), or (M, T, V, 1); None without.
    """

    name: str
    labels: list[int]
    size: tuple[int, int] | None
    keypoint: SpooledPart
    score: SpooledPart | None


@dataclass(frozen=True)
class Content:
    """What a pickle holds: its sequences, its splits (name -> names of sequences), and why others are left out.

    classes, joints: their names, where star wrote the pickle.
    """

    samples: list[Sample]
    splits: dict[str, list[str]]
    left_out: list[tuple[str, str]]
    classes: list[str] = field(default_factory=list)
    joints: list[str] = field(default_factory=list)


def unpack(path: Path, spool: BinaryIO) -> Content:
    """Read a pickle; its arrays go to `spool`. Raises DatasetError, in one line, for all that is none of pyskl's."""
    try:
        with open_file(path) as file:
            document = ArraysOnly(file, Spool(spool)).load()
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}; copy it anew") from None
    except ForeignPickle as error:
        raise DatasetError(f"{path}: refused, for {error}; a pickle of pyskl's holds arrays and names alone") from None
    except (MemoryError, RecursionError):
        raise DatasetError(f"{path}: does not fit into memory; it is no pickle of joints") from None
    except Exception as error:  # the unpickler raises whatever a broken file makes it trip over
        raise DatasetError(f"{path}: not a whole pickle ({type(error).__name__}: {error}); copy it anew") from None
    return _content(path, document)


def _content(path: Path, document: Any) -> Content:
    splits: dict[str, list[str]] = {}
    annotations = document
    if isinstance(document, dict):
        annotations = document.get("annotations")
        given = document.get("split", {})
        if isinstance(given, dict):
            splits = {str(name): [str(one) for one in names] for name, names in given.items() if _is_list(names)}
    if not _is_list(annotations) or not annotations:
        raise DatasetError(f"{path}: no list 'annotations' in it; pyskl's pickles have 'split' and 'annotations'")
    samples: list[Sample] = []
    left_out: list[tuple[str, str]] = []
    classes = _texts(document, "classes") or sorted(  # labels may be names
        {one for annotation in annotations for one in _labels(annotation) if isinstance(one, str) and one}
    )
    for number, annotation in enumerate(annotations):
        name = str(annotation.get("frame_dir", annotation.get("filename", number))) if _is_dict(annotation) else ""
        found = _sample(name, annotation, classes) if name else "no dictionary"
        if isinstance(found, str):
            left_out.append((name or f"annotation {number}", found))
        else:
            samples.append(found)
    if not samples:
        if any(_is_dict(annotation) and "keypoint" not in annotation for annotation in annotations):
            raise DatasetError(
                f"{path}: its annotations have no 'keypoint': the joints lie in files apart (kpfiles), which star does "
                "not read; use a pickle that holds them"
            )
        raise DatasetError(f"{path}: none of its {len(annotations):,} annotations can be used ({left_out[0][1]})")
    names = {sample.name for sample in samples} | {name for name, _ in left_out}
    left_out += [
        (name, "in the splits, and no annotation is called so")
        for name in dict.fromkeys(name for split in splits.values() for name in split)
        if name not in names
    ]
    return Content(samples, splits, left_out, classes, _texts(document, "joints"))


def _labels(annotation: Any) -> list[Any]:
    label: Any = annotation.get("label") if _is_dict(annotation) else None
    return list(label) if _is_list(label) else [] if label is None else [label]


def _texts(document: Any, key: str) -> list[str]:
    found: Any = document.get(key) if _is_dict(document) else None
    return list(found) if _is_list(found) and all(isinstance(one, str) for one in found) else []


def _sample(name: str, annotation: Any, classes: list[str]) -> Sample | str:
    """A sequence, or why it cannot be used. classes: the labels' names, where some are names."""
    keypoint, score = annotation.get("keypoint"), annotation.get("keypoint_score")
    if not isinstance(keypoint, SpooledArray) or keypoint.place is None:
        return "no array 'keypoint'"
    shape = keypoint.place.shape
    if len(shape) != 4 or shape[3] not in (2, 3) or 0 in shape:
        return f"keypoint is {shape} where (people, frames, joints, 2 or 3) was expected"
    place = score.place if isinstance(score, SpooledArray) else None
    if place is not None and place.shape not in (shape[:3], (*shape[:3], 1)):
        return f"keypoint_score is {place.shape} where {shape[:3]} was expected"
    labels = [classes.index(one) if one in classes else one for one in _labels(annotation)]
    odd = next((one for one in labels if not isinstance(one, int)), None)
    if odd is not None:
        return f"label {str(odd)[:40]!r} is neither a number nor a class"
    labels = [one for one in labels if one >= 0]
    size = annotation.get("img_shape") or annotation.get("original_shape")
    try:
        height, width = (int(side) for side in size)  # type: ignore[union-attr]
        known = (width, height) if width > 0 and height > 0 else None
    except (TypeError, ValueError):
        known = None
    return Sample(name, labels, known, keypoint.place, place)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def skeleton_by_count(joints: int, dimensions: int) -> Skeleton:
    """The layout that pyskl's pickles of so many joints have; joints without names where there is none."""
    known = (IN_SPACE if dimensions == 3 else IN_PLANE).get(joints) or BY_JOINTS.get(joints)
    return known or Skeleton(f"own, {joints} joints", tuple(f"joint_{number}" for number in range(joints)), ())

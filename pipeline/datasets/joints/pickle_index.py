"""A pickle of a whole data set, unpacked once: CACHE/joints/NAME-DIGEST/joints.bin and index.json beside it.

The pickle is read from one end to the other once; after that every sequence is a few kilobytes at a known place.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ....errors import AnnotationError, StorageError
from ....untrusted_files import (
    LARGE,
    UntrustedFile,
    each,
    json_text,
    named,
    one_of,
    plain,
    read_json,
    record,
    text,
    whole,
)
from ..base import Annotation
from ..keypoint_files.coco_json import of_names
from ..keypoint_files.json_file import scored
from ..keypoint_files.pyskl import Sample, SpooledPart, skeleton_by_count, unpack

FORMAT = "star-joints 3"
_INDEX = record(
    {
        "format": one_of(FORMAT),
        "stamp": each(whole()),
        "samples": each(plain),
        "splits": named(each(text())),
        "left_out": each(each(text(1 << 16), 2, 2)),
        "classes": each(text()),
    }
)
METRES = 50  # no body is further from a camera that measures in metres: so these are pixels
BINARY, INDEX = "joints.bin", "index.json"


@dataclass(frozen=True)
class PickleIndex:
    """An unpacked pickle.

    folder: where. samples: name, labels, digest and place (`Video.part`) of each sequence, in the pickle's order.
    classes: the labels' names, where the pickle has them.
    """

    folder: Path
    samples: list[tuple[str, list[int], str, str]]
    splits: dict[str, list[str]]
    left_out: list[tuple[str, str]]
    classes: list[str]


def open_index(path: Path, cache: Path | None) -> PickleIndex:
    """The index of a pickle: made now where there is none of these bytes (size and modification time) in the cache.

    Raises DatasetError as `unpack` does, StorageError where the cache cannot be written.
    """
    status = path.stat()
    stamp = [status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns]
    name = hashlib.blake2b(str(path.absolute()).encode(), digest_size=8).hexdigest()
    home = (cache or Path(tempfile.gettempdir()) / "star") / "joints"
    folder = home / f"{path.stem[:40]}-{name}"
    found = _read(folder, stamp)
    if found is None:
        try:
            _make(path, home, folder, stamp)
        except OSError as error:
            raise StorageError(f"{home}: {error.strerror or error}; free space, or choose another cache.root") from None
        found = _read(folder, stamp)
    if found is None:
        raise StorageError(f"{folder}: vanished while it was written; choose another cache.root")
    return found


def read_sample(binary: Path, part: str) -> Annotation:
    """The joints of one sequence; part: as `Video.part`. Raises AnnotationError where the file is not what it was."""
    try:
        found = json.loads(part)
        keypoint = _array(binary, found["keypoint"])
        score = _array(binary, found["score"]) if found["score"] else None
        size = tuple(found["size"]) if found["size"] else None
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        raise AnnotationError(f"{binary}: not what it was when the pickle was unpacked; delete its folder") from None
    places = np.asarray(keypoint, np.float32).swapaxes(0, 1)  # (T, M, V, 2 or 3)
    if places.shape[-1] == 3 and score is None and (size is not None or np.abs(places[..., :2]).max() > METRES):
        third = places[..., 2]
        if ((third >= 0) & (third <= 1)).all():  # so it is a score, not a place
            score, places = keypoint[..., 2], places[..., :2]
    if score is None:
        there = (places != 0).any(-1)  # pyskl fills up with zeros
        scores = there.astype(np.float32)
    else:
        scores = np.asarray(score, np.float32).reshape(keypoint.shape[:3]).swapaxes(0, 1)
    named = of_names(found["joints"]) if found.get("joints") else None
    skeleton = named or skeleton_by_count(places.shape[2], places.shape[-1])
    return Annotation(scored(places, scores), skeleton=skeleton, size=size)


def _array(binary: Path, place: list[Any]) -> np.ndarray:
    part = SpooledPart(place[0], place[1], tuple(place[2]))
    size = np.dtype(part.dtype).itemsize * math.prod(part.shape)
    if min(part.offset, *part.shape) < 0 or part.offset + size > binary.stat().st_size:
        raise ValueError(part)
    return np.fromfile(binary, part.dtype, int(np.prod(part.shape)), offset=part.offset).reshape(part.shape)


def part_of(sample: Sample, joints: list[str]) -> str:
    """A sequence's place as text, for `Video.part`. joints: their names, where the pickle has them."""
    keypoint, score = (
        [place.offset, place.dtype, list(place.shape)] if place else None for place in (sample.keypoint, sample.score)
    )
    known = {"joints": joints} if len(joints) == sample.keypoint.shape[2] else {}
    return json.dumps({"keypoint": keypoint, "score": score, "size": sample.size, **known}, separators=(",", ":"))


def _make(path: Path, home: Path, folder: Path, stamp: list[int]) -> None:
    """Unpack into a folder beside, and put it in place as a whole."""
    home.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=home))
    try:
        with (fresh / BINARY).open("wb") as file:
            content = unpack(path, file)
        rows = []
        with (fresh / BINARY).open("rb") as file:  # read, not mapped: what is mapped counts as this process's memory
            for sample in content.samples:
                digest = hashlib.blake2b(digest_size=16)  # of all that features depend on: arrays, shapes, frame size
                for place in (sample.keypoint, sample.score):
                    if place is not None:
                        size = int(np.prod(place.shape)) * np.dtype(place.dtype).itemsize
                        digest.update(repr((place.dtype, place.shape)).encode())
                        file.seek(place.offset)
                        digest.update(file.read(size))
                digest.update(repr(sample.size).encode())
                rows.append([sample.name, sample.labels, digest.hexdigest(), part_of(sample, content.joints)])
        document = {"format": FORMAT, "stamp": stamp, "samples": rows, "splits": content.splits}
        document |= {"left_out": content.left_out, "classes": content.classes}
        (fresh / INDEX).write_text(json_text(document), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _read(folder: Path, stamp: list[int]) -> PickleIndex | None:
    """What is there already, None where it is another pickle's, or broken."""
    try:
        found = read_json(folder / INDEX, _INDEX, LARGE)
    except (OSError, UntrustedFile):
        return None
    sound = all(map(_is_sample, found["samples"])) and found["stamp"] == stamp and (folder / BINARY).is_file()
    left_out = [(str(name), str(reason)) for name, reason in found["left_out"]]
    return PickleIndex(folder, found["samples"], found["splits"], left_out, found["classes"]) if sound else None


def _is_sample(row: Any) -> bool:
    fits = type(row) is list and [type(value) for value in row] == [str, list, str, str]
    return fits and all(type(label) is int and label >= 0 for label in row[1])

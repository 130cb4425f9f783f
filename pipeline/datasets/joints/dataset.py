"""Joints without videos. ROOT is a pickle of pyskl's, or a folder that holds files of joints:

    one CSV (video,label,split; `video` names a file of joints), or a folder per class, or files whose names tell all:
    Northwestern-UCLA's a01_s01_e00_v01.json, NTU's S001C001P001R001A001.skeleton, Penn Action's 0001.mat

A video is a sequence of the pickle, a file, or a folder with a JSON file per frame. Its id is its name in the pickle,
or its path relative to ROOT.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ....errors import AnnotationError, DatasetError, MissingData
from ....stages.skeletons import Skeleton
from .. import keypoint_files
from ..base import Annotation, Manifest, Video
from ..custom.csv_list import class_numbers
from ..custom.dataset import sides_of as sides_of_entries
from ..custom.dataset import video_of
from ..custom.splits import hashed_split
from ..keypoint_files.pyskl import SUFFIXES as PICKLES
from ..ntu.classes import CLASSES as NTU_CLASSES
from ..ntu.dataset import groups_of
from ..ntu.missing import SAMPLE
from .entries import list_entries
from .pickle_index import BINARY, open_index, read_sample
from .pickle_splits import known_protocols, sides_of

if TYPE_CHECKING:
    from ...recipe.schema import DatasetSettings

TRIED = 20  # files that are looked into for one that can be read


def load(settings: DatasetSettings, cache: Path | None = None) -> Manifest:
    """The sequences of ROOT; where no split is given, one is drawn as for one's own videos.

    The skeleton is that of the first sequence that can be read. Raises DatasetError where ROOT is none of the above.
    """
    root = settings.root
    if not root.exists():
        raise MissingData(f"dataset.root: {root} does not exist; give a pickle, or the folder of the files of joints")
    if not root.is_dir():
        return _of_pickle(settings, cache)
    listed = list_entries(settings)
    classes = settings.classes or listed.classes
    index = {label: number for number, label in enumerate(classes)}
    videos = [
        video_of(entry, side, class_numbers(entry, index), root, root / entry.path)
        for entry, side in zip(listed.entries, sides_of_entries(listed.entries, settings), strict=True)
    ]
    return Manifest(settings.name or root.name, classes, videos, _skeleton(videos), listed.left_out, listed.what)


def read_annotation(path: Path, part: str = "") -> Annotation:
    """The joints of one sequence. Raises AnnotationError."""
    return read_sample(path, part) if part else keypoint_files.read(path)


def protocols(root: Path, cache: Path | None) -> list[str]:
    """The protocols that a pickle names, in its order; none for a folder, ["official"] where there is no choice."""
    return known_protocols(open_index(root, cache).splits) if root.suffix.lower() in PICKLES else []


def _of_pickle(settings: DatasetSettings, cache: Path | None) -> Manifest:
    root = settings.root
    if root.suffix.lower() not in PICKLES:
        known = " or ".join(PICKLES)
        raise DatasetError(f"dataset.root: {root} is neither a folder nor a pickle ({known}); give the folder it is in")
    index = open_index(root, cache)
    split = sides_of(settings, index.splits)
    binary = index.folder / BINARY
    left_out = list(index.left_out)
    videos: dict[str, Video] = {}
    labels = 1 + max((label for _, own, _, _ in index.samples for label in own), default=-1)
    of_ntu = SAMPLE.match(index.samples[0][0]) is not None
    named = tuple(index.classes) if len(index.classes) >= labels else ()
    classes = settings.classes or named or tuple(f"class_{number:03d}" for number in range(labels))
    if of_ntu and not settings.classes and not named and labels <= len(NTU_CLASSES):  # whose classes have known names
        classes = NTU_CLASSES[: 60 if labels <= 60 else len(NTU_CLASSES)]
    if len(classes) < labels:
        raise DatasetError(f"dataset.classes: {len(classes)} names, and the pickle has {labels} labels; name all")
    for name, own, digest, part in index.samples:
        if name in videos:
            left_out.append((name, "stands in the pickle twice"))
            continue
        side = hashed_split(name, settings.test_share, settings.split_seed) if split is None else split.get(name, "")
        if side:
            groups = groups_of(name) if of_ntu and SAMPLE.match(name) else ()
            label, several = own[0] if own else -1, tuple(own) if len(own) > 1 else ()
            videos[name] = Video(name, label, side, binary, binary, groups, part, digest, labels=several)
        else:
            left_out.append((name, "in no split of this protocol"))
    found = list(videos.values())
    return Manifest(settings.name or root.stem, classes, found, _skeleton(found), left_out, "a pickle")


def _skeleton(videos: Sequence[Video]) -> Skeleton | None:
    """That of the first sequence that can be read; refused where none of the first few can."""
    problem = ""
    for video in videos[:TRIED]:
        try:
            return read_annotation(video.media, video.part).skeleton
        except AnnotationError as error:
            problem = problem or str(error)
    gone = not any(video.media.exists() for video in videos[:TRIED])
    raise (MissingData if gone else DatasetError)(
        f"dataset.root: no file of joints can be read; the first says: {problem}"
    )

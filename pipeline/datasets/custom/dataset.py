"""Anybody's videos. ROOT holds either one CSV,

    video,label,split
    clips/a.mp4,wave,train

(split optional, a column `joints` names .npz files, further columns are groups), or a folder per class, on request
below train/ and test/, with joints beside the videos:

    wave/a.mp4      or      train/wave/a.mp4      and      wave/a.npz

A video is a file or a folder of frames. Its id is its path relative to ROOT, so equal names never collide.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ....errors import AnnotationError, DatasetError, MissingData
from ....stages.skeletons import Skeleton
from ..base import Annotation, Manifest, Video, official_only, open_root
from ..folder_names import VIDEO_SUFFIXES, ending
from .class_folders import JOINTS, Listing, class_folders, drop_frames_of_films
from .csv_list import Entry, class_number, read_csv, the_list
from .splits import sides

if TYPE_CHECKING:
    from ...recipe.schema import DatasetSettings


def load(settings: DatasetSettings) -> Manifest:
    """The videos of ROOT's CSV or class folders; a listed video need not exist, extraction says what it cannot open.

    Where no split is given, a hash of the id (or of its group, `dataset.split_by`) decides, so that adding videos moves
    none of the others. The skeleton is that of the first joints that can be read. Raises DatasetError with the row that
    is wrong.
    """
    official_only(settings.split, settings.kind)
    root = open_root(settings.root)
    listing = list_entries(root, settings.list)
    entries = listing.entries
    classes = settings.classes or tuple(sorted({entry.label for entry in entries}))
    index = {label: number for number, label in enumerate(classes)}
    split = sides(entries, test_share=settings.test_share, seed=settings.split_seed, by=settings.split_by)
    videos = [
        Video(
            entry.video,
            class_number(entry, index),
            side,
            root / entry.path,
            root / entry.joints if entry.joints else None,
            entry.groups,
            span=entry.span,
        )
        for entry, side in zip(entries, split, strict=True)
    ]
    skeleton = _skeleton(videos, entries)
    return Manifest(settings.name or root.name, classes, videos, skeleton, sorted(listing.left_out))


def read_annotation(path: Path) -> Annotation:
    """The joints in one file, see `keypoint_files.read`."""
    from .. import keypoint_files

    return keypoint_files.read(path)


def _skeleton(videos: Sequence[Video], entries: Sequence[Entry]) -> Skeleton | None:
    """That of the first joints that can be read, None without joints; refused where no file can be read."""
    problem = ""
    for video, entry in zip(videos, entries, strict=True):
        if video.annotation:
            from .. import keypoint_files  # a dozen formats, none of which a plan without joints reads

            try:
                return keypoint_files.skeleton_of(video.annotation)
            except AnnotationError as error:
                problem = problem or f"{entry.where}: {error}"
    if problem:
        gone = not any(video.annotation.exists() for video in videos if video.annotation)
        raise (MissingData if gone else DatasetError)(problem)
    return None


def list_entries(root: Path, chosen: Path | None = None) -> Listing:
    """What ROOT's CSV (or the chosen one) lists, or else what lies in its class folders, in the order of the ids."""
    listed = the_list(root, chosen)
    if listed:
        listing = Listing(_with_joints(root, read_csv(listed, root)))
        drop_frames_of_films(root, listing)
    else:
        listing = class_folders(root)
    if not listing.entries:
        loose = sum(ending(path.name) in VIDEO_SUFFIXES for path in root.iterdir())
        found = f"holds {loose:,} video{'s' * (loose > 1)}, but" if loose else "has"
        raise (DatasetError if loose else MissingData)(
            f"dataset.root: {root} {found} neither a CSV (video,label,split) nor a folder of videos per class"
        )
    listing.entries.sort(key=lambda entry: entry.video)
    return listing


def _with_joints(root: Path, entries: list[Entry]) -> list[Entry]:
    """Listed videos with the joints that lie beside them, where the list names none for any."""
    if any(entry.joints for entry in entries):
        return entries
    names: dict[str, frozenset[str]] = defaultdict(frozenset)
    for folder in {entry.video.rpartition("/")[0] for entry in entries}:
        with suppress(OSError, ValueError):
            names[folder] = frozenset(os.listdir(root / folder))  # noqa: PTH208 (a path for each of 10,000 takes time)
    found = []
    for entry in entries:
        folder, _, name = entry.video.rpartition("/")
        stem = name.removesuffix(name[name.rfind(".") :]) if ending(name) in VIDEO_SUFFIXES else name
        beside = next((f"{one}{JOINTS}" for one in (stem, name) if f"{one}{JOINTS}" in names[folder]), "")
        found.append(entry._replace(joints=f"{folder}/{beside}".lstrip("/")) if beside else entry)
    return found

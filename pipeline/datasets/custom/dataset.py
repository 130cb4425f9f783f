"""Anybody's videos. ROOT holds either one CSV,

    video,label,split
    clips/a.mp4,wave,train

(split optional, a column `joints` names .npz files, further columns are groups), or a folder per class, on request
below train/ and test/, with joints beside the videos; or `dataset.list` names what an annotation tool exported:

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
from .class_folders import JOINTS, all_videos, class_folders, drop_frames_of_films
from .csv_list import Entry, class_numbers
from .listing import Listing
from .lists import read_list
from .media_names import videos_below
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
    return manifest_of(settings, list_entries(open_root(settings.root), settings))


def manifest_of(settings: DatasetSettings, listing: Listing) -> Manifest:
    """The videos of a listing. Raises DatasetError with the row that is wrong."""
    root, entries = settings.root, listing.entries
    classes = settings.classes or tuple(sorted({label for entry in entries for label in entry.labels}))
    index = {label: number for number, label in enumerate(classes)}
    videos = [
        video_of(entry, side, class_numbers(entry, index), root, root / entry.joints if entry.joints else None)
        for entry, side in zip(entries, sides_of(entries, settings), strict=True)
    ]
    skeleton = _skeleton(videos, entries)
    left_out = sorted(listing.left_out)
    return Manifest(settings.name or root.name, classes, videos, skeleton, left_out, listing.what)


def sides_of(entries: Sequence[Entry], settings: DatasetSettings) -> list[str]:
    """ "train", "val" or "test" for every entry, see `sides`; all for training where there are no labels (of which
    `dataset.val_share` takes its share)."""
    if settings.labels == "none":
        return ["train"] * len(entries)
    return sides(entries, test_share=settings.test_share, seed=settings.split_seed, by=settings.split_by)


def video_of(entry: Entry, split: str, labels: Sequence[int], root: Path, annotation: Path | None) -> Video:
    """The video that an entry lists. labels: the numbers of its classes, none without."""
    first, several = (labels[0], tuple(labels) if len(labels) > 1 else ()) if labels else (-1, ())
    return Video(
        entry.video, first, split, root / entry.path, annotation, entry.groups, span=entry.span, labels=several
    )  # fmt: skip


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


def list_entries(root: Path, settings: DatasetSettings) -> Listing:
    """What ROOT's CSV (or the chosen list) names, or else what lies in its class folders, in the order of the ids;
    without labels, every video below ROOT."""
    labelled = settings.labels != "none"
    listing = read_list(root, settings.list, videos_below, settings.classes, labelled=labelled)
    if listing:
        listing.entries = _with_joints(root, listing.entries)
        drop_frames_of_films(root, listing)
    elif labelled:
        listing = class_folders(root)
    else:
        listing = all_videos(root)
        listing.entries = _with_joints(root, listing.entries)
    if not listing.entries:
        raise _nothing_in(root, labelled)
    listing.entries.sort(key=lambda entry: entry.video)
    return listing


def _nothing_in(root: Path, labelled: bool) -> DatasetError:
    if not labelled:
        return MissingData(f"dataset.root: no video lies below {root}; give the folder that holds them")
    loose = sum(ending(path.name) in VIDEO_SUFFIXES for path in root.iterdir())
    found = f"holds {loose:,} video{'s' * (loose > 1)}, but" if loose else "has"
    remedy = "; dataset.labels: none is for features of videos without labels" if loose else ""
    return (DatasetError if loose else MissingData)(
        f"dataset.root: {root} {found} neither a CSV (video,label,split) nor a folder of videos per class{remedy}"
    )


def _with_joints(root: Path, entries: list[Entry]) -> list[Entry]:
    """Listed videos with the joints that lie beside them, where the list names none for any."""
    if any(entry.joints for entry in entries):
        return entries
    names: dict[str, frozenset[str]] = defaultdict(frozenset)
    for folder in {entry.path.rpartition("/")[0] for entry in entries}:
        with suppress(OSError, ValueError):
            names[folder] = frozenset(os.listdir(root / folder))  # noqa: PTH208 (a path for each of 10,000 takes time)
    found = []
    for entry in entries:
        folder, _, name = entry.path.rpartition("/")
        stem = name.removesuffix(name[name.rfind(".") :]) if ending(name) in VIDEO_SUFFIXES else name
        beside = next((f"{one}{JOINTS}" for one in (stem, name) if f"{one}{JOINTS}" in names[folder]), "")
        found.append(entry._replace(joints=f"{folder}/{beside}".lstrip("/")) if beside else entry)
    return found

"""Anybody's videos. ROOT holds either one CSV,

    video,label,split
    clips/a.mp4,wave,train

(split optional, further columns are groups), or a folder per class, on request below train/ and test/:

    wave/a.mp4      or      train/wave/a.mp4

A video is a file or a folder of frames. Its id is its path relative to ROOT, so equal names never collide.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...cache.errors import AnnotationError, DatasetError
from .dataset import Annotation, Catalogue, Video, official_only, open_root
from .videos_csv import SPLITS, Entry, read_csv

if TYPE_CHECKING:
    from ..recipe import Dataset

FILMS = (
    ".mp4",
    ".avi",
    ".mkv",
    ".mov",
    ".webm",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".wmv",
    ".flv",
    ".3gp",
    ".ogv",
    ".ts",
    ".mts",
)
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


def load(settings: Dataset) -> Catalogue:
    """The videos of ROOT's CSV or class folders; a listed video need not exist, extraction says what it cannot open.

    Where no split is given, a hash of the id decides, so that adding videos moves none of the others.
    Raises DatasetError with the row that is wrong.
    """
    official_only(settings.split, settings.kind)
    root = open_root(settings.root)
    entries = list_entries(root)
    classes = settings.classes or tuple(sorted({entry.label for entry in entries}))
    index = {label: number for number, label in enumerate(classes)}
    videos = [
        Video(
            entry.video,
            _label(entry, index),
            entry.split or hashed_split(entry.video, settings.test_share),
            root / entry.video,
            groups=entry.groups,
        )
        for entry in entries
    ]
    return Catalogue(settings.name or root.name, classes, videos)


def read_annotation(path: Path) -> Annotation:
    """Refused: plain videos have no annotated joints."""
    raise AnnotationError(f"{path}: kind 'videos' has no annotated joints; set pose.source: mmpose")


def list_entries(root: Path) -> list[Entry]:
    """What ROOT's CSV lists, or else what lies in its class folders, in the order of the ids."""
    lists = sorted(path for path in root.glob("*.[cC][sS][vV]") if not path.name.startswith("."))
    if len(lists) > 1:
        names = ", ".join(path.name for path in lists)
        raise DatasetError(
            f"dataset.root: {root} holds {len(lists)} CSV files ({names}); leave one, with a column 'split'"
        )
    entries = read_csv(lists[0]) if lists else list(_class_folders(root))
    if not entries:
        raise DatasetError(
            f"dataset.root: {root} has neither a CSV (video,label,split) nor a folder of videos per class"
        )
    return sorted(entries, key=lambda entry: entry.video)


def hashed_split(video: str, test_share: float) -> str:
    """ "train" or "test" by the id alone; on average `test_share` of the videos are for testing."""
    digest = hashlib.blake2b(video.encode(), digest_size=8).digest()
    return "test" if int.from_bytes(digest, "big") < test_share * 2**64 else "train"


def _label(entry: Entry, index: dict[str, int]) -> int:
    """The class's number; refused where `dataset.classes` does not list it."""
    if entry.label in index:
        return index[entry.label]
    close = difflib.get_close_matches(entry.label, index, 1)
    remedy = f"did you mean {close[0]!r}?" if close else f"known are {_some(list(index))}"
    raise DatasetError(f"{entry.where}: label {entry.label!r} is not in dataset.classes; {remedy}")


def _some(names: Sequence[str], most: int = 10) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _class_folders(root: Path) -> Iterator[Entry]:
    """One entry per video of ROOT/CLASS/... or ROOT/train/CLASS/... and ROOT/test/CLASS/..."""
    names = [entry.name for entry in _scan(root) if _is_folder(entry)]
    if names and set(names) <= set(SPLITS):
        places = [
            (f"{split}/{name.name}", split) for split in names for name in _scan(root / split) if _is_folder(name)
        ]
    else:
        places = [(name, "") for name in names]
    for folder, split in places:
        for video in _films(root / folder, folder):
            yield Entry(video, folder.rpartition("/")[2], split, (), folder)


def _films(folder: Path, prefix: str) -> Iterator[str]:
    """Ids of the films and frame folders below a class's folder; a folder with a picture in it is one video."""
    for entry in _scan(folder):
        name = f"{prefix}/{entry.name}"
        if not _is_folder(entry):
            if entry.name.lower().endswith(FILMS):
                yield name
        elif any(inside.name.lower().endswith(PICTURES) for inside in _scan(folder / entry.name)):
            yield name
        elif not entry.is_symlink():  # links may go round in circles
            yield from _films(folder / entry.name, name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link onto itself
        return False


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, by name, without hidden files."""
    try:
        with os.scandir(folder) as found:
            return sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise DatasetError(f"dataset.root: {folder}: {error.strerror}") from None

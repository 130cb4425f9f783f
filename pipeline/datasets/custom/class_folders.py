"""A folder of videos per class: ROOT/wave/a.mp4, on request below train/ and test/."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ....errors import DatasetError
from ....stages.readers.base import IMAGE_SUFFIXES
from .csv_list import SPLITS, Entry

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
JOINTS = ".npz"


def class_folders(root: Path) -> Iterator[Entry]:
    """One entry per video of ROOT/CLASS/... or ROOT/train/CLASS/... and ROOT/test/CLASS/...

    A file of the video's name that ends in .npz, beside it, holds its joints. Raises DatasetError where a folder
    cannot be read.
    """
    names = [entry.name for entry in _scan(root) if _is_folder(entry)]
    if names and set(names) <= set(SPLITS):
        places = [
            (f"{split}/{name.name}", split) for split in names for name in _scan(root / split) if _is_folder(name)
        ]
    else:
        places = [(name, "") for name in names]
    for folder, split in places:
        for video, joints in _films(root / folder, folder):
            yield Entry(video, folder.rpartition("/")[2], split, (), folder, joints)


def _films(folder: Path, prefix: str) -> Iterator[tuple[str, str]]:
    """Ids of the films and frame folders below a class's folder, each with that of its joints or "".

    A folder with a picture in it is one video.
    """
    inside = _scan(folder)
    names = {entry.name for entry in inside}
    for entry in inside:
        name = f"{prefix}/{entry.name}"
        if not _is_folder(entry):
            if entry.name.lower().endswith(FILMS):
                yield name, _beside(name, entry.name.rpartition(".")[0], names)
        elif any(picture.name.lower().endswith(IMAGE_SUFFIXES) for picture in _scan(folder / entry.name)):
            yield name, _beside(name, entry.name, names)
        elif not entry.is_symlink():  # links may go round in circles
            yield from _films(folder / entry.name, name)


def _beside(name: str, stem: str, names: set[str]) -> str:
    """The path of the joints beside a video, "" where there are none."""
    return f"{name.rpartition('/')[0]}/{stem}{JOINTS}" if stem + JOINTS in names else ""


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

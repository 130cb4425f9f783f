"""A folder of videos per class: ROOT/wave/a.mp4, on request below train/ and test/."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ....errors import DatasetError
from ....stages.readers.base import IMAGE_SUFFIXES
from ..folder_names import (
    MEDIA,
    VIDEO_SUFFIXES,
    are_folds,
    ending,
    is_beside,
    is_film,
    is_shadow,
    is_thumbnails,
    parts_of,
    split_of_name,
)  # fmt: skip
from .csv_list import Entry
from .listing import Listing
from .media_names import video_names

JOINTS = ".npz"
THUMBNAILS = "small pictures of videos, by its name"
_KIND = r"(?:raw)?(?:frames?|images?|imgs?|pics?|pictures?|jpe?gs?|pngs?)"
OF_FRAMES = re.compile(rf"^{_KIND}[._ -]|[._ -]?{_KIND}$", re.IGNORECASE)  # words beside a video's own name
DEEPEST = 20  # folders below a class


def class_folders(root: Path) -> Listing:
    """One entry per video of ROOT/CLASS/..., of ROOT/train/CLASS/... and ROOT/test/CLASS/..., or ROOT/CLASS/train/...

    The folders of a split may be spelled in any usual way, and a validation folder serves for testing where there is
    no other. A file of the video's name that ends in .npz, beside it, holds its joints. What is no video is left out
    with the reason. Raises DatasetError where ROOT cannot be read, or where its folders are no classes' but parts of a
    data set in another layout.
    """
    listing = _Walk(root).listing()
    listing.what = "a folder per class"
    drop_frames_of_films(root, listing)
    return listing


def all_videos(root: Path) -> Listing:
    """One entry, without a label, per video file or folder of frames below a root; of a video and a folder of its
    frames the video. Joints lie beside, as for class folders."""
    entries = [Entry(name, "", "", (), name) for name in video_names(root)]
    listing = Listing(entries, what="videos without labels")
    drop_frames_of_films(root, listing)
    return listing


class _Walk:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.found = Listing()
        self.seen: set[tuple[int, int]] = set()  # folders that need not be walked again: links may go round in circles

    def listing(self) -> Listing:
        """Everything below the root. Raises DatasetError where that cannot be listed, or its folders leave it open."""
        try:
            inside = _scan(self.root)
        except OSError as error:
            raise DatasetError(f"dataset.root: {self.root}: {error.strerror}") from None
        names = [entry.name for entry in inside if _is_folder(entry)]
        self.found.left_out += [(name, THUMBNAILS) for name in names if is_thumbnails(name)]
        names = [name for name in names if not is_thumbnails(name)]
        self.seen = {self._identity(name) for name in ("", *names)}
        self._loose(inside, "")
        parts = parts_of(names)
        self._refuse_folds(names)
        if parts:
            self._parts(names, parts)
        else:
            self._refuse_wrappers(names)
            for name in names:
                self._class(name, name, "")
        return self.found

    def _refuse_folds(self, names: list[str]) -> None:
        """Numbered folders in which folders of videos lie, not videos, are parts of a data set."""
        if not are_folds(names):
            return
        below = {name: [entry.name for entry in self._listed(name, quiet=True) if _is_folder(entry)] for name in names}
        if all(any(not self._has_pictures(f"{name}/{one}") for one in inside) for name, inside in below.items()):
            raise DatasetError(
                f"dataset.root: {self.root} holds {_named(names)}, which are parts of a data set and no classes: put "
                "the classes below train/ and test/, or list the videos in a CSV (video,label,split)"
            )

    def _parts(self, names: list[str], parts: dict[str, str]) -> None:
        """ROOT's folders are those of a split, maybe with others beside."""
        others = [name for name in names if name not in parts and self._holds_videos(name)]
        if others and len(set(parts.values())) == 1:
            raise DatasetError(
                f"dataset.root: {self.root} holds {_named(parts)} beside {_named(others)}: is it a part of a split, or "
                "a class? put all classes below train/ and test/, or list the videos in a CSV (video,label,split)"
            )
        val = "val" if "test" in parts.values() else "test"
        for name in names:
            part = parts.get(name, "")
            if part:
                self._part(name, val if part == "val" else part)
            elif name in others:
                self.found.left_out.append((name, f"a folder beside {_named(parts)}, so none of a class"))

    def _part(self, name: str, split: str) -> None:
        inside = self._listed(name)
        before = len(self.found.entries)
        self._loose(inside, name)
        below = [entry.name for entry in inside if _is_folder(entry) and not self._has_pictures(f"{name}/{entry.name}")]
        self.seen |= {self._identity(f"{name}/{label}") for label in below}
        for label in below:
            self._class(f"{name}/{label}", label, split)
        if len(self.found.entries) == before and self._holds_videos(name):
            raise DatasetError(
                f"dataset.root: {self.root / name} holds videos but no folder of videos per class; put them into "
                f"{name}/CLASS/, or list them in a CSV (video,label,split)"
            )

    def _refuse_wrappers(self, names: list[str]) -> None:
        """Folders that part a data set by what its files are, or that hold the parts of a split, are no classes."""
        for name in names:
            below = [entry.name for entry in self._listed(name, quiet=True) if _is_folder(entry)]
            parts = {part: part for part in below if split_of_name(part)}
            nested = any(  # folders that are not themselves videos
                _is_folder(entry) and not self._has_pictures(f"{name}/{part}/{entry.name}")
                for part in parts
                for entry in self._listed(f"{name}/{part}", quiet=True)
            )
            kinds = name.lower() in MEDIA and any(not self._has_pictures(f"{name}/{one}") for one in below)
            if nested or kinds:
                held = parts if nested else below
                raise DatasetError(
                    f"dataset.root: {self.root} holds {name}/, and that {_named(held)}: give the folder in which the "
                    f"classes lie, perhaps {self.root / name}"
                )

    def _class(self, folder: str, label: str, split: str) -> None:
        before = len(self.found.entries)
        for video, joints in self._films(folder, 0):
            below = video.removeprefix(f"{folder}/").split("/")[:-1]
            part = split or (split_of_name(below[0]) if below else "")  # as in wave/train/a.mp4
            if part == "val" and not split:  # for testing, where there is nothing else for it
                beside = [entry.name for entry in self._listed(folder, quiet=True) if _is_folder(entry)]
                part = "val" if "test" in map(split_of_name, beside) else "test"
            self.found.entries.append(Entry(video, label, part, (), folder, joints))
        if len(self.found.entries) == before and self._has_pictures(folder):
            reason = "pictures that lie in a class's folder itself; a video is a folder of pictures in that folder"
            self.found.left_out.append((folder, reason))

    def _films(self, folder: str, depth: int) -> Iterator[tuple[str, str]]:
        """Ids of the films and frame folders below a class's folder, each with that of its joints or "".

        A folder with a picture in it is one video, and so is one that may not be listed: its reader says why it fails.
        """
        inside = self._listed(folder)
        names = {entry.name for entry in inside}
        for entry in inside:
            name = f"{folder}/{entry.name}"
            if not _is_folder(entry):
                if self._is_film(name, entry):
                    yield name, _beside(name, entry.name.rpartition(".")[0] or entry.name, names)
            elif is_thumbnails(entry.name):
                self.found.left_out.append((name, THUMBNAILS))
            elif self._has_pictures(name) or not self._may_be_listed(name):
                yield name, _beside(name, entry.name, names)
            elif depth < DEEPEST and (identity := self._identity(name)) not in self.seen:
                self.seen.add(identity)
                yield from self._films(name, depth + 1)

    def _is_film(self, name: str, entry: os.DirEntry[str]) -> bool:
        if ending(entry.name) in VIDEO_SUFFIXES:
            return True
        if is_beside(entry.name) or not os.path.isfile(self.root / name):  # noqa: PTH113 (a path's own may raise)
            return False
        if is_film(self.root / name):
            return True
        self.found.left_out.append((name, f"no video, by its ending {ending(entry.name)!r} and its first bytes"))
        return False

    def _loose(self, inside: list[os.DirEntry[str]], prefix: str) -> None:
        """Films that lie beside the folders of the classes."""
        if any(_is_folder(entry) for entry in inside):
            for entry in inside:
                if not _is_folder(entry) and ending(entry.name) in VIDEO_SUFFIXES:
                    name = f"{prefix}/{entry.name}" if prefix else entry.name
                    self.found.left_out.append((name, "in no class's folder"))

    def _listed(self, folder: str, *, quiet: bool = False) -> list[os.DirEntry[str]]:
        """What lies in a folder; one that may not be listed is left out and said, unless quiet."""
        try:
            return _scan(self.root / folder)
        except OSError as error:
            if not quiet:
                self.found.left_out.append((folder, f"may not be listed ({error.strerror}); check its permissions"))
            return []

    def _may_be_listed(self, folder: str) -> bool:
        try:
            with os.scandir(self.root / folder):
                return True
        except OSError:
            return False

    def _has_pictures(self, folder: str) -> bool:
        return any(ending(entry.name) in IMAGE_SUFFIXES for entry in self._listed(folder, quiet=True))

    def _holds_videos(self, folder: str, depth: int = 3) -> bool:
        """Whether a film or pictures lie in a folder or a few below it."""
        inside = self._listed(folder, quiet=True)
        if any(ending(entry.name) in VIDEO_SUFFIXES or ending(entry.name) in IMAGE_SUFFIXES for entry in inside):
            return True
        return depth > 0 and any(
            self._holds_videos(f"{folder}/{entry.name}", depth - 1) for entry in inside if _is_folder(entry)
        )

    def _identity(self, folder: str) -> tuple[int, int]:
        try:
            found = (self.root / folder).stat()
        except OSError:
            return 0, 0
        return found.st_dev, found.st_ino


def drop_frames_of_films(root: Path, listing: Listing) -> None:
    """Of a film and the folder of its frames, both of one class, only the film is a video; the folder is left out."""
    stems = Counter(_place(entry) for entry in listing.entries)
    if not stems or max(stems.values()) < 2:
        return
    folders = {
        entry.video
        for entry in listing.entries
        if stems[_place(entry)] > 1 and os.path.isdir(root / entry.video)  # noqa: PTH112 (a path's own may raise)
    }
    films = {_place(entry): entry.video for entry in listing.entries if entry.video not in folders}
    kept = []
    for entry in listing.entries:
        film = films.get(_place(entry), "")
        if film and entry.video in folders:
            listing.left_out.append((entry.video, f"the frames of {film}"))
        else:
            kept.append(entry)
    listing.entries = kept


def _place(entry: Entry) -> tuple[str, ...]:
    """The class of a video and where it lies, without its ending, without folders that say only what kind of files lie
    in them, and without a word for frames around its name."""
    *folders, name = entry.video.split("/")
    if name.lower() in MEDIA and len(folders) > 1:  # walk/frames/ beside walk.mp4
        name = folders.pop()
    name = OF_FRAMES.sub("", name) or name
    stem = name.removesuffix(name[name.rfind(".") :]) if ending(name) in VIDEO_SUFFIXES else name
    return (entry.label, *(folder for folder in folders if folder.lower() not in MEDIA), stem)


def _named(names: object) -> str:
    """Up to three folders as a person names them."""
    listed = [f"{name}/" for name in names]  # type: ignore[attr-defined]
    return " and ".join(listed[:2]) if len(listed) < 3 else ", ".join(listed[:3]) + (", …" if len(listed) > 3 else "")


def _beside(name: str, stem: str, names: set[str]) -> str:
    """The path of the joints beside a video, "" where there are none."""
    return f"{name.rpartition('/')[0]}/{stem}{JOINTS}" if stem + JOINTS in names else ""


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link onto itself
        return False


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, by name, without hidden files and the shadows of other programs. Raises OSError."""
    with os.scandir(folder) as found:
        shown = (entry for entry in found if not entry.name.startswith(".") and not is_shadow(entry.name))
        return sorted(shown, key=lambda entry: entry.name)

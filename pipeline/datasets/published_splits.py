"""What the benchmarks with published split lists share: files found by name, lists read line by line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...errors import DatasetError, MissingData
from ...stages.readers.base import IMAGE_SUFFIXES
from .base import files_below, folders_below, open_root
from .folder_names import VIDEO_SUFFIXES, is_thumbnails
from .text_file import read_list

if TYPE_CHECKING:
    from ..recipe.schema import DatasetSettings

TEXTS = (".txt", ".csv")
FLOW = re.compile(r"^[uvxy]$|^brox|(?:^|[\W_]|optical|tvl1)flows?(?:$|[\W_])", re.IGNORECASE)


class Line(NamedTuple):
    """One line of a list. where: its file and number, for messages."""

    where: str
    text: str


class Files:
    """The files of a data set: its clips below the root, its lists below the root or below `dataset.lists`.

    films: video files. folders: folders with pictures in them, but for optical flow; of which one is a clip, its name
    says. texts: where lists may be.
    """

    def __init__(self, settings: DatasetSettings) -> None:
        self.root = open_root(settings.root)
        self.place = settings.lists or self.root
        if not self.place.is_dir():
            raise MissingData(f"dataset.lists: {self.place} is not a folder; give that of the split lists")
        self.films: list[str] = []
        self.folders: list[str] = []
        self.texts: list[str] = []
        for folder, names in folders_below(self.root):  # once; the names of pictures, millions of them, are not kept
            prefix = f"{folder}/" if folder else ""
            hidden = "/." in f"/{folder}" or any(map(is_thumbnails, folder.split("/")))
            pictures = False
            for name in names:
                ending = name[name.rfind(".") :].lower()
                if ending in IMAGE_SUFFIXES:
                    pictures = True
                elif ending in TEXTS:
                    self.texts.append(prefix + name)
                elif ending in VIDEO_SUFFIXES and not hidden and not name.startswith("."):
                    self.films.append(prefix + name)
            is_flow = any(FLOW.search(part) for part in folder.split("/")[:-1])  # its own name may hold any word
            if pictures and folder and not hidden and not is_flow:
                self.folders.append(folder)
        if settings.lists is not None:
            self.texts = [name for name in files_below(settings.lists) if name.lower().endswith(TEXTS)]
        self.texts.sort()

    def lists(self, *endings: str) -> list[Path]:
        """The lists whose names end so, by name; one name is taken once, from the folder that comes first."""
        found: dict[str, str] = {}
        for name in self.texts:
            base = name.rpartition("/")[2]
            if base.endswith(endings) and not base.startswith("."):
                found.setdefault(base, name)
        return [self.place / found[base] for base in sorted(found)]

    def one(self, name: str) -> Path:
        """The list of this name, in capitals or not. Raises DatasetError where there is none."""
        for path in self.lists(name, name.lower()):
            if path.name in (name, name.lower()):
                return path
        raise self.lacking(name)

    def lacking(self, name: str) -> DatasetError:
        """The error for lists that are not there."""
        return MissingData(f"dataset.root: no {name} below {self.place}; say where the split lists lie: dataset.lists")

    def require(self, found: Sequence[object], listed: int, example: str) -> None:
        """Refuse a data set of which nothing is there. example: one film's path."""
        if not found:
            raise MissingData(
                f"dataset.root: none of the {listed:,} listed videos lies below {self.root}; "
                f"they are named like {example}, or are folders of frames of that name without {example[-4:]}"
            )


def text_of(path: Path) -> str:
    """What a list says. Raises DatasetError."""
    return read_list(path, "fetch the list again")


def lines(path: Path) -> Iterator[Line]:
    """The lines of a list that hold anything but a comment, without the spaces around them. Raises DatasetError."""
    for number, line in enumerate(text_of(path).splitlines(), 1):
        if line.strip() and not f"{line.strip()} ".startswith("# "):  # HMDB51 has films called "#20_Rhythm_…"
            yield Line(f"{path.name}, line {number}", line.strip())


def by_class_and_stem(files: Files, classes: Iterable[str]) -> dict[tuple[str, str], str]:
    """(class, name without its ending) -> the clip, whatever its format is now; both in small letters.

    The class is that of the folder in which the clip lies, "" where that is no class's; `clip_of` looks there too. Of
    a film and a folder of its frames the film is taken.
    """
    known = {name.lower() for name in classes}
    found: dict[tuple[str, str], str] = {}
    for clip in (*sorted(files.films), *sorted(files.folders)):
        above, _, name = clip.lower().rpartition("/")
        label = above.rpartition("/")[2]
        found.setdefault((label if label in known else "", stem_of(name)), clip)
    return found


def clip_of(clips: Mapping[tuple[str, str], str], label: str, stem: str) -> str | None:
    """The clip in the folder of its class, or in one that is no class's; None where it is not there."""
    key = label.lower(), stem.lower()
    return clips.get(key) or clips.get(("", key[1]))


def stem_of(name: str) -> str:
    """A film's name without its ending; that of a folder of its frames, which may have kept the ending."""
    stem, dot, ending = name.rpartition(".")
    return stem if f"{dot}{ending}".lower() in VIDEO_SUFFIXES else name

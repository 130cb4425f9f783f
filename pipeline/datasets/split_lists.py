"""What the benchmarks with published split lists share: files found by name, lists read line by line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...cache.errors import DatasetError
from .dataset import files_below, open_root
from .videos_folders import FILMS

if TYPE_CHECKING:
    from ..recipe import Dataset


class Line(NamedTuple):
    """One line of a list. where: its file and number, for messages."""

    where: str
    text: str


class Files:
    """The files of a data set: its films below the root, its lists below the root or below `dataset.lists`."""

    def __init__(self, settings: Dataset) -> None:
        self.root = open_root(settings.root)
        names = list(files_below(self.root))
        self.films = [name for name in names if name.lower().endswith(FILMS) and "/." not in f"/{name}"]
        self.place = self.root
        if settings.lists is not None:
            if not settings.lists.is_dir():
                raise DatasetError(f"dataset.lists: {settings.lists} is not a folder; give that of the split lists")
            self.place, names = settings.lists, list(files_below(settings.lists))
        self.texts = sorted(name for name in names if name.lower().endswith((".txt", ".csv")))

    def lists(self, *endings: str) -> list[Path]:
        """The lists whose names end so, by name; one name is taken once, from the folder that comes first."""
        found: dict[str, str] = {}
        for name in self.texts:
            base = name.rpartition("/")[2]
            if base.endswith(endings) and not base.startswith("."):
                found.setdefault(base, name)
        return [self.place / found[base] for base in sorted(found)]

    def one(self, name: str) -> Path:
        """The list of this name. Raises DatasetError where there is none."""
        for path in self.lists(name):
            if path.name == name:
                return path
        raise self.lacking(name)

    def lacking(self, name: str) -> DatasetError:
        """The error for lists that are not there."""
        return DatasetError(f"dataset.root: no {name} below {self.place}; say where the split lists lie: dataset.lists")

    def require(self, found: Sequence[object], listed: int, example: str) -> None:
        """Refuse a data set of which nothing is there."""
        if not found:
            raise DatasetError(
                f"dataset.root: none of the {listed:,} listed videos lies below {self.root}; "
                f"they are named like {example}"
            )


def text_of(path: Path) -> str:
    """What a list says. Raises DatasetError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path}: not UTF-8 (byte {error.start}); fetch the list again") from None


def lines(path: Path) -> Iterator[Line]:
    """The lines of a list that hold anything, without the spaces around them. Raises DatasetError."""
    for number, line in enumerate(text_of(path).splitlines(), 1):
        if line.strip():
            yield Line(f"{path.name}, line {number}", line.strip())


def by_folder_and_stem(films: Iterable[str]) -> dict[tuple[str, str], str]:
    """(class folder, name without its ending), both in small letters -> the film, whatever its format is now."""
    found: dict[tuple[str, str], str] = {}
    for film in sorted(films):
        folder, _, name = film.rpartition("/")
        found.setdefault((folder.rpartition("/")[2].lower(), name.rpartition(".")[0].lower()), film)
    return found

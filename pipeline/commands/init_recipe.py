"""What `star init` answers: a recipe, what was found at the data, and what stands in the way of a good result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import DatasetError
from ..datasets.base import Manifest
from ..datasets.custom.lists import exports_in
from ..datasets.detect import kinds_in
from ..recipe import presets
from ..recipe.schema import DatasetSettings
from ..utils.text import counted

LOOKED_INTO = 50  # files of a folder that are opened to see whether an annotation tool exported them
FIRST = 5  # classes that a recipe's first line names
PEOPLE = 2  # a clip keeps two at most unless its owner wants more
SPLITS = {"train": "training", "val": "validation", "test": "testing"}


@dataclass(frozen=True)
class FoundData(ABC):
    """What a look at data of one's own told."""

    manifest: Manifest

    @abstractmethod
    def to_document(self) -> dict[str, Any]:
        """As JSON."""

    def figures(self) -> dict[str, Any]:
        """The part of the document that all data have: what they were taken for, clips, classes, splits."""
        manifest = self.manifest
        split = Counter(video.split for video in manifest.videos)
        return {
            "taken_for": manifest.what, "videos": len(manifest.videos), "classes": list(manifest.classes),
            **{name: split[name] for name in SPLITS}, "spans": sum(video.span is not None for video in manifest.videos),
            "several_labels": manifest.is_multilabel,
        }  # fmt: skip

    def header(self, noun: str, *rest: str) -> str:
        """The recipe's first lines: what the data were taken for, how many clips and classes. noun: of one clip; rest:
        further lines."""
        manifest = self.manifest
        spans = any(video.span for video in manifest.videos)
        count = counted(len(manifest.videos), "span" if spans else noun)
        whole = f" of {counted(len({video.path for video in manifest.videos}), noun)}" if spans else ""
        first = f"{manifest.what[:1].upper()}{manifest.what[1:]}: {count}{whole}{self._classes()}."
        lines = (first, *rest, "Every setting that is not here has its default.")
        text = "".join(f"# {' '.join(line.split())}\n" for line in lines)
        return text.encode(errors="surrogateescape").decode(errors="backslashreplace")  # a recipe is UTF-8

    def _classes(self) -> str:
        classes = self.manifest.classes
        if not classes:
            return ""
        named = ", ".join(classes[:FIRST]) + (", …" if len(classes) > FIRST else "")
        several = ", several of one clip" if self.manifest.is_multilabel else ""
        return f", {len(classes)} class{'es' * (len(classes) != 1)} ({named}){several}"

    def sides(self) -> str:
        """How many clips are for what."""
        split = Counter(video.split for video in self.manifest.videos)
        return ", ".join(f"{split[name]:,} for {what}" for name, what in SPLITS.items() if split[name] or name != "val")

    def for_labels(self, text: str) -> str:
        """A recipe, whose best epoch is that of the highest mean average precision where clips have several labels."""
        if not self.manifest.is_multilabel:
            return text
        line = "  best_by: mean_average_precision  # clips have several labels\n"
        return text.replace("\ntrain:\n", f"\ntrain:\n{line}", 1)


@dataclass(frozen=True)
class InitRecipe:
    """A recipe as YAML. found: None for a ready recipe, and where the data is not on this machine."""

    recipe: str
    found: FoundData | None = None
    warnings: tuple[str, ...] = ()
    exit_code: int = 0

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        document: dict[str, Any] = {"recipe": self.recipe, **(self.found.to_document() if self.found else {})}
        return document | ({"warnings": list(self.warnings)} if self.found or self.warnings else {})

    def to_lines(self) -> list[str]:
        """The recipe."""
        return [self.recipe.rstrip("\n")]


def the_export(root: Path) -> tuple[Path | None, list[str]]:
    """The export of an annotation tool in a folder, or the folder where it holds several of one format, and a warning
    where there are others."""
    found = exports_in(root, LOOKED_INTO) if root.is_dir() else []
    formats = {format_ for _, format_ in found}
    if len(found) > 1 and len(formats) == 1:
        return root, []
    names = ", ".join(path.name for path, _ in found)
    warning = f"there are {len(found)} exports ({names}); the recipe takes the first, see dataset.list"
    return found[0][0] if found else None, [warning] if len(found) > 1 else []


def dataset_lines(settings: DatasetSettings) -> str:
    """The lines of the section `dataset` that not every recipe needs."""
    said = f"  list: {presets.quoted(settings.list)}\n" if settings.list else ""
    if settings.labels == "none":
        said += "  labels: none              # every video below the root\n"
    if settings.split_seed:
        said += f"  split_seed: {settings.split_seed:<14}# the first that puts every class on both sides\n"
    return said


def refuse_other_kind(name: str, root: Path, lists: Sequence[Path] = ()) -> None:
    """Where ROOT holds joints and the recipe is to be for videos, or the reverse: one line with the right command.

    name: "videos" or "joints". lists: whoever has a list has decided what it is.
    """
    other = {"videos": "joints", "joints": "videos"}[name]
    if kinds_in(root) == {other} and not lists:
        raise DatasetError(f"init {name}: {root} holds {other} and no {name}; use `star init {other} --root {root}`")

"""What `star init` answers: a recipe, what was found at the data, and what stands in the way of a good result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

FIRST = 5  # classes that a recipe's first line names
PEOPLE = 2  # a clip keeps two at most unless its owner wants more


@dataclass(frozen=True)
class FoundData(ABC):
    """What a look at data of one's own told. videos: how many, or sequences. train, test: of them, on either side."""

    videos: int
    classes: tuple[str, ...]
    train: int
    test: int

    @property
    def first_classes(self) -> str:
        """The first classes by name, on one line and in UTF-8, as a recipe is."""
        named = " ".join(", ".join(self.classes[:FIRST]).split()) + (", …" if len(self.classes) > FIRST else "")
        return named.encode(errors="surrogateescape").decode(errors="backslashreplace")

    @abstractmethod
    def to_document(self) -> dict[str, Any]:
        """As JSON."""


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

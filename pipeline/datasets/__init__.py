"""The data sets: which videos, labels, splits and annotated joints. One module a kind, each with the same two calls."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..recipe import Dataset
    from .dataset import Annotation, Catalogue

KINDS = {
    "penn_action": "penn_action",
    "ntu": "ntu",
    "videos": "videos",
    "drawn": "drawn",
}


def load(settings: Dataset) -> Catalogue:
    """The videos of the data set that the recipe names; raises DatasetError where it is not what the recipe says."""
    return import_module(f".{KINDS[settings.kind]}", __name__).load(settings)


def read_annotation(kind: str, path: Path) -> Annotation:
    """The annotated joints in one file of a data set of this kind; raises AnnotationError where they make no sense."""
    return import_module(f".{KINDS[kind]}", __name__).read_annotation(path)

"""The data sets: which videos, labels, splits and annotated joints. One module a kind, each with the same two calls."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import DatasetError

if TYPE_CHECKING:
    from ..recipe.schema import DatasetSettings
    from .base import Annotation, Manifest

KINDS = {
    "penn_action": "penn_action",
    "ntu": "ntu.dataset",
    "ucf101": "ucf101",
    "hmdb51": "hmdb51",
    "kinetics": "kinetics",
    "videos": "custom.dataset",
    "drawn": "synthetic.dataset",
}

ONLY_OF = {
    "fold": ("ucf101", "hmdb51"),
    "lists": ("ucf101", "hmdb51", "kinetics"),
    "list": ("videos",),
    "split_by": ("videos",),
    "split_seed": ("videos",),
}  # settings that would do nothing for another kind


def load(settings: DatasetSettings) -> Manifest:
    """The videos of the data set that the recipe names; raises DatasetError where it is not what the recipe says."""
    for name, kinds in ONLY_OF.items():
        unset = type(settings).model_fields[name].default
        if settings.kind not in kinds and getattr(settings, name) != unset:
            raise DatasetError(
                f"dataset.{name}: a setting of kind {', '.join(kinds)}; for kind {settings.kind!r} leave it out"
            )
    return import_module(f".{KINDS[settings.kind]}", __name__).load(settings)


def read_annotation(kind: str, path: Path) -> Annotation:
    """The annotated joints in one file of a data set of this kind; raises AnnotationError where they make no sense."""
    return import_module(f".{KINDS[kind]}", __name__).read_annotation(path)

"""The data sets: which videos, labels, splits and annotated joints. One module a kind, each with the same two calls."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import DatasetError
from .base import in_folds, with_validation, without

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
    "joints": "joints.dataset",
    "drawn": "synthetic.dataset",
}

OF_OWN_LAYOUT = frozenset(("videos", "joints"))  # kinds in which every file says which joints it holds

ONLY_OF = {
    "fold": ("ucf101", "hmdb51", "joints"),
    "lists": ("ucf101", "hmdb51", "kinetics"),
    "list": ("videos", "joints"),
    "labels": ("videos",),
    "split_by": ("videos", "joints"),
    "split_seed": ("videos", "joints"),
}  # settings that would do nothing for another kind


def load(settings: DatasetSettings, cache: Path | None = None) -> Manifest:
    """The videos of the data set that the recipe names; raises DatasetError where it is not what the recipe says.

    cache: its folder, where kind `joints` keeps what it unpacked of a pickle; a temporary one by default.
    """
    for name, kinds in ONLY_OF.items():
        unset = type(settings).model_fields[name].default
        if settings.kind not in kinds and getattr(settings, name) != unset:
            raise DatasetError(
                f"dataset.{name}: a setting of kind {', '.join(kinds)}; for kind {settings.kind!r} leave it out"
            )
    module = import_module(f".{KINDS[settings.kind]}", __name__)
    manifest = module.load(settings, cache) if settings.kind == "joints" else module.load(settings)
    manifest = in_folds(manifest, settings.folds, settings.held_out, settings.split_by)
    manifest = with_validation(manifest, settings.val_share, settings.split_by)
    return without(manifest, settings.exclude)


def joints_format(path: Path, part: str = "") -> str:
    """The name of the format of a file of joints, for people; part: as `Video.part`. Raises AnnotationError."""
    from .keypoint_files import format_of

    return "pyskl pickle" if part else format_of(path)


def read_annotation(kind: str, path: Path, part: str = "") -> Annotation:
    """The annotated joints in one file of a data set of this kind; raises AnnotationError where they make no sense.

    part: of a file that holds many videos, see `Video.part`.
    """
    module = import_module(f".{KINDS[kind]}", __name__)
    return module.read_annotation(path, part) if part else module.read_annotation(path)

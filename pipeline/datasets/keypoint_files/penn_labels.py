"""Penn Action's label files without the frames, see `penn_action`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ....stages.skeletons import PENN_ACTION
from .. import penn_action
from ..base import Annotation

NAME = "Penn Action .mat"
RATE = 30.0  # frames per second, as for any folder of frames


def read_file(path: Path) -> Annotation:
    """The 13 joints and the box of every frame, and the frames' size. Raises AnnotationError."""
    found = penn_action.read_annotation(path)
    return replace(found, skeleton=PENN_ACTION, size=penn_action.frame_size(path), rate=RATE)

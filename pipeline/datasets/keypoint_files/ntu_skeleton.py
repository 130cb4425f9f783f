"""NTU RGB+D's .skeleton text files, see `ntu.skeleton`."""

from __future__ import annotations

from pathlib import Path

from ....stages.skeletons import NTU
from ..base import Annotation
from ..ntu.skeleton import read_skeleton

NAME = "NTU RGB+D .skeleton"
SIZE, RATE = (1920, 1080), 30.0  # of the videos that colorX and colorY count in


def read_file(path: Path) -> Annotation:
    """The 25 joints of up to two bodies, in the pixels of the colour video. Raises AnnotationError."""
    return Annotation(read_skeleton(path), skeleton=NTU, size=SIZE, rate=RATE)

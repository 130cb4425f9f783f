"""Files of joints in the formats that people have, one module a format, and which of them a file is.

A file's ending tells it, or for JSON its keys. `read` is the way in.
"""

from __future__ import annotations

import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ....errors import AnnotationError
from ....stages.skeletons import Skeleton
from ..base import Annotation
from . import coco_json, kinetics_skeleton, mediapipe, mmpose_json, npz, ntu_skeleton, nw_ucla, openpose, penn_labels
from .json_file import load_json

BY_NAME = {".skeleton": ntu_skeleton, ".mat": penn_labels}  # the ending says all
SUFFIXES = (".npz", ".json", *BY_NAME)
NPZ = "star's .npz"


def read(path: Path) -> Annotation:
    """The joints of one video, with their skeleton, and the frames' size and rate where the file knows them.

    path: a file, or a folder with a JSON file per frame. Raises AnnotationError, in one line, where it is broken,
    hostile, or of no format that is known here.
    """
    return _read(path)[1]


def format_of(path: Path) -> str:
    """The name of a file's format, for people. Raises AnnotationError as `read` does."""
    return _read(path)[0]


def skeleton_of(path: Path) -> Skeleton | None:
    """The layout of a file's joints; of an .npz file without reading them. Raises AnnotationError as `read` does."""
    if path.suffix.lower() == ".npz":
        with _one_line(path):
            return npz.skeleton_of(path)
    return read(path).skeleton


def video_of(name: str) -> str:
    """The video that a file below a root belongs to: itself, or its folder where that has a JSON file per frame, as
    OpenPose writes them."""
    folder = name.rpartition("/")[0]
    return folder if folder and name.endswith(openpose.ENDING) else name


def _read(path: Path) -> tuple[str, Annotation]:
    with _one_line(path):
        return _read_any(path)


@contextmanager
def _one_line(path: Path) -> Generator[None, None, None]:
    """Whatever a reader trips over is an AnnotationError; what is neither file nor folder is not even opened, since
    reading a pipe would wait for ever."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise AnnotationError(f"{path}: neither a file nor a folder; restore it, or correct the list")
        yield
    except AnnotationError:
        raise
    except OSError as error:
        raise AnnotationError(f"{path}: {error.strerror or error}; restore it, or correct the list") from None
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        raise AnnotationError(
            f"{path}: its joints cannot be made sense of ({type(error).__name__}: {said}); write it anew"
        ) from None


def _read_any(path: Path) -> tuple[str, Annotation]:
    suffix = path.suffix.lower()
    if path.is_dir():
        return openpose.NAME, openpose.read_folder(path)
    if suffix == ".npz":
        return NPZ, npz.read_joints(path)
    if suffix in BY_NAME:
        module = BY_NAME[suffix]
        return module.NAME, module.read_file(path)
    if suffix != ".json":
        raise AnnotationError(f"{path}: no file of joints; known endings are {', '.join(SUFFIXES)}")
    document = load_json(path)
    for module in (nw_ucla, kinetics_skeleton, openpose, coco_json, mmpose_json):  # from the most particular on
        if module.holds(document):
            return module.NAME, module.read_document(document, path)
    if coco_json.holds_results(document):
        return coco_json.ALPHAPOSE, coco_json.read_results(document, path)
    if mediapipe.holds(document):
        return mediapipe.NAME, mediapipe.read_document(document, path)
    if document == []:
        raise AnnotationError(f"{path}: an empty list, so nobody was found; leave it out")
    if mmpose_json.is_of_picture(document):
        raise AnnotationError(f"{path}: of one picture; give mmpose's Inferencer the video itself: a JSON per video")
    raise AnnotationError(f"{path}: JSON, but of no format of joints that star knows; docs/ways-in.md lists them")

"""A folder of numbered pictures as a video; only the wanted ones are read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from ...cache.errors import NoVideoStream, TruncatedVideo, UnreadableVideo
from .video import FOLDER_RATE, Video, clock, other_size

KINDS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})
_FLOW = re.compile(r"(flow_)?[xy]_\d+\.")  # as tools for two-stream networks name it, beside img_00001.jpg
_ENDS = {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PNG": b"IEND"}  # how a file begins: how it must end


class FolderVideo(Video):
    """The pictures of a folder in natural order ("2.jpg" before "10.jpg"), all of one size.

    A folder has no clock: its pictures are taken to follow each other at FOLDER_RATE. Raises NoVideoStream for a
    folder without pictures, UnreadableVideo and TruncatedVideo for a picture that cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = list_pictures(path)
        self.frame_count = self.claimed = len(self._files)
        self.times = clock([], self.frame_count, FOLDER_RATE)
        height, width, _channels = read_picture(self._files[0]).shape
        self._size = (width, height)

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height of the first picture, in pixels."""
        return self._size

    def frames(self, indices: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """The wanted pictures in ascending order."""
        for index in self.wanted(indices):
            picture = read_picture(self._files[index])
            size = (picture.shape[1], picture.shape[0])
            if size != self._size:
                raise other_size(self._path, index, size, self._size)
            yield index, picture

    def close(self) -> None:
        """Nothing is held open."""


def list_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order.

    Names that begin with a dot are not pictures but their shadows; optical flow that lies among frames is no frame.
    """
    try:
        names = [path for path in folder.iterdir() if path.suffix.lower() in KINDS and not path.name.startswith(".")]
    except OSError as error:
        raise UnreadableVideo(f"{folder}: may not be listed ({error.strerror}); check its permissions") from None
    if not names:
        raise NoVideoStream(f"{folder}: a folder without pictures; put its frames there as {', '.join(sorted(KINDS))}")
    frames = [path for path in names if not _FLOW.match(path.name)]
    return sorted(frames or names, key=_natural)


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """Digits count as numbers, everything else as text; the name itself decides between "01" and "1"."""
    parts = re.findall(r"\d+|\D+", path.stem)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], path.name


def read_picture(path: Path) -> np.ndarray:
    """One picture as (h, w, 3) uint8 RGB, upright as its EXIF orientation says."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableVideo(f"{path}: may not be read ({error.strerror}); check its permissions") from None
    for begin, end in _ENDS.items():
        if data.startswith(begin) and end not in data[len(data) // 2 :]:
            raise TruncatedVideo(f"{path}: the picture is cut off; fetch it again")
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error:
        picture = None
    if picture is None:
        raise UnreadableVideo(f"{path}: not a picture that OpenCV can decode; fetch it again")
    return np.ascontiguousarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))

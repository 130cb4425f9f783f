"""A folder of numbered pictures as a video; only the wanted ones are read, and of the first one the header."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from ...errors import NoVideoStream, TruncatedVideo, UnreadableVideo
from .base import FOLDER_RATE, IMAGE_SUFFIXES, VideoReader, frame_times, size_mismatch
from .image_series import ImageSeries, choose_series
from .image_size import picture_size

_JPEG = b"\xff\xd8\xff"
_END_MARKERS = {_JPEG: b"\xff\xd9", b"\x89PNG": b"IEND"}  # how a file begins: how it must end
_FLOW = re.compile(r"(flow_)?[xy]_\d+\.")  # as tools for two-stream networks name it, beside img_00001.jpg
_REDUCED_MODES = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


class ImageFolderReader(VideoReader):
    """The pictures of a folder in natural order ("2.jpg" before "10.jpg"), all of one size.

    A folder has no clock: its pictures are taken to follow each other at FOLDER_RATE. Raises NoVideoStream for a
    folder without pictures, UnreadableVideo and TruncatedVideo for a picture that cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        series = list_images(path)
        self._names, self.notes = series.names, tuple(series.notes)
        self.frame_count = self.claimed = len(self._names)
        self.times = frame_times([], self.frame_count, FOLDER_RATE)
        first = _read(self._file(0))
        self._size = picture_size(first) or _size(_decode(self._file(0), first))

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height of the first picture, in pixels."""
        return self._size

    def frames(self, indices: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """The wanted pictures in ascending order."""
        for index in self.checked_indices(indices):
            yield index, self._whole(index, _read(self._file(index)))

    def reduced(self, indices: Iterable[int], factor: int) -> Iterator[tuple[int, np.ndarray]]:
        """The wanted pictures, those of JPEG files at 1/factor of their size: see `VideoReader.reduced`.

        libjpeg's inverse transform makes them small, at a third of the work. Files with EXIF data come in full, since
        those may be turned.
        """
        for index in self.checked_indices(indices):
            data = _read(self._file(index))
            if factor == 1 or not data.startswith(_JPEG) or picture_size(data) != self._size:
                yield index, self._whole(index, data)
            else:
                yield index, _decode(self._file(index), data, factor)

    def _file(self, index: int) -> Path:
        return self._path / self._names[index]

    def _whole(self, index: int, data: bytes) -> np.ndarray:
        picture = _decode(self._file(index), data)
        if _size(picture) != self._size:
            raise size_mismatch(self._path, index, _size(picture), self._size)
        return picture

    def close(self) -> None:
        """Nothing is held open."""


def list_images(folder: Path) -> ImageSeries:
    """The names of the frames in a folder in their order, see `choose_series`.

    Names that begin with a dot are not pictures but their shadows; optical flow that lies among frames is no frame.
    Raises NoVideoStream, UnreadableVideo.
    """
    try:
        with os.scandir(folder) as entries:
            shown = [entry.name for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise UnreadableVideo(f"{folder}: may not be listed ({error.strerror}); check its permissions") from None
    names = [name for name in shown if "".join(name.rpartition(".")[1:]).lower() in IMAGE_SUFFIXES]
    if not names:
        raise NoVideoStream(
            f"{folder}: a folder without pictures; put its frames there as {', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    frames = [name for name in names if not _FLOW.match(name)]
    return choose_series(folder, frames or names)


def _read(path: Path) -> bytes:
    """The bytes of a picture's file. Raises TruncatedVideo where its end is missing: OpenCV would fill it with grey."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable_picture(path, error) from None
    for begin, end in _END_MARKERS.items():
        if data.startswith(begin) and data.find(end, len(data) // 2) < 0:
            raise TruncatedVideo(f"{path}: the picture is cut off; fetch it again")
    return data


def unreadable_picture(path: Path, error: OSError) -> UnreadableVideo:
    """The error for a picture that is listed and cannot be read."""
    return UnreadableVideo(f"{path}: may not be read ({error.strerror}); check its permissions")


def _decode(path: Path, data: bytes, factor: int = 1) -> np.ndarray:
    """A picture (h, w, 3) uint8 RGB from the bytes of its file; at a factor over 1 smaller, sides rounded up."""
    try:
        mode = cv2.IMREAD_COLOR_RGB if factor == 1 else _REDUCED_MODES[factor]
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), mode) if data else None
    except cv2.error:
        picture = None
    if picture is None:
        raise UnreadableVideo(f"{path}: not a picture that OpenCV can decode; fetch it again")
    return picture if factor == 1 else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _size(picture: np.ndarray) -> tuple[int, int]:
    """Width and height."""
    return picture.shape[1], picture.shape[0]

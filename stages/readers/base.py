"""What every reader gives, what it refuses before opening, and how a stored picture becomes an upright one."""

from __future__ import annotations

import errno
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np

from ...errors import NoVideoStream, UnreadableVideo

FOLDER_RATE = 30.0  # pictures per second, where nothing says how fast they follow each other
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")  # the suffixes of a folder's pictures
_VIDEO_SUFFIXES = (
    ".mp4 .m4v .mp4v .m4p .mov .qt .3gp .3gpp .3g2 .f4v .mj2 .insv .lrv .mkv .mk3d .webm .avi .divx .xvid .amv .flv "
    ".wmv .asf .dvr-ms .wtv .mpg .mpeg .mpe .m1v .m2v .mpv .mp2v .vob .mod .tod .ts .mts .m2t .m2ts .tp .trp .ogv .ogm "
    ".ogx .gif .apng .dv .dif .mxf .nut .ivf .rm .rmvb .swf .h264 .264 .avc .hevc .h265 .265 .obu .av1 .vc1 .mjpg "
    ".mjpeg .y4m"
)
VIDEO_SUFFIXES = frozenset(_VIDEO_SUFFIXES.split())  # of video files in the containers that `container.FORMATS` names


Self = TypeVar("Self", bound="VideoReader")
FrameSelector = Callable[[int], Collection[int]]  # how many frames a video has -> those that will probably be wanted
Orientation = tuple[int, int, int, int]  # a, b, c, d of x' = ax + cy, y' = bx + dy (y downwards), each -1, 0 or 1


class VideoReader(ABC):
    """An open video.

    frame_count: how many pictures it has (F): those that decode, whatever the container claims.
    claimed: how many pictures the container claims; 0 where it claims nothing.
    times: (F,) float64, seconds; the first picture is at 0.
    """

    frame_count: int
    claimed: int
    times: np.ndarray

    @property
    @abstractmethod
    def frame_size(self) -> tuple[int, int]:
        """Width and height of the pictures as they are delivered (upright), in pixels."""

    @abstractmethod
    def frames(self, indices: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """The wanted pictures, one at a time.

        indices: any order, repeats allowed. Yields (index, picture (h, w, 3) uint8 RGB), each index once, ascending;
        pictures are contiguous and the caller's own. Raises IndexError, TruncatedVideo, UnreadableVideo.
        """

    def reduced(self, indices: Iterable[int], factor: int) -> Iterator[tuple[int, np.ndarray]]:
        """The wanted pictures, at 1/factor of their size where the file offers that for less work.

        factor: 1, 2, 4 or 8. Yields as `frames` does. Of a picture's width w either w pixels come, each its own, or
        ceil(w / factor), where pixel i covers [factor i, factor (i + 1)) of the full picture; heights likewise.
        """
        return self.frames(indices)

    @abstractmethod
    def close(self) -> None:
        """Let go of the file; pictures already delivered stay valid."""

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def checked_indices(self, indices: Iterable[int]) -> list[int]:
        """The distinct indices in ascending order. Raises IndexError for one that no picture has."""
        wanted = sorted({int(index) for index in indices})
        if wanted and (wanted[0] < 0 or wanted[-1] >= self.frame_count):
            raise IndexError(f"frames {wanted[0]} to {wanted[-1]} of a video with {self.frame_count}")
        return wanted


_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def is_folder(path: Path) -> bool:
    """True for a folder, False for a file with something in it; all else is refused without being opened.

    Opening a named pipe would wait for ever, and a device may never end. Raises UnreadableVideo, NoVideoStream.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        code = getattr(error, "errno", None)
        if code == errno.ELOOP:
            text = f"{path}: a symbolic link that leads back to itself; replace it by the file"
            raise NoVideoStream(text) from None
        if code in {errno.ENOENT, errno.ENOTDIR}:
            text = f"{path}: no such file; check the list and the root of the data set"
        elif code in {errno.EACCES, errno.EPERM}:
            text = f"{path}: may not be read; check its permissions (chmod +r)"
        else:
            text = f"{path}: cannot be opened ({getattr(error, 'strerror', None) or error}); check the path"
        raise UnreadableVideo(text) from None
    for is_kind, name in _KINDS:
        if is_kind(status.st_mode):
            raise NoVideoStream(f"{path}: is {name}, not a video file; name the file itself")
    if stat.S_ISDIR(status.st_mode):
        return True
    if status.st_size == 0:
        raise NoVideoStream(f"{path}: the file is empty (0 bytes); fetch it again")
    return False


def size_mismatch(path: Path, index: int, size: tuple[int, int], first: tuple[int, int]) -> UnreadableVideo:
    """The error for a picture whose size differs from the first one's: joints would have no common frame."""
    return UnreadableVideo(
        f"{path}: frame {index} is {size[0]}×{size[1]} but the first is {first[0]}×{first[1]}; "
        f"bring all to one size (ffmpeg -i IN -vf scale={first[0]}:{first[1]} OUT)"
    )


def frame_times(ticks: list[float | None], count: int, rate: float) -> np.ndarray:
    """Times of `count` pictures, (F,) float64 seconds from the first.

    ticks: their presentation times in seconds, in display order. Where one is missing or they do not increase, as in
    AVI files with B-pictures, the pictures are taken to follow each other at `rate` per second.
    """
    known = [tick for tick in ticks if tick is not None]
    if len(known) == count == len(ticks) and all(a < b for a, b in pairwise(known)):
        times = np.asarray(known, np.float64)
        return times - times[0]
    return np.arange(count, dtype=np.float64) / rate


def swaps_axes(turn: Orientation) -> bool:
    """True for a turn that makes rows into columns."""
    a, b, c, d = turn
    return a == d == 0 and b != 0 and c != 0


def upright_size(width: int, height: int, turn: Orientation) -> tuple[int, int]:
    """Width and height of a picture after it is turned."""
    return (height, width) if swaps_axes(turn) else (width, height)


def upright(picture: np.ndarray, turn: Orientation) -> np.ndarray:
    """Turn a picture (h, w, 3); contiguous. Turns by anything but quarters leave it as it is stored."""
    a, b, c, d = turn
    if swaps_axes(turn):
        picture, a, d = picture.transpose(1, 0, 2), c, b
    elif b or c or not (a and d):
        return np.ascontiguousarray(picture)
    return np.ascontiguousarray(picture[:: 1 if d > 0 else -1, :: 1 if a > 0 else -1])

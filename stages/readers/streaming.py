"""A long film, read once from its first picture to its last: at any time one picture of it is in memory.

The other readers decode a film to count its pictures, or keep what they need of it. This one reads the packets, which
costs no decoding, takes the times of all pictures from them, and holds the decoder to it: picture by picture, what
comes out must be what was announced.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from av.error import FFmpegError

from ...errors import UnreadableVideo
from .base import VideoReader, is_folder
from .container import VideoFile
from .image_folder import ImageFolderReader
from .probe import is_hidden
from .sequential import decode

BEAT = 200  # packets or pictures after which `beat` is called


class StreamingReader(VideoReader):
    """A film of any length; `frame_count` and `times` are those of its packets.

    beat: called every so many packets and pictures, so that others see that the work goes on. Raises NoVideoStream,
    UnreadableVideo, TruncatedVideo.
    """

    def __init__(self, path: Path, beat: Callable[[], None] = lambda: None) -> None:
        self._path, self._beat = path, beat
        self._file = VideoFile(path)
        try:
            self.claimed = self._file.stream.frames
            announced = self._announced()
            if self._file.container.format.name == "avi" and self._file.decoder.reorder_depth:
                announced = array("q")  # AVI stamps packets in the order of decoding, which is not that of showing
            first = self._first()
            self._stamps = announced if first is None or not announced else announced[bisect_left(announced, first) :]
            stamps = self._stamps or [None] * self._packets
            self.times = self._file.times([*stamps])
            self.frame_count = len(self.times)
        except BaseException:
            self.close()
            raise

    def _announced(self) -> array[int]:
        """The time stamps of all pictures in the order in which they are shown; empty where packets do not tell."""
        stamps, whole, self._packets = array("q"), True, 0
        try:
            for packet in self._file.packets():
                if not packet.size or packet.is_discard or is_hidden(self._file.decoder.name, bytes(packet)):
                    continue
                self._packets += 1
                whole = whole and packet.pts is not None
                if packet.pts is not None:
                    stamps.append(packet.pts)
                if self._packets % BEAT == 0:
                    self._beat()
        except FFmpegError:  # the decoder will say so, after all that comes before
            pass
        ordered = np.sort(np.asarray(stamps, np.int64))
        if not whole or (np.diff(ordered) == 0).any():
            return array("q")
        return array("q", ordered.tobytes())

    def _first(self) -> int | None:
        """The stamp of the first picture that decodes: recordings may begin between key frames."""
        file = VideoFile(self._path)
        try:
            for frame in decode(file):
                self._turn = file.orientation_of(frame)
                self._size = file.shown_size(frame, self._turn)
                return frame.pts
        finally:
            file.close()
        raise UnreadableVideo(f"{self._path}: not one frame can be decoded; fetch the file again")

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        return self._size

    def frames(self, indices: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """The wanted pictures in ascending order; decoding stops after the last."""
        wanted = self.checked_indices(indices)
        chosen, last = set(wanted), wanted[-1] if wanted else -1
        for index, picture in self.stream(chosen.__contains__) if wanted else ():
            yield index, picture
            if index == last:
                return

    def stream(self, wanted: Callable[[int], bool]) -> Iterator[tuple[int, np.ndarray]]:
        """Decode once from the beginning; yields (index, picture (h, w, 3) uint8 RGB) of those that are wanted.

        wanted: asked of every index, in ascending order, as its picture comes out of the decoder.
        """
        file, index = VideoFile(self._path), -1
        try:
            for index, frame in enumerate(decode(file)):
                if index >= self.frame_count or (self._stamps and frame.pts != self._stamps[index]):
                    raise UnreadableVideo(
                        f"{self._path}: frame {index} is not the one that its container announces; "
                        "save the film anew (ffmpeg -i IN OUT)"
                    )
                if index % BEAT == 0:
                    self._beat()
                if wanted(index):
                    yield index, file.rgb(frame, self._turn)
        finally:
            file.close()
        if index + 1 < self.frame_count:
            raise UnreadableVideo(f"{self._path}: only {index + 1} of {self.frame_count} frames can be decoded")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class StreamedFolder(ImageFolderReader):
    """A folder of pictures, in the same way."""

    def stream(self, wanted: Callable[[int], bool]) -> Iterator[tuple[int, np.ndarray]]:
        """As `StreamingReader.stream`."""
        for index in range(self.frame_count):
            if wanted(index):
                yield from self.frames([index])


class ArrayFilm(VideoReader):
    """Pictures that are in memory already, as a film.

    pictures: (F, h, w, 3) uint8 RGB. rate: pictures a second. Raises UnreadableVideo for another kind of array.
    """

    def __init__(self, pictures: np.ndarray, rate: float) -> None:
        shape, kind = pictures.shape, pictures.dtype
        if len(shape) != 4 or shape[-1] != 3 or kind != np.uint8 or not pictures.size:
            raise UnreadableVideo(f"an array of {kind} {shape} is no film; give pictures (F, h, w, 3) of uint8, RGB")
        self._pictures = pictures
        self.frame_count = self.claimed = len(pictures)
        self.times = np.arange(len(pictures)) / rate

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._pictures.shape[2], self._pictures.shape[1]

    def frames(self, indices: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """The wanted pictures in ascending order."""
        for index in self.checked_indices(indices):
            yield index, np.ascontiguousarray(self._pictures[index])

    def stream(self, wanted: Callable[[int], bool]) -> Iterator[tuple[int, np.ndarray]]:
        """As `StreamingReader.stream`."""
        yield from self.frames(index for index in range(self.frame_count) if wanted(index))

    def close(self) -> None:
        """The array is the caller's."""


def open_stream(path: Path, beat: Callable[[], None] = lambda: None) -> StreamingReader | StreamedFolder:
    """A film or a folder of pictures, to be read once. Raises as `decode.open_video` does."""
    return StreamedFolder(path) if is_folder(path) else StreamingReader(path, beat)

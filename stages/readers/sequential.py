"""The reference: every packet through one decoder thread, in order. All other readers must give what this one gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame

from ...cache.errors import UnreadableVideo
from .container import File, broken_off, cut_off, no_frames, turn_of
from .video import Video, other_size, upright_size

KEPT_BYTES = 64 << 20  # decoded frames up to this much are kept between counting and delivering


class SequentialVideo(Video):
    """A video read from its first packet to its last.

    Opening decodes it once to count what really decodes, so that no claim of the container is trusted. Short videos
    (up to KEPT_BYTES decoded) are delivered from that pass, longer and damaged ones are decoded again: how a decoder
    mends a damaged picture depends on its memory, so those get exactly the plain decode. All pictures are turned as
    the first one asks. Raises UnreadableVideo, TruncatedVideo, NoVideoStream.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: list[VideoFrame] | None = []
        self._file = File(path)
        try:
            self._count()
        except BaseException:
            self.close()
            raise

    def _count(self) -> None:
        self.claimed = self._file.stream.frames
        stamps: list[int | None] = []
        size = 0
        for frame in decode(self._file):
            if not stamps:
                self._turn = turn_of(frame)
                self._size = upright_size(frame.width, frame.height, self._turn)
            stamps.append(frame.pts)
            if self._kept is not None:
                self._kept.append(frame)
                size += sum(plane.buffer_size for plane in frame.planes)
                self._kept = self._kept if size <= KEPT_BYTES and not self._file.mended else None
        self.frame_count = len(stamps)
        self.times = self._file.times(stamps)

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        return self._size

    def frames(self, indices: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """The wanted pictures in ascending order; decoding stops after the last."""
        wanted = self.wanted(indices)
        if self._kept is not None:
            for index in wanted:
                yield index, self._file.rgb(self._kept[index], self._turn)
        elif wanted:
            yield from self._decode_again(set(wanted), wanted[-1])

    def _decode_again(self, wanted: set[int], last: int) -> Iterator[tuple[int, np.ndarray]]:
        file = File(self._path)
        try:
            for index, frame in enumerate(decode(file)):
                if index in wanted:
                    yield index, file.rgb(frame, self._turn)
                if index == last:
                    return
            raise UnreadableVideo(f"{self._path}: the file changed while it was read; run again")
        finally:
            file.close()

    def close(self) -> None:
        """Close the file and drop what was kept."""
        self._kept = None
        self._file.close()


def decode(file: File) -> Iterator[VideoFrame]:
    """All frames of a file, in display order, of one size.

    Packets that fail before the first frame are passed over: recordings may begin between key frames. Raises
    TruncatedVideo where decoding breaks off or the file ends inside a picture, UnreadableVideo for no frame at all or
    for sizes that change.
    """
    count, size, cut = 0, None, False
    packets = file.packets()
    error: FFmpegError | None = None
    while True:
        try:
            packet = next(packets, None)
            frames = file.decode(packet) if packet is not None else []
        except FFmpegError as failure:
            if count:
                raise broken_off(file.path, count, file.stream.frames, failure) from None
            error = failure
            continue
        if packet is None:
            break
        cut = packet.is_corrupt if packet.size else cut
        for frame in frames:
            size = size or (frame.width, frame.height)
            if (frame.width, frame.height) != size:
                raise other_size(file.path, count, (frame.width, frame.height), size)
            yield frame
            count += 1
    if not count:
        raise no_frames(file.path, error)
    if cut:
        raise cut_off(file.path, count)

"""The reference: every packet through one decoder thread, in order. All other readers must give what this one gives."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ...errors import UnreadableVideo
from .base import FrameSelector, VideoReader, size_mismatch
from .container import VideoFile, broken_off, cut_off, cut_short, no_frames

KEPT_BYTES = 64 << 20  # decoded frames up to this much are kept between counting and delivering; packets likewise


class SequentialReader(VideoReader):
    """A video read from its first packet to its last.

    Opening decodes it once to count what really decodes, so that no claim of the container is trusted. Frames of that
    pass are kept (up to KEPT_BYTES) and delivered later: all of them, or those that `selector` names, see `open_video`.
    Others,
    and all of damaged videos, are decoded again: how a decoder mends a damaged picture depends on its memory, so those
    get exactly the plain decode. All pictures are turned as the first one asks. Raises UnreadableVideo, TruncatedVideo,
    NoVideoStream.
    """

    def __init__(self, path: Path, selector: FrameSelector | None = None) -> None:
        self._path = path
        self._kept: dict[int, VideoFrame] | None = {}
        self._file = VideoFile(path)
        try:
            self.claimed = self._file.stream.frames
            packets = _PacketQueue(self._file)
            keep = selector(packets.expect()) if selector else None
            stamps: list[int | None] = []
            size, room = 0, KEPT_BYTES
            for index, frame in enumerate(decode(self._file, packets)):
                if not stamps:
                    self._turn = self._file.orientation_of(frame)
                    self._size = self._file.shown_size(frame, self._turn)
                    size = sum(plane.buffer_size for plane in frame.planes)
                stamps.append(frame.pts)
                if self._kept is not None and (keep is None or index in keep):
                    self._kept[index] = frame
                    room -= size
                    self._kept = self._kept if room >= 0 else None
            self._kept = None if self._file.concealed else self._kept
            self.frame_count = len(stamps)
            self.times = self._file.times(stamps)
        except BaseException:
            self.close()
            raise

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        return self._size

    def frames(self, indices: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """The wanted pictures in ascending order; decoding stops after the last."""
        wanted = self.checked_indices(indices)
        if self._kept is not None and self._kept.keys() >= set(wanted):
            for index in wanted:
                yield index, self._file.rgb(self._kept[index], self._turn)
        elif wanted:
            file, chosen = VideoFile(self._path), set(wanted)
            try:
                for index, frame in enumerate(decode(file)):
                    if index in chosen:
                        yield index, file.rgb(frame, self._turn)
                    if index == wanted[-1]:
                        return
                raise UnreadableVideo(f"{self._path}: the file changed while it was read; run again")
            finally:
                file.close()

    def close(self) -> None:
        """Close the file and drop what was kept."""
        self._kept = None
        self._file.close()


class _PacketQueue:
    """The packets of a file, with a look ahead."""

    def __init__(self, file: VideoFile) -> None:
        self._file = file
        self._coming = file.packets()
        self._ahead: deque[Packet[VideoStream] | FFmpegError] = deque()

    def expect(self) -> int:
        """How many frames there will be if every packet is one: counted, or of a large file what it claims."""
        size, count = 0, 0
        while size <= KEPT_BYTES:
            try:
                packet = next(self._coming, None)
            except FFmpegError as error:
                self._ahead.append(error)
                return count
            if packet is None:
                return count
            self._ahead.append(packet)
            size += packet.size
            count += bool(packet.size) and not packet.is_discard
        return max(self._file.stream.frames, count)

    def __iter__(self) -> Iterator[Packet[VideoStream]]:
        return self

    def __next__(self) -> Packet[VideoStream]:
        if not self._ahead:
            return next(self._coming)
        packet = self._ahead.popleft()
        if isinstance(packet, FFmpegError):
            raise packet
        return packet


def decode(file: VideoFile, packets: Iterator[Packet[VideoStream]] | None = None) -> Iterator[VideoFrame]:
    """All frames of a file, in display order, of one size. packets: the file's, where they were looked at before.

    Packets that fail before the first frame are passed over: recordings may begin between key frames. Raises
    TruncatedVideo where decoding breaks off or the file ends inside a picture, UnreadableVideo for no frame at all or
    for sizes that change.
    """
    count, size, cut = 0, None, False
    packets = file.packets() if packets is None else packets
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
                raise size_mismatch(file.path, count, (frame.width, frame.height), size)
            yield frame
            count += 1
    if not count and not file.missing_end():
        raise no_frames(file.path, error)
    if cut:
        raise cut_off(file.path, count)
    if why := file.missing_end():
        raise cut_short(file.path, count, why)

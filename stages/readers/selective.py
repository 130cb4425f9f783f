"""The fast reader: decodes only what the wanted pictures need, where it can prove that nothing else changes them.

Pictures that no other picture refers to are not decoded unless wanted, nor is anything after the last wanted picture
of a group that begins with a key picture, nor a group without wanted pictures; and nothing is decoded to open a file.
Which packet holds which picture is computed from the headers of H.264 (`order`) and MPEG-4 (`vops`). Each packet
carries its place through the decoder in its time stamp, and what comes out must be exactly what went in, in ascending
order. The decoder may mend nothing. At any doubt the whole file is decoded in sequence instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ...errors import TruncatedVideo
from .base import FrameSelector, Orientation, VideoReader, upright_size
from .bitstream.bits import UnprovableOrder
from .bitstream.h264_order import NeedsProbe
from .bitstream.index import PACKET_INDEXES
from .container import LastGroups, VideoFile
from .sequential import SequentialReader

SHORT_MPEG4 = 48  # frames; of a film of 32 a full decode takes 0.98 to 1.04 of the time, of one of 100 1.03 to 1.25
KEPT_BYTES = 64 << 20  # compressed packets up to this much are kept, larger files are read twice


def open_auto(path: Path, selector: FrameSelector | None = None, *, probe: bool = False) -> VideoReader:
    """The fast reader where its proof holds, else the sequential one.

    selector: see `SequentialReader`. probe: see `VideoFile`; by default only where needed. Raises what SequentialReader
    raises.
    """
    for probing in (probe, True):
        try:
            return SelectiveReader(path, probe=probing)
        except NeedsProbe:
            continue
        except UnprovableOrder:
            break
    return SequentialReader(path, selector)


class SelectiveReader(VideoReader):
    """An H.264 or MPEG-4 video of which only the wanted pictures, and what they refer to, are decoded.

    frame_count is the number of packets, each proved to hold one picture. One `frames` at a time. probe: see
    `VideoFile`. Raises UnprovableOrder where the video needs a sequential decode (NeedsProbe where probing may spare
    it), and NoVideoStream or UnreadableVideo where it cannot be opened.
    """

    def __init__(self, path: Path, *, probe: bool = True) -> None:
        self._path = path
        self._size: tuple[int, int] | None = None
        self._turn: Orientation | None = None
        self._is_square = True
        self._kept: list[Packet[VideoStream]] | None = []
        self._file = VideoFile(path, probe=probe)
        try:
            self._survey(probe)
        except BaseException:
            self.close()
            raise

    def _survey(self, probe: bool) -> None:
        codec = self._file.decoder
        if codec.name not in PACKET_INDEXES:
            raise UnprovableOrder(f"codec {codec.name}")
        self.claimed = self._file.stream.frames
        if codec.name == "mpeg4" and 0 < self.claimed <= SHORT_MPEG4:
            raise UnprovableOrder("so short that its headers cost more than they save")
        if not (probe or self.claimed):
            raise NeedsProbe("a container that does not say how many frames it has")
        self._plan = PACKET_INDEXES[codec.name](bytes(codec.extradata or b""))
        stamps: list[int | None] = []
        size, groups = 0, LastGroups() if self._file.is_stream() else None
        for packet in _whole_packets(self._file):
            self._plan.read(bytes(packet))
            if groups:
                groups.add(packet)
            stamps.append(packet.pts)
            size += packet.size
            if self._kept is not None:
                self._kept.append(packet)
                self._kept = self._kept if size <= KEPT_BYTES else None
        self.frame_count = len(stamps)
        if groups:
            self._file.check_end(groups.packets)
        if self._file.missing_end():
            raise UnprovableOrder("the file is cut short")
        if not probe and self.claimed != self.frame_count:
            raise NeedsProbe("of a damaged index FFmpeg makes more or less, depending on what it read while it probed")
        self._plan.finish(codec.reorder_depth if probe else 0)
        shown = dict(zip(self._plan.displays, stamps, strict=True))
        self.times = self._file.times([shown[index] for index in range(self.frame_count)])

    @property
    def stream(self) -> VideoStream:
        """The stream that is read."""
        return self._file.stream

    @property
    def format(self) -> str:
        """FFmpeg's name of the container."""
        return self._file.container.format.name

    def is_plain(self) -> bool:
        """True where the pictures are those of the only stream, at most turned."""
        return len(self._file.container.streams.video) == 1 and not self.is_mirrored() and self._is_square

    def is_mirrored(self) -> bool:
        """True where the pictures are not only turned but mirrored."""
        _ = self.frame_size  # known with the first picture
        a, b, c, d = self._turn or (1, 0, 0, 1)
        return a * d - b * c < 0

    @property
    def frame_size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        if self._size is None:
            for _first in self.frames([0]):
                break
        assert self._size is not None
        return self._size

    def frames(self, indices: Iterable[int]) -> Iterator[tuple[int, np.ndarray]]:
        """The wanted pictures in ascending order, see `VideoReader.frames`."""
        wanted = self.checked_indices(indices)
        done = 0
        try:
            for frame in self._decode(wanted):
                if self._turn is None:  # how all pictures are to be turned; one parameter set, so one size
                    self._turn = self._file.orientation_of(frame)
                    self._size = self._file.shown_size(frame, self._turn)
                    self._is_square = self._size == upright_size(frame.width, frame.height, self._turn)
                yield wanted[done], self._file.rgb(frame, self._turn)
                done += 1
        except (UnprovableOrder, FFmpegError):
            yield from self._in_sequence(wanted[done:])

    def _decode(self, wanted: list[int]) -> Iterator[VideoFrame]:
        """The requested frames in order. Raises UnprovableOrder where others come out."""
        chosen, displays = self._plan.packets_for(set(wanted)), self._plan.displays
        expected = iter(sorted(displays[index] for index in chosen))
        missing = iter(wanted)
        target = next(missing, None)
        for frame in self._decode_packets(set(chosen)):
            if target is None:
                return
            if frame.pts != next(expected, None) or frame.is_corrupt:
                raise UnprovableOrder("another picture came out than was expected")
            if frame.pts == target:
                yield frame
                target = next(missing, None)
        if target is not None:
            raise UnprovableOrder("a wanted picture did not come out")

    def _decode_packets(self, chosen: set[int]) -> Iterator[VideoFrame]:
        file = self._file if self._kept is not None else VideoFile(self._path)
        file.decoder.flush_buffers()
        try:
            for index, packet in enumerate(self._kept or _whole_packets(file)):
                if index in chosen:
                    packet.pts, packet.dts = self._plan.displays[index], None
                    yield from _sound(file, packet)
            yield from _sound(file, None)
        finally:
            if file is not self._file:
                file.close()

    def _in_sequence(self, wanted: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        with SequentialReader(self._path, lambda _count: wanted) as video:
            if video.frame_count != self.frame_count:
                raise TruncatedVideo(
                    f"{self._path}: only {video.frame_count} of {self.frame_count} frames can be decoded; "
                    "fetch the file again"
                )
            self._size = video.frame_size
            yield from video.frames(wanted)

    def close(self) -> None:
        """Close the file and drop its packets."""
        self._kept = None
        self._file.close()


def _sound(file: VideoFile, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
    """The frames after a packet. Raises UnprovableOrder where the decoder had to mend one."""
    frames = file.decode(packet)
    if file.concealed:
        raise UnprovableOrder("a picture is damaged")
    return frames


def _whole_packets(file: VideoFile) -> Iterator[Packet[VideoStream]]:
    """All packets with content. Raises UnprovableOrder for what a decoder would drop or mend."""
    ended = False
    try:
        for packet in file.packets():
            if ended:
                raise UnprovableOrder("an empty packet in mid stream")
            ended = packet.size == 0
            try:
                changes = any(data.data_type == "new_extradata" for data in packet.iter_sidedata())
            except IndexError:  # a kind that PyAV has no name for
                changes = True
            if packet.is_corrupt or packet.is_discard or changes:
                raise UnprovableOrder("a packet that is damaged, not to be shown, or changes the parameters")
            if not ended:
                yield packet
    except FFmpegError as error:
        raise UnprovableOrder(f"the container breaks off: {error}") from None

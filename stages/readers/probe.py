"""A video's length, size and soundness from its headers and packets: nothing is decoded but, at most, one picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from av.error import FFmpegError

from ...errors import TruncatedVideo, UnreadableVideo
from .base import FOLDER_RATE, is_folder
from .bitstream.h264_packets import is_whole, length_size
from .container import FirstGroups, LastGroups, VideoFile, broken_off, cut_off, cut_short, no_frames
from .image_folder import ImageFolderReader, list_images, unreadable_picture

CONTAINERS = ("mov", "matroska")  # that may say that a video is shown turned
CODECS = ("h264", "hevc", "mjpeg")  # the same of their pictures
# Those whose pictures hang on each other, also on such as are shown later.
GROUPED = ("h264", "hevc", "vvc", "mpeg1video", "mpeg2video", "mpegvideo", "vc1")


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video that was not decoded.

    frames: packets that will be shown, or pictures of a folder. claimed: what the container claims, 0 for nothing.
    size: width and height in px; as stored, unless the survey was to be `upright`. seconds: from the first picture to
    the end of the last. notes: what was chosen where there was a choice, and what is shown otherwise than stored.
    """

    frames: int
    claimed: int
    size: tuple[int, int]
    seconds: float
    notes: tuple[str, ...] = ()


def probe(path: Path, *, upright: bool = False) -> VideoInfo:
    """Read all packets of a file, or list a folder's pictures and read the first one.

    upright: decode the first picture of a file, since only a picture tells that it is shown turned. One packet is
    taken for one frame, as in nearly all files; where a file does not begin with a group of its own, it is decoded up
    to the first picture that is shown. Raises NoVideoStream, UnreadableVideo, and TruncatedVideo where packets break
    off, or where one is not made of whole NAL units, so that decoding will break off there.
    """
    if is_folder(path):
        for picture in (path / name for name in list_images(path).names):
            try:
                size = picture.stat().st_size
            except OSError as error:  # a link that leads nowhere, or a picture that was just removed
                raise unreadable_picture(picture, error) from None
            if size == 0:
                raise UnreadableVideo(f"{picture}: the picture is empty (0 bytes); fetch it again")
        video = ImageFolderReader(path)
        return VideoInfo(
            video.frame_count, video.claimed, video.frame_size, video.frame_count / FOLDER_RATE, video.notes
        )
    file = VideoFile(path)
    try:
        return _PacketCounter(file, upright).info()
    finally:
        file.close()


class _PacketCounter:
    """One pass over the packets of an open file."""

    def __init__(self, file: VideoFile, upright: bool) -> None:
        self.file = file
        self.stamps: list[int | None] = []
        self.size: tuple[int, int] | None = None
        self.notes = file.notes
        turning = file.container.format.name.startswith(CONTAINERS) or file.decoder.name in CODECS
        turning = turning or file.stream.sample_aspect_ratio not in (None, 0, 1)
        self.looks = upright and turning
        self.groups = LastGroups() if file.is_stream() else None
        self.lengths = length_size(file.decoder.name, bytes(file.decoder.extradata or b""))
        self.first = FirstGroups(file.decoder.name, self.lengths) if file.decoder.name in GROUPED else None

    def info(self) -> VideoInfo:
        """Count, and raise for what a decoder would break off at."""
        damaged, cut = self._count()
        count, claimed = len(self.stamps), self.file.stream.frames
        if damaged is not None and damaged > 1:  # readers pass over what fails before the first picture
            raise TruncatedVideo(
                f"{self.file.path}: packet {damaged} of {count} is damaged, so that decoding will break off there; "
                "fetch the file again, or save what is left of it with ffmpeg -i IN OUT"
            )
        if not count:
            raise no_frames(self.file.path)
        if cut:
            raise cut_off(self.file.path, count)
        if self.first and (doubtful := self.first.doubtful):
            first, stamps = self.file.first_shown(doubtful), [stamp for stamp in self.stamps if stamp is not None]
            if first is not None and len(stamps) == count:  # pictures count from the first one on that is shown
                self.stamps = [stamp for stamp in stamps if stamp >= first] or self.stamps
            count = len(self.stamps)
        if self.groups:
            self.file.check_end(self.groups.packets)
        if why := self.file.missing_end():
            raise cut_short(self.file.path, count, why)
        size = self.size or (self.file.decoder.width, self.file.decoder.height)
        known = sorted(stamp for stamp in self.stamps if stamp is not None)
        times = self.file.times([*known] if len(known) == len(self.stamps) else [None] * len(self.stamps))
        step = times[-1] / (len(times) - 1) if len(times) > 1 else 1 / float(self.file.stream.average_rate or 25)
        return VideoInfo(count, claimed, size, float(times[-1] + step), self.notes)

    def _count(self) -> tuple[int | None, bool]:
        """The first packet (from 1) that is not whole, None where all are; and whether the last one is cut off."""
        damaged, cut = None, False
        try:
            for packet in self.file.packets():
                if self.first and packet.size:
                    self.first.add(packet)
                if not packet.size or packet.is_discard or is_hidden(self.file.decoder.name, bytes(packet)):
                    continue
                self.stamps.append(packet.pts)
                if damaged is None and self.lengths and not is_whole(bytes(packet), self.lengths):
                    damaged = len(self.stamps)
                cut = packet.is_corrupt
                if self.groups:
                    self.groups.add(packet)
                if self.looks and self.size is None:
                    # until the first picture comes out: as many packets as the decoder holds back
                    try:
                        for frame in self.file.decode(packet)[:1]:
                            turn = self.file.orientation_of(frame)
                            self.size = self.file.shown_size(frame, turn)
                            self.notes += self.file.display_notes(frame, turn)
                    except FFmpegError:
                        self.looks = False
        except FFmpegError as error:
            raise broken_off(self.file.path, len(self.stamps), self.file.stream.frames, error) from None
        return damaged, cut


def is_hidden(codec: str, packet: bytes) -> bool:
    """Whether a packet of VP8 or VP9 holds a picture that others refer to and nobody is shown (RFC 6386, 9.1)."""
    first = packet[0]
    if codec in ("vp8", "libvpx"):
        return not first & 0x10
    if codec not in ("vp9", "libvpx-vp9") or (packet[-1] & 0xE0) == 0xC0:  # several pictures, of which one is shown
        return False
    reserved = 1 if first & 0x30 == 0x30 else 0  # profile 3
    shows_other, is_shown = (first >> 3 - reserved) & 1, (first >> 1 - reserved) & 1
    return not shows_other and not is_shown

"""Opening a video file with PyAV, and turning its decoded frames into RGB: the same in every reader."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av import logging
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from ...errors import NoVideoStream, TruncatedVideo, UnreadableVideo
from .base import Orientation, frame_times, upright, upright_size
from .bitstream.h264_packets import begins_anew, length_size
from .compat import prepare_pyav
from .display_matrix import has_vertical_flip
from .truncation import MESSAGES, STREAMS, missing_end

# Formats that are one file with video in it. FFmpeg also takes play lists, which open other files and addresses, and
# plain text, which it draws as a terminal.
FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,rm,nut,ivf,mxf,wtv,dv,h264,hevc,m4v,mjpeg,vc1,av1,obu,"
    "yuv4mpegpipe,apng,webp_pipe,live_flv,swf,amv,vob,3gp,webm"
)
_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
# Titles may be in any encoding. From version 19 on PyAV takes them as they are, and knows no such option.
NOT_UTF8: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
_ADVICE = "fetch the file again, or save what is left of it with ffmpeg -i IN OUT"

_LEAST_ASPECT, _MOST_ASPECT = 0.01, 16  # pixels nearer to squares are taken for squares; further ones are no video's
_ORIENTATION = (b"\x06\x2f", b"\x4e\x01\x2f")  # how a message of H.264, H.265 begins that says how pictures are shown
_STILL = frozenset(("mjpeg", "png", "bmp", "tiff", "webp", "gif", "ljpeg", "jpeg2000"))  # codecs that covers have
_LAST_MESSAGES = 8  # packets before the end of a file of which FFmpeg's messages speak of that end
_LONGEST_GROUP = 600  # packets; in longer groups the last picture is not looked at
_INVALID = 0x41444E49  # AVERROR_INVALIDDATA


class VideoFile:
    """One open file: its container, its first video stream, and a decoder of one thread.

    probe: let FFmpeg decode the first pictures while it opens the file. Without, which is sooner, the stream has no
    pixel format, and `reorder_depth` is not how many pictures a decoder holds back; a decoder gives the same pictures.
    concealed: the decoder has met damage and filled the holes of a picture with what its memory held, which differs
    with the pictures decoded before. damaged_at_end: the same of the last picture that went into it.
    """

    def __init__(self, path: Path, *, probe: bool = True) -> None:
        self.path = path
        self.concealed = False
        self.damaged_at_end = False
        self._has_orientation = False
        self._said: deque[str] = deque(maxlen=_LAST_MESSAGES)
        prepare_pyav()
        with logging.Capture() as messages:
            self.container = _open(path, probe)
        self._ended_early = any(text.startswith(MESSAGES[0]) for _level, _source, text in messages)
        if self.container.format.name.startswith("webp") and _is_animated_webp(path):
            raise no_frames(path)
        self.stream, self.notes = _video_stream(path, self.container)
        self.decoder = self.stream.codec_context
        self.decoder.thread_count = 1
        self._reformatter = VideoReformatter()

    def close(self) -> None:
        """Close the file and its decoder."""
        self.container.close()

    def packets(self) -> Iterator[Packet[VideoStream]]:
        """The stream's packets; the last one is empty and asks the decoder for what it still holds.

        Raises FFmpegError where the container breaks off, or where a damaged one begins another stream.
        """
        self._said.clear()
        first = self.decoder.name in ("h264", "hevc")
        packets = self.container.demux(self.stream)
        while True:
            with logging.Capture() as messages:
                try:
                    packet = next(packets, None)
                except IndexError:  # PyAV knows no streams but those it found on opening
                    raise InvalidDataError(_INVALID, "another stream begins in mid file") from None
            self._said.append("\n".join(text for _level, _source, text in messages))
            if packet is None:
                return
            if first and packet.size:
                self._has_orientation, first = self._says_orientation(bytes(packet)), False
            yield packet

    def _says_orientation(self, packet: bytes) -> bool:
        """Whether one of the first NAL units of a packet is a message on how pictures are shown."""
        width = length_size(self.decoder.name, bytes(self.decoder.extradata or b""))
        if not width:
            return any(unit.startswith(_ORIENTATION) for unit in packet.split(b"\0\0\1"))
        place = 0
        while place + width < len(packet):
            if packet[place + width : place + width + 3].startswith(_ORIENTATION):
                return True
            place += width + int.from_bytes(packet[place : place + width], "big")
        return False

    def missing_end(self) -> str:
        """What says that the file was cut short, after all its packets were read; "" where nothing does."""
        said = next((text for text in "\n".join(self._said).splitlines() if text.startswith(MESSAGES)), "")
        said = said or (MESSAGES[0] if self._ended_early else "")
        found = missing_end(self.path, self.container.format.name)
        if not found and self.container.format.name.startswith("mov"):  # other indices are made while reading
            size, entries = self.path.stat().st_size, self.stream.index_entries
            beyond = sum(entry.pos + entry.size > size for entry in entries)
            found = (
                f"its index places {beyond:,} of {len(entries):,} frames behind the end of the file" if beyond else ""
            )
        if found or not said:
            return found or ("its last picture is damaged" if self.damaged_at_end and self.is_stream() else "")
        return f"FFmpeg says: {' '.join(said.split())}"

    def is_stream(self) -> bool:
        """Whether the container says nothing of lengths, so that only the last picture tells of a cut."""
        return self.container.format.name in STREAMS

    def decode(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        """The frames that come out after a packet went in; None asks for all that are still held back."""
        with logging.Capture() as messages:
            frames = self.decoder.decode(packet)
        # Only FFmpeg's log tells that a picture was mended.
        damaged = any(level <= logging.ERROR or "concealing" in text for level, _source, text in messages)
        self.concealed = self.concealed or damaged
        if packet is not None and packet.size:
            self.damaged_at_end = damaged
        else:
            self.damaged_at_end = self.damaged_at_end or damaged
        return frames

    def check_end(self, packets: Iterable[Packet[VideoStream]]) -> None:
        """Decode the last packets, from a key picture on, only to see whether the last picture is whole."""
        concealed = self.concealed
        self.decoder.flush_buffers()
        try:
            for packet in (*packets, None):
                self.decode(packet)
        except FFmpegError:
            self.damaged_at_end = True
        self.concealed = concealed

    def first_shown(self, packets: Iterable[Packet[VideoStream]]) -> int | None:
        """The time stamp of the first picture that comes out of the first packets of a file; None where none has one.

        The decoder forgets them afterwards.
        """
        before = self.concealed, self.damaged_at_end
        self.decoder.flush_buffers()
        try:
            for packet in (*packets, None):
                try:
                    frames = self.decode(packet)
                except FFmpegError:  # before the first picture readers pass over it too
                    continue
                if frames:
                    return frames[0].pts
            return None
        finally:
            self.decoder.flush_buffers()
            self.concealed, self.damaged_at_end = before

    def times(self, stamps: list[int | None]) -> np.ndarray:
        """(F,) float64 seconds from the stamps of F pictures in display order, see `frame_times`."""
        base = self.stream.time_base
        up, down = (base.numerator, base.denominator) if base else (0, 1)
        ticks = [None if stamp is None or not up else stamp * up / down for stamp in stamps]
        rates = self.stream.average_rate, self.stream.guessed_rate, self.stream.base_rate
        rate = next((float(rate) for rate in rates if rate and 0 < float(rate) < float("inf")), 25.0)
        return frame_times(ticks, len(stamps), rate)

    def rgb(self, frame: VideoFrame, turn: Orientation) -> np.ndarray:
        """One decoded frame as it is shown, upright and of square pixels: (h, w, 3) uint8 RGB."""
        # One thread: the many of PyAV's default cost more than they bring, and 64 workers would each start 64.
        width, height = self._square_size(frame)
        if (width, height) == (frame.width, frame.height):
            converted = self._reformatter.reformat(frame, format="rgb24", threads=1)
        else:
            converted = self._reformatter.reformat(frame, width, height, "rgb24", interpolation="BICUBIC", threads=1)
        return upright(converted.to_ndarray(), turn)

    def shown_size(self, frame: VideoFrame, turn: Orientation) -> tuple[int, int]:
        """Width and height of what `rgb` gives."""
        return upright_size(*self._square_size(frame), turn)

    def _square_size(self, frame: VideoFrame) -> tuple[int, int]:
        return square_size(frame, self.stream)

    def orientation_of(self, frame: VideoFrame) -> Orientation:
        """How a frame is to be turned, see `orientation_of`."""
        may_flip = self.decoder.name == "mjpeg" or self._has_orientation
        may_flip = may_flip or has_vertical_flip(self.path, self.container.format.name)
        return orientation_of(frame, may_flip=may_flip)

    def display_notes(self, frame: VideoFrame, turn: Orientation) -> tuple[str, ...]:
        """What is shown otherwise than it is stored, but for plain turns."""
        notes, (width, height) = [], self._square_size(frame)
        a, b, c, d = turn
        if a * d - b * c < 0:
            notes.append("stored as a mirror image; it is shown, and taken, as the file asks")
        if (width, height) != (frame.width, frame.height):
            notes.append(
                f"its pixels are not square: stored as {frame.width}×{frame.height}, shown, and taken, as "
                f"{width}×{height}; joints count in the pixels as shown"
            )
        return tuple(notes)


def square_size(frame: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """A frame's size in square pixels: the side that is too short is made longer, as players do."""
    aspect = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    shape = float(aspect) if aspect else 1.0
    if not abs(shape - 1) > _LEAST_ASPECT or not 1 / _MOST_ASPECT <= shape <= _MOST_ASPECT:
        return frame.width, frame.height
    return (round(frame.width * shape), frame.height) if shape > 1 else (frame.width, round(frame.height / shape))


class LastGroups:
    """The packets from the last key picture but one on: what the last picture hangs on; none where too many."""

    def __init__(self) -> None:
        self._before: list[Packet[VideoStream]] = []
        self._last: list[Packet[VideoStream]] = []

    def add(self, packet: Packet[VideoStream]) -> None:
        """One packet more, in the order of the stream."""
        if packet.is_keyframe:
            self._before, self._last = self._last, []
        if len(self._last) <= _LONGEST_GROUP:
            self._last.append(packet)

    @property
    def packets(self) -> list[Packet[VideoStream]]:
        """Them."""
        found = [*self._before, *self._last]
        return found if len(found) <= _LONGEST_GROUP else []


class FirstGroups:
    """The packets up to the third key picture, where some of them may hang on pictures that the file does not have.

    That is so in what was cut out of a longer file or recorded from a running stream: it begins between key pictures,
    or with one that is followed by pictures to be shown before it (an open group), or where a picture is renewed bit by
    bit. Decoders leave out what they cannot show; the time stamps tell. codec, width: its name, and the size of the
    lengths before NAL units.
    """

    def __init__(self, codec: str, width: int) -> None:
        self._codec, self._width = codec, width
        self._packets: list[Packet[VideoStream]] = []
        self._keys = 0
        self._first: int | None = None
        self._hangs = False

    def add(self, packet: Packet[VideoStream]) -> None:
        """One packet more, in the order of the stream."""
        if self._keys > 2 or len(self._packets) > _LONGEST_GROUP:
            return
        if packet.is_keyframe:
            self._keys += 1
            if self._keys == 1:
                self._first = packet.pts
                renewed = self._codec == "h264" and not begins_anew(bytes(packet), self._width)
                self._hangs = self._hangs or renewed
        earlier = packet.pts is not None and self._first is not None and packet.pts < self._first
        self._hangs = self._hangs or earlier or not self._keys
        self._packets.append(packet)

    @property
    def doubtful(self) -> list[Packet[VideoStream]]:
        """Them; none where every one gives a picture, or where they are too many."""
        return self._packets if self._hangs and len(self._packets) <= _LONGEST_GROUP else []


def orientation_of(frame: VideoFrame, *, may_flip: bool = False) -> Orientation:
    """How a frame is to be turned: its display matrix in signs; an entry counts as 0 below 1/1000 of the largest.

    may_flip: look for a matrix also where there is no angle, since one that swaps top and bottom has none.
    """
    # Asking for side data ties frame and side data into a cycle, which keeps the decoder's buffers till it is found.
    data = frame.side_data.get("DISPLAYMATRIX") if frame.rotation or may_flip else None
    if data is None:
        return 1, 0, 0, 1
    numbers = np.frombuffer(bytes(data), np.int32)[[0, 1, 3, 4]].astype(np.int64)
    floor = int(np.abs(numbers).max()) // 1000
    a, b, c, d = (int(np.sign(number)) if abs(int(number)) > floor else 0 for number in numbers)
    return a, b, c, d


def error_text(error: Exception) -> str:
    """What FFmpeg says of an error, in one line."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())


def broken_off(path: Path, count: int, claimed: int, error: Exception) -> TruncatedVideo:
    """The error for a decode that ends early."""
    whole = f" of {claimed}" if claimed > count else ""
    return TruncatedVideo(f"{path}: decoding breaks off after {count}{whole} frames ({error_text(error)}); {_ADVICE}")


def cut_off(path: Path, count: int) -> TruncatedVideo:
    """The error for a file that ends inside a picture."""
    return TruncatedVideo(f"{path}: the file ends in the middle of frame {count - 1}; {_ADVICE}")


def cut_short(path: Path, count: int, why: str) -> TruncatedVideo:
    """The error for a file that its container knows to be longer."""
    return TruncatedVideo(f"{path}: the file was cut short after {count} frames ({why}); {_ADVICE}")


def no_frames(path: Path, error: Exception | None = None) -> UnreadableVideo:
    """The error for a stream without a single picture that decodes."""
    if _is_animated_webp(path):
        return UnreadableVideo(f"{path}: an animated WebP, which FFmpeg cannot decode; convert it to GIF or MP4")
    why = f" ({error_text(error)})" if error else ""
    return UnreadableVideo(f"{path}: not one frame can be decoded{why}; {_ADVICE}")


def _is_animated_webp(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError:
        return False
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP" and b"ANIM" in head


def _open(path: Path, probe: bool) -> InputContainer:
    options = _OPTIONS if probe else _OPTIONS | {"skip_frame": "all"}  # of the decoder that probes, not of ours
    try:
        # "file:" keeps names like "concat:a|b" from being read as addresses.
        return av.open(f"file:{path}", options=dict(options), **NOT_UTF8)
    except (FFmpegError, OSError, ValueError) as error:
        try:
            with path.open("rb") as file:
                head = file.read(12)
        except OSError as failure:
            text = f"{path}: may not be read ({failure.strerror}); check its permissions (chmod +r)"
            raise UnreadableVideo(text) from None
        if _is_animated_webp(path):
            raise no_frames(path) from None
        if head[4:8] == b"ftyp":
            text = f"{path}: the index of this MP4 file is missing or damaged; fetch the file again"
            raise TruncatedVideo(text) from None
        raise UnreadableVideo(
            f"{path}: not a video file that FFmpeg knows ({error_text(error)}); fetch it again or leave it out"
        ) from None


def _video_stream(path: Path, container: InputContainer) -> tuple[VideoStream, tuple[str, ...]]:
    """The stream that is the video, and a note where there was a choice.

    Covers and thumbnails are none. Of others the one marked as default comes first, then one with many pictures before
    a single one, then the larger.
    """
    covers = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & covers]
    if not streams:
        kinds: list[str] = sorted({stream.type for stream in container.streams} - {"video"})
        count = len(container.streams.video)
        container.close()
        if count:
            kinds.append("a cover picture" if count == 1 else f"{count} cover pictures")
        raise NoVideoStream(
            f"{path}: no video in it, only {' and '.join(kinds) or 'nothing'}; leave it out of the data set"
        )
    known = [stream for stream in streams if _is_known(stream)]
    if not known:
        raise UnreadableVideo(f"{path}: its video codec is unknown to FFmpeg; re-encode it (H.264 is safe)")
    chosen = max(known, key=_rank)
    if len(streams) == 1:
        return chosen, ()
    others = ", ".join(_described(stream) for stream in streams if stream is not chosen)
    return chosen, (f"{len(streams)} video streams: {_described(chosen)} is taken, not {others}",)


def _rank(stream: VideoStream) -> tuple[bool, bool, bool, int, int]:
    """What speaks for a stream. A single picture is a cover too, though MP4 marks its first track as default."""
    still = not stream.frames and stream.codec_context.name in _STILL
    size = stream.codec_context.width * stream.codec_context.height
    is_default = bool(stream.disposition & Disposition.default)
    return stream.frames != 1, is_default, not still, size, -stream.index


def _described(stream: VideoStream) -> str:
    codec = stream.codec_context
    if not _is_known(stream):
        return f"stream {stream.index} of an unknown codec"
    frames = f", {stream.frames:,} frame{'s' * (stream.frames != 1)}" if stream.frames else ""
    return f"stream {stream.index} ({codec.name}, {codec.width}×{codec.height}{frames})"


def _is_known(stream: VideoStream) -> bool:
    """Whether FFmpeg has a decoder."""
    return stream.codec_context is not None  # pyright: ignore[reportUnnecessaryComparison] (it may be)

"""Pictures that come while they are made: a camera, a stream of the network, standard input.

Files are opened with the protocol "file" and nothing else (`container.py`). Here each kind of source may use the
protocols that it is made of, and none may use files: a stream that names others cannot make this machine read them.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ...errors import NoVideoStream, UnreadableVideo
from .base import upright, upright_size
from .compat import prepare_pyav
from .container import FORMATS, NOT_UTF8, error_text, orientation_of, square_size

PROTOCOLS = {
    "udp": "udp,rtp",
    "rtp": "rtp,udp",
    "tcp": "tcp",
    "srt": "srt",
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsp,rtsps,rtp,srtp,udp,tcp,tls",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,rtmp,tls,tcp",
    "http": "http,tcp",
    "https": "https,http,tls,tcp",
}
LIVE_FORMATS = f"{FORMATS},rtsp,rtp,sdp,image2pipe,mjpeg,mpjpeg"
PROMPT = {"fflags": "nobuffer", "analyzeduration": "1000000", "probesize": "1000000"}  # a second to find the streams
QUEUE = {"fifo_size": "100000", "overrun_nonfatal": "1"}  # of udp: 18 MB, beyond which the oldest packets are lost
CAMERAS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
LAG_S = 1.0  # behind its best by which a source has fallen so far that pictures are passed over
AHEAD_S = 0.5  # by which standard input may run ahead of real time
STILL = 10  # pictures in a row without a new time after which a source's clock counts as one that stands still


@dataclass(frozen=True)
class LiveSource:
    """Where pictures come from.

    name: as it was given. address, container: what FFmpeg opens, and its name of the format where it must be told.
    protocols: that it may use. is_pipe: it waits for whoever reads it, so it can be read in real time.
    """

    name: str
    address: str
    container: str | None = None
    protocols: str = ""
    is_pipe: bool = False


def live_source(name: str, pipe: int = 0) -> LiveSource | None:
    """What a name on the command line stands for; None for a file. pipe: the file descriptor behind "-"."""
    if name == "-":
        return LiveSource("standard input", f"pipe:{pipe}", protocols="pipe", is_pipe=True)
    if camera := re.fullmatch(r"camera:(.+)", name):
        which, kind = camera[1], CAMERAS.get(sys.platform, "v4l2")
        address = f"/dev/video{which}" if kind == "v4l2" and which.isdigit() else which
        address = f"video={which}" if kind == "dshow" and not which.startswith("video=") else address
        return LiveSource(name, address, kind)
    scheme = re.match(r"([a-z]+)://", name)
    if scheme and scheme[1] in PROTOCOLS:
        return LiveSource(name, name, protocols=PROTOCOLS[scheme[1]])
    return None


class SourceClock:
    """When the pictures of a source are, in seconds since the first.

    A source's own times are taken while they change. Those of a few pictures may be missing or repeated (they are then
    those of the picture before); after STILL of them in a row the clock stands still, and from there on pictures of a
    pipe are counted at the rate that the source states, those of a camera or a network are timed as they arrive.

    rate: pictures a second as the source states it; None where it does not. note: "", or what was wrong with the times
    and how pictures are timed instead, in one line.
    """

    def __init__(self, source: LiveSource, rate: Fraction | None) -> None:
        self.source, self.rate, self.note = source, rate, ""
        self._first: float | None = None
        self._now, self._still, self._arrived = 0.0, -1, 0.0

    def seconds(self, stamp: float | None, arrived: float) -> float:
        """The time of the next picture. stamp: by the source's clock, s; None for none. arrived: s of
        `time.monotonic`. Raises UnreadableVideo for a pipe whose clock stands still and that states no rate."""
        passed, self._arrived = arrived - self._arrived, arrived
        if self.note:
            self._now += 1 / float(self.rate) if self.source.is_pipe and self.rate else passed
            return self._now
        if self._first is None:
            self._first = stamp
        given = self._now if stamp is None or self._first is None else stamp - self._first
        self._still = self._still + 1 if given == self._now else 0
        self._now = given
        if self._still >= STILL:
            still = f"{self.source.name}: the times of its pictures are missing or stand still"
            if not self.source.is_pipe:
                self.note = f"{still}; they are timed as they arrive"
            elif self.rate:
                self.note = f"{still}; they are counted at the {float(self.rate):g} a second that it states"
            else:
                raise UnreadableVideo(f"{still}, and it states no rate; send it with times (ffmpeg … -f mpegts -)")
        return self._now


@dataclass
class LiveFrame:
    """One picture. index: in the order of arrival, from 0. time: s since the first, see `SourceClock`.

    arrived: when it came, s of `time.monotonic`; best: when it would have come without any delay since.
    """

    index: int
    time: float
    arrived: float
    best: float
    frame: VideoFrame


class LiveReader:
    """The pictures of a source, as they come.

    dropped: how many were passed over since decoding did not keep up. timeout: s for which nothing may come. Raises
    UnreadableVideo for what cannot be opened, NoVideoStream.
    """

    def __init__(self, source: LiveSource, timeout: float) -> None:
        self.source, self.dropped = source, 0
        prepare_pyav()
        options = dict(PROMPT)
        if source.is_pipe:  # what was read to find the streams holds the first key picture, which no other may follow
            del options["fflags"]
        if source.container is None:  # a camera is a device, and opens nothing
            options |= {"protocol_whitelist": source.protocols, "format_whitelist": LIVE_FORMATS}
        if source.address.startswith("udp:"):
            options |= QUEUE
        try:
            self._container: Any = av.open(
                source.address, format=source.container, options=options, timeout=timeout, **NOT_UTF8
            )
        except (FFmpegError, OSError, ValueError) as error:
            raise UnreadableVideo(f"{source.name}: cannot be opened ({error_text(error)})") from None
        streams = [stream for stream in self._container.streams.video if stream.codec_context is not None]
        if not streams:
            self._container.close()
            raise NoVideoStream(f"{source.name}: no video in it")
        self.stream: VideoStream = streams[0]
        self.clock = SourceClock(source, self.stream.guessed_rate or self.stream.average_rate)
        self._base = float("inf")

    def frames(self) -> Iterator[LiveFrame]:
        """The pictures until the source ends. Raises UnreadableVideo where it breaks off before the first, or as
        `SourceClock.seconds` does."""
        index, behind = 0, False
        for packet in self._packets():
            if behind and not packet.is_keyframe:
                self.dropped += 1
                continue
            behind = False
            try:
                frames = packet.decode()
            except FFmpegError:  # streams begin in mid picture and lose packets
                continue
            for frame in frames:
                arrived = time.monotonic()
                stamp = float(frame.pts * (frame.time_base or Fraction(1, 1))) if frame.pts is not None else None
                seconds = self.clock.seconds(stamp, arrived)
                # a pipe runs no further ahead of real time than AHEAD_S; whoever writes it waits
                ahead = self._base + seconds - arrived
                if self.source.is_pipe and AHEAD_S < ahead < float("inf"):
                    time.sleep(ahead - AHEAD_S)
                    arrived = time.monotonic()
                if not (self.source.is_pipe and index):  # what a pipe has ready early is not how fast it could be
                    self._base = min(self._base, arrived - seconds)
                behind = arrived - seconds - self._base > LAG_S and not self.source.is_pipe
                yield LiveFrame(index, seconds, arrived, min(self._base + seconds, arrived), frame)
                index += 1
        if not index:
            remedy = "; a pipe needs a format without an index at its end: ffmpeg -i FILM -f mpegts -"
            raise UnreadableVideo(
                f"{self.source.name}: ended before a picture came{remedy if self.source.is_pipe else ''}"
            )

    def _packets(self) -> Iterator[Any]:
        try:
            yield from self._container.demux(self.stream)
        except (FFmpegError, OSError):  # a connection that is gone is the end
            return

    def rgb(self, frame: VideoFrame) -> np.ndarray:
        """A picture as it is shown: (h, w, 3) uint8 RGB, upright and of square pixels."""
        width, height = square_size(frame, self.stream)
        shown = frame.reformat(width, height, "rgb24", interpolation="BICUBIC", threads=1)
        return upright(shown.to_ndarray(), orientation_of(frame))

    def size(self, frame: VideoFrame) -> tuple[int, int]:
        """Width and height of what `rgb` gives."""
        return upright_size(*square_size(frame, self.stream), orientation_of(frame))

    def close(self) -> None:
        """Leave the source."""
        self._container.close()

"""Whether a file ends before its end, from what its container says of sizes: many a decoder never complains of that.

One function per family of containers, each of which reads a few bytes. It returns what is missing in a few words, or ""
where all is there or nothing says so. What cannot be parsed is no reason to speak of a cut: then decoding tells.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

TAIL = 1 << 20  # bytes at the end of a stream without an index that are looked at
# What FFmpeg says, close to the end, of a file that ends before its time.
MESSAGES = ("File ended prematurely", "Packet corrupt (stream", "PES packet size mismatch")
# Streams without any length: whether the last picture is whole, only decoding it tells.
STREAMS = frozenset(("mpegts", "mpeg", "mpegvideo", "h264", "hevc", "m4v", "vc1", "mjpeg", "obu", "avs2", "avs3"))


def missing_end(path: Path, container: str) -> str:
    """What says that the file goes on. container: FFmpeg's name of its format."""
    check = next((CHECKS[name] for name in container.split(",") if name in CHECKS), None)
    if check is None:
        return ""
    try:
        with path.open("rb") as file:
            return check(file, os.fstat(file.fileno()).st_size)
    except (OSError, struct.error, ValueError, IndexError, OverflowError):
        return ""


def _beyond(what: str, end: int, size: int) -> str:
    return f"{what} goes on to byte {end:,}, and the file has {size:,}" if end > size else ""


def _mp4(file: BinaryIO, size: int) -> str:
    """An index, or a fragment, that is cut; whether the samples are there the index says, see `container`."""
    kinds: list[bytes] = []
    end = 0
    while end + 8 <= size:  # the boxes of ISO/IEC 14496-12 at the top of the file
        file.seek(end)
        head = file.read(16)
        length, kind = struct.unpack(">I4s", head[:8])
        if length == 1:
            length = struct.unpack(">Q", head[8:16])[0]
        if 0 < length < 8 or not kind.strip(b"\0").isalnum():
            break
        end = size if length == 0 else end + length
        kinds.append(kind)
        counts = kind == b"moov" or (kind in (b"moof", b"mdat") and b"moof" in kinds)
        if counts and (said := _beyond(f"its box '{kind.decode()}'", end, size)):
            return said
    if b"moof" in kinds and 0 < size - end < 8:
        return f"another box begins at byte {end:,}, and the file has {size:,}"
    return "its last fragment has no samples" if kinds and kinds[-1] == b"moof" else ""


def _matroska(file: BinaryIO, size: int) -> str:
    """A segment of known size."""
    place = 0
    for wanted in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):
        file.seek(place)
        head = file.read(12)
        if not head.startswith(wanted):
            return ""
        width = 9 - head[4].bit_length()
        length = int.from_bytes(head[4 : 4 + width], "big") - (1 << 7 * width)
        if length == (1 << 7 * width) - 1:  # not known, as live recordings have it
            return ""
        place += 4 + width + length
    return _beyond("its segment", place, size)


def _avi(file: BinaryIO, size: int) -> str:
    """A list of pictures; large files have several, each in a RIFF of its own."""
    place = 0
    while place + 12 <= size:
        file.seek(place)
        riff, length, kind = struct.unpack("<4sI4s", file.read(12))
        if riff != b"RIFF" or kind not in (b"AVI ", b"AVIX") or not length:
            return ""
        inside, end = place + 12, place + 8 + length
        while inside + 12 <= min(end, size):
            file.seek(inside)
            name, chunk, what = struct.unpack("<4sI4s", file.read(12))
            inside += 8 + chunk + chunk % 2
            if name == b"LIST" and what == b"movi" and chunk and inside > size + 1:
                return _beyond("its list of pictures", inside, size)
        place = end + length % 2
    return ""


def _asf(file: BinaryIO, size: int) -> str:
    """The file's size in its properties, but for broadcasts."""
    head = file.read(1 << 16)
    place = head.find(b"\xa1\xdc\xab\x8c\x47\xa9\xcf\x11\x8e\xe4\x00\xc0\x0c\x20\x53\x65")
    if place < 0:
        return ""
    declared = struct.unpack_from("<Q", head, place + 40)[0]
    flags = struct.unpack_from("<I", head, place + 88)[0]
    return "" if flags & 1 else _beyond("it", declared, size)


def _ogg(file: BinaryIO, size: int) -> str:
    """The last page ends a stream."""
    file.seek(max(0, size - 2 * 65536))
    tail = file.read()
    start = max(0, size - 2 * 65536)
    place = tail.rfind(b"OggS")
    if place < 0 or place + 27 > len(tail):
        return "" if place < 0 else "its last page is cut"
    segments = tail[place + 26]
    end = start + place + 27 + segments + sum(tail[place + 27 : place + 27 + segments])
    if end > size or place + 27 + segments > len(tail):
        return _beyond("its last page", max(end, size + 1), size)
    return "" if tail[place + 5] & 4 else "its last page does not end its stream"


def _gif(file: BinaryIO, size: int) -> str:
    """The blocks up to the trailer."""
    head = file.read(13)
    place = 13 + (3 << (head[10] & 7) + 1 if head[10] & 0x80 else 0)
    while True:
        file.seek(place)
        block = file.read(10)
        if block[:1] == b";":
            return ""
        if block[:1] == b"!":
            place += 2
        elif block[:1] == b"," and len(block) == 10:
            place += 11 + (3 << (block[9] & 7) + 1 if block[9] & 0x80 else 0)
        else:
            return "" if place < size and block[:1] not in (b",", b"!") else "it ends before its trailer"
        while True:
            file.seek(place)
            length = file.read(1)
            if not length:
                return "it ends before its trailer"
            place += 1 + length[0]
            if not length[0]:
                break


def _flv(file: BinaryIO, size: int) -> str:
    """The file's size among its data, or its last tag."""
    head = file.read(1 << 16)
    place = head.find(b"\0\x08filesize\0")
    if place >= 0:
        declared = struct.unpack_from(">d", head, place + 11)[0]
        if 0 < declared < 2**63:
            return _beyond("it", int(declared), size)
    file.seek(size - 4)
    length = struct.unpack(">I", file.read(4))[0]
    if not 11 <= length <= size - 4:
        return "" if not length else "its last tag is cut"
    file.seek(size - 4 - length)
    tag = file.read(4)
    whole = tag[0] & 0x1F in (8, 9, 18) and int.from_bytes(tag[1:], "big") + 11 == length
    return "" if whole else "its last tag is cut"


def _mpegts(file: BinaryIO, size: int) -> str:
    """Whole packets, and whole elementary packets of those streams that say how long they are."""
    head = file.read(5 * 204)
    found = [
        (step, first)
        for step, first in ((188, 0), (192, 4), (204, 0))
        if all(head[first + step * n : first + step * n + 1] == b"G" for n in range(4))
    ]
    if not found:
        return ""
    step, first = found[0]
    if size % step:
        return "it ends in the middle of a packet"
    start = max(0, size - TAIL // step * step)
    file.seek(start - start % step)
    tail = file.read()
    left: dict[int, int] = {}
    for place in range(first, len(tail) - 187, step):
        pid, control = struct.unpack_from(">HB", tail, place + 1)
        skip = 4 + (1 + tail[place + 4] if control & 0x20 else 0)
        payload = tail[place + skip : place + 188] if control & 0x10 and skip < 188 else b""
        if pid & 0x4000:
            left.pop(pid & 0x1FFF, None)
            if payload.startswith(b"\0\0\1") and len(payload) >= 6 and (length := int.from_bytes(payload[4:6], "big")):
                left[pid & 0x1FFF] = length + 6
        if (pid & 0x1FFF) in left:
            left[pid & 0x1FFF] -= len(payload)
    return "it ends in the middle of a stream's packet" if any(rest > 0 for rest in left.values()) else ""


def _mpeg(file: BinaryIO, size: int) -> str:
    """The chain of packets behind the last pack header."""
    start = max(0, size - TAIL)
    file.seek(start)
    tail = file.read()
    place = tail.rfind(b"\0\0\1\xba")
    if place < 0:
        return ""
    while place + 4 <= len(tail) and tail[place : place + 3] == b"\0\0\1":
        code = tail[place + 3]
        if code == 0xB9:
            return ""
        if code == 0xBA:
            if place + 14 > len(tail):
                return "it ends in the middle of a pack"
            place += 14 + (tail[place + 13] & 7) if tail[place + 4] >> 6 == 1 else 12
        elif place + 6 > len(tail):
            return "it ends in the middle of a packet"
        else:
            place += 6 + int.from_bytes(tail[place + 4 : place + 6], "big")
            if place > len(tail):
                return _beyond("its last packet", start + place, size)
    return ""


def _apng(file: BinaryIO, size: int) -> str:
    """The chunks up to the last one."""
    place = 8
    while place + 8 <= size:
        file.seek(place)
        length, kind = struct.unpack(">I4s", file.read(8))
        place += 12 + length
        if kind == b"IEND":
            return _beyond("its last chunk", place, size)
    return "it ends before its last chunk"


def _dv(file: BinaryIO, size: int) -> str:
    """Frames of one size: 525 lines, 625 lines, and multiples of either."""
    head = file.read(4)
    frame = 144000 if head[3] & 0x80 else 120000
    return "it ends in the middle of a frame" if size % frame else ""


def _ivf(file: BinaryIO, size: int) -> str:
    """The frames that its header counts."""
    head = file.read(32)
    count, place, seen = struct.unpack_from("<I", head, 24)[0], struct.unpack_from("<H", head, 6)[0], 0
    while place + 12 <= size:
        file.seek(place)
        place += 12 + struct.unpack("<I", file.read(4))[0]
        seen += place <= size
    return f"its header counts {count:,} frames, and it has {seen:,}" if 0 < seen < count else ""


def _mxf(file: BinaryIO, size: int) -> str:
    """The footer that the header partition names."""
    head = file.read(1 << 16)
    place = head.find(b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02")
    if place < 0:
        return ""
    length = head[place + 16]
    value = place + 17 + (length & 0x7F if length & 0x80 else 0)
    return _beyond("it", struct.unpack_from(">Q", head, value + 24)[0], size)


def _nut(file: BinaryIO, size: int) -> str:
    """The index at its end."""
    file.seek(max(0, size - TAIL))
    return "" if b"NX\xdd\x67\x2f\x23\xe6\x4e" in file.read() else "it has no index at its end"


def _swf(file: BinaryIO, size: int) -> str:
    """The length in its header, where it is not compressed."""
    head = file.read(8)
    return _beyond("it", struct.unpack("<I", head[4:])[0], size) if head.startswith(b"FWS") else ""


def _y4m(file: BinaryIO, size: int) -> str:
    """Frames of one size behind a line."""
    line = file.readline(1 << 10)
    width, height = (next(int(word[1:]) for word in line.split() if word[:1] == side) for side in (b"W", b"H"))
    space = next((word[1:] for word in line.split() if word[:1] == b"C"), b"420")
    if not space.startswith((b"420", b"422", b"444", b"mono")) or b"p1" in space or b"alpha" in space:
        return ""
    chroma = (width + 1) // 2 if space[:3] != b"444" else width
    rows = {b"420": (height + 1) // 2, b"mon": 0}.get(space[:3], height)
    if file.readline(1 << 10) != b"FRAME\n":
        return ""
    frame = 6 + width * height + 2 * chroma * rows
    return "it ends in the middle of a frame" if (size - len(line)) % frame else ""


CHECKS: dict[str, Callable[[BinaryIO, int], str]] = {
    "mov": _mp4, "matroska": _matroska, "avi": _avi, "asf": _asf, "ogg": _ogg, "gif": _gif, "flv": _flv,
    "live_flv": _flv, "mpegts": _mpegts, "mpeg": _mpeg, "apng": _apng, "dv": _dv, "ivf": _ivf, "mxf": _mxf,
    "nut": _nut, "swf": _swf, "yuv4mpegpipe": _y4m,
}  # fmt: skip

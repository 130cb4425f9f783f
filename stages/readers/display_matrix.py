"""Whether an MP4 or MOV file asks for its pictures to be shown upside down, from the heads of its tracks."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO


@lru_cache(maxsize=8)
def has_vertical_flip(path: Path, container: str) -> bool:
    """Whether a track's matrix swaps top and bottom without turning (ISO/IEC 14496-12, 8.3.2)."""
    if not container.startswith("mov"):
        return False
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            heads = (  # where the contents of the tracks' heads begin
                place
                for kind, start, end in _boxes(file, 0, file.tell())
                for track, inside, last in (_boxes(file, start, end) if kind == b"moov" else ())
                for name, place, _ in _boxes(file, inside, last)
                if track == b"trak" and name == b"tkhd"
            )
            for start in heads:
                file.seek(start)
                head = file.read(100)
                place = 52 if head[0] == 1 else 40
                a, b, _, c, d = struct.unpack(">5i", head[place : place + 20])
                if b == c == 0 and a > 0 > d:
                    return True
    except (OSError, struct.error):
        pass
    return False


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, beginning and end of what is in the boxes from start to end."""
    while start + 8 <= end:
        file.seek(start)
        length, kind = struct.unpack(">I4s", file.read(8))
        head = 8
        if length == 1:
            length, head = struct.unpack(">Q", file.read(8))[0], 16
        last = end if length == 0 else start + length
        if last < start + head:
            return
        yield kind, start + head, last
        start = last

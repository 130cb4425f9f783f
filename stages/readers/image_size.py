"""Width and height from the first bytes of a picture's file, at a hundredth of what decoding it takes."""

from __future__ import annotations

_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG or PNG file; None for all else, and where EXIF data may turn the picture."""
    if data.startswith(b"\xff\xd8"):
        return _of_jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR" and b"eXIf" not in data:
        return _sides(data[16:20], data[20:24])
    return None


def _of_jpeg(data: bytes) -> tuple[int, int] | None:
    """From the frame header (ITU-T T.81, B.2.2), passing over the segments before it (B.1.1.4)."""
    if b"Exif\0\0" in data:
        return None
    place = 2
    while data[place : place + 1] == b"\xff":
        while data[place : place + 1] == b"\xff":  # fill bytes
            place += 1
        marker = data[place] if place < len(data) else 0
        if marker in _FRAMES:
            return _sides(data[place + 6 : place + 8], data[place + 4 : place + 6])
        place += 1 if marker in _BARE else 1 + int.from_bytes(data[place + 1 : place + 3], "big")
    return None


def _sides(width: bytes, height: bytes) -> tuple[int, int] | None:
    """None where a side is missing, or 0: a JPEG file may say its height at its end."""
    sides = int.from_bytes(width, "big"), int.from_bytes(height, "big")
    return sides if all(sides) else None

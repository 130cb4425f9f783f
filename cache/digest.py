"""The digests in a segment and in its name: BLAKE3, which takes a fifth of blake2b's time; blake2b in format version 1.

Every byte of a segment goes through twice, once for its row's checksum and once for the file's name: with blake2b that
was more than half of what writing took. Keys and the digests of videos stay blake2b, which Python brings along.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from blake3 import blake3

FORMAT_VERSION = 3  # what is written
READABLE = (1, 2, 3)
NAME_BYTES = 16
CHECKSUM_BYTES = 8
_BLOCK = 1 << 20


class Digest:
    """The digest of so many bytes over all that `update` is given, as segments of a format version carry it."""

    def __init__(self, size: int, version: int = FORMAT_VERSION) -> None:
        self._state: Any = blake2b(digest_size=size) if version == 1 else blake3()
        self._wanted = {} if version == 1 else {"length": size}  # BLAKE3 is told at the end
        self.update = self._state.update

    def digest(self) -> bytes:
        """The digest of what came so far."""
        return self._state.digest(**self._wanted)


def read_through(file: Any, digest: Any) -> None:
    """Give what is left to read in an open binary file to a digest."""
    block = memoryview(bytearray(_BLOCK))
    while count := file.readinto(block):
        digest.update(block[:count])


def segment_name(file: Any, version: int = FORMAT_VERSION) -> str:
    """The name of a segment, 32 hex digits, from the bytes left to read in its open file."""
    digest = Digest(NAME_BYTES, version)
    read_through(file, digest)
    return digest.digest().hex()

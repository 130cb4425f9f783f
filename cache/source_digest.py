"""The digest of a source, a video file or a folder of frames, and what tells cheaply that it may have changed."""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path

from ..errors import NoVideoStream, UnreadableVideo
from ..untrusted_files import UntrustedFile, open_file
from .digest import read_through
from .keys import DIGEST_BYTES


def file_digest(path: str | Path) -> str:
    """The digest of a video file's bytes, 32 hex digits.

    Raises NoVideoStream for what is no regular file (a pipe would block for ever), UnreadableVideo when the system
    does not give it out.
    """
    try:
        with open_file(path) as file:
            digest = blake2b(digest_size=DIGEST_BYTES)
            read_through(file, digest)
            return digest.hexdigest()
    except UntrustedFile:
        raise NoVideoStream(f"{path}: not a regular file; name a video file or a folder of frames") from None
    except OSError as error:
        raise UnreadableVideo(f"{path}: {error.strerror}; check the path and its permissions") from None


def folder_digest(path: str | Path) -> str:
    """The digest of a folder of frames as caches of star 0.1.0's first months have it: names and sizes, not bytes.

    Hidden files and folders inside do not count. Raises UnreadableVideo when the folder cannot be read.
    """
    try:
        with os.scandir(path) as entries:
            files = [(e.name, e.stat().st_size) for e in entries if e.is_file() and not e.name.startswith(".")]
    except OSError as error:
        raise UnreadableVideo(f"{path}: {error.strerror}; check the path and its permissions") from None
    digest = blake2b(digest_size=DIGEST_BYTES)
    for name, size in sorted(files):
        digest.update(f"{size} {name}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def frames_digest(path: str | Path) -> str:
    """The digest of a folder of frames: its files' names and all their bytes (32 hex digits).

    Hidden files and folders inside do not count. Raises UnreadableVideo when something cannot be read.
    """
    try:
        with os.scandir(path) as entries:
            names = sorted(e.name for e in entries if e.is_file() and not e.name.startswith("."))
    except OSError as error:
        raise UnreadableVideo(f"{path}: {error.strerror}; check the path and its permissions") from None
    digest = blake2b(digest_size=DIGEST_BYTES)
    for name in names:
        digest.update(f"{file_digest(Path(path) / name)} {name}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def folder_stamp(path: str | Path) -> tuple[int, int, int, int]:
    """What changes with a folder of frames, at the cost of listing it.

    A number below 0, a hash of its files' names, sizes and modification times; the latest of these, ns since 1970; a
    hash of what the system alone sets, inodes and times of the last change; the latest of these, ns. Raises OSError.
    """
    with os.scandir(path) as entries:
        found = [(e.name, e.stat()) for e in entries if e.is_file() and not e.name.startswith(".")]
    digest, inodes, latest, changed = blake2b(digest_size=7), blake2b(digest_size=7), 0, 0
    for name, status in sorted(found):
        digest.update(f"{status.st_size} {status.st_mtime_ns} {name}\0".encode(errors="surrogateescape"))
        inodes.update(f"{status.st_ino} {status.st_ctime_ns} ".encode())
        latest, changed = max(latest, status.st_mtime_ns), max(changed, status.st_ctime_ns)
    return -1 - int.from_bytes(digest.digest(), "big"), latest, int.from_bytes(inodes.digest(), "big"), changed

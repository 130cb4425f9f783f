"""Names that follow from content: the key of a stage's settings, the digest of a video.

A key depends on nothing but plain settings, so a cache made on one machine is found on another.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from ..errors import NoVideoStream, UnreadableVideo
from ..untrusted_files import UntrustedFile, open_file
from .digest import read_through

DIGEST_BYTES = 16


def canonical(value: Any) -> bytes:
    """Canonical JSON (FORMAT.md "Keys"): equal settings give equal bytes, on every machine and version of Python.

    value: None, bool, int, float, str, and lists, tuples and dicts of them. Raises TypeError for anything else and
    ValueError for NaN and infinity.
    """
    plain = _plain(value)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def stage_key(name: str, version: int, settings: Mapping[str, Any], upstream: Mapping[str, str]) -> str:
    """The key of a stage: 32 hex digits over its name, version, settings and the keys of the stages it reads."""
    text = canonical({"stage": name, "version": version, "settings": settings, "upstream": upstream})
    return blake2b(text, digest_size=DIGEST_BYTES).hexdigest()


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


def _plain(value: Any) -> Any:
    """The same value in JSON's own types; whole floats as integers."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} cannot stand in a key")
        return int(value) if value.is_integer() else float(value)
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return {name: _plain(item) for name, item in value.items()}
    raise TypeError(f"{value!r} cannot stand in a key: settings are plain JSON")

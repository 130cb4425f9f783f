"""Files that are whole or absent, and failures of the disk as one clear line.

A file is written under a partial name, flushed to the disk and renamed. A partial name tells whose it is, so that what
a killed writer left can be deleted while a living one is left alone.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import socket
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path

from ..errors import FormatError, StorageError
from ..untrusted_files import UntrustedFile, read_bytes

DAY = 86400.0
_PARTIAL = re.compile(r"([0-9a-f]{8})-(\d+)-[0-9a-f]{8}\.partial")
_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space or set cache.root to another disk",
    errno.EDQUOT: "the disk quota is used up; free some space or set cache.root to another disk",
    errno.EFBIG: "the file would be larger than this system allows; raise `ulimit -f` or lower cache.segment",
    errno.EROFS: "the file system is read-only; mount it writable or set cache.root to another folder",
    errno.EACCES: "no permission to write there; change the permissions or set cache.root to another folder",
    errno.EPERM: "no permission to write there; change the permissions or set cache.root to another folder",
    errno.ENOENT: "the folder has vanished; bring it back (is the disk mounted?) and run the same command again",
    errno.ESTALE: "the folder has vanished; bring it back (is the disk mounted?) and run the same command again",
    errno.ENOTDIR: "a part of this path is a file, not a folder; set cache.root to a folder",
    errno.EEXIST: "a file is in the way of this folder; move it or set cache.root to another folder",
}


def storage_error(error: OSError, folder: Path) -> StorageError:
    """The error of the disk as star's own: the folder, what is wrong, what to do."""
    reason = error.strerror or str(error)
    remedy = _REMEDIES.get(error.errno or 0, f"{reason}; check the disk, then run the same command again")
    return StorageError(f"{folder}: {remedy}")


def read_error(error: OSError, path: Path) -> StorageError:
    """The error for a file or folder that is there and cannot be read."""
    return StorageError(f"{path}: cannot be read ({error.strerror}); check its permissions and the disk")


@contextmanager
def reporting(folder: Path) -> Generator[None, None, None]:
    """Whatever the disk refuses inside becomes a StorageError that names `folder`."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # h5py's own complaints are OSErrors too
            raise
        raise storage_error(error, folder) from None


@cache
def _mark(pid: int) -> str:
    """Names this machine, since it was started, and this container: only there does a pid mean a process."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    with suppress(OSError):
        parts.append(str(Path(f"/proc/{pid}/ns/pid").readlink()))
    return blake2b("\0".join(parts).encode(), digest_size=4).hexdigest()


@contextmanager
def partial(folder: Path) -> Generator[Path, None, None]:
    """A name in `folder` to write to; whatever is still there at the end is removed.

    The caller renames it to its final name. Raises nothing of its own.
    """
    path = folder / f"{_mark(os.getpid())}-{os.getpid()}-{secrets.token_hex(4)}.partial"
    try:
        yield path
    finally:
        with suppress(OSError):
            path.unlink()


def replace(path: Path, content: bytes) -> None:
    """Write a small file so that others see the old content or the new, never a part. Raises OSError."""
    with partial(path.parent) as name:
        with name.open("xb") as file:
            file.write(content)
            flush(file.fileno())
        name.replace(path)
    flush_folder(path.parent)


def flush(handle: int) -> None:
    """Put a file's bytes on the disk. Raises OSError."""
    os.fsync(handle)


def flush_folder(folder: Path) -> None:
    """Ask for a folder's entries to be put on the disk; not every file system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_leftovers(folder: Path, now: float) -> int:
    """Delete what killed writers left in `folder`; returns how many files.

    now: the file server's clock, in seconds since 1970: partial files older than a day belong to nobody.
    """
    removed = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            if (match := _PARTIAL.fullmatch(entry.name)) and _is_dead(match, entry, now):
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):  # a stage's folder whose removal was broken off
                        shutil.rmtree(Path(entry))
                    else:
                        Path(entry).unlink()
                    removed += 1
    return removed


def _is_dead(match: re.Match[str], entry: os.DirEntry[str], now: float) -> bool:
    pid = int(match[2])
    if match[1] == _mark(os.getpid()) and pid != os.getpid() and os.name == "posix":  # else the question is a signal
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return True
        except OSError:
            pass
    with suppress(OSError):
        return now - entry.stat(follow_symlinks=False).st_mtime > DAY
    return False


def size_of(path: Path) -> int:
    """The size of a regular file in bytes. Raises FormatError for links, pipes and devices, OSError if it is absent."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        raise FormatError(f"{path}: not a regular file; a cache holds no links, pipes or devices: remove it")
    return status.st_size


def listing(folder: Path) -> list[str]:
    """The names in a folder, none where there is no such folder. Raises StorageError."""
    try:
        return os.listdir(folder)  # noqa: PTH208 (a path for each of 10,000 names takes time)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise read_error(error, folder) from None


def read_whole(path: Path, limit: int) -> bytes:
    """All bytes of a regular file. Raises FormatError when it is none or larger than `limit`, OSError if absent."""
    size_of(path)  # refuses links, which `read_bytes` follows
    try:
        return read_bytes(path, limit)
    except UntrustedFile as error:
        raise FormatError(f"{path}: {error}; remove it") from None

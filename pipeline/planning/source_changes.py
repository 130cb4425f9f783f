"""Whether a video has changed since its bytes were read: by stamps of its files, and where these differ by digest.

A stamp is size, modification time, inode and the time of the last change. Where any of these is another, the bytes are
read again and their digest decides, so that a copy of the data set is the same data set. No byte is read twice
otherwise.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ...cache.source_digest import file_digest, folder_digest, folder_stamp, frames_digest
from ...errors import VideoError
from ..datasets.base import Manifest, Video


class Digests(NamedTuple):
    """Hex digests of a video's bytes and of its annotation; "" for what is not there or was never read.

    layout: of the joints of its data set, where each file names its own: what fits one layout is a failure in another,
    and a row of one layout never stands among those of another.
    """

    video: str = ""
    annotation: str = ""
    layout: str = ""

    def row(self, annotated: bool) -> str:
        """What a cached row of this video names as its source; "" where the video was never read."""
        if not annotated or not self.annotation or not self.video:
            return self.video
        return hashlib.blake2b("".join(self).encode(), digest_size=16).hexdigest()


class Stamp(NamedTuple):
    """What the system says of a file without reading it, or of all files of a folder, see `folder_stamp`.

    size: in bytes, below 0 for a folder. modified: in ns since 1970. inode, changed: its number, and when the system
    last saw it change, ns; 0 and 0 where nobody noted them. They tell a file from another of the same size and
    modification time.
    """

    size: int = 0
    modified: int = 0
    inode: int = 0
    changed: int = 0

    def fits(self, other: Stamp) -> bool:
        """Whether nothing has changed since `other`, which may lack the last two."""
        return self == other or (self[:2] == other[:2] and other[2:] == (0, 0))


@dataclass(slots=True)
class Source:
    """The bytes behind one video: their digests, and the stamps of the files when those were read."""

    digests: Digests = Digests()
    video_stamp: Stamp = Stamp()
    annotation_stamp: Stamp = Stamp()
    present: bool = True

    @property
    def age(self) -> tuple[bool, int, int]:
        """Which of two memories of one video is of later bytes: the larger one."""
        return bool(self.digests.video), self.video_stamp.modified, self.annotation_stamp.modified


class Sources:
    """The digests of a catalogue's videos, read when first asked for and remembered.

    A video that is gone keeps the digest under which it was extracted, so that its features can still be used; one
    that is no longer on the list is `removed`.
    """

    def __init__(
        self,
        manifest: Manifest,
        memory: dict[str, Source],
        removed: Iterable[str] = (),
        parts: Mapping[Path, int] = MappingProxyType({}),
        layout: str = "",
    ) -> None:
        self.manifest = manifest
        self.memory = memory
        self.adopted = False  # whether a digest holds under a stamp that has yet to be remembered
        self.known = {video.id: self._look(video) for video in manifest.videos}
        for name, source in self.known.items() if layout else ():
            self.known[name] = replace(source, digests=source.digests._replace(layout=layout))
        self.removed = sorted((memory.keys() | set(removed)) - self.known.keys())
        self.parts = parts  # what shards remembered apart, with the modification times at which it was read
        self.changed = self.removed != sorted(removed) or bool(parts) or self.adopted

    def _look(self, video: Video) -> Source:
        """The remembered digests that still hold, by the stamps of the files."""
        old = self.memory.get(video.id, Source())
        if video.digest:
            return Source(Digests(video.digest, video.digest), old.video_stamp, old.annotation_stamp)
        found = file_status(video.media)
        if found is None:
            return replace(old, present=False)
        folder, stamp = stat.S_ISDIR(found.st_mode), _stamp(found)
        if folder:
            with suppress(OSError):  # where it cannot be listed, its own stamp must do
                stamp = Stamp(*folder_stamp(video.media))
        beside = file_status(video.annotation) if video.annotation else None
        note = _stamp(beside) if beside else old.annotation_stamp
        same_video = stamp.fits(old.video_stamp) and (stat.S_ISREG(found.st_mode) or stamp.size < 0)
        if folder and not same_video and old.digests.video and old.video_stamp.size >= 0:
            with suppress(VideoError):  # an older memory, of names and sizes, holds as far as that can be told
                same_video = folder_digest(video.media) == old.digests.video
        same_note = note.fits(old.annotation_stamp)
        if (same_video and stamp != old.video_stamp) or (same_note and note != old.annotation_stamp):
            self.adopted = True
        known = Digests(old.digests.video if same_video else "", old.digests.annotation if same_note else "")
        return Source(known, stamp, note)

    def get(self, video: Video) -> Digests:
        """The digests of a video, reading its bytes where they are not remembered.

        Raises nothing for a video that cannot be read: its digest stays "" and extraction says why.
        """
        source = self.known[video.id]
        if source.present and (not source.digests.video or (video.annotation and not source.digests.annotation)):
            self.learn(video.id, digests(video, source.digests))
        return self.known[video.id].digests

    def learn(self, video_id: str, found: Digests) -> None:
        """Remember digests that were read here, or in a decoding child."""
        if self.known[video_id].digests != found:
            self.known[video_id] = replace(self.known[video_id], digests=found)
            self.changed = True


def digests(video: Video, known: Digests) -> Digests:
    """The digests of a video, reading only what is not known."""
    media = known.video or _digest(video.media)
    if video.annotation == video.media:  # joints without a video
        return Digests(media, media, known.layout)
    annotation = known.annotation or (_digest(video.annotation) if video.annotation else "")
    return Digests(media, annotation, known.layout)


def _digest(path: Path) -> str:
    """Of a file or folder; "" where it cannot be read. What many spans share is read once."""
    status = file_status(path)
    try:
        if status is None:
            return ""
        if stat.S_ISDIR(status.st_mode):  # its own time says nothing of its frames
            return _frames_digest_at(path, folder_stamp(path))
        return _file_digest_at(path, _stamp(status)) if stat.S_ISREG(status.st_mode) else ""
    except Exception:  # whatever it is, it is this video's alone, and extraction says what
        return ""


@lru_cache(maxsize=64)
def _file_digest_at(path: Path, stamp: Stamp) -> str:
    """A file's digest, until its stamp changes."""
    return file_digest(path)


@lru_cache(maxsize=64)
def _frames_digest_at(path: Path, stamp: tuple[int, int]) -> str:
    """A folder's digest, until the size or time of one of its files changes."""
    return frames_digest(path)


def file_status(path: Path) -> os.stat_result | None:
    """What the system says of a file or folder; None where there is none."""
    try:
        return os.stat(path)  # noqa: PTH116 (a path's own method takes twice the time)
    except (OSError, ValueError):  # also a name that no file can have
        return None


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns)

"""The data set's videos with the digests of their bytes, remembered in the cache.

CACHE/catalogues/NAME.json keeps, per video, its label, split, groups and the digests of its bytes and of its
annotation, with what the system said of the files when they were read: size, modification time, inode and the time
of its last change. Where any of these is another, the bytes are read again and their digest decides, so that a copy of
the data set is the same data set. No byte is read twice otherwise, and where the data set's files are not there (a
laptop that has only the cache, videos deleted after extraction) the list itself serves: training and the stages that
need no video go on.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ...cache import atomic
from ...cache.checksum import id_problem
from ...cache.keys import canonical, file_digest, folder_digest, folder_stamp, frames_digest
from ...errors import MissingData, VideoError
from ...stages.skeletons import Skeleton
from ...untrusted_files import (
    LARGE,
    LARGEST,
    LONG,
    UntrustedFile,
    each,
    json_text,
    one_of,
    optional,
    plain,
    read_json,
    record,
    text,
    whole,
)
from .. import datasets
from ..datasets.base import Manifest, Span, Video
from ..recipe.schema import DatasetSettings
from .shard import Shard


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
        found = _status(video.media)
        if found is None:
            return replace(old, present=False)
        folder, stamp = stat.S_ISDIR(found.st_mode), _stamp(found)
        if folder:
            with suppress(OSError):  # where it cannot be listed, its own stamp must do
                stamp = Stamp(*folder_stamp(video.media))
        beside = _status(video.annotation) if video.annotation else None
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
    status = _status(path)
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


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 (a path's own method takes twice the time)
    except (OSError, ValueError):  # also a name that no file can have
        return None


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns)


def open_manifest(settings: DatasetSettings, cache: Path) -> tuple[Manifest, Sources, str]:
    """The data set's catalogue, its digests, and a warning ("" if all is well).

    Falls back on the remembered list where the data set's files are not there: no root, an empty one (where nothing is
    mounted), or one that lacks the videos. Raises DatasetError where there is neither, or where the data set is not as
    it should be.
    """
    name = settings.name or settings.root.name or settings.kind
    path = _path(settings, cache, name)
    remembered = _read(path)
    warning = ""
    try:
        manifest = replace(datasets.load(settings, cache), name=name)
        if not manifest.videos:
            raise MissingData(
                f"dataset.root: {settings.root} has no videos of kind {settings.kind!r}; see docs/datasets.md"
            )
    except MissingData:
        if remembered is None:
            raise
        manifest = _restore(remembered, settings.root, name)
        try:
            empty = next(settings.root.iterdir(), None) is None
            absence = "is empty, as where nothing is mounted" if empty else "lacks the videos"
        except OSError as error:
            absence = "lacks the videos" if isinstance(error, NotADirectoryError) else "is not there"
        warning = f"dataset.root: {settings.root} {absence}; going on with the list of videos kept in {path}"
    removed = remembered.get("removed", ()) if remembered else ()
    parts = _parts(path)
    memory = _memory(remembered)
    for part in parts:
        for video, source in _memory(_read(part)).items():
            memory[video] = max(memory.get(video, source), source, key=lambda one: one.age)
    layout = ""
    if settings.kind in datasets.OF_OWN_LAYOUT and manifest.skeleton and manifest.skeleton.joints:
        names = "\n".join(manifest.skeleton.joints).encode(errors="surrogateescape")
        layout = hashlib.blake2b(names, digest_size=4).hexdigest()
    return manifest, Sources(manifest, memory, removed, parts, layout), warning


def remember(settings: DatasetSettings, cache: Path, sources: Sources, shard: Shard | None = None) -> None:
    """Write the list and its digests beside the features; whole or absent, like everything in a cache.

    A shard writes the list only where there is none, and the digests of its own videos into a file of its own, since
    other shards write at the same time.
    """
    manifest = sources.manifest
    path = _path(settings, cache, manifest.name)
    with atomic.reporting(cache):
        path.parent.mkdir(parents=True, exist_ok=True)
        if shard is None or not path.exists():
            atomic.replace(path, json_text(_describe(manifest, sources, settings.root)).encode())
        if shard is None:
            for part in [part for part, time in _parts(path).items() if sources.parts.get(part) == time]:
                part.unlink(missing_ok=True)  # it is in the list now
        else:
            names = shard.share(video.id for video in manifest.videos)
            own = replace(manifest, videos=[video for video in manifest.videos if video.id in names])
            part = path.with_suffix(f".{shard.number}-of-{shard.of}.json")
            atomic.replace(part, json_text(_describe(own, sources, settings.root)).encode())


def _path(settings: DatasetSettings, cache: Path, name: str) -> Path:
    """The list's file; its name tells apart what chooses videos, labels and splits, but no path."""
    chosen = {"kind": settings.kind, "split": settings.split, "version": settings.version}
    chosen |= {"classes": list(settings.classes or ()), "test_share": settings.test_share}
    later = {"fold": settings.fold, "split_by": settings.split_by, "split_seed": settings.split_seed}
    later |= {"val_share": settings.val_share, "folds": settings.folds, "held_out": settings.held_out}
    later |= {"list": settings.list and settings.list.name, "labels": settings.labels}
    chosen |= {name: value for name, value in later.items() if value != DatasetSettings.model_fields[name].default}
    identity = hashlib.blake2b(canonical(chosen), digest_size=4).hexdigest()
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name) or "data"
    return cache / "catalogues" / f"{safe}-{identity}.json"


def _parts(path: Path) -> dict[Path, int]:
    """The files that shards wrote beside a list, with their modification times in ns."""
    found = {part: _status(part) for part in sorted(path.parent.glob(f"{path.stem}.*-of-*.json"))}
    return {part: status.st_mtime_ns for part, status in found.items() if status}


def _describe(manifest: Manifest, sources: Sources, root: Path) -> dict[str, Any]:
    skeleton, rows, inodes = manifest.skeleton, list[list[Any]](), list[list[int]]()
    for video in manifest.videos:
        source = sources.known[video.id]
        beside = os.path.relpath(video.annotation, root) if video.annotation else None
        row = [video.id, video.label, video.split, os.path.relpath(video.media, root), beside, list(video.groups)]
        row += [source.digests.video, source.digests.annotation, *source.video_stamp[:2], *source.annotation_stamp[:2]]
        further = (video.part, video.span, video.labels)
        rows.append([*row, *further] if any(further) else row)
        inodes.append([*source.video_stamp[2:], *source.annotation_stamp[2:]])
    return {
        "format": "star-catalogue",
        "format_version": 1,
        "classes": list(manifest.classes),
        "skeleton": skeleton and [skeleton.name, skeleton.joints, skeleton.flip_pairs, skeleton.limbs],
        "left_out": [list(pair) for pair in manifest.left_out],
        "removed": sources.removed,
        "videos": rows,
        "inodes": inodes,
    }


def _is_row(row: Any, classes: int) -> bool:
    """Whether an entry of the remembered list is one that `_describe` made."""
    if type(row) is not list or not 12 <= len(row) <= 15 or type(row[0]) is not str or id_problem(row[0]):
        return False
    texts, numbers, groups = (row[2], row[3], row[6], row[7]), (row[1], *row[8:12]), row[5]
    span = row[13] if len(row) > 13 else None
    return (
        all(type(value) is str and len(value) <= LONG for value in texts)
        and all(type(value) is int and abs(value) <= LARGEST for value in numbers)
        and (row[4] is None or type(row[4]) is str)
        and -1 <= row[1] < classes
        and row[2] in ("train", "val", "test")
        and type(groups) is list
        and all(map(_is_pair, groups))
        and (len(row) < 13 or type(row[12]) is str)
        and (span is None or (type(span) is list and len(span) == 3 and span[2] in ("s", "frame")))
        and (span is None or {type(end) for end in span[:2]} <= {int, float})
        and (len(row) < 15 or type(row[14]) is list)
        and (len(row) < 15 or all(type(label) is int and 0 <= label < classes for label in row[14]))
    )


def _is_pair(value: Any) -> bool:
    return type(value) is list and [type(part) for part in value] == [str, str]


_LIST = record(
    {
        "format": one_of("star-catalogue"),
        "format_version": whole(1, 1),
        "classes": each(text()),
        "skeleton": optional(plain),
        "left_out": each(plain),
        "removed": each(text()),
        "videos": each(plain),
    },
    {"inodes": each(plain)},
)


def _read(path: Path) -> dict[str, Any] | None:
    """The remembered list; a broken or strange one is only a lost memory."""
    try:
        found = read_json(path, _LIST, LARGE)
        _restored_skeleton(found)
    except (OSError, UntrustedFile, TypeError, ValueError):
        return None
    rows, inodes, classes = found["videos"], found.setdefault("inodes", []), len(found["classes"])
    sound = all(_is_row(row, classes) for row in rows) and all(map(_is_pair, found["left_out"]))
    sound = sound and all(type(one) is list and [*map(type, one)] == [int] * 4 for one in inodes)
    return found if sound and len(inodes) in (0, len(rows)) else None


def _memory(remembered: dict[str, Any] | None) -> dict[str, Source]:
    rows: list[Any] = remembered["videos"] if remembered else []
    inodes: list[Any] = (remembered["inodes"] if remembered else []) or [(0, 0, 0, 0)] * len(rows)
    return {
        row[0]: Source(Digests(row[6], row[7]), Stamp(row[8], row[9], *more[:2]), Stamp(row[10], row[11], *more[2:]))
        for row, more in zip(rows, inodes, strict=True)
    }


def _restored_skeleton(remembered: dict[str, Any]) -> Skeleton | None:
    if not remembered["skeleton"]:
        return None
    name, joints, pairs, limbs = remembered["skeleton"]
    flips, drawn = ([(int(first), int(second)) for first, second in part] for part in (pairs, limbs))
    if not all(0 <= number < len(joints) for pair in (*flips, *drawn) for number in pair):
        raise ValueError(remembered["skeleton"])
    return Skeleton(str(name), tuple(map(str, joints)), tuple(flips), tuple(drawn))


def _restore(remembered: dict[str, Any], root: Path, name: str) -> Manifest:
    videos = [
        Video(
            row[0],
            row[1],
            row[2],
            root / row[3],
            root / row[4] if row[4] else None,
            tuple(map(tuple, row[5])),
            part=row[12] if len(row) > 12 else "",
            digest=row[6] if len(row) > 12 and row[12] else "",
            span=Span(*row[13]) if len(row) > 13 and row[13] else None,
            labels=tuple(row[14]) if len(row) > 14 else (),
        )
        for row in remembered["videos"]
    ]
    left_out = tuple((video, reason) for video, reason in remembered["left_out"])
    return Manifest(name, tuple(remembered["classes"]), videos, _restored_skeleton(remembered), left_out)

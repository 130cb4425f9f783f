"""The data set's videos with the digests of their bytes, remembered in the cache.

CACHE/catalogues/NAME.json keeps, per video, its label, split, groups and the digests of its bytes and of its
annotation, with what the system said of the files when they were read (source_changes.py). Where the data set's files
are not there (a laptop that has only the cache, videos deleted after extraction) the list itself serves: training and
the stages that need no video go on.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...cache import atomic
from ...cache.checksum import id_problem
from ...cache.keys import canonical
from ...errors import MissingData
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
from .source_changes import Digests, Source, Sources, Stamp, file_status


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
    later |= {"exclude": settings.exclude}
    chosen |= {name: value for name, value in later.items() if value != DatasetSettings.model_fields[name].default}
    identity = hashlib.blake2b(canonical(chosen), digest_size=4).hexdigest()
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name) or "data"
    return cache / "catalogues" / f"{safe}-{identity}.json"


def _parts(path: Path) -> dict[Path, int]:
    """The files that shards wrote beside a list, with their modification times in ns."""
    found = {part: file_status(part) for part in sorted(path.parent.glob(f"{path.stem}.*-of-*.json"))}
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

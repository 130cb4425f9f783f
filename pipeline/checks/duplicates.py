"""Videos that are the same: of equal bytes, or, where joints are all there is, of equal joints in other files."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ..datasets.base import Video
from ..extraction.decode_pool import DecodePool
from .scan_task import Finding, Look, content


def duplicates(videos: Sequence[Video], looks: Mapping[str, Look], children: DecodePool) -> Iterator[Finding]:
    """A finding for each video that is an earlier one again: a problem across the split or two classes, else a note.

    Joints without videos are compared number by number, since the same recording may hold another name inside. Spans of
    one video share its bytes, and are not compared.
    """
    whole = [video for video in videos if video.span is None]
    told: set[str] = set()
    for same, part in (
        *(("content", part) for group in _equal(whole, looks, "video") for part in _confirmed(group, children)),
        *(("joints", group) for group in _equal(whole, looks, "joints")),
    ):
        for other in part[1:]:
            if other.id not in told:
                told.add(other.id)
                yield _finding(same, part[0], other)


def _equal(videos: Sequence[Video], looks: Mapping[str, Look], what: str) -> list[list[Video]]:
    """Groups of videos whose digests of their bytes ("video") or their "joints" are equal."""
    groups: dict[str, list[Video]] = defaultdict(list)
    for video in videos:
        seen = looks[video.id]
        digest = seen.digests.video if what == "video" else seen.joints_digest
        if digest:
            groups[digest].append(video)
    return [group for group in groups.values() if len(group) > 1]


def _finding(what: str, first: Video, other: Video) -> Finding:
    """What is to be said of two videos with the same `what`."""
    same = f"the same {what} as {first.id}"
    if first.split != other.split:
        message = f"{same}, in {other.split} and {first.split}: the test is no test; leave one out (dataset.exclude)"
        return Finding("problem", "duplicate", other.id, message)
    if first.all_labels != other.all_labels:
        return Finding("problem", "duplicate", other.id, f"{same}, under another label; correct one")
    return Finding("note", "duplicate", other.id, f"{same}; leave one out (dataset.exclude)")


def _confirmed(videos: list[Video], children: DecodePool) -> list[list[Video]]:
    """Videos of one digest, parted by all their bytes: the digest of older caches knows only names and sizes."""
    if not os.path.isdir(videos[0].media):  # noqa: PTH112 (a path's own method raises for some names)
        return [videos]
    futures = [(video, children.submit(content, video.media)) for video in videos]
    parts: dict[str, list[Video]] = defaultdict(list)
    for video, future in futures:
        found = children.outcome(future, video.id)
        if isinstance(found, str):
            parts[found].append(video)
    return list(parts.values())

"""Which videos are for training and which for testing, where their list does not say it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ....errors import DatasetError
from .csv_list import Entry

SEEDS = 200  # tried where chance left a class without test videos
SMALL = 5000  # videos; with more of them, chance does not


def sides(entries: Sequence[Entry], *, test_share: float, seed: int = 0, by: str | None = None) -> list[str]:
    """ "train" or "test" for every entry: as it says itself, or else as a hash of its id decides.

    by: a column of the list; then the hash of its value decides, so that nothing of one subject, say, stands on both
    sides. Rows that say their split take the rest of their group along. New videos move none of the others.
    Raises DatasetError with the row that lacks a value, or whose given split tears its group apart.
    """
    if by is None:
        return [entry.split or hashed_split(entry.path, test_share, seed) for entry in entries]
    column = by.lower()
    values = [dict(entry.groups).get(column) for entry in entries]
    if not any(values):
        columns = ", ".join(dict.fromkeys(name for entry in entries for name, _ in entry.groups))
        remedy = f"it may be one of {columns}" if columns else f"add it to a CSV (video,label,split,{column})"
        raise DatasetError(f"dataset.split_by: {column!r} is no column of the list; {remedy}")
    for entry, value in zip(entries, values, strict=True):
        if not value:
            raise DatasetError(
                f"{entry.where}: {entry.video} has no {column}, and dataset.split_by needs one for every video"
            )
    groups = [value or "" for value in values]
    given: dict[str, Entry] = {}
    for entry, group in zip(entries, groups, strict=True):
        first = given.setdefault(group, entry) if entry.split else entry
        if first.split != entry.split:
            raise DatasetError(
                f"{entry.where}: {by} {group!r} is for {entry.split} here and for {first.split} in {first.where}; "
                "correct one of them, or leave dataset.split_by out"
            )
    return [given[group].split if group in given else hashed_split(group, test_share, seed) for group in groups]


def seed_for(entries: Sequence[Entry], test_share: float) -> int:
    """The first seed by which every class has training and test videos; 0 where none does, or needs to."""
    classes = len({label for entry in entries for label in entry.labels})
    for seed in range(SEEDS if len(entries) <= SMALL else 0):
        split = sides(entries, test_share=test_share, seed=seed)
        there = {
            (label, side) for entry, side in zip(entries, split, strict=True) if side != "val" for label in entry.labels
        }
        if len(there) == 2 * classes:
            return seed
    return 0


def hashed_split(name: str, test_share: float, seed: int = 0) -> str:
    """ "train" or "test" by name and seed alone; on average `test_share` of all names are for testing."""
    salt = seed.to_bytes(16, "big")  # of zeros: no salt at all
    digest = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8, salt=salt).digest()
    return "test" if int.from_bytes(digest, "big") < test_share * 2**64 else "train"

"""Kinetics-400, -600 and -700 (Kay et al., arXiv 1705.06950): clips of ten seconds, listed by their YouTube ids.

    ROOT/train.csv, ROOT/validate.csv     label,youtube_id,time_start,time_end,split
    ROOT/.../-3B32lodO2M_000059_000069.mp4

or a folder of its frames of that name, in any folders below ROOT, one for each class or none. Videos vanish from
YouTube, so some are always missing: they are left out. The validation clips serve for testing; the labels of test.csv
were held out at first, and it is not read.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...errors import DatasetError
from .base import Annotation, Manifest, Video, no_joints, official_only
from .published_splits import Files, stem_of, text_of

if TYPE_CHECKING:
    from ..recipe.schema import DatasetSettings

COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
SPLITS = {"train": "train", "validate": "test", "validation": "test", "val": "test", "test": ""}


class _ListedRow(NamedTuple):
    where: str
    clip: str
    label: str
    split: str


def load(settings: DatasetSettings) -> Manifest:
    """The listed clips that are there; classes are the labels of the lists in the order of their names.

    Raises DatasetError where there is no list, or with the row that makes no sense.
    """
    official_only(settings.split, settings.kind)
    files = Files(settings)
    headers = {path: text_of(path).partition("\n")[0].strip().split(",") for path in files.lists(".csv")}
    # the first test.csv has no labels, and other CSVs are not Kinetics'
    lists = [path for path, header in headers.items() if {"label", "youtube_id"} <= set(header)]
    if not lists:
        raise files.lacking("CSV with the columns " + ",".join(COLUMNS))
    rows: dict[str, _ListedRow] = {}
    left_out = []
    for row in (row for path in lists for row in _listed(path)):
        first = rows.setdefault(row.clip, row)
        if first[2:] != row[2:]:
            left_out.append((f"{row.clip}.mp4", f"{row.where}: {first.where} has the same clip as {first.label!r}"))
    classes = settings.classes or tuple(sorted({row.label for row in rows.values()}))
    index = {label: number for number, label in enumerate(classes)}
    ranked = (*sorted(files.films), *sorted(files.folders))
    clips = {stem_of(clip.rpartition("/")[2]): clip for clip in reversed(ranked)}
    videos = []
    for row in rows.values():
        clip = clips.get(row.clip)
        if clip is None or row.label not in index:
            reason = "was not downloaded" if clip is None else f"{row.label!r} is not in dataset.classes"
            left_out.append((clip or f"{row.clip}.mp4", f"{row.where}: {reason}"))
        else:
            videos.append(Video(clip, index[row.label], row.split, files.root / clip))
    files.require(videos, len(rows), "train/abseiling/-3B32lodO2M_000059_000069.mp4")
    videos.sort(key=lambda video: video.id)
    return Manifest(settings.name or files.root.name, classes, videos, left_out=sorted(left_out))


def read_annotation(path: Path) -> Annotation:
    """Refused: Kinetics has no annotated joints."""
    raise no_joints(path, "kinetics")


def _listed(path: Path) -> Iterator[_ListedRow]:
    """The rows for training and for testing."""
    reader = csv.DictReader(io.StringIO(text_of(path), newline=""))
    lacking = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if lacking:
        raise DatasetError(f"{path}: no column {lacking[0]!r} in its first row; expected {','.join(COLUMNS)}")
    for row in reader:
        where = f"{path.name}, row {reader.line_num}"
        side = SPLITS.get((row["split"] or "").strip().lower())
        if side is None:
            raise DatasetError(f"{where}: split {row['split']!r} is none of {', '.join(SPLITS)}")
        if side:
            try:
                start, end = (math.floor(float(row[name])) for name in ("time_start", "time_end"))
            except (TypeError, ValueError, OverflowError):
                times = f"{row['time_start']!r} to {row['time_end']!r}"
                raise DatasetError(f"{where}: {times} where seconds were expected; fetch the list again") from None
            if not row["youtube_id"]:
                raise DatasetError(f"{where}: no youtube_id; fetch the list again")
            clip = f"{row['youtube_id'].strip()}_{start:06d}_{end:06d}"  # the name under which it is kept, without .mp4
            label = (row["label"] or "").strip().replace("_", " ")
            if not label:
                raise DatasetError(f"{where}: no label; fetch the list again")
            yield _ListedRow(where, clip, label, side)

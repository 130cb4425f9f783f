"""`star split`: who is for training and who for testing, by class, and the list of it as a CSV."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import DatasetError, StorageError, UsageError
from .. import datasets
from ..datasets.base import Manifest, one_sided
from ..datasets.custom.csv_list import BETWEEN_LABELS, COLUMNS, PLAIN, SPANS, parse_csv
from ..planning.train_test_selection import require_labels
from ..recipe.schema import Recipe
from ..utils.text import counted, table

SIDES = ("train", "val", "test")


@dataclass(frozen=True)
class ClassSplit:
    """How many videos of a class are for training, validation and testing."""

    label: str
    train: int
    val: int
    test: int

    @property
    def videos(self) -> int:
        """All of them."""
        return self.train + self.val + self.test


@dataclass(frozen=True)
class Split:
    """Who is for training and who for testing.

    total: all videos; one of several classes counts once. spans: how many of them are spans, and of how many videos.
    out: the CSV that was written.
    """

    data: str
    classes: tuple[ClassSplit, ...]
    total: ClassSplit
    spans: tuple[int, int]
    left_out: int
    warnings: tuple[str, ...]
    out: Path | None
    exit_code: int = 0

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "data": self.data,
            **{side: getattr(self.total, side) for side in SIDES},
            "spans": self.spans[0],
            "classes": [{"class": row.label, **{side: getattr(row, side) for side in SIDES}} for row in self.classes],
            "left_out": self.left_out,
            "warnings": list(self.warnings),
            "list": None if self.out is None else str(self.out),
        }

    def to_lines(self) -> list[str]:
        """As a table for a person."""
        shown = [side for side in SIDES if side != "val" or self.total.val]
        rows: list[tuple[str, ...]] = [("class", *shown, "share of test")]
        filled = [row for row in self.classes if row.videos]
        for row in (*filled, self.total):
            numbers = (f"{getattr(row, side):,}" for side in shown)
            rows.append((row.label, *numbers, f"{row.test / max(1, row.videos):.0%}"))
        empty = len(self.classes) - len(filled)
        lines = [*table(rows), *([f"and {empty} class{'es' * (empty > 1)} without a video"] if empty else [])]
        if self.spans[0]:
            lines.append(f"{counted(self.spans[0], 'span')} of {counted(self.spans[1], 'video')}")
        lines += [f"warning: {line}" for line in self.warnings]
        if self.out:
            lines.append(f"list: {self.out}; a recipe of kind videos reads it with dataset.list: {self.out}")
        return lines


@dataclass(frozen=True)
class Folds:
    """Who is for testing in each of K splits, the first one first."""

    splits: tuple[Split, ...]
    exit_code: int = 0

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return {"folds": [{"fold": number} | split.to_document() for number, split in enumerate(self.splits, 1)]}

    def to_lines(self) -> list[str]:
        """As a table for a person, and what makes use of it."""
        rows: list[tuple[str, ...]] = [("fold", "train", "test", "list")]
        for number, split in enumerate(self.splits, 1):
            rows.append((str(number), f"{split.total.train:,}", f"{split.total.test:,}", str(split.out or "")))
        study = f"`star ablate RECIPE --study folds --set dataset.folds={len(self.splits)}`"
        return [*table(rows), f"{study} trains and tests all of them"]


def run_split(recipe: Recipe, out: Path | None = None) -> Split:
    """The videos of every class for training and for testing; `out`: a CSV of all of them, which kind `videos` reads.

    The CSV's paths count from `dataset.root`. Raises UsageError where `out` exists, since no list is ever overwritten,
    and where a CSV cannot hold the name of a video so that star reads the same name back.
    """
    manifest = datasets.load(recipe.dataset, recipe.cache.root)
    require_labels(manifest)
    if out is not None:
        text = _table(manifest, recipe, out)
        try:
            with out.open("x", encoding="utf-8", newline="") as file:
                file.write(text)
        except FileExistsError:
            raise UsageError(f"-o {out}: exists already; give another name, or remove it") from None
        except OSError as error:
            raise StorageError(f"-o {out}: {error.strerror or error}; choose a folder that can be written") from None
    counts = Counter((label, video.split) for video in manifest.videos for label in video.all_labels)
    classes = tuple(
        ClassSplit(name, *(counts[label, side] for side in SIDES)) for label, name in enumerate(manifest.classes)
    )
    whole = Counter(video.split for video in manifest.videos)
    total = ClassSplit("all", *(whole[side] for side in SIDES))
    spans = [video.path for video in manifest.videos if video.span]
    warnings = tuple(line for line in [one_sided(manifest)] if line)
    return Split(manifest.name, classes, total, (len(spans), len(set(spans))), len(manifest.left_out), warnings, out)


def run_folds(load: Callable[[tuple[str, ...]], Recipe], folds: int, out: Path | None = None) -> Folds:
    """`star split --folds`: how many are for testing in each of K splits; `out`: FILE.csv, written as FILE-1.csv on."""
    splits = []
    for number in range(1, folds + 1):
        path = out.with_name(f"{out.stem}-{number}{out.suffix}") if out else None
        splits.append(run_split(load((f"dataset.folds={folds}", f"dataset.held_out={number}")), path))
    return Folds(tuple(splits))


def _table(manifest: Manifest, recipe: Recipe, out: Path) -> str:
    """The list as CSV: video, label, split, joints where one's own videos have them, and the groups."""
    root = recipe.dataset.root
    if odd := [name for name in manifest.classes if BETWEEN_LABELS in name]:
        raise UsageError(f"-o {out}: a CSV cannot hold class {odd[0]!r}: {BETWEEN_LABELS!r} parts labels; rename it")
    groups = list(dict.fromkeys(name for video in manifest.videos for name, _ in video.groups))
    own = recipe.dataset.kind == "videos"  # other kinds keep their joints in files of their own
    joints = ["joints"] if own and any(video.annotation for video in manifest.videos) else []
    units = {video.span.unit for video in manifest.videos if video.span}
    spans = [name for pair, unit in zip(SPANS, ("s", "frame"), strict=True) if unit in units for name in pair]
    header, rows = ["video", "label", "split", *joints, *spans, *groups], []
    for video in manifest.videos:
        beside = os.path.relpath(video.annotation, root) if video.annotation else ""
        values = dict(video.groups)
        row = [video.path, video.named(manifest.classes), video.split, *([beside] if joints else [])]
        for unit in ("s", "frame"):
            if unit in units:
                own = video.span is not None and video.span.unit == unit
                row += [f"{end:.12g}" for end in (video.span.start, video.span.end)] if own and video.span else ["", ""]
        row += [values.get(name, "") for name in groups]
        _refuse_unreadable(out, [header, row], root)
        rows.append(row)
    return _csv([header, *rows])


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _refuse_unreadable(out: Path, rows: Sequence[Sequence[str]], root: Path) -> None:
    """Refuse a row (after its header) that star would not read back as it is. Raises UsageError."""
    (header, row), text = rows, _csv(rows)
    if all(PLAIN.fullmatch(value) for value in row):
        return
    why = "its name would be read as another"
    try:
        text.encode()
        entry = parse_csv(out, text, root)[0]
        values = dict(zip(header, row, strict=True)) | {"video": entry.path, "label": ";".join(entry.labels)}
        values |= {"split": entry.split} | ({"joints": entry.joints} if "joints" in header else {})
        values |= {name: dict(entry.groups).get(name, "") for name in header if name not in COLUMNS}
        if [values[name] for name in header] == list(row):
            return
    except UnicodeEncodeError:
        why = "its name is not UTF-8"
    except DatasetError as error:
        why = str(error).partition(": ")[2]
    raise UsageError(f"-o {out}: a CSV cannot hold {row[0]!r} of class {row[1]!r} ({why}); rename it, and run again")

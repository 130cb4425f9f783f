"""The CSV that lists videos: `video,label,split`, on request `joints` and columns that results are grouped by."""

from __future__ import annotations

import csv
import difflib
import io
import math
import os
import posixpath
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ....errors import DatasetError, MissingData
from ..base import Span
from ..text_file import read_list

SPLITS = ("train", "val", "test")
SPANS = (("start", "end"), ("start_frame", "end_frame"))
COLUMNS = ("video", "label", "split", "joints", *SPANS[0], *SPANS[1])
SHOWN = 10  # classes that a message names
KNOWN = frozenset(COLUMNS)
BETWEEN_LABELS = ";"
WITHOUT_SPANS = KNOWN - {name for pair in SPANS for name in pair}
CLOCK = re.compile(r"(?:(\d+):)?([0-5]?\d):([0-5]?\d(?:[.,]\d+)?)")  # hours, minutes, seconds
PLAIN = re.compile(r"[\w-][\w. -]*(?:/[\w-][\w. -]*)*")  # a path that needs no second look


class Entry(NamedTuple):
    """One listed video.

    split: "train", "val", "test", or "" where the list leaves it open. where: the row, for messages. joints: the file
    with its joints, a path like the video's; "" where it has none. span: the part of the video that is meant, with
    which `video` ends; None for all of it. others: further labels.
    """

    video: str
    label: str
    split: str
    groups: tuple[tuple[str, str], ...]
    where: str
    joints: str = ""
    span: Span | None = None
    others: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """All its labels; none where it has none."""
        return (self.label, *self.others) if self.label else ()

    @property
    def path(self) -> str:
        """The video's path below the root, without its span."""
        return self.video.removesuffix(self.span.fragment()) if self.span else self.video


def csv_files(root: Path) -> list[Path]:
    """The CSV files in ROOT, by name."""
    return sorted(path for path in root.glob("*.[cC][sS][vV]") if not path.name.startswith("."))


def the_list(root: Path, chosen: Path | None) -> Path | None:
    """The list that `dataset.list` names, or the only CSV in ROOT; None where there is none. Raises DatasetError."""
    if chosen and not chosen.exists():
        raise MissingData(f"dataset.list: no file {chosen}; give a CSV (video,label,split)")
    lists = [chosen] if chosen else csv_files(root)
    if len(lists) > 1:
        names = ", ".join(path.name for path in lists)
        raise DatasetError(f"dataset.root: {root} holds {len(lists)} CSV files ({names}); name one: dataset.list")
    return lists[0] if lists else None


def read_csv(
    path: Path, root: Path | None = None, classes: Sequence[str] | None = None, *, labelled: bool = True
) -> list[Entry]:
    """The rows of a CSV, in its order; the header is required, the separator is a comma, semicolon or tab.

    root: where the videos lie. A name with a character that usually means something else (a backslash, a tab) is
    taken as it stands where there is a file of exactly that name. Several labels are separated by semicolons. classes:
    of the recipe; what is among them as it stands is one label. labelled: whether each row has one; else labels are
    not looked at.

    Raises DatasetError with the row for: a video given twice, an absolute path or one with "..", an empty label, a
    split other than train and test, joints that are no .npz file, a row longer than the header.
    """
    return parse_csv(path, read_list(path, "save the list as CSV UTF-8"), root, classes, labelled=labelled)


def parse_csv(
    path: Path, text: str, root: Path | None = None, classes: Sequence[str] | None = None, *, labelled: bool = True
) -> list[Entry]:
    """The same of a text; path: what it is called in messages."""
    separator = max(",;\t", key=text.partition("\n")[0].count)  # spreadsheets of some countries write semicolons
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    entries: list[Entry] = []
    rows: dict[str, int] = {}
    try:
        first = next(reader, [])
        header = [name.strip().lower() for name in first]
        lacking = [name for name in COLUMNS[: 1 + labelled] if name not in header]
        if lacking:
            found = f"{lacking[0]!r} in its first row {','.join(first)[:60]!r}"
            raise DatasetError(f"{path}: no column {found}; expected video,label,split")
        twice = sorted({name for name in header if header.count(name) > 1})
        if twice:
            raise DatasetError(f"{path}: two columns are called {twice[0]!r}")
        columns = {name: place for place, name in enumerate(header)}
        for row in reader:
            if not any(row):
                continue
            entry = _entry(f"{path.name}, row {reader.line_num}", columns, row, root)
            entry = _with_labels(entry, classes or ()) if labelled else entry._replace(label="")
            if rows.setdefault(entry.video, reader.line_num) != reader.line_num:
                remedy = f"; several labels stand in one row, with {BETWEEN_LABELS!r} between them"
                remedy = remedy if labelled else ""
                raise DatasetError(f"{entry.where}: {entry.video} stands in row {rows[entry.video]} already{remedy}")
            entries.append(entry)
    except csv.Error as error:
        raise DatasetError(f"{path.name}, row {reader.line_num}: {error}; check the quotes") from None
    if not entries:
        raise DatasetError(f"{path}: the list is empty; add one row per video")
    return entries


def video_id(text: str, where: str, what: str = "a video", root: Path | None = None) -> str:
    """A path below the root in the one spelling that star uses; raises DatasetError where it leads elsewhere."""
    if PLAIN.fullmatch(text):
        return text
    odd = "\\" in text or not text.isprintable()
    proper = not text.startswith(("/", "~")) and posixpath.normpath(text) == text and ".." not in text.split("/")
    if root is not None and odd and proper and "\0" not in text and os.path.lexists(root / text):
        return text  # in star's one spelling already, but for odd characters
    name = text.replace("\\", "/")
    if not name:
        raise DatasetError(f"{where}: no video")
    if root is not None and name.startswith("/"):
        name = name.removeprefix(f"{root.absolute().as_posix()}/")
    if name.startswith(("/", "~")) or re.match(r"[A-Za-z]:", name):
        raise DatasetError(f"{where}: {text} is an absolute path; give it relative to dataset.root")
    if ".." in name.split("/"):
        raise DatasetError(f"{where}: {text} climbs out with '..'; give a path below dataset.root")
    if not name.isprintable() or posixpath.normpath(name) == ".":
        raise DatasetError(f"{where}: {text!r} is not the path of {what}")
    return posixpath.normpath(name)


def _entry(where: str, columns: dict[str, int], row: list[str], root: Path | None) -> Entry:
    if len(row) > len(columns):
        raise DatasetError(f"{where}: {len(row)} values for {len(columns)} columns; quote a value that has a comma")
    cells = [cell.strip() for cell in row] + [""] * (len(columns) - len(row))
    video = video_id(cells[columns["video"]], where, root=root)
    label = cells[columns["label"]] if "label" in columns else ""
    split = cells[columns["split"]].lower() if "split" in columns else ""
    if split and split not in SPLITS:
        raise DatasetError(f"{where}: split {split!r} is neither 'train' nor 'test' (nor 'val')")
    joints, given = "", cells[columns["joints"]] if "joints" in columns else ""
    if given:
        joints = video_id(given, where, "a file of joints", root)
        if not joints.lower().endswith((".npz", ".json", ".skeleton", ".mat")) and "." in joints.rpartition("/")[2]:
            raise DatasetError(
                f"{where}: joints {given!r} is no .npz file, nor .json, .skeleton or a folder of OpenPose's; "
                "docs/own-videos.md says what it holds"
            )
    span = _span(columns, cells, where, video) if not columns.keys() <= WITHOUT_SPANS else None
    video += span.fragment() if span else ""
    if columns.keys() <= KNOWN:  # no groups
        return Entry(video, label, split, (), where, joints, span)
    others = (name for name in columns if name and name not in COLUMNS)
    groups = tuple((name, cells[columns[name]]) for name in others if cells[columns[name]])
    return Entry(video, label, split, groups, where, joints, span)


def _with_labels(entry: Entry, classes: Sequence[str]) -> Entry:
    """The row with its labels apart. Raises DatasetError where it has none."""
    labels = [entry.label] if entry.label in classes else [one.strip() for one in entry.label.split(BETWEEN_LABELS)]
    first, *others = dict.fromkeys(one for one in labels if one) or [""]
    if not first:
        raise DatasetError(f"{entry.where}: {entry.video} has no label")
    return entry._replace(label=first, others=tuple(others))


def _span(columns: dict[str, int], cells: list[str], where: str, video: str) -> Span | None:
    """The row's span, None where its cells are empty."""
    for start, end in SPANS:
        first, last = (cells[columns[name]] if name in columns else "" for name in (start, end))
        if not first and not last:
            continue
        unit = "s" if start == "start" else "frame"
        try:
            span = Span(_time(first), _time(last), unit)
        except ValueError:
            remedy = "; give seconds (12.5) or 0:01:12.5" if unit == "s" else "; frames count from 0"
            raise DatasetError(f"{where}: {start} {first!r} and {end} {last!r} are no two numbers{remedy}") from None
        whole = unit == "s" or (span.start % 1 == 0 and span.end % 1 == 0)
        if not (math.isfinite(span.start) and math.isfinite(span.end) and whole and span.start >= 0):
            raise DatasetError(f"{where}: {start} {first!r} and {end} {last!r} name no part of a video")
        if span.end < span.start:
            raise DatasetError(f"{where}: {video} ends at {last}, before it starts at {first}")
        if unit == "s" and span.end == span.start:
            raise DatasetError(
                f"{where}: {video} starts and ends at {first}, so its span is empty; correct or remove it"
            )
        return span
    return None


def _time(text: str) -> float:
    """Seconds, or a frame's number; also of a clock's time, and with a comma, as some countries write decimals."""
    clock = CLOCK.fullmatch(text)
    if clock:
        hours, minutes, seconds = clock.groups()
        return 3600 * int(hours or 0) + 60 * int(minutes) + float(seconds.replace(",", "."))
    return float(text.replace(",", ".") or "nan")


def class_numbers(entry: Entry, index: Mapping[str, int]) -> tuple[int, ...]:
    """The numbers of its classes, in their order; refused where `dataset.classes` does not list one."""
    for label in entry.labels:
        if label not in index:
            close = difflib.get_close_matches(label, index, 1)
            known = ", ".join([*index][:SHOWN]) + (", ..." if len(index) > SHOWN else "")
            remedy = f"did you mean {close[0]!r}?" if close else f"known are {known}"
            raise DatasetError(f"{entry.where}: label {label!r} is not in dataset.classes; {remedy}")
    return tuple(index[label] for label in entry.labels)

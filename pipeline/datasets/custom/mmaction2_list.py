"""mmaction2's annotation files, as its config's `ann_file` names them: one line a video,

    abseiling/a.mp4 3                 of videos: a path and one or several labels
    abseiling/a 164 3                 of folders of frames: a path, how many frames, and the labels

Labels are numbers from 0; a file label_map*.txt beside the list, or one folder up, names them, a line each. The list's
own name says the part of the split: kinetics400_train_list_videos.txt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ....errors import DatasetError
from ..folder_names import SPLITS, VIDEO_SUFFIXES, ending
from ..text_file import read_list
from .segments import LabelledSpan

NAME = "annotation file of mmaction2"
LINE = re.compile(r"(\S.*?)((?:\s+\d+)+)")
HEAD = 4096  # characters by which a file is recognised
LABEL_MAPS = "label_map*.txt"
# Published lists that look like these: UCF101's labels count from 1, HMDB51's numbers are no labels.
PUBLISHED = re.compile(r"(?:train|test)list\d+|.+_test_split\d")


def holds(path: Path) -> bool:
    """Whether a text file is such a list, by its first lines; other text and tables of numbers are not."""
    if PUBLISHED.fullmatch(path.stem.lower()):
        return False
    try:
        with path.open(encoding="utf-8-sig") as file:
            head = file.read(HEAD)
    except (OSError, UnicodeDecodeError):
        return False
    lines = [line.strip() for line in (head if len(head) < HEAD else head.rpartition("\n")[0]).splitlines()]
    found = [LINE.fullmatch(line) for line in lines if line]
    return bool(found) and all(one is not None and _is_row(path, one[1], one[2].split()) for one in found)


def _is_row(path: Path, name: str, numbers: list[str]) -> bool:
    if ending(name) in VIDEO_SUFFIXES:
        return True
    frames = len(numbers) > 1 and re.search("[A-Za-z]", name) is not None
    return frames and ("/" in name or "list" in path.stem.lower())


def segments(path: Path) -> Iterator[LabelledSpan]:
    """Its videos, one for each label. Raises DatasetError with the line that is none."""
    names, split = _class_names(path), split_of_list(path)
    for number, line in enumerate(read_list(path, "save it as UTF-8").splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path.name}, line {number}"
        row = LINE.fullmatch(line.strip())
        if row is None:
            raise DatasetError(f"{where}: {line.strip()[:60]!r} is no path with a label's number behind it")
        labels = row[2].split()
        if len(labels) > 1 and ending(row[1]) not in VIDEO_SUFFIXES:
            labels = labels[1:]  # the first number counts the frames of a folder
        for label in map(int, labels):
            if names and label >= len(names):
                problem = f"label {label}, and the label map has {len(names)} names"
                yield LabelledSpan((row[1],), "", None, split, where, problem)
            else:
                yield LabelledSpan((row[1],), names[label] if names else f"class_{label:03d}", None, split, where)


def split_of_list(path: Path) -> str:
    """The part of the split that a list's name says: "train", "val", "test", or "" where it says none, or several."""
    parts = {SPLITS[word] for word in re.findall(r"[a-z]+", path.stem.lower()) if word in SPLITS}
    return parts.pop() if len(parts) == 1 else ""


def _class_names(path: Path) -> list[str]:
    """The names in the label map that lies beside a list, or one folder up; none without. Raises DatasetError."""
    for folder in (path.parent, path.parent.parent):
        maps = sorted(folder.glob(LABEL_MAPS))
        if len(maps) > 1:
            raise DatasetError(f"dataset.list: {folder} holds {len(maps)} label maps ({maps[0].name}, …); leave one")
        if maps:
            names = [line.strip() for line in read_list(maps[0], "save it as UTF-8").splitlines() if line.strip()]
            twice = next((name for name in names if names.count(name) > 1), "")
            if twice:
                raise DatasetError(
                    f"dataset.list: {maps[0]}: {twice!r} stands in two lines; give each class its own name"
                )
            return names
    return []

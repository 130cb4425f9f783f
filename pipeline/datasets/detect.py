"""Which published data set a folder holds, by the names in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ...stages.readers.base import IMAGE_SUFFIXES
from .folder_names import VIDEO_SUFFIXES, ending
from .keypoint_files import SUFFIXES as JOINTS
from .keypoint_files.pyskl import SUFFIXES as PICKLES
from .ntu.dataset import CLIP
from .published_splits import text_of

MOST = 2000  # names that are looked at: enough to tell, and at once
UCF101 = re.compile(r"v_\w+_g\d\d_c\d\d(\.\w+)?", re.IGNORECASE)  # a film, or a folder of frames
NTU_120 = re.compile(r"S0(?:1[89]|[23]\d)|A(?:0[6-9][1-9]|0[7-9]0|1\d\d)")  # setups 18 to 32, actions 61 to 120


def recognise(root: Path) -> tuple[str, str]:
    """The name for `star init` of the data set in ROOT, and what tells it; ("", "") where it is none of them."""
    names = list(islice(_names(root), MOST))
    bases = [name.rpartition("/")[2] for name in names]
    films = [base for base in bases if ending(base) in VIDEO_SUFFIXES]
    if any(re.fullmatch(r"labels/\d{4}\.mat", name) for name in names) and (root / "frames").is_dir():
        return "penn-action", "frames/ and labels/*.mat"
    ntu = [base for base in films if CLIP.search(base)]
    if 2 * len(ntu) > len(films):
        return ("ntu120-xsub" if any(NTU_120.search(base) for base in ntu) else "ntu60-xsub"), ntu[0]
    for name, listed in (("ucf101", "trainlist01.txt"), ("hmdb51", "_test_split1.txt")):
        told = [base for base in bases if base.endswith(listed)]
        if told:
            return name, told[0]
    ucf = [base for base in bases if UCF101.fullmatch(base)]
    if ucf and 2 * len(ucf) > len(films):
        return "ucf101", ucf[0]
    for name in names:
        if name.lower().endswith(".csv") and "youtube_id" in text_of(root / name).partition("\n")[0]:
            return "kinetics", f"the column youtube_id of {name}"
    return "", ""


def kinds_in(root: Path) -> set[str]:
    """Of "videos" and "joints", what lies in ROOT, by the endings of files; a pickle is joints."""
    if not root.is_dir():
        return {"joints"} if root.suffix.lower() in PICKLES else set()
    endings = {ending(name) for name in islice(_names(root), MOST)}
    found = {"videos"} if not endings.isdisjoint(VIDEO_SUFFIXES.union(IMAGE_SUFFIXES)) else set[str]()
    return found | ({"joints"} if not endings.isdisjoint(JOINTS) else set())


def _names(root: Path) -> Iterator[str]:
    """Names of files in ROOT and, a few of each, in the folders two levels below."""
    below = []
    for entry in _inside(root):
        if os.path.isdir(entry):  # noqa: PTH112 (a path's own method raises where the folder may not be searched)
            below.append(entry)
        else:
            yield entry.name
    for folder in below:
        for entry in islice(_inside(folder), 200):
            name = f"{folder.name}/{entry.name}"
            yield name
            if os.path.isdir(entry):  # noqa: PTH112
                yield from (f"{name}/{inside.name}" for inside in islice(_inside(entry), 20))


def _inside(folder: Path) -> list[Path]:
    """What lies in a folder, by name, without hidden files; nothing where it cannot be read."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []

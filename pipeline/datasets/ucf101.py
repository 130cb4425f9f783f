"""UCF101 (Soomro, Zamir, Shah, CRCV-TR-12-01): 13,320 clips, 101 actions, three splits, as published.

    ROOT/UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi
    ROOT/ucfTrainTestlist/classInd.txt        1 ApplyEyeMakeup
    ROOT/ucfTrainTestlist/trainlist01.txt     ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1
    ROOT/ucfTrainTestlist/testlist01.txt      ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi

or, for a film, a folder of its frames of the same name, with or without the folder of the class:
rawframes/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01/img_00001.jpg. The clips of a group (g01) are cut from one video; the
splits keep a group together. Names count without regard to capitals, for the folder is HandstandPushups and its files
are v_HandStandPushups, and copies spell either otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...errors import DatasetError
from .base import Annotation, Manifest, Video, no_joints, official_only
from .published_splits import Files, by_class_and_stem, clip_of, lines

if TYPE_CHECKING:
    from ..recipe.schema import DatasetSettings

LISTED = re.compile(r"(?:.*/)?([^/]+)/([^/]+)\.\w+(?: +(\d+))?")
GROUP = re.compile(r"_(g\d+)_c\d+$", re.IGNORECASE)


class _ListedVideo(NamedTuple):
    where: str
    folder: str
    stem: str
    label: int
    split: str


def load(settings: DatasetSettings) -> Manifest:
    """The clips of split `dataset.fold`; listed ones that are not there are left out, and so are unlisted ones.

    Raises DatasetError where a list is missing, or with the line that makes no sense.
    """
    official_only(settings.split, settings.kind)
    files = Files(settings)
    names = []
    for where, text in lines(files.one("classInd.txt")):
        number, _, name = text.partition(" ")
        if not name or number != str(len(names) + 1):
            raise DatasetError(f"{where}: {text[:40]!r} where '{len(names) + 1} CLASS' was expected; fetch it again")
        names.append(name.strip())
    classes = {name.lower(): name for name in names}  # as they are spelled there
    clips = by_class_and_stem(files, classes)
    listed = [*_listed(files, "train", settings.fold, classes), *_listed(files, "test", settings.fold, classes)]
    videos: dict[str, Video] = {}
    left_out = []
    for row in listed:
        clip = clip_of(clips, row.folder, row.stem)
        if clip is None:
            left_out.append((f"{row.folder}/{row.stem}", f"{row.where}: no such file"))
        elif clip in videos:
            raise DatasetError(f"{row.where}: {row.folder}/{row.stem} is listed already; fetch the list again")
        else:
            group = GROUP.search(row.stem)
            groups = (("group", group[1]),) if group else ()
            videos[clip] = Video(clip, row.label, row.split, files.root / clip, groups=groups)
    files.require(list(videos), len(listed), "UCF-101/ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi")
    reason, films = f"not in the lists of split {settings.fold}", frozenset(files.films)
    left_out += [
        (clip, reason) for (label, _), clip in clips.items() if clip not in videos and (label or clip in films)
    ]
    found = sorted(videos.values(), key=lambda video: video.id)
    return Manifest(settings.name or files.root.name, tuple(classes.values()), found, left_out=sorted(left_out))


def read_annotation(path: Path) -> Annotation:
    """Refused: UCF101 has no annotated joints."""
    raise no_joints(path, "ucf101")


def _listed(files: Files, split: str, fold: int, classes: dict[str, str]) -> Iterator[_ListedVideo]:
    numbers = {name: number for number, name in enumerate(classes)}
    for where, text in lines(files.one(f"{split}list{fold:02d}.txt")):
        found = LISTED.fullmatch(text)
        if not found:
            raise DatasetError(f"{where}: {text[:60]!r} where CLASS/VIDEO.avi was expected; fetch the list again")
        folder, stem, number = found.groups()
        label = numbers.get(folder.lower())
        if label is None:
            raise DatasetError(f"{where}: {folder!r} is no class of classInd.txt; fetch the lists again")
        if number is not None and int(number) != label + 1:
            raise DatasetError(f"{where}: class {number}, but {folder!r} is {label + 1} in classInd.txt")
        yield _ListedVideo(where, folder, stem, label, split)

"""HMDB51 (Kuehne, Jhuang, Garrote, Poggio, Serre, ICCV 2011): 6,766 clips, 51 actions, three splits, as published.

    ROOT/hmdb51_org/brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi
    ROOT/testTrainMulti_7030_splits/brush_hair_test_split1.txt      April_09_brush_hair_u_nm_np1_ba_goo_0.avi 1

or, for a film, a folder of its frames of the same name, with or without the folder of the class. In a list, 1 is for
training (70 clips of a class), 2 for testing (30), and 0 takes no part in this split.
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

SPLITS = {"0": "", "1": "train", "2": "test"}
NAMED = re.compile(r"_(nm|cm)_np\d+_(fr|ba|le|ri)_(goo|med|bad)_\d+$")  # whether the camera moves, its view, quality


class _ListedClip(NamedTuple):
    where: str
    name: str
    label: str
    split: str


def load(settings: DatasetSettings) -> Manifest:
    """The clips of split `dataset.fold`; those it does not use and those that are not there are left out.

    Classes come in the order of their names. Raises DatasetError where a list is missing, or with the line that makes
    no sense.
    """
    official_only(settings.split, settings.kind)
    files = Files(settings)
    ending = f"_test_split{settings.fold}.txt"
    lists = files.lists(ending)
    if not lists:
        raise files.lacking(f"CLASS{ending}")
    classes = [path.name.removesuffix(ending) for path in lists]
    clips = by_class_and_stem(files, classes)
    videos, left_out, listed = [], [], 0
    for row in (row for path in lists for row in _listed(path, ending)):
        listed += 1
        clip = clip_of(clips, row.label, row.name.rpartition(".")[0])
        if clip is None:
            left_out.append((f"{row.label}/{row.name}", f"{row.where}: no such file"))
        elif not row.split:
            left_out.append((clip, f"not used by split {settings.fold}"))
        else:
            named = NAMED.search(row.name.rpartition(".")[0])
            groups = tuple(zip(("camera", "view", "quality"), named.groups(), strict=True)) if named else ()
            videos.append(Video(clip, classes.index(row.label), row.split, files.root / clip, groups=groups))
    files.require(videos, listed, "hmdb51_org/brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi")
    videos.sort(key=lambda video: video.id)
    return Manifest(settings.name or files.root.name, tuple(classes), videos, left_out=sorted(left_out))


def read_annotation(path: Path) -> Annotation:
    """Refused: HMDB51 has no annotated joints."""
    raise no_joints(path, "hmdb51")


def _listed(path: Path, ending: str) -> Iterator[_ListedClip]:
    seen: set[str] = set()
    for where, text in lines(path):
        name, _, number = text.rpartition(" ")
        name = name.strip()
        if number not in SPLITS or not name:
            raise DatasetError(f"{where}: {text[:60]!r} where VIDEO.avi and 0, 1 or 2 were expected; fetch it again")
        if name in seen:
            raise DatasetError(f"{where}: {name} is listed already; fetch the list again")
        seen.add(name)
        yield _ListedClip(where, name, path.name.removesuffix(ending), SPLITS[number])

"""NTU RGB+D 60 and 120: clips named SsssCcccPpppRrrrAaaa_rgb.avi (or .mp4) anywhere below ROOT.

The name says setup, camera, performer, replication and action, and with them label and split. Joints come from
.skeleton files of the same name, below ROOT too or below `dataset.skeletons`; see skeleton.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from ....errors import DatasetError, MissingData
from ....stages.skeletons import NTU
from ..base import Annotation, Manifest, Video, files_below, open_root
from ..folder_names import VIDEO_SUFFIXES
from .classes import CLASSES
from .missing import SAMPLE, missing_samples

if TYPE_CHECKING:
    from ...recipe.schema import DatasetSettings

FILM = "|".join(re.escape(suffix) for suffix in sorted(VIDEO_SUFFIXES))
CLIP = re.compile(rf"(?:^|/){SAMPLE.pattern}(?:_rgb)?(?:{FILM})$", re.IGNORECASE)

SUBJECTS_60 = frozenset((1, 2, 4, 5, 8, 9, *range(13, 20), 25, 27, 28, 31, 34, 35, 38))
SUBJECTS_120 = SUBJECTS_60 | {
    45, 46, 47, 49, 50, *range(52, 60), 70, 74, 78, *range(80, 87), 89, *range(91, 96), 97, 98, 100, 103,
}  # fmt: skip
TRAIN_CAMERAS = frozenset((2, 3))

PROTOCOLS = {60: ("xsub", "xview"), 120: ("xsub", "xset")}


def load(settings: DatasetSettings) -> Manifest:
    """All clips below ROOT with the split of `dataset.split`; the samples that `dataset.missing` lists are left out.

    A clip without a .skeleton file stays, without annotation: a pose estimator can serve it. Raises DatasetError for
    a split that this version does not have, and where nothing below ROOT is named like a sample, and what
    `missing_samples` raises.
    """
    version = settings.version
    if settings.split not in PROTOCOLS[version]:
        choice = " or ".join(PROTOCOLS[version])
        raise DatasetError(f"dataset.split: {settings.split!r} is no protocol of NTU RGB+D {version}; choose {choice}")
    root = open_root(settings.root)
    names = list(files_below(root))
    clips = sorted(name for name in names if CLIP.search(name))
    if not clips:
        raise MissingData(f"dataset.root: no file below {root} is named like S001C001P001R001A001_rgb.avi")
    folder, beside = root, names
    if settings.skeletons is not None:
        folder = settings.skeletons
        if not folder.is_dir():
            raise MissingData(f"dataset.skeletons: {folder} is not a folder; give the folder of the .skeleton files")
        beside = list(files_below(folder))
    skeletons = {_sample(name): folder / name for name in beside if name.endswith(".skeleton")}
    missing = missing_samples(settings.missing, version, [*_texts(root, names), *_texts(folder, beside)])
    left_out: list[tuple[str, str]] = []
    videos = []
    taken: dict[str, str] = {}
    for name in clips:
        sample = _sample(name)
        action = int(sample[17:20])
        if sample in missing:
            left_out.append((name, "on the list of missing skeletons"))
        elif not 1 <= action <= version:
            left_out.append((name, f"action {action} is not one of NTU RGB+D {version}'s {version}"))
        elif (first := taken.setdefault(sample, name)) != name:
            left_out.append((name, f"the same sample as {first}"))
        else:
            side, joints = split_of(sample, version, settings.split), skeletons.get(sample)
            videos.append(Video(name, action - 1, side, settings.root / name, joints, groups_of(sample)))
    return Manifest(settings.name or root.name, CLASSES[:version], videos, NTU, left_out)


def groups_of(sample: str) -> tuple[tuple[str, str], ...]:
    """Subject, camera and setup by a sample's name."""
    return (("subject", sample[8:12]), ("camera", sample[4:8]), ("setup", sample[:4]))


def read_annotation(path: Path) -> Annotation:
    """The joints in one .skeleton file, see `skeleton.read_skeleton`."""
    from .skeleton import read_skeleton

    return Annotation(read_skeleton(path))


def split_of(sample: str, version: int, protocol: str) -> str:
    """ "train" or "test" for a sample's name under a protocol (docs/method.md, "NTU RGB+D")."""
    setup, camera, subject = int(sample[1:4]), int(sample[5:8]), int(sample[9:12])
    if protocol == "xsub":
        train = subject in (SUBJECTS_60 if version == 60 else SUBJECTS_120)
    elif protocol == "xview":
        train = camera in TRAIN_CAMERAS
    else:
        train = setup % 2 == 0
    return "train" if train else "test"


def _sample(name: str) -> str:
    return name.rpartition("/")[2][:20].upper()


def _texts(folder: Path, names: list[str]) -> list[Path]:
    return [folder / name for name in names if name.endswith(".txt")]

"""Which sequences a folder of files of joints holds, with their labels and splits."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ....errors import AnnotationError, DatasetError, MissingData
from .. import keypoint_files, penn_action
from ..base import files_below
from ..custom.csv_list import Entry
from ..custom.lists import read_list
from ..custom.media_names import joints_below
from ..folder_names import SPLITS, parts_of
from ..keypoint_files import kinetics_skeleton, nw_ucla, openpose
from ..keypoint_files.json_file import load_json
from ..ntu.classes import CLASSES as NTU_CLASSES
from ..ntu.dataset import PROTOCOLS, groups_of, split_of
from ..ntu.missing import SAMPLE

if TYPE_CHECKING:
    from ...recipe.schema import DatasetSettings

Reason = tuple[str, str]


@dataclass(frozen=True)
class Listed:
    """The sequences of a folder, in the order of their ids.

    what: what the folder was taken for, in a few words. left_out: (id, reason) of what is there but cannot be used.
    """

    what: str
    entries: list[Entry]
    classes: tuple[str, ...]
    left_out: list[Reason] = field(default_factory=list)


def list_entries(settings: DatasetSettings) -> Listed:
    """What lies in ROOT. Raises DatasetError where it is nothing that star knows, with what it may be."""
    root = settings.root
    listed = read_list(root, settings.list, joints_below, settings.classes)
    if listed:
        return _of_labels(listed.what, listed.entries, listed.left_out)
    names = sorted(name for name in files_below(root) if name.lower().endswith(keypoint_files.SUFFIXES))
    for found in (_nw_ucla(names), _penn_action(root, names), _ntu(settings, names), _kinetics(root, names)):
        if found:
            return found
    mixed = openpose.folder_of_several(names)
    if mixed:
        raise DatasetError(
            f"dataset.root: {root / mixed[0]} holds the frames of several videos ({', '.join(mixed[1:3])}); put those "
            "of each into a folder of its own, CLASS/VIDEO/"
        )
    entries, left_out = _class_folders(root, names)
    if not entries:
        loose = f"; {left_out[0][0]}, say, lies {left_out[0][1]}" if left_out else ""
        raise (DatasetError if names else MissingData)(
            f"dataset.root: {root} has neither a CSV (video,label,split), nor a folder of files of joints per class, "
            f"nor files named as a data set names them{loose}; see docs/ways-in.md"
        )
    return replace(_of_labels("a folder per class", entries), left_out=left_out)


def _of_labels(what: str, entries: list[Entry], left_out: list[Reason] | None = None) -> Listed:
    classes = tuple(sorted({label for entry in entries for label in entry.labels}))
    return Listed(what, sorted(entries, key=lambda entry: entry.video), classes, left_out or [])


def _class_folders(root: Path, names: list[str]) -> tuple[list[Entry], list[Reason]]:
    """One entry per video of CLASS/..., or of train/CLASS/... and test/CLASS/..., and what is left out; validation
    serves for testing where there is no test. Raises DatasetError where one part of a split lies beside other folders.
    """
    found: dict[str, Entry] = {}
    left_out: dict[str, str] = {}
    tops = sorted({name.partition("/")[0] for name in names if "/" in name})
    parts = parts_of(tops)
    others = [top for top in tops if top not in parts]
    if others and len(set(parts.values())) == 1:
        raise DatasetError(
            f"dataset.root: {root} holds {next(iter(parts))}/ beside {others[0]}/: is it a part of a split, or a "
            "class? put all classes below train/ and test/, or list the files in a CSV (video,label,split)"
        )
    numbered = openpose.numbered_frames(root, names)
    for name in names:
        video = name.rpartition("/")[0] if name in numbered else keypoint_files.video_of(name)
        top, *folders = video.split("/")[:-1] or [""]
        part = parts.get(top, "")
        label = top if not parts else next(iter(folders), "")
        if parts and top and not part:
            left_out[video] = (
                f"a folder beside {' and '.join(f'{one}/' for one in list(parts)[:2])}, so none of a class"
            )
        elif label:
            split = "test" if part == "val" and "test" not in parts.values() else part
            found.setdefault(video, Entry(video, label, split, (), label))
        else:
            left_out[video] = "in no class's folder"
    return list(found.values()), list(left_out.items())


def _nw_ucla(names: list[str]) -> Listed | None:
    told = {name: nw_ucla.about(_stem(name)) for name in names if name.endswith(".json")}
    entries = [Entry(name, *about, name) for name, about in told.items() if about]
    if not entries or 2 * len(entries) < len(names):
        return None
    odd = [(name, "not named like a01_s01_e00_v01.json") for name, about in told.items() if not about]
    return Listed("Northwestern-UCLA, by the files' names", entries, tuple(nw_ucla.ACTIONS.values()), odd)


def _penn_action(root: Path, names: list[str]) -> Listed | None:
    labels = [name for name in names if name.endswith(".mat") and _stem(name).isdecimal()]
    if not labels:
        return None
    entries: list[Entry] = []
    left_out: list[Reason] = []
    for name in labels:
        found = penn_action.read_label(root / name)
        if isinstance(found, str):
            left_out.append((name, found))
        else:
            entries.append(Entry(name, penn_action.CLASSES[found.label], found.split, found.groups, name))
    return Listed("Penn Action's label files", entries, penn_action.CLASSES, left_out) if entries else None


def _kinetics(root: Path, names: list[str]) -> Listed | None:
    """Kinetics-skeleton's folders, each with its file of labels; validation serves for testing where there is no
    test."""
    there = set(names)
    numbers: dict[str, int] = {}
    entries: list[Entry] = []
    left_out: list[Reason] = []
    lists = {
        name.removesuffix(kinetics_skeleton.LABELS): name for name in names if name.endswith(kinetics_skeleton.LABELS)
    }
    for folder, listed in lists.items():
        split = SPLITS.get(folder.rpartition("/")[2].rpartition("_")[2].lower(), "")
        try:
            labels = kinetics_skeleton.labels_of(load_json(root / listed))
        except AnnotationError as error:
            raise DatasetError(str(error)) from None
        for clip, (label, number, somebody) in labels.items():
            name = f"{folder}/{clip}.json"
            if name in there:
                numbers[label] = number
                entries.append(Entry(name, label, split, (), listed))
            else:
                left_out.append((name, "no such file" if somebody else "nobody was found in it"))
    if not entries:
        return None
    if not any(entry.split == "test" for entry in entries):
        entries = [entry._replace(split="test") if entry.split == "val" else entry for entry in entries]
    listed_too = {entry.video for entry in entries}
    inside = tuple(f"{folder}/" for folder in lists)
    left_out += [(name, "in no file of labels") for name in names if name.startswith(inside) and name not in listed_too]
    classes = tuple(sorted(numbers, key=lambda label: (numbers[label], label)))
    return Listed("Kinetics-skeleton, by its files of labels", entries, classes, left_out)


def _ntu(settings: DatasetSettings, names: list[str]) -> Listed | None:
    files = [name for name in names if name.endswith(".skeleton") and SAMPLE.fullmatch(_stem(name).upper())]
    if not files:
        return None
    version, protocol = settings.version, "xsub" if settings.split == "official" else settings.split
    if protocol not in PROTOCOLS[version]:
        choice = " or ".join(PROTOCOLS[version])
        raise DatasetError(f"dataset.split: {protocol!r} is no protocol of NTU RGB+D {version}; choose {choice}")
    entries: list[Entry] = []
    left_out: list[Reason] = []
    for name in files:
        sample = _stem(name).upper()
        action = int(sample[17:20])
        if not 1 <= action <= version:
            left_out.append((name, f"action {action} is not one of NTU RGB+D {version}'s {version}"))
            continue
        side = split_of(sample, version, protocol)
        entries.append(Entry(name, NTU_CLASSES[action - 1], side, groups_of(sample), name))
    return Listed(f"NTU RGB+D {version}, {protocol}, by the files' names", entries, NTU_CLASSES[:version], left_out)


def _stem(name: str) -> str:
    return name.rpartition("/")[2].rpartition(".")[0]

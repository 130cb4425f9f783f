"""What every data set gives: a catalogue of videos, and the annotated joints of one of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...errors import AnnotationError, DatasetError, MissingData, UnreadableVideo
from ...stages.skeletons import Skeleton
from .folder_names import is_shadow


class Span(NamedTuple):
    """A part of a video. unit: "s": from `start` on and before `end`, in seconds; "frame": the frames from `start` to
    `end`, both included, counted from 0."""

    start: float
    end: float
    unit: str = "s"

    def fragment(self) -> str:
        """What is put behind a video's path to name the span: a W3C media fragment."""
        unit = "frame:" if self.unit == "frame" else ""
        return f"#t={unit}{self.start:.12g},{self.end:.12g}"

    def frames(self, times: np.ndarray) -> tuple[int, int]:
        """The first of its frames and how many there are, in a video with frames at `times` (F) s; 0 for none."""
        if self.unit == "frame":
            first, last = max(0, int(self.start)), min(len(times) - 1, int(self.end))
        else:
            first, last = int(np.searchsorted(times, self.start)), int(np.searchsorted(times, self.end)) - 1
        return first, max(0, last - first + 1)


@dataclass(frozen=True, slots=True)
class Video:
    """One video of a data set.

    id: its path relative to the data set's root, with "/" and without "..": unique, and the same on every machine.
    label: index into the catalogue's classes; -1 where it has none.
    split: "train", "val" or "test" under the protocol that the recipe names.
    media: the video file, or the folder of its frames.
    annotation: the file with its joints, None where the data set has none.
    groups: what results can be broken down by: (("subject", "P001"), ("camera", "C001")).
    part: which sequence of `media` it is, where one file holds many; "" where it is all of the file.
    digest: of its bytes, where an index of the data set knows it; "" where they are to be read.
    span: the part of `media` that is meant, with which the id ends; None for all of it.
    labels: all its classes, `label` first, where it has several; () otherwise.
    """

    id: str
    label: int
    split: str
    media: Path
    annotation: Path | None = None
    groups: tuple[tuple[str, str], ...] = ()
    part: str = ""
    digest: str = ""
    span: Span | None = None
    labels: tuple[int, ...] = ()

    @property
    def all_labels(self) -> tuple[int, ...]:
        """All its classes; none where it has no label."""
        return self.labels or ((self.label,) if self.label >= 0 else ())

    @property
    def path(self) -> str:
        """Its id without the span: the same for all spans of one video."""
        return self.id.removesuffix(self.span.fragment()) if self.span else self.id

    def named(self, classes: Sequence[str]) -> str:
        """The names of its classes, as a list of videos has them; "" where it has no label."""
        return ";".join(classes[label] for label in self.all_labels)


@dataclass(frozen=True)
class Manifest:
    """The videos of a data set under one protocol, in a fixed order.

    skeleton: the joints that its annotations hold; None where it has no annotations.
    left_out: (video id, reason) of what the data set has but a run cannot use.
    what: what one's own data were taken for, in a few words.
    """

    name: str
    classes: tuple[str, ...]
    videos: Sequence[Video]
    skeleton: Skeleton | None = None
    left_out: Sequence[tuple[str, str]] = field(default=())
    what: str = field(default="", compare=False)

    @property
    def is_multilabel(self) -> bool:
        """Whether some of its videos have several labels."""
        return any(video.labels for video in self.videos)


@dataclass(frozen=True)
class Annotation:
    """The annotated joints of one video, frame by frame, in the pixels of the frames as they are stored.

    keypoints: (frames, people, joints, 3) float32: x px, y px, score; score 0 (and x = y = 0) for a joint that is
        invisible, missing or not finite. Pixel centres are whole numbers: the first pixel's centre is x = 0.
        Joints in three dimensions are (frames, people, joints, 4): x, y, z in the data set's own unit, score.
    boxes: (frames, people, 4) float32 x0 y0 x1 y1 px, NaN where there is nobody; None without boxes.
    occluded: (frames, people, joints, 3) like keypoints, of the joints alone that somebody gave a place although they
        are not seen; None where the data set has no such joints.
    skeleton: the joints' skeleton where every file names its own; None where the kind of data set has only one.
    size: width and height of the frames, px, where the file knows them. rate: frames per second, likewise.
    """

    keypoints: np.ndarray
    boxes: np.ndarray | None = None
    occluded: np.ndarray | None = None
    skeleton: Skeleton | None = None
    size: tuple[int, int] | None = None
    rate: float | None = None

    @property
    def is_spatial(self) -> bool:
        """Whether the joints have three dimensions."""
        return self.keypoints.shape[-1] == 4

    def joints(self, *, occluded: bool) -> np.ndarray:
        """The keypoints, with or without those that are not seen."""
        return self.keypoints if self.occluded is None or not occluded else self.keypoints + self.occluded


def require_media(video: Video) -> None:
    """Raises UnreadableVideo for a video of which there is not even a name; what else is wrong, its reader says."""
    try:
        video.media.lstat()
    except (FileNotFoundError, NotADirectoryError):
        raise UnreadableVideo(f"{video.id}: no such file; restore it, or take it off the list") from None
    except (OSError, ValueError):
        return


def require_layout(video: Video, found: Annotation, common: Skeleton | None) -> None:
    """Raises AnnotationError for joints that are not those of the data set."""
    own = found.skeleton
    if own is not None and common is not None and own.joints != common.joints:
        raise AnnotationError(
            f"{video.annotation}: its joints are {own.name!r}, those of the data set {common.name!r}; "
            "give all videos the same"
        )


def with_validation(manifest: Manifest, share: float, by: str | None) -> Manifest:
    """The same with a share of the training videos for validation, where the data set has none of its own.

    Drawn by a hash of the value of group `by`, or of the video's path, so that a group and the spans of a video stay
    together, and new videos move none of the others.
    """
    if not share or any(video.split == "val" for video in manifest.videos):
        return manifest

    def side(video: Video) -> str:
        digest = hashlib.blake2b(f"val\0{_group_of(video, by)}".encode(), digest_size=8).digest()
        return "val" if int.from_bytes(digest, "big") < share * 2**64 else "train"

    videos = [replace(video, split=side(video)) if video.split == "train" else video for video in manifest.videos]
    return replace(manifest, videos=videos)


def in_folds(manifest: Manifest, folds: int, held_out: int, by: str | None) -> Manifest:
    """The same with fold number `held_out` (from 1) of `folds` for testing and all others for training.

    Videos are dealt out by the value of group `by`, or by their paths, in the order of a hash: folds have equally many
    groups, and a group stands in one fold. Raises DatasetError where there are fewer groups than folds.
    """
    if not folds:
        return manifest
    names = [_group_of(video, by) for video in manifest.videos]
    order = sorted(set(names), key=lambda name: hashlib.blake2b(f"fold\0{name}".encode(), digest_size=8).digest())
    if len(order) < folds or not 1 <= held_out <= folds:
        what = f"values of {by}" if by else "videos"
        raise DatasetError(
            f"dataset.folds: {folds}, of which number {held_out} is held out, cannot be made of {len(order)} {what}"
        )
    fold = {name: number % folds + 1 for number, name in enumerate(order)}
    videos = [
        replace(video, split="test" if fold[name] == held_out else "train")
        for video, name in zip(manifest.videos, names, strict=True)
    ]
    return replace(manifest, videos=videos)


def without(manifest: Manifest, patterns: Sequence[str]) -> Manifest:
    """The same without the videos whose ids are named or matched (* ? [a-z]); they are listed as left out.

    Raises DatasetError for a pattern that no video matches, and where no video is left.
    """
    if not patterns:
        return manifest
    ids = [video.id for video in manifest.videos]
    gone: set[str] = set()
    for pattern in patterns:
        matched = [name for name in ids if name == pattern or fnmatchcase(name, pattern)]
        if not matched:
            some = f"; one is called {ids[0]!r}" if ids else ""
            raise DatasetError(
                f"dataset.exclude: {pattern!r} is the id of no video, and matches none{some}; correct it"
            )
        gone.update(matched)
    if len(gone) == len(set(ids)):
        raise DatasetError(f"dataset.exclude: {', '.join(map(repr, patterns))} leave no video; exclude fewer")
    left_out = [*manifest.left_out, *((name, "dataset.exclude") for name in ids if name in gone)]
    return replace(manifest, videos=[video for video in manifest.videos if video.id not in gone], left_out=left_out)


def _group_of(video: Video, by: str | None) -> str:
    """The value of a video's group, or its path; spans of one video share it."""
    return dict(video.groups).get(by.lower(), video.path) if by else video.path


def one_sided(manifest: Manifest) -> str:
    """One line on the classes whose videos all stand on one side of the split, "" if there are none."""
    there = {(label, video.split) for video in manifest.videos for label in video.all_labels}
    labels = sorted({label for label, _ in there})
    said = []
    for split, called in (("train", "training"), ("test", "test")):
        lone = [manifest.classes[label] for label in labels if (label, split) not in there]
        if lone:
            named = ", ".join(lone[:3]) + (", …" if len(lone) > 3 else "")
            said.append(f"no {called} video of {len(lone)} of {len(labels)} classes ({named})")
    return "; ".join(said)


def extent(annotation: Annotation) -> tuple[int, int]:
    """Width and height, px, of the frames that joints in pixels lie in; the smallest that hold all of them, where the
    file does not say."""
    if annotation.size is not None:
        return annotation.size
    there = annotation.keypoints[..., :2][annotation.keypoints[..., 2] > 0]
    if not len(there):
        return 1, 1
    width, height = np.floor(there.max(0)).astype(int) + 1
    return max(1, int(width)), max(1, int(height))


def open_root(root: Path) -> Path:
    """The data set's folder; raises DatasetError where it is none."""
    if not root.exists():
        raise MissingData(f"dataset.root: {root} does not exist; give the folder that holds the data set")
    if not root.is_dir():
        raise DatasetError(f"dataset.root: {root} is not a folder; give the folder that holds the data set")
    return root


def official_only(split: str, kind: str) -> None:
    """Refuse a protocol that this kind of data set does not have."""
    if split != "official":
        raise DatasetError(f"dataset.split: {split!r} is a protocol of kind 'ntu'; for {kind!r} leave it 'official'")


def no_joints(path: Path, kind: str) -> AnnotationError:
    """The error for joints that this kind of data set does not have."""
    return AnnotationError(f"{path}: kind {kind!r} has no annotated joints; set pose.source: mmpose")


def files_below(root: Path) -> Iterator[str]:
    """The path relative to root, with "/", of every file below it; links are followed, but not in circles.

    Folders that network disks and archivers put beside files of their users are passed over.
    """
    for folder, names in folders_below(root):
        yield from (f"{folder}/{name}" for name in names) if folder else names


def folders_below(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Root ("") and every folder below it, as `files_below` names them, each with the names of its files."""
    start = len(str(root)) + 1
    seen = set()
    for folder, below, names in os.walk(root, followlinks=True):
        below[:] = [name for name in below if not is_shadow(name)]
        try:
            identity = Path(folder).stat()
        except OSError:  # removed since it was listed
            below.clear()
            continue
        if (identity.st_dev, identity.st_ino) in seen:  # a link that leads back
            below.clear()
            continue
        seen.add((identity.st_dev, identity.st_ino))
        yield folder[start:].replace(os.sep, "/"), names

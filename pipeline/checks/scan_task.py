"""What a child process does with one video for `star scan`: digest, headers, packets, annotated joints. No decoding.

Everything that touches a stranger's bytes happens here, and only figures and findings come back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from ...cache.source_digest import file_digest
from ...errors import AnnotationError, VideoError
from ...stages.cropping import visible
from ...stages.decode import probe_video
from ...stages.pose.projection import FRAME as PROJECTED_SIZE
from ...stages.pose.stage import annotated_keypoints, linked_keypoints
from ...stages.readers.base import FOLDER_RATE
from ...stages.skeletons import Skeleton
from .. import datasets
from ..datasets.base import Annotation, Video, extent, require_layout, require_media
from ..planning.source_changes import Digests, digests
from ..utils.text import counted
from . import joint_units

Level = Literal["fails", "problem", "note"]
OUTSIDE = 0.1  # from this share of joints outside the frame on, an annotation is suspected to be another video's


class Finding(NamedTuple):
    """One thing that a person should know before extracting.

    level: "fails", the video would fail in extraction; "problem", results would mean less than they seem; "note".
    kind: a word for scripts ("truncated", "length", ...). video: its id, "" where it concerns the whole data set.
    """

    level: Level
    kind: str
    video: str
    message: str


@dataclass(frozen=True)
class ScanTask:
    """One video's task.

    kind: of the data set. frames: how many a clip has (decode.frames). people: how many it keeps. wanted: whether
    extraction takes the annotation. demanded: whether it cannot do without. occluded: as pose.occluded. projected:
    whether joints in three dimensions are made flat. known: digests that need not be read again. remedy: what helps
    where there is no annotation. skeleton: the joints of the data set.
    """

    video: Video
    kind: str
    frames: int = 16
    people: int = 1
    wanted: bool = True
    demanded: bool = True
    occluded: bool = False
    link: bool = False
    projected: bool = False
    known: Digests = Digests()
    remedy: str = "pose.source to mmpose"
    skeleton: Skeleton | None = None


@dataclass(frozen=True)
class Look:
    """What was seen of a video.

    frames: 0 where it cannot be opened. size: (w, h) px. joints: annotated joints with a place, over all frames and
    people; outside: those of them outside the frame; broken: those that are not finite. people: how many at most;
    format, dimensions: of a file of joints without a video. reach, upright: see `joint_units`. joints_digest: of the
    joints in a file without a video, "" where none is there.
    """

    digests: Digests = Digests()
    frames: int = 0
    size: tuple[int, int] = (0, 0)
    seconds: float = 0.0
    joints: int = 0
    outside: int = 0
    broken: int = 0
    people: int = 0
    format: str = ""
    dimensions: int = 0
    reach: tuple[float, float] = (0.0, 0.0)
    upright: float | None = None
    joints_digest: str = ""
    findings: tuple[Finding, ...] = ()


def look(job: ScanTask) -> Look:
    """Look at one video. Raises VideoError where it cannot be opened; whatever else is wrong is a finding."""
    video = job.video
    require_media(video)
    if job.kind == "joints":
        return _look_at_joints(job)
    found = probe_video(video.media, upright=True)
    seen = Look(digests(video, job.known), found.frames, found.size, found.seconds)
    findings = [*_lengths(job, found.frames, found.claimed), *_span(job, found.frames, found.seconds)]
    findings += [Finding("note", "choice", video.id, note) for note in found.notes]
    try:
        if video.annotation is None and job.demanded:
            raise AnnotationError(f"no annotated joints; set {job.remedy}, or take the video off the list")
        if video.annotation is not None:
            annotation = datasets.read_annotation(job.kind, video.annotation, video.part)
            seen, more = _against_frames(job, seen, annotation)
            findings += more
    except AnnotationError as error:
        findings.append(Finding("fails" if job.wanted else "note", error.kind, video.id, str(error)))
    return replace(seen, findings=tuple(findings))


def _look_at_joints(job: ScanTask) -> Look:
    """The same of joints without a video. Raises AnnotationError where they cannot be read."""
    video = job.video
    annotation = datasets.read_annotation(job.kind, video.media, video.part)
    count = len(annotation.keypoints)
    seen = Look(digests(video, job.known), count, extent(annotation), count / (annotation.rate or FOLDER_RATE))
    people, dimensions = annotation.keypoints.shape[1], annotation.keypoints.shape[3] - 1
    name = datasets.joints_format(video.media, video.part)
    seen = replace(seen, people=people, format=name, dimensions=dimensions, joints_digest=joints_digest(annotation))
    if annotation.is_spatial:
        seen = replace(seen, joints=int((annotation.keypoints[..., 3] > 0).sum()), size=PROJECTED_SIZE)
        findings = [*_lengths(job, count, 0)]
        if not job.projected:
            message = "its joints have three dimensions; set pose.projection to front, side or camera"
            findings.append(Finding("fails", "annotation", video.id, message))
        if not seen.joints:
            findings.append(
                Finding("problem", "no_joints", video.id, "no joint is there: its heat maps would be empty")
            )
        return replace(seen, findings=tuple(findings))
    seen, more = _against_frames(job, seen, annotation)
    return replace(seen, findings=(*_lengths(job, count, 0), *more))


def failure(video: Video, error: VideoError) -> Finding:
    """The finding that an error amounts to; a message that begins with the file's path begins with the id instead."""
    message = str(error).removeprefix(f"{video.media}: ").removeprefix(f"{video.id}: ")
    return Finding("fails", error.kind, video.id, message)


def content(path: Path) -> str:
    """The digest of all bytes in a folder of frames, in the order of their names: what its quick digest leaves out."""
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    return hashlib.blake2b("".join(map(file_digest, files)).encode(), digest_size=16).hexdigest()


def joints_digest(annotation: Annotation) -> str:
    """The digest of an annotation's joints, frame by frame, whatever file holds them; "" where no joint is there."""
    keypoints = np.asarray(annotation.keypoints, np.float32)
    there = np.isfinite(keypoints).all(-1) & (keypoints[..., -1] > 0)
    if not there.any():
        return ""
    digest = hashlib.blake2b(str(keypoints.shape).encode(), digest_size=16)
    digest.update(np.where(there[..., None], keypoints, 0).tobytes())
    return digest.hexdigest()


def _span(job: ScanTask, frames: int, seconds: float) -> Iterator[Finding]:
    """What is wrong with a span of a video of so many frames and seconds."""
    span = job.video.span
    if span is None:
        return
    length = frames if span.unit == "frame" else seconds
    unit = "frames" if span.unit == "frame" else "s"
    if span.start >= length:
        message = f"its span begins beyond the end: the video has {length:.6g} {unit}"
        yield Finding("fails", "span", job.video.id, message)
    elif span.end > length + (0 if span.unit == "frame" else 0.5):
        message = f"its span ends beyond the end: the video has {length:.6g} {unit}; what is there is used"
        yield Finding("note", "span", job.video.id, message)


def _lengths(job: ScanTask, count: int, claimed: int) -> Iterator[Finding]:
    if count < job.frames:
        fewer = f"{counted(count, 'frame')}, fewer than decode.frames ({job.frames})"
        message = f"{fewer}: some are taken twice, which does no harm"
        yield Finding("note", "short", job.video.id, message)
    if claimed > count:
        message = f"the file claims {claimed} frames, and {count} are there to be shown; only those are used"
        yield Finding("note", "claim", job.video.id, message)


def _against_frames(job: ScanTask, seen: Look, annotation: Annotation) -> tuple[Look, list[Finding]]:
    """The joints in pixels against the number of frames and their size. Raises AnnotationError as extraction would."""
    require_layout(job.video, annotation, job.skeleton)
    keypoints = annotation.joints(occluded=job.occluded)
    finite = np.asarray(np.isfinite(keypoints).all(-1))
    with np.errstate(invalid="ignore"):
        there = finite & (keypoints[..., 2] > 0)
        inside = visible(np.where(finite[..., None], keypoints, 0), seen.size)
    joints, outside, broken = (int(np.count_nonzero(which)) for which in (there, there & ~inside, ~finite))
    seen = replace(seen, joints=joints, outside=outside, broken=broken)
    reach, upright = joint_units.reach(keypoints, seen.size), joint_units.upright(keypoints, job.skeleton)
    seen = replace(seen, reach=reach, upright=upright)
    annotated_keypoints(keypoints, np.zeros(1, np.int64), seen.frames, job.people)
    units = list(joint_units.impossible(keypoints, seen.size))
    if job.kind in datasets.OF_OWN_LAYOUT:  # published ones are known to have theirs as corners
        units += joint_units.wrong_boxes(keypoints, annotation.boxes)
    units += joint_units.changed_places(linked_keypoints(keypoints) if job.link else keypoints, linked=job.link)
    doubts: list[tuple[Level, str, str]] = [("problem", kind, message) for kind, message in units]
    if job.kind in datasets.OF_OWN_LAYOUT:
        doubts.extend(("note", kind, message) for kind, message in joint_units.doubtful_values(keypoints))
    doubts += _doubts(seen, len(keypoints), cause_known=any(kind == "unit" for kind, _ in units))
    return seen, [Finding(level, kind, job.video.id, message) for level, kind, message in doubts]


def _doubts(seen: Look, length: int, *, cause_known: bool = False) -> Iterator[tuple[Level, str, str]]:
    if length != seen.frames:
        rest = "the last ones have no joints" if length < seen.frames else "the annotation's last ones are not used"
        yield "note", "length", f"{length} annotated frames and {seen.frames} in the video; {rest}"
    if seen.broken:
        yield "note", "nan", f"{seen.broken} joints are not finite numbers; they count as absent"
    if seen.joints == seen.outside:
        yield (
            "problem",
            "no_joints",
            "no joint is inside the frame: its heat maps would be empty; check the annotation",
        )
    elif seen.outside > OUTSIDE * seen.joints and not cause_known:
        share, (width, height) = seen.outside / seen.joints, seen.size
        message = f"{share:.0%} of its joints lie outside the frame ({width}×{height}); "
        yield "problem", "outside", message + "is the annotation another video's, or another size's?"

"""`star scan`: what is wrong with a data set, found out before hours are spent on it.

Every video is opened in a child process under the time limit of decoding, but only its headers and packets are read.
What concerns several videos (classes, groups on both sides of the split, equal contents) follows from the figures.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from ...errors import DatasetError, Interrupted, VideoError
from ...stages.joint_names import without_twin
from ..datasets.base import Manifest, Video
from ..datasets.folder_names import VIDEO_SUFFIXES, ending
from ..extraction.decode_pool import DecodePool, ahead
from ..planning import manifest
from ..planning.source_changes import Sources
from ..planning.stage_graph import uses_annotation
from ..recipe.schema import PoseSettings, Recipe
from ..utils.hardware import cores
from ..utils.progress import Progress
from ..utils.signals import StopSignal
from ..utils.text import counted
from .duplicates import duplicates
from .joint_units import all_in_a_corner, all_upside_down
from .scan_task import Finding, Look, ScanTask, failure, look

FEW = 5  # videos of a class below which a split can neither teach nor judge it
PROTOCOLS = {"xsub": "subject", "xview": "camera", "xset": "setup"}  # the group that each protocol keeps apart
PROTOCOL_GROUPS = frozenset(("camera", "setup"))
APART = frozenset(("subject", "person", "actor", "performer", "figure", "group", "scene"))  # elsewhere, by their names
DETECTOR = "pose.detector to frame, or to a torchvision detector"  # where boxes are lacking, not joints
PLACES = {
    "ntu": "dataset.skeletons says where the .skeleton files lie, if not below dataset.root; ",
    "videos": "a file WAVE.npz beside WAVE.mp4 holds them, or a column joints of the CSV names it; ",
}


@dataclass
class Scan:
    """What a scan saw: the data set, a look at each video (by id), and the findings, failures first."""

    manifest: Manifest
    looks: dict[str, Look] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def scan(recipe: Recipe, *, workers: int = 0, quiet: bool = False) -> Scan:
    """Look at every video of a recipe's data set. workers: processes, 0 for one per core.

    Raises DatasetError where the data set is not there, Interrupted after Ctrl-C. Digests that were read are remembered
    where there is a cache, so that extraction need not read them again.
    """
    listed, sources, absent = manifest.open_manifest(recipe.dataset, recipe.cache.root)
    if absent:
        raise DatasetError(f"dataset.root: {recipe.dataset.root} is not there, and scan reads the videos; mount it")
    children = DecodePool(workers or cores(), recipe.decode.timeout)
    result = Scan(listed)
    try:
        with StopSignal("stopping") as stop, Progress("scan", len(listed.videos), "videos", quiet=quiet) as bar:
            for video, found in _look_at_all(recipe, sources, children):
                if stop.asked:
                    break
                seen = found if isinstance(found, Look) else Look(findings=(failure(video, found),))
                result.looks[video.id] = seen
                result.findings += seen.findings
                if seen is found:
                    sources.learn(video.id, seen.digests)
                bar.advance()
            else:
                result.findings += duplicates(result.manifest.videos, result.looks, children)
    finally:
        children.close()
        if sources.changed and recipe.cache.root.is_dir():
            manifest.remember(recipe.dataset, recipe.cache.root, sources)
    if stop.asked:
        raise Interrupted(f"interrupted: {bar.done:,} of {counted(len(listed.videos), 'video')} looked at")
    apart = PROTOCOLS.get(recipe.dataset.split)
    for video, reason in listed.left_out:
        result.findings.append(Finding("note", "left_out", video, f"left out by the data set: {reason}"))
    result.findings += [*unbalanced(listed), *leaks(listed, frozenset([apart]) if apart else APART)]
    result.findings += [*without_joints(listed, recipe), *same_but_for_spelling(listed), *shared_joints(listed)]
    result.findings += [*one_class(listed), *without_sides(listed, recipe), *overlaps(listed), *same_name(listed)]
    looks = result.looks.values()
    for line in (all_in_a_corner([one.reach for one in looks]), all_upside_down([one.upright for one in looks])):
        result.findings += [Finding("problem", "unit", "", line)] if line else []
    order = ("fails", "problem", "note")
    result.findings.sort(key=lambda finding: (order.index(finding.level), finding.kind, finding.video))
    return result


def _look_at_all(recipe: Recipe, sources: Sources, children: DecodePool) -> Iterator[tuple[Video, Look | VideoError]]:
    pose, wanted, demanded = recipe.pose, uses_annotation(recipe), _demands_annotation(recipe)
    remedy = "pose.source to mmpose" if pose.source == "annotations" else DETECTOR
    jobs = (
        ScanTask(
            video, recipe.dataset.kind, recipe.decode.frames, pose.people, wanted, demanded, pose.occluded,
            pose.link, pose.projection is not None, sources.known[video.id].digests, remedy,
            sources.manifest.skeleton,
        )
        for video in sources.manifest.videos
    )  # fmt: skip
    for job, future in ahead(jobs, lambda job: children.submit(look, job), 4 * cores()):
        yield job.video, children.outcome(future, job.video.id)


def _demands_annotation(recipe: Recipe) -> bool:
    """Whether a video without annotated joints fails."""
    return recipe.pose.source != "auto" and "annotations" in (recipe.pose.source, recipe.pose.detector)


def without_joints(listed: Manifest, recipe: Recipe) -> Iterator[Finding]:
    """One line where so many videos lack the joints they need that the files must lie elsewhere."""
    lacking = sum(video.annotation is None for video in listed.videos)
    if _demands_annotation(recipe) and lacking > max(1, len(listed.videos) // 2):
        place = PLACES.get(recipe.dataset.kind, "")
        message = f"{lacking:,} of {len(listed.videos):,} videos have no annotated joints; {place}"
        yield Finding("problem", "no_joints", "", f"{message}{without_annotation(recipe.pose)}")


def without_annotation(pose: PoseSettings) -> str:
    """What helps where joints or boxes are to come from annotations that are not there."""
    if pose.source == "annotations":
        return "pose.source: mmpose estimates them"
    return "pose.detector: frame, or a torchvision detector, needs none"


def same_but_for_spelling(listed: Manifest) -> Iterator[Finding]:
    """One line on labels that are equal but for capitals, Unicode's forms, spaces, underscores or hyphens."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name in listed.classes:
        plain = unicodedata.normalize("NFKC", name).casefold()
        groups["".join(letter for letter in plain if letter not in "_-" and not letter.isspace())].append(name)
    same = [names for names in groups.values() if len(names) > 1]
    if same:
        some = "; ".join(" and ".join(map(repr, names)) for names in same[:3]) + ("; …" if len(same) > 3 else "")
        yield Finding("note", "label", "", f"classes that differ in spelling alone: {some}; are they one?")


def shared_joints(listed: Manifest) -> Iterator[Finding]:
    """One line for each file of joints that several videos are said to have, part by part."""
    users: dict[tuple[str, str], list[Video]] = defaultdict(list)
    for video in listed.videos:
        if video.annotation is not None and video.span is None:  # spans of one video share its file
            users[str(video.annotation), video.part].append(video)
    for (path, _), videos in users.items():
        if len(videos) > 1:
            named = ", ".join(video.id for video in videos[:3]) + (", …" if len(videos) > 3 else "")
            message = f"the joints in {path} are those of {len(videos):,} videos ({named}); give each a file of its own"
            yield Finding("problem", "shared_joints", "", message)


def without_sides(listed: Manifest, recipe: Recipe) -> Iterator[Finding]:
    """A line where views would be mirrored, and no joint's name says left or right, or where some have no twin."""
    skeleton, views = listed.skeleton, recipe.decode.views
    annotated = recipe.pose.source != "mmpose" and any(video.annotation for video in listed.videos)
    if not annotated or skeleton is None or not recipe.decode.flip or max(views.train, views.test) < 2:
        return
    remedy = "set decode.flip: false, or name them left_… and right_…"
    if not skeleton.flip_pairs:
        some = ", ".join(skeleton.joints[:3])
        message = f"no joint's name says left or right ({some}, …), so no view can be mirrored"
        yield Finding("problem", "sides", "", f"{message}; {remedy}")
    elif lone := without_twin(skeleton.joints):
        some = ", ".join(lone[:4]) + (", …" if len(lone) > 4 else "")
        message = f"joints whose other side is not there ({some}): mirrored views leave them as they are"
        yield Finding("problem", "sides", "", f"{message}; {remedy}")


def same_name(listed: Manifest) -> Iterator[Finding]:
    """A line on videos that are called alike but for their endings: they may be one, stored twice."""
    groups: dict[str, list[Video]] = defaultdict(list)
    for video in listed.videos:
        if video.span is None and not video.part and ending(video.id) in VIDEO_SUFFIXES:
            groups[video.id.removesuffix(video.id[video.id.rfind(".") :])].append(video)
    same = [videos for videos in groups.values() if len(videos) > 1]
    if not same:
        return
    some = "; ".join(" and ".join(video.id for video in videos[:3]) for videos in same[:3])
    message = f"videos that differ in their endings alone: {some}{'; …' if len(same) > 3 else ''}; are they one?"
    apart = any(len({video.split for video in videos}) > 1 for videos in same)
    yield Finding("problem" if apart else "note", "same_name", "", message)


def one_class(listed: Manifest) -> Iterator[Finding]:
    """A line where there is nothing to tell apart."""
    labels = {label for video in listed.videos for label in video.all_labels}
    if len(labels) == 1:
        name = listed.classes[labels.pop()]
        yield Finding("problem", "class", "", f"only one class, {name!r}: there is nothing to tell apart; add another")


def overlaps(listed: Manifest) -> Iterator[Finding]:
    """Spans of one video that share time and stand on both sides of the split, or are of two classes."""
    spans: dict[str, list[Video]] = defaultdict(list)
    for video in listed.videos:
        if video.span:
            spans[f"{video.media} {video.span.unit}"].append(video)
    for videos in spans.values():
        videos.sort(key=lambda video: video.span or (0, 0))
        for number, first in enumerate(videos):
            for other in videos[number + 1 :]:
                if not first.span or not other.span or other.span.start >= first.span.end:
                    break
                if first.split != other.split:
                    message = f"overlaps {first.id}, in {other.split} and {first.split}: the test is no test"
                    yield Finding("problem", "overlap", other.id, message)
                elif first.all_labels != other.all_labels:
                    yield Finding("note", "overlap", other.id, f"overlaps {first.id}, of another class")


def unbalanced(listed: Manifest) -> Iterator[Finding]:
    """Classes without a video, in one line; those that a split lacks, or of which it has very few videos."""
    counts = Counter((label, video.split) for video in listed.videos for label in video.all_labels)
    there = {label for label, _ in counts}
    empty = [name for label, name in enumerate(listed.classes) if label not in there]
    if empty:
        some = ", ".join(empty[:3]) + (", …" if len(empty) > 3 else "")
        message = f"{len(empty)} of {len(listed.classes)} classes have no video at all ({some}): is a part not there?"
        yield Finding("problem", "class", "", message)
    for label, name in ((label, listed.classes[label]) for label in sorted(there)):
        for split, verb in (("train", "learned"), ("test", "judged")):
            count = counts[label, split]
            if not count:
                message = f"class {name!r} has no {split} video, and cannot be {verb}; add some, or leave the class out"
                yield Finding("problem", "class", "", message)
            elif count < FEW:
                message = f"class {name!r} has only {counted(count, f'{split} video')}"
                yield Finding("note", "class", "", f"{message}; it can hardly be {verb}, add some")


def sides(listed: Manifest) -> dict[str, tuple[int, list[str]]]:
    """Every kind of group: how many there are, and which stand on both sides of the split."""
    splits: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for video in listed.videos:
        for kind, group in video.groups:
            splits[kind][group].add(video.split)
    return {
        kind: (len(groups), sorted(group for group, on in groups.items() if len(on) > 1))
        for kind, groups in splits.items()
    }


def leaks(listed: Manifest, apart: frozenset[str]) -> Iterator[Finding]:
    """Groups in both train and test, of the kinds that should be kept `apart`; none where the split is by camera or
    setup, as some protocols' are: all subjects are on both sides of it."""
    groups = sides(listed)
    if any(not groups[kind][1] and groups[kind][0] > 1 for kind in (PROTOCOL_GROUPS & groups.keys()) - apart):
        return
    for kind, (count, both) in groups.items():
        if kind in apart and both:
            some = ", ".join(both[:5]) + (", …" if len(both) > 5 else "")
            message = f"{kind}: {len(both)} of {count} stand in both train and test ({some}); split by {kind}"
            yield Finding("problem", "leak", "", message)

"""`star export --joints`: what was annotated or estimated, as a pickle that pyskl and mmaction2 read."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import AnnotationError, MissingFeatures
from ...stages.readers.base import FOLDER_RATE
from ...stages.skeleton_mapping import convert_joints
from ...stages.skeletons import SKELETONS, Skeleton
from .. import datasets
from ..datasets.base import Annotation, Manifest, Video
from ..datasets.keypoint_files.pyskl_writer import content, sample
from ..planning.manifest import open_manifest
from ..planning.plan import Plan, plan
from ..recipe.schema import Recipe
from ..utils.atomic import replace_bytes
from ..utils.progress import Progress
from ..utils.text import counted

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class JointsExport:
    """What was written. annotated, estimated: sequences by where their joints come from. left_out: (video, reason)."""

    out: Path
    layout: str
    annotated: int
    estimated: int
    splits: dict[str, int]
    left_out: tuple[tuple[str, str], ...]

    @property
    def exit_code(self) -> int:
        """3 where joints could not be read."""
        return 3 if self.left_out else 0

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "joints": str(self.out), "layout": self.layout, "annotated": self.annotated, "estimated": self.estimated,
            "splits": self.splits, "left_out": [list(pair) for pair in self.left_out],
        }  # fmt: skip

    def to_lines(self) -> list[str]:
        """What is in the file, and one line for what is not."""
        splits = ", ".join(f"{name} {count:,}" for name, count in self.splits.items())
        kinds = f"{self.annotated:,} annotated, {self.estimated:,} estimated"
        total = counted(self.annotated + self.estimated, "sequence")
        lines = [f"{self.out}: {total} ({kinds}) of {self.layout}; {splits}"]
        if self.left_out:
            video, reason = self.left_out[0]
            lines.append(f"left out: {counted(len(self.left_out), 'video')} ({video}: {reason}, …)")
        return lines


def run_export_joints(recipe: Recipe, out: Path, *, quiet: bool = False) -> JointsExport:
    """Write the joints of a recipe's data set to `out`.

    Annotated joints are written frame by frame, as they are; estimated ones as they are cached: those of the frames of
    view 0. `pose.source` says which. Raises MissingFeatures where there are none, DatasetError, StorageError.
    """
    planned = plan(recipe, only=("pose",)) if recipe.cache.root.is_dir() else None
    manifest = planned.manifest if planned else open_manifest(recipe.dataset, recipe.cache.root)[0]
    reader = _Reader(recipe, manifest, planned)
    rows: list[dict[str, Any]] = []
    splits: dict[str, list[str]] = defaultdict(list)
    left_out: list[tuple[str, str]] = []
    counts = {True: 0, False: 0}
    with Progress("export", len(manifest.videos), "videos", quiet=quiet) as bar:
        for video in manifest.videos:
            annotated = reader.is_annotated(video)
            try:
                annotation, size = reader.annotated(video) if annotated else reader.estimated(video)
                reader.require_layout(video, annotation)
            except AnnotationError as error:
                left_out.append((video.id, str(error)))
            else:
                rows.append(sample(video.id, video.all_labels, annotation, size))
                splits[video.split].append(video.id)
                counts[annotated] += 1
            bar.advance()
    if not rows:
        video, reason = left_out[0]
        raise MissingFeatures(f"export --joints: there are none to write ({video}: {reason})")
    named = {name: splits[name] for name in ("train", "val", "test") if splits[name]}
    replace_bytes(out, content(rows, named if manifest.classes else {}, manifest.classes, reader.skeleton))
    layout = reader.skeleton.name if reader.skeleton else "a layout without names"
    sizes = {name: len(names) for name, names in named.items()}
    return JointsExport(out, layout, counts[True], counts[False], sizes, tuple(left_out))


class _Reader:
    """The joints of a recipe's videos. skeleton: of those read so far; planned: None where there is no cache."""

    def __init__(self, recipe: Recipe, manifest: Manifest, planned: Plan | None) -> None:
        self.recipe, self.manifest, self.planned = recipe, manifest, planned
        self.skeleton: Skeleton | None = None

    def is_annotated(self, video: Video) -> bool:
        """Whether a video's joints come from its annotation."""
        source = self.recipe.pose.source
        return source == "annotations" or (source == "auto" and video.annotation is not None)

    def annotated(self, video: Video) -> tuple[Annotation, tuple[int, int] | None]:
        """The joints of every frame of a video or span, and the size of its frames where the cache knows it."""
        if video.annotation is None:
            raise AnnotationError("no annotated joints; `star extract --stage pose` estimates them under mmpose")
        found = datasets.read_annotation(self.recipe.dataset.kind, video.annotation, video.part)
        found = replace(found, keypoints=found.joints(occluded=self.recipe.pose.occluded), occluded=None)
        layout, own = SKELETONS.get(self.recipe.pose.layout), found.skeleton or self.manifest.skeleton
        if self.recipe.pose.source == "auto" and layout and own and own.joints != layout.joints:
            found = replace(found, keypoints=convert_joints(found.keypoints, own, layout), skeleton=layout)
        if video.span is not None:
            first, count = self._span(video, found)
            found = replace(found, keypoints=found.keypoints[first : first + count])
        decoded = self._cached(video, "decode")
        size = decoded.get("frame_size")
        return found, (int(size[0]), int(size[1])) if size is not None else None

    def estimated(self, video: Video) -> tuple[Annotation, tuple[int, int] | None]:
        """The cached joints of the frames of view 0."""
        found, decoded = self._cached(video, "pose"), self._cached(video, "decode")
        if not found or not decoded:
            raise AnnotationError("no estimated joints in the cache; `star extract RECIPE --stage pose` first")
        width, height = (int(side) for side in decoded["frame_size"])
        return Annotation(found["keypoints"], skeleton=self._stored, size=(width, height)), None

    def require_layout(self, video: Video, annotation: Annotation) -> None:
        """All sequences of a file have the same joints. Raises AnnotationError."""
        own = annotation.skeleton or self.manifest.skeleton
        if self.skeleton is None:
            self.skeleton = own
        if own and self.skeleton and own.joints != self.skeleton.joints:
            raise AnnotationError(f"its joints are {own.name!r}, those before it {self.skeleton.name!r}")

    def _span(self, video: Video, annotation: Annotation) -> tuple[int, int]:
        """The first frame of a span and how many there are."""
        assert video.span is not None
        count, decoded = len(annotation.keypoints), self._cached(video, "decode")
        if video.span.unit == "frame" or self.recipe.dataset.kind == "joints":
            return video.span.frames(np.arange(count) / (annotation.rate or FOLDER_RATE))
        if not decoded:
            raise AnnotationError("which frames its span has is not in the cache; `star extract --stage decode` first")
        length = int(decoded["frame_count"])
        assert self.planned is not None
        sampled, _ = self.planned.graph["decode"].stage.sample(video.id, 0, length)
        return int(decoded["frame_index"][0] - sampled[0]), length

    def _cached(self, video: Video, stage: str) -> Arrays:
        """The arrays of a stage's view 0; none where it is not cached."""
        if self.planned is None or (video.id, 0) not in self.planned.stages[stage].places:
            return {}
        arrays = self.planned.graph[stage].arrays
        return {name: self.planned.stages[stage].read([(video.id, 0)], name)[0] for name in arrays}

    @cached_property
    def _stored(self) -> Skeleton | None:
        """The layout of cached joints, as their segments name it."""
        assert self.planned is not None
        if self.recipe.pose.layout != "own":
            return SKELETONS[self.recipe.pose.layout]
        stage = self.planned.stages["pose"]
        place = next(iter(stage.places.values()))
        about = stage.stage_store.segment(place.segment).provenance.get("skeleton") or {}
        return Skeleton(**{name: _tuples(value) for name, value in about.items()}) if about else None


def _tuples(value: Any) -> Any:
    return tuple(_tuples(one) for one in value) if isinstance(value, list) else value

"""What a run reads: clips, and where their features lie. Made by the plan, taken by everything in stage two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from ...cache.store import RowLocation, StageStore
from ...stages.skeletons import Skeleton
from ..datasets.base import Video


@dataclass(frozen=True)
class Selection:
    """Clips in a fixed order, one (video, view) each, and the place of every clip in every stage's stage store.

    videos, views: one entry a clip; a video with several views stands in `videos` once for each of them.
    places: stage -> one place a clip. stage_stores: stage -> where those places are.
    left_out: (video id, reason) of what the data set has but this selection cannot give.
    classes: the labels' names; a video's label counts in them.
    sources: stage -> the source digest of every clip's row; empty where nobody knows.
    multilabel: whether clips of the data set have several labels, so that each class is a question of its own.
    """

    videos: Sequence[Video]
    views: Sequence[int]
    places: Mapping[str, Sequence[RowLocation]]
    stage_stores: Mapping[str, StageStore]
    left_out: Sequence[tuple[str, str]]
    classes: tuple[str, ...]
    skeleton: Skeleton | None = None
    sources: Mapping[str, Sequence[str]] = field(default_factory=dict)
    multilabel: bool = False

    def __len__(self) -> int:
        return len(self.videos)

    def pick(self, clips: Sequence[int]) -> Selection:
        """The same selection with only these clips, in this order."""
        return replace(
            self,
            videos=[self.videos[clip] for clip in clips],
            views=[self.views[clip] for clip in clips],
            places={stage: [places[clip] for clip in clips] for stage, places in self.places.items()},
            sources={stage: [sources[clip] for clip in clips] for stage, sources in self.sources.items()},
        )

    def first_views(self) -> Selection:
        """One clip a video: its lowest view."""
        return self.pick([clips[0] for clips in self.clips_of.values()])

    @cached_property
    def labels(self) -> np.ndarray:
        """(clips,) int64: every clip's class, -1 where its video has none."""
        return np.fromiter((video.label for video in self.videos), np.int64, len(self.videos))

    @cached_property
    def targets(self) -> np.ndarray:
        """What networks learn and are judged by: `labels`, or (clips, k) uint8, 1 for each of a clip's classes, where
        clips have several."""
        if not self.multilabel:
            return self.labels
        found = np.zeros((len(self.videos), len(self.classes)), np.uint8)
        for clip, video in enumerate(self.videos):
            found[clip, list(video.all_labels)] = 1
        return found

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """Group's name ("subject") -> every clip's value ("P001"), "" where a clip has none."""
        names = dict.fromkeys(name for video in self.videos for name, _ in video.groups)
        return {name: [dict(video.groups).get(name, "") for video in self.videos] for name in names}

    @cached_property
    def clips_of(self) -> dict[str, list[int]]:
        """Video id -> its clips by view, in the order in which the videos first appear."""
        found: dict[str, list[int]] = {}
        for clip, video in enumerate(self.videos):
            found.setdefault(video.id, []).append(clip)
        return {video: sorted(clips, key=self.views.__getitem__) for video, clips in found.items()}

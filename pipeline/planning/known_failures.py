"""Which failures in `failures.jsonl` still hold, so that their videos are not tried again."""

from __future__ import annotations

from ...cache.failures import Failure, Ledger
from ..datasets.base import Video
from ..recipe.schema import PoseSettings
from .source_changes import Sources


def known_failures(
    ledger: Ledger, sources: Sources, videos: dict[str, Video], pose: PoseSettings
) -> dict[str, Failure]:
    """By video id the failures of videos of this data set whose bytes are those that failed.

    A bad annotation counts only where this recipe would read it.
    """
    found = {}
    for failure in ledger.load():
        video = videos.get(failure.video)
        if video is None or failure.source != sources.get(video).row(True):
            continue
        auto, named = pose.source == "auto", "annotations" in (pose.source, pose.detector)
        would_fail_again = video.annotation is not None if auto else named
        if failure.kind != "annotation" or would_fail_again:
            found[failure.video] = failure
    return found

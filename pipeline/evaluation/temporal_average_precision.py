"""How well segments of films are found: average precision at a temporal IoU, as ActivityNet's evaluation has it.

Heilbron et al., "ActivityNet: A Large-Scale Video Benchmark for Human Activity Understanding", CVPR 2015; precision is
interpolated as in PASCAL VOC from 2010 on: at every recall the best precision at that recall or above.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

THRESHOLDS = (0.3, 0.5, 0.7)


class ActionSegment(NamedTuple):
    """A part of a film with a label: start, end in s; score: how sure its finder is, 1 for an annotated one."""

    video: str
    start: float
    end: float
    label: str
    score: float = 1.0


def temporal_iou(one: ActionSegment, other: ActionSegment) -> float:
    """How much two segments of a film overlap: their common time, as a share of the time that either takes."""
    common = min(one.end, other.end) - max(one.start, other.start)
    if one.video != other.video or common <= 0:
        return 0.0
    return common / (max(one.end, other.end) - min(one.start, other.start))


def average_precision(found: Sequence[ActionSegment], true: Sequence[ActionSegment], threshold: float) -> float:
    """Of segments of one class. Each true segment counts once, for the surest of those that overlap with it by at least
    `threshold`; a segment is matched with the one that it overlaps most, of those that are free."""
    if not true or not found:
        return 0.0
    ordered = sorted(found, key=lambda segment: -segment.score)
    free = set(range(len(true)))
    hits = np.zeros(len(ordered))
    for rank, segment in enumerate(ordered):
        overlaps = {index: temporal_iou(segment, true[index]) for index in free}
        best = max(overlaps, key=overlaps.__getitem__, default=-1)
        if best >= 0 and overlaps[best] >= threshold:
            hits[rank] = 1
            free.discard(best)
    count = np.cumsum(hits)
    precision, recall = count / np.arange(1, len(ordered) + 1), count / len(true)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))


def per_class(
    found: Iterable[ActionSegment], true: Iterable[ActionSegment], threshold: float, classes: Sequence[str]
) -> Mapping[str, float]:
    """The average precision of every class that has a true segment."""
    theirs: dict[str, list[ActionSegment]] = {name: [] for name in classes}
    annotated: dict[str, list[ActionSegment]] = {name: [] for name in classes}
    for segment in found:
        theirs[segment.label].append(segment)
    for segment in true:
        annotated[segment.label].append(segment)
    return {name: average_precision(theirs[name], annotated[name], threshold) for name in classes if annotated[name]}

"""From answers of overlapping windows to segments of a video, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from .temporal_average_precision import ActionSegment
from .timeline import WindowAnswer


def shown_span(answer: WindowAnswer, every: float, *, first: bool) -> tuple[float, float]:
    """When an answer is shown over its film, s: from half a step before its window's middle to half a step after; the
    first one from its window's start."""
    middle, half = (answer.start + answer.end) / 2, min(every, answer.end - answer.start) / 2
    return answer.start if first else middle - half, middle + half


def merged(video: str, answers: Sequence[WindowAnswer], every: float) -> list[ActionSegment]:
    """Windows in a row that say the same as one segment; its score is their mean probability.

    A window speaks for the time about its middle, the first one from its start and the last one to its end.
    """
    found: list[ActionSegment] = []
    probabilities: list[list[float]] = []
    for number, answer in enumerate(answers):
        start, end = shown_span(answer, every, first=not number)
        end = answer.end if number == len(answers) - 1 else end
        if found and found[-1].label == answer.label and start <= found[-1].end + 1e-6:
            probabilities[-1].append(answer.probability)
            found[-1] = found[-1]._replace(end=end)
        else:
            probabilities.append([answer.probability])
            found.append(ActionSegment(video, start, end, answer.label))
    return [segment._replace(score=float(np.mean(sure))) for segment, sure in zip(found, probabilities, strict=True)]


def outside(found: Iterable[ActionSegment], others: Sequence[ActionSegment]) -> list[ActionSegment]:
    """The segments whose middle lies in none of the others."""
    return [
        segment
        for segment in found
        if not any(other.start <= (segment.start + segment.end) / 2 < other.end for other in others)
    ]

"""Average precision of segments, against a loop that follows its definition."""

from __future__ import annotations

import numpy as np
import pytest

from star.pipeline.evaluation.temporal_average_precision import (
    ActionSegment,
    average_precision,
    per_class,
    temporal_iou,
)


def brute_force(found: list[ActionSegment], true: list[ActionSegment], threshold: float) -> float:
    """For every hit: the share of true segments that it adds, times the best precision from there on."""
    ranked, matched, marks = sorted(found, key=lambda one: -one.score), set(), []
    for one in ranked:
        choice, best = None, threshold
        for number, other in enumerate(true):
            if number in matched or one.video != other.video:
                continue
            union = max(one.end, other.end) - min(one.start, other.start)
            common = max(0.0, min(one.end, other.end) - max(one.start, other.start))
            if common / union >= best and (choice is None or common / union > best):
                choice, best = number, common / union
        matched |= {choice} - {None}
        marks.append(choice is not None)
    total = 0.0
    for rank, hit in enumerate(marks):
        if hit:
            total += max(sum(marks[: last + 1]) / (last + 1) for last in range(rank, len(marks)))
    return total / len(true)


def random_segments(random: np.random.Generator, count: int) -> list[ActionSegment]:
    starts, lengths = random.uniform(0, 20, count), random.uniform(0.5, 6, count)
    films = random.integers(0, 3, count)
    scores = random.permutation(count) / count
    return [
        ActionSegment(f"{film}.mp4", float(start), float(start + length), "wave", float(score))
        for film, start, length, score in zip(films, starts, lengths, scores, strict=True)
    ]


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_it_is_what_its_definition_says(seed: int, threshold: float) -> None:
    random = np.random.default_rng(seed)
    found, true = random_segments(random, int(random.integers(1, 30))), random_segments(random, 8)
    found += [one._replace(start=one.start + 0.1, score=float(random.random())) for one in true[:5]]
    expected = brute_force(found, true, threshold)
    assert average_precision(found, true, threshold) == pytest.approx(expected, abs=1e-12)
    assert expected > 0


def test_by_hand() -> None:
    """Two true segments; the surest answer hits, the second is of the same segment, the third hits at rank 3."""
    true = [ActionSegment("a", 0, 2, "x"), ActionSegment("a", 5, 7, "x")]
    found = [
        ActionSegment("a", 0, 2, "x", 0.9),
        ActionSegment("a", 0, 2.1, "x", 0.8),
        ActionSegment("a", 5, 7, "x", 0.7),
    ]
    assert average_precision(found, true, 0.5) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision([], true, 0.5) == 0 and average_precision(found, [], 0.5) == 0
    assert temporal_iou(true[0], ActionSegment("a", 1, 3, "x")) == pytest.approx(1 / 3)
    assert temporal_iou(true[0], ActionSegment("b", 0, 2, "x")) == 0
    assert temporal_iou(true[0], ActionSegment("a", 2, 3, "x")) == 0


def test_classes_without_a_true_segment_do_not_count() -> None:
    true = [ActionSegment("a", 0, 2, "x")]
    found = [ActionSegment("a", 0, 2, "x", 0.5), ActionSegment("a", 3, 4, "y", 0.9)]
    assert per_class(found, true, 0.5, ("x", "y")) == {"x": 1.0}

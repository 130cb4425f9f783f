"""Figures of merit of clips with several labels, against their definitions written out as loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from star.pipeline.training import multilabel_metrics as metrics

RANDOM = np.random.default_rng(0)
TARGETS = (RANDOM.random((60, 7)) < 0.3).astype(np.uint8)
TARGETS[np.arange(60), RANDOM.integers(0, 6, 60)] = 1  # every video has a label, and class 6 few videos
PROBABILITIES = np.round(np.clip(0.6 * TARGETS * RANDOM.random((60, 7)) + 0.5 * RANDOM.random((60, 7)), 0, 1), 2)


def average_precision(scores: np.ndarray, wanted: np.ndarray) -> float:
    """The sum over thresholds, from the highest, of precision times the recall that is won."""
    found, before = 0.0, 0.0
    for threshold in sorted(set(scores.tolist()), reverse=True):
        said = scores >= threshold
        right = float((said & (wanted == 1)).sum())
        found += right / said.sum() * (right / wanted.sum() - before)
        before = right / wanted.sum()
    return found


def test_average_precision_counts_equal_scores_as_one_step() -> None:
    assert len(set(PROBABILITIES[:, 0].tolist())) < 60
    expected = [average_precision(PROBABILITIES[:, k], TARGETS[:, k]) for k in range(7)]
    assert metrics.average_precision(PROBABILITIES, TARGETS) == pytest.approx(expected)
    nobody = TARGETS * np.array([1, 1, 1, 0, 1, 1, 1], np.uint8)
    assert np.isnan(metrics.average_precision(PROBABILITIES, nobody)).tolist() == [k == 3 for k in range(7)]


def test_weights_are_repeated_videos() -> None:
    """As the bootstrap counts them."""
    weights = RANDOM.integers(0, 4, 60)
    again = np.repeat(np.arange(60), weights)
    expected = metrics.average_precision(PROBABILITIES[again], TARGETS[again])
    assert metrics.average_precision(PROBABILITIES, TARGETS, weights) == pytest.approx(expected)


def test_scores_are_their_definitions() -> None:
    orders = [sorted(range(7), key=lambda k, row=row: -row[k]) for row in PROBABILITIES]
    first = [min(order.index(k) for k in range(7) if own[k]) for order, own in zip(orders, TARGETS, strict=True)]
    assert metrics.place(PROBABILITIES, TARGETS).tolist() == first
    found = metrics.scores(PROBABILITIES, TARGETS)
    assert found["top1"] == pytest.approx(sum(place == 0 for place in first) / 60)
    assert found["top5"] == pytest.approx(sum(place < 5 for place in first) / 60)
    given = [{k for k in range(7) if row[k] > 0.5} for row in PROBABILITIES]
    own = [{k for k in range(7) if row[k]} for row in TARGETS]
    assert found["exact"] == pytest.approx(sum(a == b for a, b in zip(given, own, strict=True)) / 60)
    shares = [sum(k in a and k in b for a, b in zip(given, own, strict=True)) / TARGETS[:, k].sum() for k in range(7)]
    assert found["mean_class"] == pytest.approx(sum(shares) / 7)
    losses = [
        -math.log(max(p if y else 1 - p, 5e-324))
        for row, wanted in zip(np.clip(PROBABILITIES, 1e-9, 1 - 1e-9), TARGETS, strict=True)
        for p, y in zip(row, wanted, strict=True)
    ]
    safe = np.clip(PROBABILITIES, 1e-9, 1 - 1e-9)
    assert metrics.scores(safe, TARGETS)["loss"] == pytest.approx(sum(losses) / len(losses))


def test_what_is_not_finite_is_no_answer() -> None:
    broken = PROBABILITIES.copy()
    broken[3, 2] = np.nan
    assert metrics.place(broken, TARGETS)[3] == 7
    assert not metrics.given(broken)[3].any()
    last = PROBABILITIES.copy()
    last[3] = -1
    assert metrics.average_precision(broken, TARGETS) == pytest.approx(metrics.average_precision(last, TARGETS))


def test_intervals_hold_the_scores() -> None:
    found, scores = metrics.intervals(PROBABILITIES, TARGETS, 200), metrics.scores(PROBABILITIES, TARGETS)
    assert set(found) == {"mean_average_precision", "top1", "top5"}
    for name, (low, high) in found.items():
        assert low <= scores[name] <= high
        assert high - low < 0.4
    assert metrics.intervals(PROBABILITIES, TARGETS, 0) == {}


def test_calibration_counts_every_class_of_every_video() -> None:
    bins = metrics.reliability(PROBABILITIES, TARGETS, 4)
    assert sum(one.videos for one in bins) == 60 * 7
    chosen = (PROBABILITIES > 0.25) & (PROBABILITIES <= 0.5)
    assert bins[1].accuracy == pytest.approx(TARGETS[chosen].mean())
    assert bins[1].confidence == pytest.approx(PROBABILITIES[chosen].mean())

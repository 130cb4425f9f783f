"""Figures of merit, against their definitions written out as loops."""

import math

import numpy as np
import pytest

from star.pipeline.training import metrics

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 7, 200)
PROBABILITIES = RANDOM.dirichlet(np.ones(7), 200)
PROBABILITIES[np.arange(80), LABELS[:80]] += 0.4
PROBABILITIES /= PROBABILITIES.sum(1, keepdims=True)


def test_scores_are_their_definitions():
    """Top-1, top-5, mean over classes and cross-entropy, one video at a time."""
    orders = [sorted(range(7), key=lambda k, row=row: -row[k]) for row in PROBABILITIES]
    right = [order[0] == label for order, label in zip(orders, LABELS, strict=True)]
    by_class = [[r for r, label in zip(right, LABELS, strict=True) if label == k] for k in range(7)]
    found = metrics.scores(PROBABILITIES, LABELS)
    assert found["top1"] == pytest.approx(sum(right) / 200)
    hits = sum(label in order[:5] for order, label in zip(orders, LABELS, strict=True))
    assert found["top5"] == pytest.approx(hits / 200)
    assert found["mean_class"] == pytest.approx(sum(sum(own) / len(own) for own in by_class) / 7)
    loss = -sum(math.log(row[label]) for row, label in zip(PROBABILITIES, LABELS, strict=True)) / 200
    assert found["loss"] == pytest.approx(loss)


def test_class_without_videos_does_not_count():
    """The mean over classes is over those that have test videos."""
    probabilities = np.eye(4)[[0, 1, 1]]
    assert metrics.scores(probabilities, np.array([0, 1, 2]))["mean_class"] == pytest.approx(2 / 3)


def test_ties_go_to_the_lower_class_and_nan_is_wrong():
    """Equal probabilities count as argmax counts them; a network that gave NaN is not right by chance."""
    even = np.full((2, 3), 1 / 3)
    assert metrics.ahead(even, np.array([0, 2])).tolist() == [0, 2]
    broken = np.array([[np.nan, 0.5, 0.5]])
    assert metrics.ahead(broken, np.array([0])).tolist() == [3]


def test_top5_of_few_classes():
    """With three classes every answer is in the top five."""
    assert metrics.scores(np.full((4, 3), 1 / 3), np.array([0, 1, 2, 2]))["top5"] == 1.0


def test_confusion_counts_true_rows_and_predicted_columns():
    """Rows are the true class."""
    assert metrics.confusion(np.array([1, 1, 0]), np.array([0, 0, 2]), 3).tolist() == [[0, 2, 0], [0, 0, 0], [1, 0, 0]]


def test_intervals_are_those_of_resampling_videos():
    """The multinomial shortcut gives the quantiles of a bootstrap that draws videos one by one."""
    place = metrics.ahead(PROBABILITIES, LABELS)
    found = metrics.intervals(place, LABELS, 7, 4000, seed=1)
    random = np.random.default_rng(2)
    drawn = [random.integers(0, 200, 200) for _ in range(4000)]
    naive = {
        "top1": [(place[pick] == 0).mean() for pick in drawn],
        "top5": [(place[pick] < 5).mean() for pick in drawn],
        "mean_class": [np.nanmean(metrics.per_class(place[pick], LABELS[pick], 7)) for pick in drawn],
    }
    for name, values in naive.items():
        assert found[name] == pytest.approx(tuple(np.quantile(values, (0.025, 0.975))), abs=0.012)
    assert metrics.intervals(place, LABELS, 7, 0) == {}


def test_calibration_is_the_distance_of_probability_from_accuracy():
    """Four answers of 0.75 of which three are right, and two of 0.95 of which one is."""
    probabilities = np.array([[0.75, 0.25]] * 4 + [[0.05, 0.95]] * 2)
    bins = metrics.reliability(probabilities, np.array([0, 0, 0, 1, 1, 0]), bins=10)
    assert [(one.videos, one.accuracy) for one in bins] == [(4, 0.75), (2, 0.5)]
    assert [(one.low, one.high) for one in bins] == [(0.7, 0.8), (0.9, 1.0)]
    assert metrics.calibration_error(bins) == pytest.approx((4 * 0 + 2 * 0.45) / 6)


def test_every_answer_is_in_one_bin():
    """Also those of 0 and of 1, and on the edges."""
    probabilities = np.array([[1.0, 0.0], [0.5, 0.5], [0.6, 0.4], [0.0, 1.0]])
    assert sum(one.videos for one in metrics.reliability(probabilities, np.zeros(4, int), bins=5)) == 4


def test_groups_are_sorted_and_exact():
    """Accuracy by subject or camera."""
    place = np.array([0, 1, 0, 0])
    assert metrics.by_group(place, ["b", "a", "a", "b"]) == {
        "a": {"videos": 2, "top1": 0.5},
        "b": {"videos": 2, "top1": 1.0},
    }

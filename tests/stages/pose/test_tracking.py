"""The same person keeps one track: walkers who cross, come in, leave, hide and jump."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from star.stages.pose.people import link_people, valid_boxes
from star.stages.pose.tracking import GAP, Detections, Tracker, build_tracks

WIDTH, HEIGHT = 40.0, 100.0


def walker(x: np.ndarray | float, y: float = 200, scale: float = 1.0) -> np.ndarray:
    """Boxes (T, 4) of somebody whose middle is at x; NaN where x is."""
    x = np.atleast_1d(np.asarray(x, np.float64))
    w, h = scale * WIDTH / 2, scale * HEIGHT / 2
    return np.stack([x - w, np.full_like(x, y - h), x + w, np.full_like(x, y + h)], -1)


def seen(*people: np.ndarray) -> list[Detections]:
    """What a detector says of walkers, in another order in every frame."""
    frames = []
    for t in range(len(people[0])):
        boxes = np.stack([person[t] for person in people])
        boxes = np.roll(boxes, t, 0)[np.isfinite(np.roll(boxes, t, 0)).all(-1)]
        frames.append(Detections(boxes.astype(np.float32), np.full(len(boxes), 0.9, np.float32)))
    return frames


def paths(found: list[Detections]) -> list[list[tuple[int, float]]]:
    """Every track as (frame, middle's x)."""
    return [[(t, float(one.box[[0, 2]].mean())) for t, one in sorted(track.items())] for track in build_tracks(found)]


def path(person: np.ndarray) -> list[tuple[int, float]]:
    return [(t, float(box[[0, 2]].mean())) for t, box in enumerate(person.astype(np.float32)) if np.isfinite(box).all()]


STEPS = np.arange(16.0)


@pytest.mark.parametrize("step", [4, 15, 25, 50])
def test_people_who_cross_do_not_swap(step: float):
    """Two who walk towards each other and on, half a pixel from meeting in one frame: each goes on his own way."""
    one, other = walker(300 + step * (STEPS - 7.4)), walker(300 - step * (STEPS - 7.6), y=205)
    assert sorted(paths(seen(one, other))) == sorted([path(one), path(other)])


def test_people_who_come_in_and_leave_have_tracks_of_their_own():
    """Somebody leaves at the left as another enters at the right; a third stays."""
    leaving, entering = np.where(STEPS < 6, 60 - 10 * STEPS, np.nan), np.where(STEPS > 6, 700 - 10 * STEPS, np.nan)
    people = walker(leaving), walker(entering), walker(300 + STEPS)
    assert sorted(paths(seen(*people))) == sorted(map(path, people))


def test_a_new_person_does_not_take_over_a_track():
    """Who comes in near somebody who stands still does not get his track, although both could be linked to it."""
    stays, comes = walker(np.full(16, 300.0)), walker(np.where(STEPS >= 8, 340 + 5 * STEPS, np.nan))
    assert sorted(paths(seen(stays, comes))) == sorted([path(stays), path(comes)])


def test_who_is_hidden_for_a_few_frames_stays_the_same():
    """Behind a pillar for as long as links reach: one track; for longer: a second one, which takes the same place."""
    for hidden, count in ((GAP - 1, 1), (GAP, 2)):
        person = walker(np.where(np.isin(STEPS, range(5, 5 + hidden)), np.nan, 100 + 12 * STEPS))
        assert len(build_tracks(seen(person))) == count
        boxes = link_people(seen(person), 1)[:, 0]
        assert valid_boxes(boxes).sum() == 16 - hidden


def test_a_jump_is_somebody_else():
    """A cut in the film: who was left is not who is right, nor is a child who was a man."""
    assert len(build_tracks(seen(walker(np.where(STEPS < 8, 100, 500))))) == 2
    man, child = walker(np.where(STEPS < 8, 300, np.nan)), walker(np.where(STEPS < 8, np.nan, 300), scale=0.2)
    assert len(build_tracks(seen(man, child))) == 2


def test_every_box_is_in_one_track():
    """Whatever is found, nothing is lost and nothing is used twice."""
    random = np.random.default_rng(0)
    found = []
    for count in random.integers(0, 6, 16):
        low = random.uniform(0, 400, (count, 2))
        boxes = np.concatenate([low, low + random.uniform(1, 200, (count, 2))], -1).astype(np.float32)
        found.append(Detections(boxes, random.random(count).astype(np.float32)))
    kept = sorted((t, *one.box.tolist()) for track in build_tracks(found) for t, one in track.items())
    assert kept == sorted((t, *box.tolist()) for t, frame in enumerate(found) for box in frame.boxes)


def crowd(
    random: np.random.Generator, people: int, speed: float
) -> tuple[list[Detections], dict[tuple[float, ...], int]]:
    """Walkers with noisy boxes of whom every tenth is missed; they come and go. Box -> whose it is."""
    height = random.uniform(60, 140, people)
    sides = np.stack([height * random.uniform(0.3, 0.5, people), height], -1)
    start, velocity = random.uniform((0, 150), (640, 250), (people, 2)), random.normal(0, (speed, 5), (people, 2))
    begin = random.integers(-3, 6, people)
    end = begin + random.integers(6, 20, people)
    found, owner = [], {}
    for t in range(16):
        centre = start + t * velocity + random.normal(0, 0.05, (people, 2)) * sides[:, :1]
        half = sides * np.exp(random.normal(0, (0.1, 0.05), (people, 2))) / 2
        there = (begin <= t) & (t < end) & (random.random(people) > 0.1) & (centre[:, 0] > 0) & (centre[:, 0] < 640)
        order = random.permutation(np.flatnonzero(there))
        boxes = np.concatenate([centre - half, centre + half], -1)[order].astype(np.float32)
        owner |= {(t, *box.tolist()): int(person) for box, person in zip(boxes, order, strict=True)}
        found.append(Detections(boxes, np.full(len(boxes), 0.9, np.float32)))
    return found, owner


@pytest.mark.parametrize(("people", "speed", "most"), [(3, 12, 0.01), (3, 40, 0.02), (6, 40, 0.04)])
def test_in_crowds_links_seldom_join_two_people(people: int, speed: float, most: float):
    """Of all links at most this share joins two people; linked greedily by overlap it was 0.4, 5 and 15 %."""
    random = np.random.default_rng(0)
    wrong = links = 0
    for _ in range(60):
        found, owner = crowd(random, people, speed)
        for track in build_tracks(found):
            whose = [owner[(t, *one.box.tolist())] for t, one in sorted(track.items())]
            wrong += sum(a != b for a, b in pairwise(whose))
            links += len(whose) - 1
    assert links > 900
    assert wrong / links < most


def test_a_tracker_without_an_end_remembers_two_sightings_a_person():
    """Numbers are never given twice, and whoever was not seen for long is forgotten."""
    tracker = Tracker()
    for step in range(200):
        boxes = np.array([[step, 0, step + 10, 20]], np.float32)
        assert tracker.follow(Detections(boxes, np.ones(1, np.float32))) == [0]
    assert [len(track) for track in tracker._alive.values()] == [2]
    nobody = Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))
    for _ in range(GAP + 1):
        assert tracker.follow(nobody) == []
    assert tracker.follow(Detections(boxes, np.ones(1, np.float32))) == [1]

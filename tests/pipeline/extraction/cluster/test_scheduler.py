"""Who gets which unit next, and who is blamed for a dead worker."""

from __future__ import annotations

from pathlib import Path

from star.pipeline.datasets.base import Video
from star.pipeline.extraction.cluster.scheduler import AHEAD, DEATHS, Job, UnitScheduler
from star.pipeline.planning.plan import Clip
from star.pipeline.planning.source_changes import Digests
from star.pipeline.planning.work_units import Unit, split


def unit(first: int, videos: int, views: int = 1) -> Unit:
    """A unit of so many videos, numbered from `first`."""
    names = [f"v{number}" for number in range(first, first + videos)]
    clips = [Clip(Video(name, 0, "train", Path(name)), view) for name in names for view in range(views)]
    return Unit(("decode",), tuple(clips), {"pose": tuple(range(len(clips)))}, dict.fromkeys(names, Digests()))


def scheduler(workers: str, *units: Unit) -> UnitScheduler:
    """A desk with a worker for every letter."""
    made = UnitScheduler.of(units)
    made.assigned = {worker: [] for worker in workers}
    return made


def served(scheduler: UnitScheduler, kills: set[str]) -> tuple[set[str], set[str], int]:
    """Work it off with workers that die of some videos: the videos done, those given up, and how many died."""
    done: set[str] = set()
    given_up: set[str] = set()
    deaths = number = 0
    while scheduler.busy:
        for worker in list(scheduler.assigned):
            while scheduler.next(worker):
                pass
        for worker, jobs in list(scheduler.assigned.items()):
            if any(kills & set(job.unit.videos) for job in jobs):
                given_up |= {name for job in scheduler.lost(worker) for name in job.unit.videos}
                deaths, number = deaths + 1, number + 1
                scheduler.assigned[f"again {number}"] = []
            elif jobs:
                done |= set(jobs[0].unit.videos)
                scheduler.done(jobs[0])
    return done, given_up, deaths


def test_a_unit_is_cut_between_videos() -> None:
    """Parts are about equal, in order, with their own inputs and digests; a video's views stay together."""
    parts = split(unit(0, 10, views=3), 4)
    assert [len(part.videos) for part in parts] == [3, 2, 3, 2]
    assert [place for part in parts for place in part.inputs["pose"]] == list(range(30))
    assert [name for part in parts for name in part.known] == [f"v{number}" for number in range(10)]
    assert all(len(part.inputs["pose"]) == len(part.clips) for part in parts)
    assert len(split(unit(0, 1, views=3), 8)) == 1
    assert len(split(unit(0, 2), 8)) == 2


def test_hands_are_filled_and_shared_evenly_near_the_end() -> None:
    """A worker holds a few units; when few are left, no worker holds what another could begin."""
    many = scheduler("ab", *(unit(number, 1) for number in range(20)))
    while many.next("a"):
        pass
    assert len(many.assigned["a"]) == AHEAD
    few = scheduler("abc", *(unit(number, 1) for number in range(3)))
    assert few.next("a")
    assert few.next("a") is None
    assert few.next("b")
    assert few.next("c")


def test_the_last_units_are_halved_where_workers_would_idle() -> None:
    """One large unit and two workers: half each. Small ones are not worth it."""
    large = scheduler("ab", unit(0, 64))
    assert [len(large.next(worker).unit.clips) for worker in "ab"] == [32, 32]
    small = scheduler("ab", unit(0, 20))
    assert len(small.next("a").unit.clips) == 20
    assert small.next("b") is None


def test_only_the_guilty_videos_are_given_up() -> None:
    """Two videos kill every worker that has them in hand; all others are computed, at the cost of few workers."""
    done, given_up, deaths = served(scheduler("ab", *(unit(64 * number, 64) for number in range(8))), {"v70", "v300"})
    assert given_up == {"v70", "v300"}
    assert len(done) == 8 * 64 - 2
    assert deaths <= 2 * (DEATHS + 4)


def test_a_worker_that_dies_once_costs_nothing() -> None:
    """Its units are given out again, alone, and nobody is blamed."""
    made = scheduler("ab", *(unit(number, 4) for number in range(0, 40, 4)))
    while made.next("a"):
        pass
    assert made.lost("a") == []
    first = made.next("b")
    assert first.deaths == 1
    assert made.next("b") is None, "a suspect is alone"
    made.done(first)
    done, given_up, _ = served(made, set())
    assert given_up == set()
    assert len(done | set(first.unit.videos)) == 40


def test_a_worker_with_work_is_emptied_before_it_gets_a_suspect() -> None:
    """No unit is blamed for a suspect's sake: the suspect waits until one worker's hands are empty."""
    made = scheduler("ab", *(unit(number, 1) for number in range(30)))
    for worker in "ab":
        while made.next(worker):
            pass
    made.lost("a")
    assert made.next("b") is None
    for job in list(made.assigned["b"]):
        made.done(job)
    assert made.next("b").deaths == 1


def test_work_of_a_worker_that_leaves_in_peace_comes_next() -> None:
    """In its old order, without blame."""
    made = scheduler("ab", *(unit(number, 1) for number in range(30)))
    given = [made.next("a") for _ in range(3)]
    assert made.leave("a") == given
    assert [made.next("b") for _ in range(3)] == given
    assert all(isinstance(job, Job) and job.deaths == 0 for job in given)

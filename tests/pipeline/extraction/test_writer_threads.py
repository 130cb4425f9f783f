"""Units that are finished by several threads."""

from __future__ import annotations

import threading
from collections import Counter

import pytest

from star.errors import StorageError
from star.pipeline.extraction.unit_results import ComputedUnit, WrittenUnit
from star.pipeline.extraction.writer_threads import WriterThreads, writer_threads
from star.pipeline.planning.work_units import Unit


def unit(number: int) -> ComputedUnit:
    """A unit without clips, known by a stage's name."""
    return ComputedUnit(Unit((str(number),), (), {}, {}))


class Writer:
    """Writes nothing, after `door` was opened; fails at the unit named `bad`."""

    def __init__(self, bad: str = "") -> None:
        self.bad, self.door, self.most, self.inside, self.lock = bad, threading.Event(), 0, 0, threading.Lock()

    def write(self, computed: ComputedUnit) -> WrittenUnit:
        """As `Engine.write`."""
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.door.wait(60)
        if computed.unit.stages == (self.bad,):
            raise StorageError("the disk is full")
        with self.lock:
            self.inside -= 1
        return WrittenUnit(0, {}, {}, [], Counter())


def test_every_unit_comes_back_once_and_no_more_are_in_hand_than_threads() -> None:
    """A third unit has to wait for one of two threads; the wait is counted."""
    writer = Writer()
    found: list[str] = []
    waited = 0.0
    with WriterThreads(writer, 2) as finishing:
        for number in range(2):
            found += [one.stages[0] for one, _ in finishing.add(unit(number))]
        assert found == []
        threading.Timer(0.05, writer.door.set).start()
        for number in range(2, 7):
            for one, done in finishing.add(unit(number)):
                found.append(one.stages[0])
                waited += done.seconds["writers full"]
            assert len(found) >= number - 1
        found += [one.stages[0] for one, _ in finishing.rest()]
    assert sorted(found) == [str(number) for number in range(7)]
    assert writer.most <= 2
    assert waited > 0


def test_an_error_of_a_thread_ends_the_run() -> None:
    """It is raised where units are added, as if it had happened there."""
    writer = Writer(bad="1")
    writer.door.set()
    with pytest.raises(StorageError, match="the disk is full"), WriterThreads(writer, 1) as finishing:
        for number in range(9):
            list(finishing.add(unit(number)))


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (8, 6), (16, 12), (64, 16)])
def test_the_number_of_threads_follows_the_cores(cores: int, threads: int) -> None:
    """One on a laptop, a few on a large machine."""
    assert writer_threads(cores) == threads

"""The worker's half: what is decoded ahead, and what is kept from unit to unit."""

from __future__ import annotations

from concurrent.futures import Future

from star.pipeline.extraction.cluster.worker import PrefetchQueue


class Bench:
    """Starts jobs as futures that somebody else finishes, and writes down what happened."""

    def __init__(self, depth: int) -> None:
        self.started: list[str] = []
        self.gone: list[str] = []
        self.futures: dict[str, Future[str]] = {}
        self.feed = PrefetchQueue[str, str](self.start, self.gone.append, depth)

    def start(self, job: str) -> tuple[str, Future[str]]:
        self.started.append(job)
        return f"{job}'", self.futures.setdefault(job, Future())


def test_the_next_unit_is_read_while_the_last_videos_of_this_one_are_taken() -> None:
    """Never more than `depth` are under way, across units, and each unit gets its own, in order."""
    bench = Bench(depth=2)
    first, second = bench.feed.add(["a", "b", "c"]), bench.feed.add(["d", "e"])
    assert bench.started == ["a", "b"]
    assert next(first) == ("a'", bench.futures["a"])
    assert bench.started == ["a", "b", "c"]
    assert [job for job, _ in first] == ["b'", "c'"]
    assert bench.started == ["a", "b", "c", "d", "e"]
    assert [job for job, _ in second] == ["d'", "e'"]


def test_a_unit_that_is_given_up_leaves_its_place_to_the_next() -> None:
    """What was not started never is; what was started is reported when it ends, so that its memory can be reused."""
    bench = Bench(depth=2)
    first, second = bench.feed.add(["a", "b", "c"]), bench.feed.add(["d"])
    first.close()
    assert bench.started == ["a", "b", "d"]
    assert bench.gone == []
    bench.futures["a"].set_result("late")
    assert bench.gone == ["a'"]
    assert list(first) == []
    assert [job for job, _ in second] == ["d'"]

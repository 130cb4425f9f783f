"""Where the time went: the limit is what was waited for longest, and the remedy fits the machine."""

from __future__ import annotations

from collections import Counter

import pytest

from star.pipeline.extraction.profile import Profile, WorkerCounts, spent

CPU = WorkerCounts(children=1, inference_threads=2, writer_threads=1, device="cpu", cores=2)
GPU = WorkerCounts(children=15, inference_threads=3, writer_threads=6, device="cuda", cores=16)


def times(
    counts: WorkerCounts, waiting: float, networks: float, writers: float, busy: float, wall: float = 100.0
) -> Profile:
    """A run in which the feeding thread waited so many seconds for each, and `busy` of the processor was used."""
    seconds = {"waiting": waiting, "networks full": networks, "writers full": writers}
    return Profile(seconds, wall, busy * wall * counts.cores, counts)


@pytest.mark.parametrize(
    ("found", "limit", "line"),
    [
        (
            times(GPU, 62, 20, 5, busy=0.7),
            "decode",
            "decoding was the limit: the network waited for frames 62% of the time; "
            "more cores (--workers, now 15) would help",
        ),
        (
            times(CPU, 62, 20, 5, busy=0.97),
            "decode",
            "decoding was the limit: the network waited for frames 62% of the time; "
            "all 2 cores were busy, more cores or a GPU would help",
        ),
        (
            times(CPU, 1, 90, 5, busy=0.7),
            "network",
            "the network was the limit: frames waited for it 90% of the time; a GPU would help",
        ),
        (
            times(GPU, 1, 90, 5, busy=0.95),
            "network",
            "the network was the limit: frames waited for it 90% of the time; "
            "a second GPU (--device cuda:0,cuda:1) would help",
        ),
        (
            times(GPU, 10, 10, 55, busy=0.2),
            "write",
            "writing was the limit: all else waited for it 55% of the time; a faster disk for cache.root would help",
        ),
        (times(GPU, 1, 2, 3, busy=0.5, wall=9), "unknown", "the run was too short to tell what its limit is"),
    ],
)
def test_the_limit_is_what_was_waited_for_longest(found: Profile, limit: str, line: str) -> None:
    """The same name and the same line on the terminal and in the document."""
    assert (found.limit, found.line()) == (limit, line)
    assert (found.document()["limit"], found.document()["said"]) == (limit, line)


def test_shares_of_several_feeding_processes() -> None:
    """Two processes that each waited half the time waited half the time, not all of it."""
    counts = WorkerCounts(children=2, inference_threads=1, writer_threads=1, device="cpu", cores=4, feeders=2)
    assert times(counts, 100, 0, 0, busy=0.5).share("waiting") == 0.5


def test_the_table_says_who_worked_and_how_busy_they_were() -> None:
    """Busy is a share of the time that all of them together had."""
    seconds = {"decode": 60.0, "pose": 20.0, "backbone": 140.0, "heatmaps": 1.0, "tokens": 2.0, "write": 7.0}
    assert Profile(seconds, 100.0, 190.0, CPU).rows()[1:] == [
        ("decode", "1 process", "60%", ""),
        ("networks", "2 threads on cpu", "80%", "pose 20 s, backbone 2 min 20 s"),
        ("finish", "1 thread", "10%", "heatmaps 1 s, tokens 2 s, write 7 s"),
    ]


def test_time_is_counted_where_a_block_raises() -> None:
    """Nothing is lost by an error."""
    seconds: Counter[str] = Counter()
    with pytest.raises(ValueError, match="wrong"), spent(seconds, "pose"):
        raise ValueError("wrong")
    assert seconds["pose"] > 0

"""A child that sends piece by piece: what it sends, how it ends, and what a silent or dead one is."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest

from star.errors import UnreadableVideo, VideoCrash, VideoError, VideoTimeout
from star.pipeline.extraction.child_stream import AHEAD, ChildStream, ParentPipe, is_end


def work(what: str, pipe: ParentPipe) -> None:
    """Sends two pieces, then does what it is told."""
    pipe.send(1)
    pipe.beat()
    pipe.send(2)
    if what == "silent":
        time.sleep(600)
    if what == "dies":
        os.abort()
    if what == "broken":
        raise UnreadableVideo("broken: nothing reads it")
    if what == "bug":
        raise KeyError("no such thing")
    if what == "slow":
        for _ in range(20):
            time.sleep(0.25)
            pipe.beat()
        pipe.send(3)
    if what == "asked":
        while not pipe.asked(0.05):
            pipe.beat()
        pipe.send("answer")


def taken(what: str, timeout: float = 60.0) -> tuple[list[Any], VideoError | None]:
    found: list[Any] = []
    with ChildStream(work, what, "film", timeout) as child:
        try:
            found.extend(child)
        except VideoError as error:
            return found, error
    return found, None


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        ("dies", VideoCrash, r"film: the decoder died \(SIGABRT\)"),
        ("broken", UnreadableVideo, "broken: nothing reads it"),
        ("bug", VideoError, "KeyError"),
    ],
)
def test_what_was_sent_before_an_error_is_there(what: str, error: type[VideoError], said: str) -> None:
    found: list[Any] = []
    with ChildStream(work, what, "film", 60.0) as child, pytest.raises(error, match=said):
        for message in child:
            found.append(message)
    assert found == [1, 2]


def test_the_limit_is_one_on_silence() -> None:
    """A child that needs longer than the limit, and says that it is alive, may go on; one that says nothing not."""
    assert taken("slow", timeout=4.0) == ([1, 2, 3], None)
    found, error = taken("silent", timeout=8.0)
    assert found == [1, 2] and isinstance(error, VideoTimeout)


def test_messages_on_request_and_the_end() -> None:
    with ChildStream(work, "asked", "film", 60.0) as child:
        assert [child.take(), child.take()] == [1, 2]
        assert child.take(0.3) is None
        child.ask()
        assert child.take() == "answer" and is_end(child.take())


def flood(count: int, pipe: ParentPipe) -> None:
    """Sends large pieces as fast as they are taken, each with how many were sent before."""
    for number in range(count):
        pipe.send((number, time.monotonic(), bytes(1 << 20)))


def test_a_child_waits_for_its_parent() -> None:
    """What is not taken holds the child up: the last piece is sent after the first ones were taken."""
    count = AHEAD * 3
    with ChildStream(flood, count, "film", 60.0) as child:
        first = child.take()
        time.sleep(1)
        began = time.monotonic()
        rest = list(child)
    assert [number for number, *_ in [first, *rest]] == list(range(count))
    assert sum(sent > began for _, sent, _ in rest) >= count - AHEAD - 4


def test_closing_ends_a_busy_child() -> None:
    child = ChildStream(work, "silent", "film", 600.0)
    assert child.take() == 1
    process = child._process
    child.close()
    assert process.exitcode is not None

"""Children that hang, die, eat memory or raise: each is one error of one video."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from star.errors import MissingPackage, UnreadableVideo, VideoCrash, VideoError, VideoTimeout
from star.pipeline.extraction.decode_pool import DecodePool, ahead


def work(what: str) -> str:
    """One video's task, as a decoder might do it."""
    if what == "hang":
        time.sleep(600)
    if what == "abort":
        os.abort()
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "memory":
        raise MemoryError
    if what == "broken":
        raise UnreadableVideo("broken: no decoder reads it")
    if what in ERRORS:
        raise ERRORS[what]
    if what == "unpicklable error":
        raise Unpicklable(1, 2)
    return f"{what} done"


class Unpicklable(Exception):
    """An error that pickles and cannot be unpickled, as C extensions have them."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


ERRORS: dict[str, BaseException] = {
    error.__name__: error("35 is not a valid Type")
    for error in (
        ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, RuntimeError, RecursionError,
        ArithmeticError, OverflowError, StopIteration, EOFError, OSError, PermissionError, TimeoutError, BufferError,
        ImportError, NotImplementedError, SystemExit, KeyboardInterrupt, GeneratorExit,
    )
}  # fmt: skip


@pytest.fixture(scope="module")
def children() -> Iterator[DecodePool]:
    pool = DecodePool(1, timeout=3)
    yield pool
    pool.close()


@pytest.mark.parametrize(
    ("what", "kind", "message"),
    [
        ("hang", VideoTimeout, "a.mp4: not decoded within 3 s; raise decode.timeout if it is only long"),
        ("abort", VideoCrash, "a.mp4: the decoder died (SIGABRT); the file is broken or too large"),
        ("killed", VideoCrash, "a.mp4: the decoder died (SIGKILL); the file is broken or too large"),
        ("memory", VideoCrash, "a.mp4: the decoder ran out of memory; the file claims sizes that it cannot have"),
        ("broken", UnreadableVideo, "broken: no decoder reads it"),
    ],
)
def test_a_bad_video_is_one_error_and_the_next_goes_on(
    children: DecodePool, what: str, kind: type[VideoError], message: str
) -> None:
    """Whatever a child does, the driver gets one line, and the pool works on."""
    found = children.outcome(children.submit(work, what), "a.mp4")
    assert type(found) is kind
    assert str(found) == message
    assert children.outcome(children.submit(work, "next"), "b.mp4") == "next done"


@pytest.mark.parametrize("what", [*ERRORS, "unpicklable error"])
def test_any_error_of_a_child_is_one_error_of_its_video(children: DecodePool, what: str) -> None:
    """Of whatever type, also one that ends programs or that no pipe carries; the next video goes on."""
    found = children.outcome(children.submit(work, what), "a.mp4")
    assert type(found) is VideoError
    assert found.kind == "failed"
    assert "\n" not in str(found)
    if what in ERRORS:
        assert f": {what} in star.tests" in str(found) or f": {what}" in str(found)
        assert str(found).endswith("star did not expect this of a video: leave the video out, or report it")
    assert children.outcome(children.submit(work, "next"), "b.mp4") == "next done"


def test_what_is_not_about_the_video_ends_the_run(children: DecodePool) -> None:
    """A package that is missing is missing for all videos."""
    with pytest.raises(MissingPackage, match="av is not installed"):
        children.outcome(children.submit(lacking, "a.mp4"), "a.mp4")


def lacking(_what: str) -> None:
    """A task that needs a package."""
    raise MissingPackage("av is not installed")


def test_ahead_keeps_order_and_bounds_what_is_under_way(children: DecodePool) -> None:
    """Results come in the order of the jobs, and never more than `depth` are started but not taken."""
    started: list[str] = []

    def start(job: str):
        started.append(job)
        return children.submit(work, job)

    taken = []
    for job, future in ahead((str(i) for i in range(9)), start, 3):
        taken.append(job)
        assert len(started) - len(taken) <= 3
        assert future.result() == f"{job} done"
    assert taken == [str(i) for i in range(9)]


CLOSING = """
from star.pipeline.extraction.decode_pool import DecodePool

if __name__ == "__main__":
    for _ in range(4):
        pool = DecodePool(8, timeout=30)
        pool.outcome(pool.submit(len, "a.mp4"), "a.mp4")
        pool.close()
"""


def test_closing_while_children_are_starting_is_quiet(tmp_path: Path) -> None:
    """The first answer may come while seven children are still starting; none of them complains of what is gone."""
    script = tmp_path / "closing.py"
    script.write_text(CLOSING)
    done = subprocess.run([sys.executable, script], check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")

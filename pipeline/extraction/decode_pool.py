"""Decoding in child processes with a time limit.

A decoder may hang, abort or eat all memory, so no decoder runs in this process: each video is one task of a child that
is killed when its time is up and replaced when it dies (PITFALLS: decord#269, #25). Children are spawned, not forked:
torch's threads and CUDA do not survive a fork.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as TimeIsUp
from itertools import islice
from typing import TypeVar

from ...errors import StarError, VideoCrash, VideoError, VideoTimeout, unexpected
from ..recipe.schema import Recipe
from ..utils import process_settings
from .inference_threads import thread_shares
from .shared_frames import SharedFrames, attach
from .spawn_context import ChildContext

Job = TypeVar("Job")
Result = TypeVar("Result")

TASKS_PER_CHILD = 4000  # videos after which a child is replaced; a new one takes a second to start
VIDEOS_AHEAD = 2  # read ahead for each child
LEAKING = 400  # the same where the decoder leaks (PITFALLS: decord#197)


class DecodePool:
    """Child processes that run one function per video, each call under a time limit in seconds.

    slots: memory that they share with this process, for what they would otherwise send through a pipe. tasks: how many
    one child does before another takes its place.
    """

    def __init__(
        self, count: int, timeout: float, slots: SharedFrames | None = None, tasks: int = TASKS_PER_CHILD
    ) -> None:
        from pebble import ProcessPool

        allow_children()
        self.count, self.timeout = count, timeout
        self.slots = slots or SharedFrames(0, (1,))
        self.context = ChildContext()
        self.pool = ProcessPool(
            max_workers=count,
            max_tasks=tasks,
            initializer=begin_child,
            initargs=(slots,),
            context=self.context,
        )

    def submit(self, work: Callable[[Job], Result], job: Job) -> Future[Result]:
        """Queue one call; `outcome` waits for it."""
        return self.pool.schedule(_guarded, args=(work, job), timeout=self.timeout)

    def outcome(self, future: Future[Result], name: str) -> Result | VideoError:
        """What a call returned, or the VideoError that it, its time limit or its death amounts to.

        Raises StarError alone, and that only for what is not about the video: a package that is not installed, say.
        """
        from pebble import ProcessExpired

        try:
            return future.result()
        except VideoError as error:
            return error
        except TimeIsUp:
            return VideoTimeout(
                f"{name}: not decoded within {self.timeout:g} s; raise decode.timeout if it is only long"
            )
        except ProcessExpired as error:
            return VideoCrash(f"{name}: the decoder died ({death(error.exitcode)}); the file is broken or too large")
        except MemoryError:
            return VideoCrash(f"{name}: the decoder ran out of memory; the file claims sizes that it cannot have")
        except (StarError, CancelledError):
            raise
        except Exception as error:  # what could not be sent to the child, or back
            return unexpected(name, error)

    def close(self) -> None:
        """Stop the children, also busy ones."""
        self.pool.stop()
        self.context.kill()  # pebble takes the locks away first: a child that was only starting would say so at length
        self.pool.join()


def _guarded(work: Callable[[Job], Result], job: Job) -> Result:
    """One call in a child: whatever it raises comes back as an error that can be pickled, and ends no process."""
    try:
        return work(job)
    except (StarError, MemoryError):
        raise
    except BaseException as error:
        name = getattr(getattr(job, "video", None), "id", job)  # of a task's video, or the path that the job is
        raise unexpected(str(name), error) from None


def death(code: int | None) -> str:
    """How a process with this exit code died."""
    return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"


def begin_child(slots: SharedFrames | None = None) -> None:
    """What every decoding child does first. Ctrl-C reaches the whole process group; the parent decides what it means.

    slots: memory that the parent shares with it.
    """
    process_settings.reuse_freed_memory(kept=64 << 20)
    attach(slots)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["OMP_NUM_THREADS"] = "1"
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """No child outlives its parent, also where the kernel does not see to it (`ChildProcess`)."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def allow_children() -> None:
    """Dask starts its workers as daemons, which multiprocessing forbids to have children; ours are killed by us."""
    multiprocessing.current_process()._config["daemon"] = False  # type: ignore[attr-defined]


def ahead(
    jobs: Iterable[Job], start: Callable[[Job], Future[Result]], depth: int
) -> Iterator[tuple[Job, Future[Result]]]:
    """Each job with its future, in order, keeping `depth` futures under way: bounded memory, no idle child."""
    jobs = iter(jobs)
    under_way = [(job, start(job)) for job in islice(jobs, depth)]
    while under_way:
        yield under_way.pop(0)
        under_way.extend((job, start(job)) for job in islice(jobs, 1))


def open_decode_pool(recipe: Recipe, count: int, device: str) -> DecodePool:
    """So many decoding children for a recipe.

    They share memory for the frames of all that is read ahead, and of the batches on their way to `device`: one in each
    thread that computes, one that waits, one that is being gathered.
    """
    size, views = recipe.backbone.size, recipe.decode.views
    slots = VIDEOS_AHEAD * count * max(views.train, views.test) + (thread_shares(device)[0] + 2) * recipe.backbone.batch
    tasks = LEAKING if recipe.decode.reader == "decord" else TASKS_PER_CHILD
    return DecodePool(count, recipe.decode.timeout, SharedFrames(slots, (recipe.decode.frames, size, size, 3)), tasks)

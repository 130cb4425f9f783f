"""One child process that decodes a film, or a live source, and sends what it reads piece by piece.

`decode_pool.py` gives a child one video and takes one result; a film of an hour has no one result that fits into
memory, and a camera has no end. The limit in seconds is therefore one on silence: who decodes gives a sign of life
every few hundred packets, and a child that gives none is killed. What the parent has not taken holds the child up, so
that little is ever under way.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from queue import Empty, Full, Queue
from types import TracebackType
from typing import Any

from ...errors import StarError, VideoCrash, VideoTimeout, unexpected
from .decode_pool import allow_children, begin_child, death
from .spawn_context import ChildContext

AHEAD = 12  # messages that the parent holds before it has asked for them
TICK_S = 0.2  # how often a thread that waits looks whether it is still wanted
START_S = 300.0  # that a child may take to start and to load what it needs, on a machine that is busy
LAST_S = 5.0  # that a child which has said its last word may take to go


class ParentPipe:
    """In the child: the way to the parent."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, message: Any) -> None:
        """Hand something over; waits while the parent has not taken what came before."""
        self._connection.send(message)

    def beat(self) -> None:
        """A sign of life."""
        self._connection.send(None)

    def asked(self, timeout: float) -> bool:
        """Whether the parent asks for the next message within so many seconds."""
        if not self._connection.poll(timeout):
            return False
        self._connection.recv()
        return True


class _End:
    """The child's last word."""


Work = Callable[[Any, ParentPipe], None]


class ChildStream:
    """What a function sends from a child process of its own, to be iterated over; use it in a `with`.

    work: a function of a module, called in the child with `job` and the pipe to send through. name: the video's, for
    messages. timeout: seconds of silence after which the child is killed. Iteration raises what `work` raised,
    VideoTimeout, VideoCrash, or another StarError.
    """

    def __init__(self, work: Work, job: Any, name: str, timeout: float) -> None:
        allow_children()
        context = ChildContext()
        self.name, self.timeout = name, timeout
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_child, args=(theirs, work, job), daemon=True)
        self._process.start()
        theirs.close()
        self._closed = threading.Event()
        self._queue: Queue[Any] = Queue(AHEAD)
        self._thread = threading.Thread(target=self._read, name="child stream", daemon=True)
        self._thread.start()

    def __enter__(self) -> ChildStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        while (message := self.take()) is not None:
            if isinstance(message, _End):
                return
            yield message

    def ask(self) -> None:
        """Tell the child that the next message is wanted, where it waits for that."""
        with contextlib.suppress(OSError):  # it has gone, which the next message says
            self._connection.send(True)

    def take(self, wait: float | None = None) -> Any:
        """The next message; None where none comes within `wait` seconds. Raises as iteration does."""
        try:
            message = self._queue.get(timeout=wait)
        except Empty:
            return None
        if isinstance(message, BaseException):
            raise message
        return message

    def close(self) -> None:
        """End the child, also a busy one."""
        self._closed.set()
        self._process.kill()
        self._process.join()
        self._thread.join()
        self._connection.close()

    def _read(self) -> None:
        """In a thread: from the pipe into the queue, until the last word."""
        silence = max(self.timeout, START_S)  # until the child has begun
        while not self._closed.is_set():
            message = self._message(silence)
            silence = self.timeout
            if message is None:
                continue
            while not self._closed.is_set():
                try:
                    self._queue.put(message, timeout=TICK_S)
                    break
                except Full:
                    continue
            if isinstance(message, (_End, BaseException)):
                return

    def _message(self, silence: float) -> Any:
        """The next message, None for a sign of life; the error that `silence` seconds without one, or an end, mean."""
        try:
            if self._connection.poll(silence):
                return self._connection.recv()
        except (EOFError, OSError):
            self._process.join(LAST_S)
            how = death(self._process.exitcode)
            return VideoCrash(f"{self.name}: the decoder died ({how}); the file is broken or too large")
        self._process.kill()
        return VideoTimeout(
            f"{self.name}: nothing was decoded for {silence:g} s; raise decode.timeout if the disk is only slow"
        )


def is_end(message: Any) -> bool:
    """Whether a message that was taken is the child's last word."""
    return isinstance(message, _End)


def _child(connection: Connection, work: Work, job: Any) -> None:
    begin_child()
    last: Any = _End()
    try:
        connection.send(None)
        work(job, ParentPipe(connection))
    except StarError as error:
        last = error
    except MemoryError:
        last = VideoCrash(f"{_name_of(job)}: the decoder ran out of memory; the file claims sizes that it cannot have")
    except BaseException as error:
        last = unexpected(_name_of(job), error)
    with contextlib.suppress(OSError):  # a parent that is gone
        connection.send(last)


def _name_of(job: Any) -> str:
    return str(getattr(job, "name", job))

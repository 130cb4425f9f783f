"""Ctrl-C and SIGTERM as a flag that a loop looks at, so that it can stop between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from .progress import tell

CAUGHT = (signal.SIGINT, signal.SIGTERM)


class StopSignal:
    """Set while the block runs and a signal has come; a second signal acts as it did before the block.

    message: said when the first signal comes.
    """

    def __init__(self, message: str = "") -> None:
        self.asked = False
        self.message = message
        self.before: dict[int, Any] = {}

    def __enter__(self) -> StopSignal:
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._ask) for number in CAUGHT}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._restore()
        if self.message:
            tell(self.message)

    def _restore(self) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}


def leave_to_parent(worker: int = 0) -> None:
    """In a reading process: Ctrl-C concerns the parent, which ends its children itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

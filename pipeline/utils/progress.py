"""How far a long job is: a bar on a terminal, a line every few seconds elsewhere. Always on stderr."""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from types import TracebackType

from tqdm import tqdm

from .text import clock, printable

LINE_EVERY_S = 5.0
RECENT = 12  # lines over which the rate is taken: a machine may be busy for a while


class Progress:
    """Counts items of work, with their rate and the time left.

    what: the work's name ("extract"). total: how many items. unit: what an item is called.
    """

    def __init__(self, what: str, total: int, unit: str = "clips", *, quiet: bool = False) -> None:
        self.what, self.total, self.unit, self.quiet = what, total, unit, quiet
        self.done = 0
        self.began = self.told = time.monotonic()
        self.marks = deque([(self.began, 0)], RECENT)  # when a line was shown, and what was done by then
        self.note = ""
        self._lock = threading.Lock()
        show_bar = sys.stderr.isatty() and not quiet
        self.bar = tqdm(total=total, desc=what, unit=f" {unit}", file=sys.stderr, smoothing=0.05) if show_bar else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.close()
        elif not self.quiet and self.done and self.told > self.began:
            self._line()

    def advance(self, count: int = 1, note: str = "") -> None:
        """`count` further items are done; `note` is shown behind the figures. For any thread."""
        with self._lock:
            self.done += count
            self.note = note or self.note
            if self.bar is not None:
                self.bar.set_postfix_str(printable(self.note), refresh=False)
                self.bar.update(count)
            elif not self.quiet and time.monotonic() - self.told >= LINE_EVERY_S:
                self.told = time.monotonic()
                self._line()

    def rate(self) -> float:
        """Items per second of late."""
        began, done = self.marks[0]
        return (self.done - done) / max(time.monotonic() - began, 1e-9)

    def _line(self) -> None:
        rate = self.rate()
        left = (self.total - self.done) / max(rate, 1e-9)
        self.marks.append((time.monotonic(), self.done))
        note = f", {self.note}" if self.note else ""
        tell(f"{self.what}: {self.done:,} of {self.total:,} {self.unit}, {rate:.1f}/s, {clock(left)} left{note}")


def tell(line: str) -> None:
    """One line for a person, on stderr, above a bar if one is shown."""
    tqdm.write(printable(line), file=sys.stderr)

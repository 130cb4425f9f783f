"""The kernels that cuDNN may choose: none by a stopwatch, none that sums in another order each time, no TF32.

A precision then means the same on every device. cuDNN's settings belong to the process, not to a thread, so they are
set when the first thread comes in and put back when the last one leaves.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager

_lock = threading.Lock()
_settings = ExitStack()
_threads = 0


@contextmanager
def deterministic_kernels() -> Generator[None, None, None]:
    """Hold the settings while any thread is inside."""
    global _threads  # noqa: PLW0603 (as the settings are: one for the process)
    with _lock:
        _threads += 1
        if _threads == 1:
            from torch.backends import cudnn

            _settings.enter_context(cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False))
    try:
        yield
    finally:
        with _lock:
            _threads -= 1
            if _threads == 0:
                _settings.close()

"""What star sets for a whole process: its streams, glibc's malloc, the fallback of Apple's GPU to the processor.

Only the command line and the start of a worker call these, never an import. Each is here because it was measured:
`make bench ONLY=process_settings` says what it earns.
"""

from __future__ import annotations

import ctypes
import os
import sys

LARGEST = 32 << 20  # bytes of an array that is kept; glibc takes no more
KEPT = 1 << 30  # bytes of free memory that stay with the process
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of malloc.h
# reuse_freed_memory for a process that is yet to be started
MALLOC_ENVIRONMENT = {"MALLOC_ARENA_MAX": 1, "MALLOC_MMAP_THRESHOLD_": LARGEST, "MALLOC_TRIM_THRESHOLD_": KEPT}


def for_command() -> None:
    """Everything that a command's process wants, before torch is imported and before any thread begins."""
    fill_standard_streams()
    reuse_freed_memory()
    allow_mps_fallback()


def fill_standard_streams() -> None:
    """Open /dev/null in the place of stdin, stdout or stderr that whoever started this process has closed.

    Otherwise the next file that is opened, a segment perhaps, gets the number 2, and libraries write their complaints
    into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free: this one
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", errors="surrogateescape", closefd=False))


def reuse_freed_memory(kept: int = KEPT) -> bool:
    """Tune glibc's malloc to keep up to `kept` freed bytes for later arrays. False where the C library is another.

    By default large arrays go back to the system when they are freed, and it hands them out anew, zeroed page by page:
    7 % of a training step's time on a CPU, 6 % of decoding 1920 × 1080, 1 to 9 % of the video network's (Zen, Zen 5).
    All threads share one arena, since of any other glibc gives back whatever is free: so this is for the beginning,
    before there are threads.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    return all([mallopt(_ARENA_MAX, 1), mallopt(_MMAP_THRESHOLD, LARGEST), mallopt(_TRIM_THRESHOLD, kept)])


def allow_mps_fallback() -> None:
    """Let operations that Apple's GPU lacks run on the processor; torch, imported later, says which, once each."""
    if sys.platform == "darwin":
        os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

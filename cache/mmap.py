"""A file's bytes as memory, without keeping the file open.

Before Python 3.13 a memory map keeps a file handle of its own, of which a process has few (often 1024): a cache of some
thousand segments could not be mapped. So there the system is asked directly; from 3.13 on Python can do it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import weakref

_PROT_READ, _MAP_SHARED = 1, 1  # on Linux, macOS and the BSDs alike
_FAILED = ctypes.c_void_p(-1).value


def map_file(handle: int, size: int) -> mmap.mmap | memoryview:
    """The first `size` bytes of an open file, read-only and shared with all who map it; `handle` may be closed.

    Lives as long as anything refers to it. Raises OSError.
    """
    if sys.version_info >= (3, 13):
        return mmap.mmap(handle, size, access=mmap.ACCESS_READ, trackfd=False)
    if os.name != "posix":
        return mmap.mmap(handle, size, access=mmap.ACCESS_READ)
    system = ctypes.CDLL(None, use_errno=True)
    system.mmap.restype = ctypes.c_void_p
    system.mmap.argtypes = (
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long,
    )  # fmt: skip
    system.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    address = system.mmap(None, size, _PROT_READ, _MAP_SHARED, handle, 0)
    if address is None or address == _FAILED:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    content = (ctypes.c_ubyte * size).from_address(address)
    weakref.finalize(content, system.munmap, address, size).atexit = False  # other threads may still read at exit
    return memoryview(content).cast("B").toreadonly()

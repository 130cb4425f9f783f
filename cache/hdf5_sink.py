"""Where HDF5 writes to: a file whose failures HDF5 never sees.

On a full disk HDF5 2.0 crashes the process when it closes a file (measured: h5py 3.16 on a tmpfs of 1 MiB). So it is
given a file-like object that keeps the first failure for itself and goes on as if nothing had happened; the writer
asks for the failure once HDF5 is done.
"""

from __future__ import annotations

import io
import os
from typing import Any


class Sink(io.RawIOBase):
    """A file for h5py's file-object driver. `error` is the first failure of the disk, None if there was none."""

    def __init__(self, file: io.FileIO) -> None:
        super().__init__()
        self.file = file
        self.position = 0
        self.error: OSError | None = None

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place; HDF5 asks for the size of the file with whence 2."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.position, os.SEEK_END: os.fstat(self.file.fileno()).st_size}
        self.position = base[whence] + offset
        return self.position

    def tell(self) -> int:
        """The place of the next byte."""
        return self.position

    def write(self, data: Any, /) -> int:
        """Write all bytes at the place, or keep the failure; always says that all were written."""
        view = memoryview(data).cast("B")
        try:
            done = 0 if self.error is None else len(view)
            self.file.seek(self.position)
            while done < len(view):
                done += self.file.write(view[done:]) or 0
        except OSError as error:
            self.error = error
        self.position += len(view)
        return len(view)

    def readinto(self, buffer: Any, /) -> int:
        """Read at the place."""
        self.file.seek(self.position)
        count: int = self.file.readinto(buffer) or 0
        self.position += count
        return count

    def truncate(self, size: int | None = None, /) -> int:
        """Set the size of the file, or keep the failure."""
        size = self.position if size is None else size
        try:
            if self.error is None:
                self.file.truncate(size)
        except OSError as error:
            self.error = error
        return size

    def readable(self) -> bool:
        """HDF5 reads back what it wrote."""
        return True

    def writable(self) -> bool:
        """HDF5 writes here."""
        return True

    def seekable(self) -> bool:
        """HDF5 jumps."""
        return True

"""Files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from ...cache.atomic import replace
from ...errors import StorageError


def replace_bytes(path: Path, content: bytes) -> None:
    """Put `content` at `path` in one rename, after it has reached the disk. Raises StorageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, content)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written: {error.strerror}; free space, or choose another --run"
        ) from None

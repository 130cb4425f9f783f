"""Lists as people save them: UTF-8 or UTF-16, with or without a byte order mark."""

from __future__ import annotations

import codecs
from pathlib import Path

from ...errors import DatasetError
from ...untrusted_files import LARGE, UntrustedFile, read_bytes

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_list(path: Path, remedy: str) -> str:
    """The text of a list. remedy: what to do about one that is no text. Raises DatasetError, naming the encoding."""
    try:
        content = read_bytes(path, LARGE)
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from None
    except UntrustedFile as error:
        raise DatasetError(f"{path}: {error}; {remedy}") from None
    if content.startswith(_UTF_16):
        return _decoded(path, content, "utf-16", remedy)
    if b"\0" in content[:2]:  # as a spreadsheet's "Unicode text" without its mark
        return _decoded(path, content, "utf-16-le" if content[1:2] == b"\0" else "utf-16-be", remedy)
    return _decoded(path, content, "utf-8-sig", remedy)


def _decoded(path: Path, content: bytes, encoding: str, remedy: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise DatasetError(f"{path}: not {encoding.upper()} as it begins (byte {error.start}); {remedy}") from None
        seen = content[max(0, error.start - 12) : error.start + 12].decode("cp1252", "replace")
        line = seen.splitlines()[-1 if b"\n" in content[max(0, error.start - 12) : error.start] else 0]
        raise DatasetError(
            f"{path}: not UTF-8 (byte {error.start}); it may be Latin-1 or Windows-1252 ({line.strip()!r}): {remedy}"
        ) from None

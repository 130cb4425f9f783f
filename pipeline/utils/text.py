"""Figures and tables as a person reads them."""

from __future__ import annotations

import re
from typing import Any

from ...untrusted_files import json_text

ESCAPED = re.compile("[\x7f-\x9f\ud800-\udfff]")  # what a terminal obeys, and bytes that are no text (PEP 383)
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Text for a terminal: what a stranger's names could make it do (move, clear, colour, turn round) is written out.

    Line ends and tabs stay.
    """
    return CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def drawable(text: str) -> str:
    """A name as matplotlib draws it: dollar signs as they are, bytes that are not UTF-8 (PEP 383) as escapes."""
    shown = text.encode(errors="surrogateescape").decode(errors="backslashreplace")
    return shown.replace("$", r"\$")


def readable_json(document: Any, indent: int | None = None) -> str:
    """A document as JSON for a terminal and for people, in one line unless indented: letters as they are; what a
    terminal obeys, and bytes of file names that are not UTF-8, as escapes."""
    return ESCAPED.sub(lambda byte: f"\\u{ord(byte[0]):04x}", json_text(document, indent, ascii_only=False))


def clock(seconds: float) -> str:
    """Seconds as a person says them: 42 s, 3 min 10 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def counted(count: int, what: str) -> str:
    """A number of things as a person says it: 1 video, 2,326 videos."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def amount(count: int) -> str:
    """Bytes as a person says them: 812 B, 3.4 MB, 1.2 GB."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows of text as columns: the first and the last to the left, figures between them to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    last = len(widths) - 1
    return [
        "  ".join(
            cell.ljust(width) if column in (0, last) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]

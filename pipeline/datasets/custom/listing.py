"""What a list or a folder was found to hold."""

from __future__ import annotations

from dataclasses import dataclass, field

from .csv_list import Entry


@dataclass
class Listing:
    """The videos that were listed, and what lies beside them and is none of them, with the reason.

    what: what the list or folder was taken for, in a few words.
    """

    entries: list[Entry] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    what: str = ""

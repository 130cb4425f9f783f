"""`--shard I/N`: one of N equal shares of a data set's videos, for job arrays that know nothing of each other."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from ...errors import UsageError


class Shard(NamedTuple):
    """Share `number` (from 1) of `of`. The shares have no video in common and none is left out."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """What the command line says. Raises UsageError."""
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(f"--shard {text}: expected I/N with I from 1 to N, like 1/4")
        return cls(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def share(self, names: Iterable[str]) -> set[str]:
        """Its share of the videos: every N-th of their sorted ids, whatever is cached already."""
        return set(sorted(names)[self.number - 1 :: self.of])

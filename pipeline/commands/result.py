"""What a command answers: a JSON document, lines for a person, and an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """A command's answer."""

    document: Any
    lines: Sequence[str]
    exit_code: int = 0

"""What every command answers: a JSON document, lines for a person, and an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol


class CommandResult(Protocol):
    """What `cli.answer` prints."""

    @property
    def exit_code(self) -> int:
        """0, or what docs and `errors.py` say."""
        ...

    def to_document(self) -> Any:
        """As JSON, for `--json`."""
        ...

    def to_lines(self) -> Sequence[str]:
        """For a person."""
        ...

"""`star report`: one HTML page on one or several runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..evaluation.report import report
from ..visualization.thumbnails import Thumbnails


@dataclass(frozen=True)
class WrittenReport:
    """Where the page is."""

    page: Path
    exit_code: int = 0

    def to_document(self) -> dict[str, str]:
        """As JSON."""
        return {"report": str(self.page)}

    def to_lines(self) -> list[str]:
        """One line."""
        return [f"report: {self.page}"]


def run_report(runs: Sequence[Path], out: Path) -> WrittenReport:
    """`star report`."""
    return WrittenReport(report(list(runs), out, pictures=Thumbnails))

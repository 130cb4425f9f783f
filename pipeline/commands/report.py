"""`star report`: one HTML page on one or several runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..evaluation.report import report
from ..visualization.thumbnails import Thumbnails
from .result import Result


def run_report(runs: Sequence[Path], out: Path) -> Result:
    """`star report`."""
    path = report(list(runs), out, pictures=Thumbnails)
    return Result({"report": str(path)}, [f"report: {path}"])

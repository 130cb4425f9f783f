"""`star scan`: what is wrong with the videos and their annotations, before extracting."""

from __future__ import annotations

from ..checks.scan import scan
from ..checks.scan_report import ScanReport
from ..recipe.schema import Recipe


def run_scan(recipe: Recipe, *, workers: int = 0, quiet: bool = False) -> ScanReport:
    """`star scan`: exit code 3 where videos would fail in extract."""
    return ScanReport(scan(recipe, workers=workers, quiet=quiet))

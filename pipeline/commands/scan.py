"""`star scan`: what is wrong with the videos and their annotations, before extracting."""

from __future__ import annotations

from ..checks import scan_report
from ..checks.scan import scan
from ..recipe.schema import Recipe
from .result import Result


def run_scan(recipe: Recipe, *, workers: int = 0, quiet: bool = False) -> Result:
    """`star scan`: exit code 3 where videos would fail in extract."""
    document = scan_report.document(scan(recipe, workers=workers, quiet=quiet))
    return Result(document, scan_report.lines(document), 3 if document["failing"] else 0)

"""`star inspect`: a picture of what the cache holds of a video."""

from __future__ import annotations

from pathlib import Path

from ..recipe.schema import Recipe
from ..visualization import contact_sheet
from .result import Result


def run_inspect(recipe: Recipe, video: str | None, out: Path, *, worst: int | None, quiet: bool = False) -> Result:
    """`star inspect`. worst: how many clips that most deserve a look, in place of one video."""
    document = contact_sheet.look(recipe, video, out, count=worst, quiet=quiet)
    return Result(document, contact_sheet.lines(document))

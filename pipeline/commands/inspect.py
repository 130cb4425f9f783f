"""`star inspect`: a picture of what the cache holds of a video."""

from __future__ import annotations

from pathlib import Path

from ..recipe.schema import Recipe
from ..visualization.contact_sheet import Inspection, look


def run_inspect(recipe: Recipe, video: str | None, out: Path, *, worst: int | None, quiet: bool = False) -> Inspection:
    """`star inspect`. worst: how many clips that most deserve a look, in place of one video."""
    return look(recipe, video, out, count=worst, quiet=quiet)

"""`star verify`: read every byte of the cache again."""

from __future__ import annotations

from ..checks.verify import lines, verify
from ..recipe.schema import Recipe
from .result import Result


def run_verify(recipe: Recipe, *, repair: bool = False, quiet: bool = False) -> Result:
    """`star verify`: exit code 4 where something is wrong and not repaired."""
    document = verify(recipe, repair=repair, quiet=quiet)
    return Result(document, lines(document), 4 if document["problems"] and not repair else 0)

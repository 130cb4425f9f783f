"""`star verify`: read every byte of the cache again."""

from __future__ import annotations

from ..checks.verify import Verification, verify
from ..recipe.schema import Recipe


def run_verify(recipe: Recipe, *, repair: bool = False, sources: bool = False, quiet: bool = False) -> Verification:
    """`star verify`: exit code 4 where something is wrong and not repaired."""
    return verify(recipe, repair=repair, sources=sources, quiet=quiet)

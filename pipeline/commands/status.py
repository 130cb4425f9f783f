"""`star status`: what is cached, missing, stale or failed, and why."""

from __future__ import annotations

from ..planning.plan import plan, remember
from ..planning.status import lines, status
from ..recipe.schema import Recipe
from .result import Result


def run_status(recipe: Recipe) -> Result:
    """`star status`."""
    planned = plan(recipe)
    remember(planned)
    state = status(planned)
    return Result(state, lines(state))

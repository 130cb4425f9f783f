"""`star status`: what is cached, missing, stale or failed, and why."""

from __future__ import annotations

from ..planning.plan import plan, remember
from ..planning.status import CacheStatus, status
from ..recipe.schema import Recipe


def run_status(recipe: Recipe) -> CacheStatus:
    """`star status`."""
    planned = plan(recipe)
    remember(planned)
    return status(planned)

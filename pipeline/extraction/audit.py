"""`star extract --audit N`: compute some cached clips again and say how far each array is from what is cached."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from ..planning.plan import Clip, Plan, StagePlan, plan
from ..planning.work_units import cut
from ..recipe.schema import Recipe
from ..utils.progress import Progress
from ..utils.text import table
from .engine import Engine
from .execution import Where
from .models import State
from .prefetch import computing, decoding


def audit(recipe: Recipe, count: int, *, where: Where = Where(), seed: int = 0, quiet: bool = False) -> dict[str, Any]:
    """Compute `count` random clips anew, all stages, and compare; nothing is written.

    seed: of the choice. Returns {"clips", "arrays": {name: {"largest", "equal"}}, "failed"}: the largest absolute
    difference over all values, and how many clips are equal to the bit.
    """
    planned = plan(recipe)
    complete = _cached_everywhere(planned)
    chosen = random.Random(seed).sample(complete, min(count, len(complete)))
    work = cut(planned, tuple(planned.stages), sorted(chosen, key=lambda clip: (clip.video.id, clip.view)))
    found: dict[str, dict[str, float]] = {}
    failed: list[str] = []
    children = decoding(recipe, where.children, where.devices[0])
    try:
        engine = Engine(recipe, planned.graph, where.devices[0], children, planned.catalogue.skeleton)
        with Progress("audit", len(chosen), quiet=quiet) as bar:
            for _, computed in computing(engine, work, where.children, lambda: False, bar.advance):
                failed += [message for *_, message in computed.failures]
                for state in engine.finish(computed).states:
                    _compare(planned, state, found)
    finally:
        children.close()
    return {"clips": len(chosen), "arrays": found, "failed": failed}


def _cached_everywhere(planned: Plan) -> list[Clip]:
    videos = {video.id: video for video in planned.catalogue.videos}
    common = set.intersection(*(set(stage.places) for stage in planned.stages.values()))
    return [Clip(videos[video], view) for video, view in sorted(common)]


def _compare(planned: Plan, state: State, found: dict[str, dict[str, float]]) -> None:
    for stage in planned.stages.values():
        for name in planned.graph[stage.name].stage.arrays:
            cached, new = _cached(stage, state.clip, name), np.asarray(state.arrays[name])
            entry = found.setdefault(name, {"largest": 0.0, "equal": 0})
            difference = np.abs(cached.astype(np.float64) - new.astype(np.float64)).max() if cached.size else 0.0
            entry["largest"] = max(entry["largest"], float(difference))
            entry["equal"] += int(np.array_equal(cached, new))


def _cached(stage: StagePlan, clip: Clip, name: str) -> np.ndarray:
    return stage.shelf.read([stage.places[clip.video.id, clip.view]], name)[0]


def lines(found: dict[str, Any]) -> list[str]:
    """The comparison as a table for a person."""
    rows: list[tuple[str, ...]] = [("array", "equal to the bit", "largest difference")]
    for name, entry in found["arrays"].items():
        rows.append((name, f"{entry['equal']:.0f} of {found['clips']}", f"{entry['largest']:.3g}"))
    return [*table(rows), *(f"failed: {message}" for message in found["failed"])]

"""`star extract --audit N`: compute some cached clips again and say how far each array is from what is cached."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ...stages.precision import TOLERANCE
from ..planning.plan import Clip, plan
from ..planning.work_units import cut
from ..recipe.schema import Recipe
from ..utils.progress import Progress
from ..utils.text import table
from .engine import open_engine
from .execution import ExecutionConfig
from .prefetch import compute_units

FROM_BACKBONE = ("global_grid", "local_map", "joint_map")  # arrays that `backbone.precision` moves; no other does


@dataclass
class ArrayAudit:
    """How an array, computed again, compares with what is cached."""

    tolerance: float
    """What a clip's deviation may be."""
    equal: int = 0
    """Clips equal to the bit."""
    within: int = 0
    """Clips whose deviation is within the tolerance."""
    largest: float = 0.0
    """The largest absolute difference of a value."""
    deviation: float = 0.0
    """The largest deviation of a clip: the norm of the difference over the norm of what is cached."""

    def add(self, cached: np.ndarray, computed: np.ndarray) -> None:
        """Count one clip."""
        old, new = cached.astype(np.float64), computed.astype(np.float64)
        difference = np.abs(old - new)
        norm = float(np.linalg.norm(old))
        distance = float(np.linalg.norm(difference))
        deviation = distance / norm if norm else (float("inf") if distance else 0.0)
        self.equal += int(np.array_equal(cached, computed))
        self.within += int(deviation <= self.tolerance)
        self.largest = max(self.largest, float(difference.max(initial=0.0)))
        self.deviation = max(self.deviation, deviation)


@dataclass
class Audit:
    """The comparison of some clips."""

    clips: int
    """Clips that were chosen."""
    arrays: dict[str, ArrayAudit] = field(default_factory=dict)
    """By name."""
    failed: list[str] = field(default_factory=list)
    """Messages of videos that could not be computed again."""
    computed_in: str = ""
    """What the backbone computed in now; empty where the recipe has none."""
    cached_in: dict[str, int] = field(default_factory=dict)
    """Chosen clips by what the backbone computed in when they were cached."""

    @property
    def is_good(self) -> bool:
        """Whether every clip could be computed again and is within the tolerance in every array."""
        compared = self.clips - len(self.failed)
        return not self.failed and all(array.within >= compared for array in self.arrays.values())

    @property
    def exit_code(self) -> int:
        """3 where videos could not be computed again, 4 where an array is beyond the tolerance."""
        return 0 if self.is_good else 3 if self.failed else 4

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def to_lines(self) -> list[str]:
        """As a table for a person."""
        rows: list[tuple[str, ...]] = [("array", "equal to the bit", "within tolerance", "deviation", "of at most")]
        for name, array in self.arrays.items():
            within = f"{array.within} of {self.clips}"
            rows.append(
                (name, f"{array.equal} of {self.clips}", within, f"{array.deviation:.2g}", f"{array.tolerance:g}")
            )
        lines = [*table(rows), *(f"failed: {message}" for message in self.failed)]
        if self.computed_in:
            cached = " and ".join(f"{clips} in {name}" for name, clips in sorted(self.cached_in.items()))
            lines.append(f"backbone: cached {cached}, computed again in {self.computed_in}")
        if not self.is_good and not self.failed:
            lines.append(
                "beyond the tolerance: not what this recipe computes; `star verify RECIPE` finds what changed later, "
                "`star extract RECIPE --force` computes all anew"
            )
        return lines


def audit(
    recipe: Recipe, count: int, *, execution: ExecutionConfig = ExecutionConfig(), seed: int = 0, quiet: bool = False
) -> Audit:
    """Compute `count` random clips anew, all stages, and compare; nothing is written. seed: of the choice."""
    planned = plan(recipe)
    videos = {video.id: video for video in planned.manifest.videos}
    common = set.intersection(*(set(stage.places) for stage in planned.stages.values()))  # cached in every stage
    complete = [Clip(videos[video], view) for video, view in sorted(common)]
    chosen = random.Random(seed).sample(complete, min(count, len(complete)))
    work = cut(planned, tuple(planned.stages), sorted(chosen, key=lambda clip: (clip.video.id, clip.view)))
    result = Audit(len(chosen))
    compared = [(stage, name) for stage in planned.stages.values() for name in planned.graph[stage.name].arrays]
    skeleton = planned.manifest.skeleton
    with open_engine(recipe, planned.graph, execution.devices[0], execution.children, skeleton) as engine:
        if "backbone" in planned.stages and chosen:
            result.computed_in = engine.models.network.precision
            stage = planned.stages["backbone"]
            places = [stage.places[clip.video.id, clip.view] for clip in chosen]
            told = (stage.stage_store.segment(place.segment).provenance for place in places)
            result.cached_in |= Counter(about.get("precision", recipe.backbone.precision) for about in told)
        with Progress("audit", len(chosen), quiet=quiet) as bar:
            for _, computed in compute_units(engine, work, execution.children, lambda: False, bar.advance):
                result.failed += [message for *_, message in computed.failures]
                for state in engine.computer.finish(computed).states:
                    for stage, name in compared:
                        precision = recipe.backbone.precision if name in FROM_BACKBONE else "float32"
                        cached = stage.read([(state.clip.video.id, state.clip.view)], name)[0]
                        comparison = result.arrays.setdefault(name, ArrayAudit(TOLERANCE[precision]))
                        comparison.add(cached, np.asarray(state.arrays[name]))
    return result

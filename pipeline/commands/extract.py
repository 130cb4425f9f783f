"""`star extract`: compute what the recipe asks for and the cache lacks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...cache.failures import Failure
from ...errors import UsageError
from ..extraction.audit import Audit, audit
from ..extraction.execution import ExecutionConfig
from ..extraction.profile import Profile
from ..extraction.runner import ExtractionResult, extract
from ..planning.plan import Plan, plan
from ..planning.shard import Shard
from ..planning.status import CacheStatus, status, warn
from ..recipe.schema import Recipe
from ..utils.text import amount, clock, counted, table


@dataclass(frozen=True)
class DryRun:
    """What an extraction would compute."""

    status: CacheStatus
    exit_code: int = 0

    def to_document(self) -> dict[str, Any]:
        """As JSON: what `star status --json` prints."""
        return self.status.to_document()

    def to_lines(self) -> list[str]:
        """The table of `star status`, and that nothing was done."""
        return [*self.status.to_lines(), f"dry run: {self.status.missing:,} rows would be computed, nothing was"]


@dataclass(frozen=True)
class Extraction:
    """What an extraction did. failures: by video, of this run and of earlier ones that are still believed.

    time: where it went, None where nothing was computed.
    """

    plan: Plan
    outcome: ExtractionResult
    failures: Mapping[str, Failure]
    time: Profile | None

    @property
    def exit_code(self) -> int:
        """3 where videos failed."""
        return 3 if self.failures else 0

    @property
    def clips_per_second(self) -> float:
        """Rounded to hundredths; 0 where there was nothing to do."""
        return round(self.outcome.clips / self.outcome.wall, 2) if self.outcome.wall else 0.0

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        outcome, failures = self.outcome, self.failures.values()
        return {
            "computed": dict(outcome.rows),
            "bytes": dict(outcome.bytes),
            "clips": outcome.clips,
            "seconds": round(outcome.wall, 2),
            "clips_per_s": self.clips_per_second,
            "backbone_precision": dict(outcome.precisions),
            "failed": [{"video": f.video, "stage": f.stage, "kind": f.kind, "message": f.message} for f in failures],
            "ledger": str(self.plan.ledger.path),
            "left_out": [list(pair) for pair in self.plan.manifest.left_out],
            "time": self.time.document() if self.time else None,
            **({"cluster": outcome.cluster.document()} if outcome.cluster.address else {}),
        }

    def to_lines(self) -> list[str]:
        """Tables of what was written and of where the time went, then one line per video that failed."""
        outcome, said = self.outcome, list[str]()
        if outcome.rows and self.time:
            rows = [("stage", "clips", "written")]
            rows += [(name, f"{count:,}", amount(outcome.bytes[name])) for name, count in outcome.rows.items()]
            said += [*table(rows), "", *table(self.time.rows()), ""]
            speed = f"{self.clips_per_second:.1f} clips/s"
            said += [f"{counted(outcome.clips, 'clip')} in {clock(outcome.wall)}, {speed}", self.time.line()]
        elif not outcome.failures:
            cached, stages = sum(len(stage.places) for stage in self.plan.stages.values()), len(self.plan.stages)
            said.append(f"nothing to do: all {cached:,} rows of {stages} stages that can be made are cached")
        said += [f"failed: {failure.message} [{failure.kind}]" for failure in self.failures.values()]
        if self.failures:
            count = counted(len(self.failures), "video")
            said.append(f"{count} failed, see {self.plan.ledger.path}; --retry-failed tries again")
        if left_out := self.plan.manifest.left_out:
            said.append(f"left out by the data set: {counted(len(left_out), 'video')}; --json says which and why")
        return said


def run_audit(recipe: Recipe, clips: int, *, execution: ExecutionConfig, quiet: bool = False) -> Audit:
    """`star extract --audit`: so many cached clips computed again and compared; see `audit.audit`."""
    return audit(recipe, clips, execution=execution, quiet=quiet)


def run_dry_run(
    recipe: Recipe,
    *,
    only: Sequence[str] = (),
    force: bool = False,
    retry_failed: bool = False,
    shard: str | None = None,
) -> DryRun:
    """`star extract --dry-run`: what `run_extract` with these options would compute."""
    share = Shard.parse(shard) if shard is not None else None
    return DryRun(status(plan(recipe, only=only, force=force, retry_failed=retry_failed, shard=share)))


def run_extract(
    recipe: Recipe,
    *,
    only: Sequence[str] = (),
    force: bool = False,
    retry_failed: bool = False,
    shard: str | None = None,
    max_failures: str | None = None,
    execution: ExecutionConfig = ExecutionConfig(),
    quiet: bool = False,
) -> Extraction:
    """`star extract`: exit code 3 where videos failed, now or in an earlier run that is still believed.

    max_failures: how many may fail before the run gives up: a number, or a share of all videos ("1%").
    """
    limit: Callable[[int], int] | None = None
    if max_failures is not None:
        is_share = max_failures.endswith("%")
        try:
            number = float(max_failures.removesuffix("%"))
        except ValueError:
            number = -1.0
        if not 0 <= number < math.inf or not (is_share or number.is_integer()):
            raise UsageError(f"--max-failures {max_failures}: expected a number like 20, or a share like 1%")
        limit = (lambda videos: int(videos * number / 100)) if is_share else (lambda videos: int(number))
    planned, outcome = extract(
        recipe, only=only, force=force, retry_failed=retry_failed, execution=execution,
        shard=Shard.parse(shard) if shard is not None else None, max_failures=limit, quiet=quiet,
    )  # fmt: skip
    warn(planned, quiet)
    failures = planned.failures | {failure.video: failure for failure in outcome.failures}
    counts = outcome.cluster.counts if outcome.cluster.counts_by_worker else execution.counts
    times = Profile(outcome.seconds, outcome.wall, outcome.processor, counts) if outcome.clips else None
    return Extraction(planned, outcome, failures, times)

"""`star extract`: compute what the recipe asks for and the cache lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...errors import UsageError
from ..extraction import audit as audits
from ..extraction.execution import ExecutionConfig
from ..extraction.profile import Profile
from ..extraction.runner import ExtractionResult, extract
from ..planning.plan import Plan, plan
from ..planning.shard import Shard
from ..planning.status import lines as status_lines
from ..planning.status import status, warn
from ..recipe.schema import Recipe
from ..utils.text import amount, clock, counted, table
from .result import Result


def run_extract(
    recipe: Recipe,
    *,
    only: Sequence[str] = (),
    force: bool = False,
    retry_failed: bool = False,
    dry_run: bool = False,
    shard: str | None = None,
    max_failures: str | None = None,
    audit: int = 0,
    execution: ExecutionConfig = ExecutionConfig(),
    quiet: bool = False,
) -> Result:
    """`star extract`: exit code 3 where videos failed, now or in an earlier run that is still believed."""
    share = Shard.parse(shard) if shard is not None else None
    if audit:
        compared = audits.audit(recipe, audit, execution=execution, quiet=quiet)
        code = 0 if compared.is_good else 3 if compared.failed else 4
        return Result(compared.to_document(), compared.to_lines(), code)
    if dry_run:
        planned = plan(recipe, only=only, force=force, retry_failed=retry_failed, shard=share)
        state = status(planned)
        return Result(
            state, [*status_lines(state), f"dry run: {planned.missing:,} rows would be computed, nothing was"]
        )
    planned, outcome = extract(
        recipe, only=only, force=force, retry_failed=retry_failed, shard=share, execution=execution,
        max_failures=_limit(max_failures), quiet=quiet,
    )  # fmt: skip
    warn(planned, quiet)
    failed = planned.failures | {failure.video: failure for failure in outcome.failures}
    document: dict[str, Any] = {
        "computed": dict(outcome.rows),
        "bytes": dict(outcome.bytes),
        "clips": outcome.clips,
        "seconds": round(outcome.wall, 2),
        "clips_per_s": round(outcome.clips / outcome.wall, 2) if outcome.wall else 0.0,
        "backbone_precision": dict(outcome.precisions),
        "failed": [{"video": f.video, "stage": f.stage, "kind": f.kind, "message": f.message} for f in failed.values()],
        "ledger": str(planned.ledger.path),
        "left_out": [list(pair) for pair in planned.manifest.left_out],
    }
    counts = outcome.cluster.counts if outcome.cluster.counts_by_worker else execution.counts
    times = Profile(outcome.seconds, outcome.wall, outcome.processor, counts) if outcome.clips else None
    document["time"] = times.document() if times else None
    document |= {"cluster": outcome.cluster.document()} if outcome.cluster.address else {}
    return Result(document, _extracted(planned, outcome, document, times), 3 if failed else 0)


def _extracted(planned: Plan, outcome: ExtractionResult, document: dict[str, Any], times: Profile | None) -> list[str]:
    said = []
    if outcome.rows and times:
        rows = [("stage", "clips", "written")]
        rows += [(name, f"{count:,}", amount(outcome.bytes[name])) for name, count in outcome.rows.items()]
        said += [*table(rows), "", *table(times.rows()), ""]
        said.append(f"{counted(outcome.clips, 'clip')} in {clock(outcome.wall)}, {document['clips_per_s']:.1f} clips/s")
        said.append(times.line())
    elif not outcome.failures:
        cached = sum(len(stage.places) for stage in planned.stages.values())
        said.append(f"nothing to do: all {cached:,} rows of {len(planned.stages)} stages that can be made are cached")
    for failure in document["failed"]:
        said.append(f"failed: {failure['message']} [{failure['kind']}]")
    if document["failed"]:
        said.append(
            f"{counted(len(document['failed']), 'video')} failed, see {planned.ledger.path}; --retry-failed tries again"
        )
    if document["left_out"]:
        said.append(
            f"left out by the data set: {counted(len(document['left_out']), 'video')}; --json says which and why"
        )
    return said


def _limit(text: str | None) -> Callable[[int], int] | None:
    """--max-failures: a number, or a share of all videos."""
    if text is None:
        return None
    try:
        number = float(text.removesuffix("%"))
        if number < 0 or not (text.endswith("%") or number.is_integer()):
            raise ValueError(text)
    except ValueError:
        raise UsageError(f"--max-failures {text}: expected a number like 20, or a share like 1%") from None
    return (lambda videos: int(videos * number / 100)) if text.endswith("%") else (lambda videos: int(number))

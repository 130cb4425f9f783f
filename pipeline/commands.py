"""What the commands do and say: each returns its result as JSON, as lines for a person, and as an exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from . import audit as audits
from . import recipes
from .arrays import stages_for_training
from .extract import Outcome, Where, extract
from .plan import Plan, plan, remember, select
from .progress import amount, clock, counted, tell
from .recipe import Recipe
from .selection import Selection
from .shard import Shard
from .status import lines as status_lines
from .status import status, table, warnings
from .times import Times


@dataclass(frozen=True)
class Result:
    """A command's answer."""

    document: dict[str, Any]
    lines: Sequence[str]
    exit_code: int = 0


def run_init(name: str, root: Path, cache: Path, training: str | None, *, quiet: bool = False) -> dict[str, Any]:
    """`star init`: {"recipe": YAML} and, for one's own videos, what was found in their folder."""
    if name != "videos":
        return {"recipe": recipes.ready(name, root, cache, training)}
    from .look import look

    found = look(root, cache, training)
    for line in found["warnings"] if not quiet else ():
        tell(f"warning: {line}")
    return found


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
    where: Where = Where(),
    quiet: bool = False,
) -> Result:
    """`star extract`: exit code 3 where videos failed, now or in an earlier run that is still believed."""
    share = Shard.parse(shard) if shard is not None else None
    if audit:
        compared = audits.audit(recipe, audit, where=where, quiet=quiet)
        return Result(compared, audits.lines(compared), 3 if compared["failed"] else 0)
    if dry_run:
        planned = plan(recipe, only=only, force=force, retry_failed=retry_failed, shard=share)
        state = status(planned)
        return Result(
            state, [*status_lines(state), f"dry run: {planned.missing:,} rows would be computed, nothing was"]
        )
    planned, outcome = extract(
        recipe, only=only, force=force, retry_failed=retry_failed, shard=share, where=where,
        max_failures=_limit(max_failures), quiet=quiet,
    )  # fmt: skip
    _warn(planned, quiet)
    failed = planned.failures | {failure.video: failure for failure in outcome.failures}
    document = {
        "computed": dict(outcome.rows),
        "bytes": dict(outcome.bytes),
        "clips": outcome.clips,
        "seconds": round(outcome.wall, 2),
        "clips_per_s": round(outcome.clips / outcome.wall, 2) if outcome.wall else 0.0,
        "failed": [{"video": f.video, "stage": f.stage, "kind": f.kind, "message": f.message} for f in failed.values()],
        "ledger": str(planned.ledger.path),
        "left_out": [list(pair) for pair in planned.catalogue.left_out],
    }
    crew = outcome.cluster.crew if outcome.cluster.crews else where.crew
    times = Times(outcome.seconds, outcome.wall, outcome.processor, crew) if outcome.clips else None
    document["time"] = times.document() if times else None
    document |= {"cluster": outcome.cluster.document()} if outcome.cluster.address else {}
    return Result(document, _extracted(planned, outcome, document, times), 3 if failed else 0)


def _extracted(planned: Plan, outcome: Outcome, document: dict[str, Any], times: Times | None) -> list[str]:
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


def _warn(planned: Plan, quiet: bool) -> None:
    for line in [planned.warning, *warnings(planned)] if not quiet else ():
        if line:
            tell(f"warning: {line}")


def selections(recipe: Recipe, splits: Sequence[str], quiet: bool) -> list[Selection]:
    """The cached clips of each split that training with this recipe reads; says what is left out."""
    stages = stages_for_training(recipe)
    planned = plan(recipe, only=stages)
    remember(planned)
    _warn(planned, quiet)
    found = [select(planned, split, stages) for split in splits]
    lost = sum(len(selection.left_out) for selection in found)
    if lost and not quiet:
        video, reason = next(pair for selection in found for pair in selection.left_out)
        tell(f"left out: {counted(lost, 'video')} without features ({video}: {reason}, …); `star status` counts them")
    return found


def run_train(recipe: Recipe, run: Path, *, device: str = "auto", resume: bool = False, quiet: bool = False) -> Result:
    """`star train`."""
    from .train import train

    training, testing = selections(recipe, ("train", "test"), quiet)
    summary = train(recipe, training, testing, run, device=device, resume=resume, progress=not quiet)
    best, videos = summary["best"], summary["videos"]
    said = [
        f"{videos['train']:,} training and {videos['test']:,} test videos, {summary['parameters']:,} parameters, "
        f"{summary['epochs']} epochs, {summary['steps']:,} steps in {clock(summary['seconds'])}",
        f"best: epoch {best['epoch']}, top-1 {best['top1']:.1%}, top-5 {best['top5']:.1%}",
        f"run: {summary['run']}; `star test` judges it, `star report` draws it",
    ]
    return Result(summary, said)


def run_test(recipe: Recipe, run: Path, *, device: str = "auto", quiet: bool = False) -> Result:
    """`star test`."""
    from .evaluate import evaluate

    (testing,) = selections(recipe, ("test",), quiet)
    found = evaluate(recipe, testing, run, device=device, progress=not quiet)
    return Result(found, [*per_class(found["per_class"]), *_accuracies(found), f"details: {run / 'test'}"])


def per_class(judged: Sequence[dict[str, Any]]) -> list[str]:
    """The classes that have test videos, one line each; how many have none."""
    rows: list[tuple[str, ...]] = [("class", "videos", "right", "accuracy", "mostly taken for")]
    rows += [
        (row["class"], f"{row['videos']:,}", f"{row['right']:,}", f"{row['accuracy']:.1%}", row["taken_for"])
        for row in judged
        if row["videos"]
    ]
    empty = len(judged) + 1 - len(rows)
    return [*table(rows), *([f"and {empty} class{'es' * (empty > 1)} without a test video"] if empty else [])]


def _accuracies(found: dict[str, Any]) -> list[str]:
    """Top-1, top-5 and mean class accuracy with their bootstrap intervals."""
    said = []
    for name, label in (("top1", "top-1"), ("top5", "top-5"), ("mean_class", "mean class")):
        low_high = found.get("intervals", {}).get(name)
        interval = f"   95 %: {low_high[0]:.1%} to {low_high[1]:.1%}" if low_high else ""
        said.append(f"{label:10} {found[name]:6.1%}{interval}")
    return [*said, f"{found['videos']:,} videos, {found['clips']:,} clips, {found['left_out']:,} left out"]

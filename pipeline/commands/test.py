"""`star test`: the accuracy of a trained network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..recipe.schema import Recipe, load
from ..utils.text import table

if TYPE_CHECKING:
    from ..evaluation.results import EvaluationResult

SCORES = {"mean_average_precision": "mAP", "top1": "top-1", "top5": "top-5", "mean_class": "mean class"}


@dataclass(frozen=True)
class JudgedRun:
    """What a run's network came to on the test videos. embeddings: whether they were written too."""

    evaluation: EvaluationResult
    run: Path
    embeddings: bool = False
    exit_code: int = 0

    def to_document(self) -> dict[str, Any]:
        """As JSON: what stands in RUN/test/metrics.json."""
        return self.evaluation.summary

    def to_lines(self) -> list[str]:
        """The classes, and the accuracies."""
        folder = self.run / "test"
        return [
            *per_class(self.evaluation.summary["per_class"]),
            *_accuracies(self.evaluation.summary),
            *([f"embeddings: {folder / 'embeddings.png'}, {folder / 'embeddings.npz'}"] if self.embeddings else []),
            f"details: {folder}",
        ]


@dataclass(frozen=True)
class FusedRuns:
    """What several runs came to together. folder: where that is written."""

    evaluation: EvaluationResult
    folder: Path
    exit_code: int = 0

    def to_document(self) -> dict[str, Any]:
        """As JSON: what stands in FOLDER/metrics.json."""
        return self.evaluation.summary

    def to_lines(self) -> list[str]:
        """One line per run, one for all together, and the accuracies of these."""
        found = self.evaluation.summary
        shown = [name for name in SCORES if name in found]
        rows: list[tuple[str, ...]] = [("run", *(SCORES[name] for name in shown), "loss")]
        for row in (*found["runs"], {"run": "together", **found}):
            shares = (f"{row[name]:.1%}" for name in shown)
            rows.append((row["run"], *shares, f"{row['loss']:.3f}"))
        return [*table(rows), *_accuracies(found), f"details: {self.folder}"]


@dataclass(frozen=True)
class JudgedTimeline:
    """What a run's network came to on whole test films. found: what stands in RUN/test/timeline.json."""

    found: dict[str, Any]
    run: Path

    @property
    def exit_code(self) -> int:
        """3 where a film could not be read."""
        return 3 if self.found["failed"] else 0

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        return self.found

    def to_lines(self) -> list[str]:
        """The classes with their average precision, and its mean at every temporal IoU."""
        found, means = self.found, self.found["mean_average_precision"]
        rows: list[tuple[str, ...]] = [("class", "segments", "found", *(f"AP at {name}" for name in means), "")]
        for one in found["per_class"]:
            figures = (f"{value:.1%}" for value in one["average_precision"].values())
            rows.append((one["class"], f"{one['segments']:,}", f"{one['found']:,}", *figures, ""))
        return [
            *table(rows),
            *(f"mean average precision at a temporal IoU of {name}: {value:.1%}" for name, value in means.items()),
            f"{found['films']:,} films, windows of {found['window']:g} s every {found['every']:g} s",
            *(f"{name}: {reason}" for name, reason in found["failed"].items()),
            f"details: {self.run / 'test' / 'timeline.json'}",
        ]


def run_test(
    recipe: Recipe, run: Path, *, device: str = "auto", quiet: bool = False, embeddings: bool = False
) -> JudgedRun:
    """`star test` of one run."""
    from ..evaluation.evaluator import evaluate, test_selection
    from ..training.distributed import join

    ranks = join(device)
    with ranks.together():
        testing = test_selection(recipe, run, None, quiet or not ranks.first)
    evaluation = evaluate(recipe, testing, run, ranks=ranks, progress=not quiet, embedded=embeddings)
    return JudgedRun(evaluation, run, embeddings)


def run_fusion(
    recipe: Recipe, runs: Sequence[Path], out: Path | None, *, device: str = "auto", quiet: bool = False
) -> FusedRuns:
    """`star test` of several runs together. Each is judged as its own recipe says, on this recipe's data and cache.

    out: where the result goes; FIRST_RUN/fusion by default.
    """
    from ..evaluation.evaluator import evaluate, test_selection
    from ..evaluation.fusion import fuse

    evaluations, selected = [], []
    for run in runs:
        own = load(run / "recipe.yaml").model_copy(
            update={"dataset": recipe.dataset, "cache": recipe.cache, "test": recipe.test}
        )
        testing = test_selection(own, run, None, quiet)
        evaluations.append(evaluate(own, testing, run, device=device, progress=not quiet))
        selected.append(testing)
    folder = out or runs[0] / "fusion"
    return FusedRuns(fuse(runs, evaluations, selected[0], recipe.test, folder), folder)


def run_timeline_test(
    recipe: Recipe,
    run: Path,
    window: float | None,
    every: float | None,
    *,
    device: str = "auto",
    quiet: bool = False,
) -> JudgedTimeline:
    """`star test --timeline`: exit code 3 where a film is unreadable; the others are judged."""
    from ..evaluation.timeline_evaluator import evaluate_timeline

    return JudgedTimeline(evaluate_timeline(recipe, run, window, every, device=device, quiet=quiet), run)


def per_class(judged: Sequence[dict[str, Any]]) -> list[str]:
    """The classes that have test videos, one line each; how many have none."""
    several = any("average_precision" in row for row in judged)
    named = ("AP", "given", "precision", "given in its place") if several else ("accuracy", "mostly taken for")
    shares = ("average_precision", "accuracy", "precision") if several else ("accuracy",)
    rows: list[tuple[str, ...]] = [("class", "videos", "right", *named)]
    for row in judged:
        if row["videos"]:
            figures = ("" if row[name] is None else f"{row[name]:.1%}" for name in shares)
            rows.append((row["class"], f"{row['videos']:,}", f"{row['right']:,}", *figures, row["taken_for"]))
    empty = len(judged) + 1 - len(rows)
    return [*table(rows), *([f"and {empty} class{'es' * (empty > 1)} without a test video"] if empty else [])]


def _accuracies(found: dict[str, Any]) -> list[str]:
    """Top-1, top-5 and mean class accuracy, of several labels mAP too, with their bootstrap intervals."""
    said = []
    for name, label in ((name, label) for name, label in SCORES.items() if name in found):
        low_high = found.get("intervals", {}).get(name)
        interval = f"   95 %: {low_high[0]:.1%} to {low_high[1]:.1%}" if low_high else ""
        said.append(f"{label:10} {found[name]:6.1%}{interval}")
    if "calibration" in found:
        error = found["calibration"]["error"]
        said.append(f"calibration error {error:.1%}: the mean distance of an answer's probability from its accuracy")
    if pose := found.get("pose_head"):
        share = "–" if pose["pck"] is None else f"{pose['pck']:.1%}"
        name = f"PCK@{pose['threshold']:g}"
        said.append(f"{name:10} {share:>6}   of {pose['joints']:,} joints, as the network's pose head finds them")
    return [*said, f"{found['videos']:,} videos, {found['clips']:,} clips, {found['left_out']:,} left out"]

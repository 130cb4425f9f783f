"""`star ablate`: every variant of a study, over several seeds, from one cache, and the table of what came of it.

RUNS/STUDY/VARIANT-seedN/ is an ordinary run; one that was finished is not trained again, one that was stopped goes on.
RUNS/STUDY.md holds the table, RUNS/STUDY.json the same as figures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ...errors import UsageError
from ..extraction.execution import ExecutionConfig
from ..extraction.runner import extract
from ..planning.inputs import stages_for_training
from ..planning.selection import Selection
from ..planning.selections import selections, training_selections
from ..recipe.schema import Recipe
from ..training.run_dir import RunFolder
from ..training.trainer import train
from ..utils.atomic import replace_bytes
from ..utils.progress import tell
from .evaluator import evaluate
from .studies import Variants

SCORES = ("top1", "mean_class")
GRID = "grid "  # how a study of one's own begins


def ablate(
    load: Callable[[tuple[str, ...]], Recipe],
    study: str,
    variants: Variants,
    runs: Path,
    *,
    seeds: int = 3,
    classes: Sequence[str] = (),
    device: str = "auto",
    quiet: bool = False,
) -> dict[str, Any]:
    """Train and judge every variant of a study.

    load: settings to lay over the recipe -> the recipe. study: what it is called. variants: see `STUDIES` and `grid`;
    all of them are loaded before the first is trained. seeds: runs of each variant, with train.seed 0 and up. classes:
    whose accuracy together gets a column of its own. What a variant needs and the cache lacks is extracted first.
    Raises UsageError for an unknown class, and whatever extraction and training raise; all finished runs are kept.
    """
    folder = runs / file_name(study)
    recipes = {name: [load((*over, f"train.seed={seed}")) for seed in range(seeds)] for name, over in variants.items()}
    rows = [_variant(name, loaded, folder, classes, device, quiet) for name, loaded in recipes.items()]
    found = {"study": study, "seeds": seeds, "classes": list(classes), "variants": rows}
    replace_bytes(runs / f"{folder.name}.json", json.dumps(found, indent=1).encode())
    replace_bytes(runs / f"{folder.name}.md", ("\n".join(lines(found)) + "\n").encode())
    return found


def _variant(
    name: str, variants: list[Recipe], folder: Path, classes: Sequence[str], device: str, quiet: bool
) -> dict[str, Any]:
    """All seeds of one variant: the scores of each, and what the network and its training cost."""
    extract(variants[0], only=stages_for_training(variants[0]), execution=ExecutionConfig(device), quiet=quiet)
    chosen = training_selections(variants[0], quiet)  # the seed changes the training alone
    chosen += selections(variants[0], ("test",), True)
    judged, costs = [], []
    for seed, recipe in enumerate(variants):
        found, cost = _judged(recipe, chosen, folder / f"{file_name(name)}-seed{seed}", device, quiet)
        judged.append(found)
        costs.append(cost)
        if not quiet:
            tell(f"{name}, seed {seed}: top-1 {found['top1']:.1%}")
    row: dict[str, Any] = {score: [found[score] for found in judged] for score in SCORES}
    if classes:
        row["classes"] = [_accuracy(found, classes) for found in judged]
    seconds = [cost["seconds"] for cost in costs]
    return {"variant": name, **row, **{cost: costs[0][cost] for cost in ("parameters", "steps")}, "seconds": seconds}


def _judged(
    recipe: Recipe, chosen: list[Selection], run: Path, device: str, quiet: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `star test` and `star train` say of a run, which is begun, taken further, or found to be finished."""
    training, judged, testing = chosen
    begun = RunFolder(run).recipe.exists()
    summary = train(recipe, training, judged, run, device=device, resume=begun, progress=not quiet)
    return evaluate(recipe, testing, run, device=device, progress=False).summary, summary


def _accuracy(found: dict[str, Any], classes: Sequence[str]) -> float:
    """The share of the videos of some classes that is right."""
    rows = [row for row in found["per_class"] if row["class"] in classes]
    if len(rows) != len(classes):
        known = ", ".join(row["class"] for row in found["per_class"])
        raise UsageError(f"--classes {','.join(classes)}: the classes are {known}")
    return sum(row["right"] for row in rows) / sum(row["videos"] for row in rows)


def file_name(name: str) -> str:
    """The name of a study or variant as that of its files."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower().replace("%", "-percent")).strip("-")


def lines(found: dict[str, Any]) -> list[str]:
    """The study as a Markdown table: mean and deviation over the seeds, in percent."""
    named = [f"{' and '.join(found['classes'])}"] if found["classes"] else []
    head = [found["study"], "top-1 %", "mean class %", *named, "parameters", "steps", "training"]
    table = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in found["variants"]:
        cells = [_spread(row[score]) for score in (*SCORES, *(["classes"] if named else []))]
        cells += [f"{row['parameters']:,}", f"{row['steps']:,}", f"{mean(row['seconds']):,.0f} s"]
        table.append(f"| {row['variant'].replace('|', '/')} | {' | '.join(cells)} |")
    if found["study"] == "folds":
        scores = [_spread([mean(row[score]) for row in found["variants"]]) for score in SCORES]
        table.append(f"| mean over folds | {' | '.join(scores)} |{' |' * (len(head) - 3)}")
    said = f"{found['seeds']} seeds each: mean ± standard deviation."
    if found["study"].startswith(GRID) and len(found["variants"]) > 1:
        best = max(found["variants"], key=lambda row: mean(row["top1"]))
        said += f" Highest top-1: {best['variant']}. It was chosen on the test videos, so its figure flatters."
    return [*table, "", said]


def _spread(values: Sequence[float]) -> str:
    middle = f"{100 * mean(values):.1f}"
    return f"{middle} ± {100 * stdev(values):.1f}" if len(values) > 1 else middle

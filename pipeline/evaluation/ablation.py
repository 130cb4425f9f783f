"""`star ablate`: every variant of a study, over several seeds, from one cache, and the table of what came of it.

RUNS/STUDY/VARIANT-seedN/ is an ordinary run; one that was finished is not trained again, one that was stopped goes on.
RUNS/STUDY.md holds the table, RUNS/STUDY.json the same as figures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from ...errors import UsageError
from ...untrusted_files import json_text
from ..extraction.execution import ExecutionConfig
from ..extraction.runner import extract
from ..planning.inputs import stages_for_training
from ..planning.train_test_selection import selections, training_selections
from ..recipe.schema import Recipe
from ..training.initial_weights import Start
from ..training.run_dir import RunFolder
from ..training.trainer import train
from ..utils.atomic import replace_bytes
from ..utils.progress import tell
from ..utils.text import counted
from .evaluator import evaluate
from .studies import Variants

SCORES = {"mean_average_precision": "mAP", "top1": "top-1", "mean_class": "mean class"}
GRID = "grid "  # how a study of one's own begins


@dataclass(frozen=True)
class VariantScores:
    """What the runs of one variant came to, seed by seed; parameters and steps are the same for all.

    scores: by their names in metrics.json. classes: the accuracy of the chosen classes together, empty where none are
    chosen.
    """

    variant: str
    scores: Mapping[str, tuple[float, ...]]
    classes: tuple[float, ...]
    parameters: int
    steps: int
    seconds: tuple[float, ...]

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        scores = {name: list(values) for name, values in self.scores.items()}
        scores |= {"classes": list(self.classes)} if self.classes else {}
        costs = {"parameters": self.parameters, "steps": self.steps, "seconds": list(self.seconds)}
        return {"variant": self.variant, **scores, **costs}


@dataclass(frozen=True)
class Ablation:
    """A study: its variants, each with so many seeds. classes: whose accuracy together has a column of its own."""

    study: str
    seeds: int
    classes: tuple[str, ...]
    variants: tuple[VariantScores, ...]
    exit_code: int = 0

    def to_document(self) -> dict[str, Any]:
        """As JSON."""
        rows = [row.to_document() for row in self.variants]
        return {"study": self.study, "seeds": self.seeds, "classes": list(self.classes), "variants": rows}

    def to_lines(self) -> list[str]:
        """A Markdown table: mean and deviation over the seeds, in percent."""
        named = [" and ".join(self.classes)] if self.classes else []
        measured = list(self.variants[0].scores)
        head = [self.study, *(f"{SCORES[name]} %" for name in measured), *named, "parameters", "steps", "training"]
        table = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
        for row in self.variants:
            cells = [*map(_spread, row.scores.values()), *([_spread(row.classes)] if named else [])]
            cells += [f"{row.parameters:,}", f"{row.steps:,}", f"{mean(row.seconds):,.0f} s"]
            table.append(f"| {row.variant.replace('|', '/')} | {' | '.join(cells)} |")
        if self.study == "folds":
            scores = [_spread([mean(row.scores[name]) for row in self.variants]) for name in measured]
            table.append(f"| mean over folds | {' | '.join(scores)} |{' |' * (len(head) - 1 - len(scores))}")
        said = f"{counted(self.seeds, 'seed')} each: mean ± standard deviation."
        if self.study.startswith(GRID) and len(self.variants) > 1:
            best = max(self.variants, key=lambda row: mean(row.scores[measured[0]]))
            said += f" Highest {SCORES[measured[0]]}: {best.variant}. It was chosen on the test videos, so its figure "
            said += "flatters."
        return [*table, "", said]


def ablate(
    load: Callable[[tuple[str, ...]], Recipe],
    study: str,
    variants: Variants,
    runs: Path,
    *,
    seeds: int = 3,
    classes: Sequence[str] = (),
    start: Start = Start(),
    device: str = "auto",
    quiet: bool = False,
) -> Ablation:
    """Train and judge every variant of a study.

    load: settings to lay over the recipe -> the recipe. study: what it is called. variants: see `STUDIES` and `grid`;
    all of them are loaded before the first is trained. seeds: runs of each variant, with train.seed 0 and up. classes:
    whose accuracy together gets a column of its own. start: what every run begins with. What a variant needs and the
    cache lacks is extracted first.
    Raises UsageError for an unknown class, and whatever extraction and training raise; all finished runs are kept.
    """
    folder = runs / file_name(study)
    recipes = {name: [load((*over, f"train.seed={seed}")) for seed in range(seeds)] for name, over in variants.items()}
    rows = [_variant(name, loaded, folder, classes, start, device, quiet) for name, loaded in recipes.items()]
    found = Ablation(study, seeds, tuple(classes), tuple(rows))
    replace_bytes(runs / f"{folder.name}.json", json_text(found.to_document(), 1).encode())
    replace_bytes(runs / f"{folder.name}.md", ("\n".join(found.to_lines()) + "\n").encode())
    return found


def _variant(
    name: str,
    variants: list[Recipe],
    folder: Path,
    classes: Sequence[str],
    start: Start,
    device: str,
    quiet: bool,
) -> VariantScores:
    """All seeds of one variant: the scores of each, and what the network and its training cost."""
    extract(variants[0], only=stages_for_training(variants[0]), execution=ExecutionConfig(device), quiet=quiet)
    training, judged = training_selections(variants[0], quiet)  # the seed changes the training alone
    (testing,) = selections(variants[0], ("test",), True)
    tests: list[dict[str, Any]] = []
    costs: list[dict[str, Any]] = []
    shares: list[float] = []  # of the videos of `classes`, those that are right
    for seed, recipe in enumerate(variants):
        run = folder / f"{file_name(name)}-seed{seed}"
        begun = RunFolder(run).recipe.exists()  # a finished run is only judged
        costs.append(train(recipe, training, judged, run, device=device, resume=begun, progress=not quiet, start=start))
        tests.append(evaluate(recipe, testing, run, device=device, progress=False).summary)
        if classes:
            rows = [row for row in tests[-1]["per_class"] if row["class"] in classes]
            if len(rows) != len(classes):
                known = ", ".join(row["class"] for row in tests[-1]["per_class"])
                raise UsageError(f"--classes {','.join(classes)}: the classes are {known}")
            shares.append(sum(row["right"] for row in rows) / sum(row["videos"] for row in rows))
        if not quiet:
            tell(f"{name}, seed {seed}: top-1 {tests[-1]['top1']:.1%}")
    return VariantScores(
        name,
        {score: tuple(found[score] for found in tests) for score in SCORES if score in tests[0]},
        tuple(shares),
        costs[0]["parameters"],
        costs[0]["steps"],
        tuple(cost["seconds"] for cost in costs),
    )


def file_name(name: str) -> str:
    """The name of a study or variant as that of its files."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower().replace("%", "-percent")).strip("-")


def _spread(values: Sequence[float]) -> str:
    middle = f"{100 * mean(values):.1f}"
    return f"{middle} ± {100 * stdev(values):.1f}" if len(values) > 1 else middle

"""`star ablate`: train and test every variant of a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ...errors import UsageError
from ..evaluation.ablation import Ablation, ablate
from ..evaluation.studies import STUDIES, fold_variants, grid
from ..recipe.schema import load
from ..training.initial_weights import Start


def run_ablate(
    recipe: Path,
    study: str | None,
    runs: Path,
    *,
    vary: Sequence[str] = (),
    overrides: Sequence[str] = (),
    seeds: int = 3,
    classes: Sequence[str] = (),
    init: Path | None = None,
    device: str = "auto",
    quiet: bool = False,
) -> Ablation:
    """`star ablate`; see `ablation.ablate`. study: a name of `STUDIES`, or None with `vary`, see `studies.grid`. init:
    a run whose weights every run begins with.

    Raises UsageError where there is neither or both.
    """
    if bool(study) == bool(vary):
        raise UsageError("ablate: name a study (--study tokens) or settings of your own (--vary KEY=a,b), one of both")
    name, variants = (study, STUDIES[study]) if study else grid(vary)
    if study == "folds":
        variants = fold_variants(load(recipe, tuple(overrides)).dataset.folds)
    return ablate(
        lambda over: load(recipe, (*overrides, *over)),
        name,
        variants,
        runs,
        seeds=seeds,
        classes=classes,
        start=Start(init),
        device=device,
        quiet=quiet,
    )

"""The cached clips that training and testing read."""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import DatasetError, RecipeError
from ..datasets.base import Manifest
from ..recipe.schema import Recipe
from ..utils.progress import tell
from ..utils.text import counted
from .inputs import stages_for_training
from .plan import plan, remember, select
from .selection import Selection
from .status import warn


def training_selections(
    recipe: Recipe, quiet: bool, stages: Sequence[str] | None = None, *, labelled: bool = True
) -> list[Selection]:
    """The clips that training reads: those it learns from, and those that choose the best epoch and stop it: the
    validation videos, or the test videos where the data set has none and `dataset.val_share` draws none.

    stages: those that must be there, in place of what `star train` would read. labelled: whether classes are learned,
    so that there must be two of them. Raises DatasetError, and RecipeError where an epoch is to be chosen and no
    videos are there for it.
    """
    return _selected(recipe, None, quiet, stages, labelled)


def selections(
    recipe: Recipe, splits: Sequence[str], quiet: bool, stages: Sequence[str] | None = None
) -> list[Selection]:
    """The cached clips of each split that training with this recipe reads; says what is left out.

    stages: those that must be there, in place of what training would read.
    """
    return _selected(recipe, splits, quiet, stages, labelled=True)


def require_labels(manifest: Manifest) -> None:
    """Raises DatasetError for a data set without labels."""
    if not manifest.classes:
        raise DatasetError(
            f"dataset.labels: none, so there are no classes to learn from {manifest.name}: its recipe is for "
            "`star extract` and `star pretrain`; list the videos with their labels in a CSV (video,label,split), and "
            "`star init videos` again"
        )


def require_validation(recipe: Recipe, manifest: Manifest) -> None:
    """Raises RecipeError where an epoch would be chosen and there are no validation videos to choose it: chosen by the
    test videos, their own accuracy would flatter."""
    chosen = (("train.patience", recipe.train.patience, 0), ("test.checkpoint", recipe.test.checkpoint, "last"))
    for name, value, without in chosen if not any(video.split == "val" for video in manifest.videos) else ():
        if value != without:
            raise RecipeError(
                f"{name}: {value}: {manifest.name} has no validation videos, and an epoch that its test videos choose "
                f"would flatter them; set dataset.val_share to a share like 0.1 and train, or set {name} to {without}"
            )


def _selected(
    recipe: Recipe, splits: Sequence[str] | None, quiet: bool, stages: Sequence[str] | None, labelled: bool
) -> list[Selection]:
    """The clips of these splits, or of the two that training takes."""
    stages = tuple(stages or stages_for_training(recipe))
    planned = plan(recipe, only=stages)
    remember(planned)
    warn(planned, quiet)
    if labelled:
        require_labels(planned.manifest)
        require_validation(recipe, planned.manifest)
    if splits is None:
        splits = ("train", "val" if any(video.split == "val" for video in planned.manifest.videos) else "test")
    if not planned.manifest.classes and not any(video.split == splits[-1] for video in planned.manifest.videos):
        raise DatasetError(
            f"dataset.val_share: {recipe.dataset.val_share:g} of {counted(len(planned.manifest.videos), 'video')} "
            "without labels leaves none for validation, by which the best epoch is chosen; set it to a share like 0.1, "
            "or raise it"
        )
    found = [select(planned, split, stages) for split in splits]
    labels = {label for video in planned.manifest.videos for label in video.all_labels}
    if labelled and len(labels) == 1:
        name = planned.manifest.classes[labels.pop()]
        raise DatasetError(
            f"dataset: only one class, {name!r}, so whatever a network says is right; add videos of another class"
        )
    lost = sum(len(selection.left_out) for selection in found)
    if lost and not quiet:
        video, reason = next(pair for selection in found for pair in selection.left_out)
        tell(f"left out: {counted(lost, 'video')} without features ({video}: {reason}, …); `star status` counts them")
    return found

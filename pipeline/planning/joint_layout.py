"""Which joints a recipe's cache holds, and how a run's network gets the joints it was trained on for a new video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import RecipeError, UsageError
from ...stages.skeletons import NTU, PENN_ACTION, SKELETONS, Skeleton
from ..recipe.schema import Recipe

KNOWN = {"penn_action": PENN_ACTION, "drawn": PENN_ACTION, "ntu": NTU}  # by dataset.kind, where the list is not at hand
DETECTOR = "fasterrcnn_mobilenet_v3_large_320_fpn"  # that of `star init videos`


def held(recipe: Recipe, annotated: Skeleton | None) -> Skeleton:
    """The layout of the cached joints; annotated: that of the data set's annotations. May need mmpose's own lists."""
    if recipe.pose.layout != "own":
        return SKELETONS[recipe.pose.layout]
    if recipe.pose.source == "annotations" and annotated is not None:
        return annotated
    from ...stages.pose import mmpose_models

    return mmpose_models.model_spec(recipe.pose.model).skeleton


def limbs(recipe: Recipe) -> tuple[tuple[int, int], ...]:
    """The pairs of joints of which a recipe's heat maps are; none where they are of the joints.

    They are in the stage's key, so the layout must follow from the recipe alone. Raises RecipeError where it does not.
    """
    if recipe.heatmaps.of == "joints":
        return ()
    skeleton = SKELETONS.get(recipe.pose.layout)
    if skeleton is None and recipe.pose.source == "annotations":
        skeleton = KNOWN.get(recipe.dataset.kind)
    if skeleton is None:
        names = ", ".join(SKELETONS)
        raise RecipeError(
            f"heatmaps.of: limbs: which joints there are must be known; set pose.layout to one of {names}"
        )
    return skeleton.limbs


def for_other_source(trained: Recipe, annotated: Skeleton | None, overrides: Sequence[str]) -> tuple[str, ...]:
    """What a changed `pose.source` needs besides, as overrides: the layout of the run, and a detector of people.

    Nothing where the run's joints were not annotated, or where the source stays. Raises UsageError where nothing says
    which joints the run was trained on.
    """
    changed = {override.partition("=")[0].strip() for override in overrides}
    if "pose.source" not in changed or trained.pose.source != "annotations":
        return ()
    added = []
    if trained.pose.layout == "own" and "pose.layout" not in changed:
        skeleton = annotated or KNOWN.get(trained.dataset.kind)
        if skeleton is None or skeleton.name not in SKELETONS:
            names = ", ".join(SKELETONS)
            raise UsageError(
                "--set pose.source: the layout of the joints that the run was trained on is not known here; "
                f"add --set pose.layout=NAME, one of {names}"
            )
        added.append(f"pose.layout={skeleton.name}")
    if trained.pose.detector == "annotations" and "pose.detector" not in changed:
        added.append(f"pose.detector={DETECTOR}")
    return tuple(added)


def check(recipe: Recipe, annotated: Skeleton | None, run: Path, note: Mapping[str, Any]) -> None:
    """Refuse joints that a run's network cannot take, before a video is opened. Raises UsageError with both counts."""
    unknown = recipe.pose.source == "annotations" and annotated is None
    if unknown or not {"joint_map", "joint_heatmap"} & set(note["arrays"]):
        return
    skeleton = held(recipe, annotated)
    people = recipe.pose.people if recipe.heatmaps.people == "separate" else 1
    given, taken = people * (len(limbs(recipe)) or len(skeleton.joints)), int(note["network"]["joints"])
    if given != taken:
        what = recipe.heatmaps.of
        raise UsageError(
            f"--run {run}: its network takes {taken} {what}, and these settings give {given} ({skeleton.name}); "
            "set pose.layout, pose.people, heatmaps.of and heatmaps.people to what it was trained on"
        )

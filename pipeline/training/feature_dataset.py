"""The cached features of a split as a torch data set, for networks of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from torch.utils.data import Dataset

from ..planning.inputs import STAGE_OF, arrays_for
from ..planning.plan import plan, select
from ..recipe import schema
from ..recipe.schema import Recipe
from .dataset import Features


class FeatureDataset(Dataset[dict[str, Tensor]]):
    """The clips of one split of a recipe's data set, as they lie in the cache; works under a DataLoader with workers.

    recipe: a recipe or its file. split: "train", "val" or "test". arrays: names such as "global_grid", "local_map",
    "joint_heatmap", "joint_map"; by default those that the recipe's network takes. An item is {array: float16 of one
    clip, "label": int64, "clip": int64}; where clips have several labels, "label" is (k) uint8, and -1 where they
    have none; `videos[clip]` and `views[clip]` say which clip that is, `classes[label]` what
    it shows, `left_out` what is missing in the cache, with the reason.
    Raises MissingFeatures where no clip of the split is cached, RecipeError and DatasetError as planning does.
    """

    def __init__(self, recipe: Recipe | str | Path, split: str = "train", arrays: Sequence[str] = ()) -> None:
        if not isinstance(recipe, Recipe):
            recipe = schema.load(Path(recipe))
        names = tuple(arrays) or arrays_for(recipe.model, recipe.tokens.form)
        stages = tuple(dict.fromkeys(STAGE_OF[name] for name in names))
        selection = select(plan(recipe, only=stages), split, stages)
        self.videos, self.views = [video.id for video in selection.videos], list(selection.views)
        self.classes, self.left_out = selection.classes, selection.left_out
        self.features = Features(selection, names, labelled=False)

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, clip: int) -> dict[str, Tensor]:
        return self.features[clip]

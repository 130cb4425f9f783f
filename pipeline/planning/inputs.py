"""Which cached arrays a network takes, and which stage each of them comes from."""

from __future__ import annotations

from ..recipe import schema as settings

STAGE_OF = {
    "frames": "frames", "global_grid": "backbone", "local_map": "backbone", "joint_heatmap": "heatmaps",
    "joint_map": "tokens",
}  # fmt: skip
OF_FORM = {"concat_conv": ("local_map", "joint_heatmap"), "heatmap": ("joint_heatmap",)}  # others: the token stage's


def arrays_for(model: settings.ModelSettings, form: str) -> tuple[str, ...]:
    """The cached arrays that a network of these settings takes; form: schema.TokensSettings.form."""
    joint = OF_FORM.get(form, ("joint_map",))
    return {"global": ("global_grid",), "joint": joint, "both": ("global_grid", *joint)}[model.modalities]


def stages_for_training(recipe: settings.Recipe) -> tuple[str, ...]:
    """The stages whose arrays the network of this recipe reads."""
    return tuple(dict.fromkeys(STAGE_OF[array] for array in arrays_for(recipe.model, recipe.tokens.form)))

"""`star init`: a ready recipe, or one for the videos of a folder, or for joints without videos."""

from __future__ import annotations

from pathlib import Path

from ..recipe import presets
from ..utils.progress import tell
from .init_recipe import InitRecipe


def run_init(name: str, root: Path, cache: Path, preset: str | None, *, quiet: bool = False) -> InitRecipe:
    """`star init`: the recipe as YAML and, for data of one's own, what was found there."""
    if name == "videos":
        from .init_videos import look

        result = look(root, cache, preset)
    elif name == "joints":
        from .init_joints import look as look_at_joints

        result = look_at_joints(root, cache, preset)
    else:
        return InitRecipe(presets.ready(name, root, cache, preset))
    for line in result.warnings if not quiet else ():
        tell(f"warning: {line}")
    return result

"""`star init`: a ready recipe, or one for the videos of a folder, or for joints without videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..recipe import presets
from ..utils.progress import tell
from .result import Result


def run_init(name: str, root: Path, cache: Path, preset: str | None, *, quiet: bool = False) -> Result:
    """`star init`: the recipe as YAML and, for data of one's own, what was found there."""
    if name == "videos":
        from .init_videos import look

        found = look(root, cache, preset)
    elif name == "joints":
        from .init_joints import look as look_at_joints

        found = look_at_joints(root, cache, preset)
    else:
        return _recipe({"recipe": presets.ready(name, root, cache, preset)})
    for line in found["warnings"] if not quiet else ():
        tell(f"warning: {line}")
    return _recipe(found)


def _recipe(found: dict[str, Any]) -> Result:
    return Result(found, [found["recipe"].rstrip("\n")])

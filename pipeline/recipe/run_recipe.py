"""The recipe that `star train` leaves in a run's folder."""

from __future__ import annotations

from pathlib import Path

from ...errors import UsageError


def run_recipe(run: Path) -> Path:
    """The file. Raises UsageError for a folder that holds none."""
    path = run / "recipe.yaml"
    if not path.is_file():
        raise UsageError(f"--run {run}: holds no recipe.yaml; give the folder of a run of `star train`")
    return path

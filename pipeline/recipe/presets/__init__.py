"""Ready recipes, one file each; `star init` prints them."""

from __future__ import annotations

import difflib
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from ....errors import UsageError

_TRAINING = "\nTRAINING\n"  # where a recipe leaves the choice
_POSE = "\nPOSE\n"  # the same


def names() -> list[str]:
    """The names of the ready recipes."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in files(__name__).iterdir() if entry.name.endswith(".yaml")
    )


def ready(
    name: str, root: Path, cache: Path, training: str | None = None, people: int = 0, layout: str | None = None
) -> str:
    """The text of a ready recipe, its data set's root, its cache and its training filled in.

    training: "paper" (as by default) or "fast". people: for how many there are annotated joints, 0 without; layout:
    that of all joints, where only some videos have annotated ones; only `videos` asks for these two. Raises UsageError
    for a wrong name, or where a recipe leaves no choice.
    """
    if name not in names():
        close = difflib.get_close_matches(name, names(), 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UsageError(f"init {name}: no such recipe; {hint}there are {', '.join(names())}")
    text = (files(__name__) / f"{name}.yaml").read_text(encoding="utf-8")
    filled = {"ROOT": quoted(root), "CACHE": quoted(cache)}
    text = re.sub(r"(?<=root: )(ROOT|CACHE)\b", lambda place: filled[place[0]], text)
    if training and not text.endswith(_TRAINING):
        raise UsageError(f"init {name} --training {training}: this recipe has its own training; leave --training out")
    pose = _part("pose", "auto" if layout else "annotations" if people else "mmpose")
    values = {"LAYOUT": layout, "PEOPLE": people}
    pose = re.sub(r"\b(LAYOUT|PEOPLE) +", lambda found: f"{values[found[1]]:<18}", pose)
    return text.replace(_POSE, f"\n{pose}").replace(_TRAINING, f"\n{_part('training', training or 'paper')}")


def settings_of(training: str) -> dict[str, Any]:
    """The settings of the section `train` for "paper" or "fast"."""
    return yaml.safe_load(_part("training", training))["train"]


def _part(folder: str, name: str) -> str:
    return (files(__name__) / folder / f"{name}.yaml").read_text(encoding="utf-8")


def quoted(path: Path) -> str:
    """A path as YAML text that no character of it can break."""
    return "'" + str(path).replace("'", "''") + "'"

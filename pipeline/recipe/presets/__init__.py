"""Ready recipes, one file each; `star init` prints them."""

from __future__ import annotations

import difflib
import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from ....errors import UsageError

_PRESET = "\nPRESET\n"  # where a recipe leaves the choice
_POSE = "\nPOSE\n"  # the same
PRESETS = ("paper", "fast", "joints")
DEFAULT_PRESET = "fast"
_HUGE = ("ntu", "kinetics")  # tens of thousands of videos: more views of each would fill terabytes
_VIEWS = {  # choices of frames of each video, by preset: of huge data sets, of Penn Action, of others
    "paper": ("{train: 1, test: 1}", "{train: 1, test: 1}", "{train: 1, test: 1}"),
    "fast": ("{train: 1, test: 1}", "{train: 4, test: 2}", "{train: 1, test: 1}"),
    "joints": ("{train: 2, test: 1}", "{train: 16, test: 5}", "{train: 4, test: 2}"),
}


def names() -> list[str]:
    """The names of the ready recipes."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in files(__name__).iterdir() if entry.name.endswith(".yaml")
    )


def ready(
    name: str, root: Path, cache: Path, preset: str | None = None, people: int = 0, layout: str | None = None
) -> str:
    """The text of a ready recipe, its data set's root, its cache and its preset filled in.

    preset: one of PRESETS, DEFAULT_PRESET by default. people: for how many there are annotated joints, 0 without;
    layout: that of all joints, where only some videos have annotated ones; only `videos` asks for these two. Raises
    UsageError for a wrong name, or where a recipe leaves no choice.
    """
    if name not in names():
        close = difflib.get_close_matches(name, names(), 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UsageError(f"init {name}: no such recipe; {hint}there are {', '.join(names())}")
    text = (files(__name__) / f"{name}.yaml").read_text(encoding="utf-8")
    filled = {"ROOT": quoted(root), "CACHE": quoted(cache)}
    text = re.sub(r"(?<=root: )(ROOT|CACHE)\b", lambda place: filled[place[0]], text)
    if preset and not text.endswith(_PRESET):
        raise UsageError(f"init {name} --preset {preset}: this recipe has settings of its own; leave --preset out")
    if name == "joints":
        people = people or 1
    pose = _part("pose", "auto" if layout else "annotations" if people else "mmpose")
    values = {"LAYOUT": layout, "PEOPLE": people}
    pose = re.sub(r"\b(LAYOUT|PEOPLE) +", lambda found: f"{values[found[1]]:<18}", pose)
    chosen = preset or ("joints" if name == "joints" else DEFAULT_PRESET)
    if name == "joints" and chosen != "joints":
        raise UsageError(f"init joints --preset {preset}: without videos there is one preset, joints; leave it out")
    kind = 0 if name.startswith(_HUGE) else 1 if name in ("penn-action", "joints") else 2
    rest = _part("preset", chosen).replace("VIEWS", _VIEWS[chosen][kind])
    return text.replace(_POSE, f"\n{pose}").replace(_PRESET, f"\n{rest}")


def train_settings(preset: str) -> dict[str, Any]:
    """The settings of the section `train` of a preset."""
    return yaml.safe_load(_part("preset", preset))["train"]


def _part(folder: str, name: str) -> str:
    return (files(__name__) / folder / f"{name}.yaml").read_text(encoding="utf-8")


def quoted(path: Path) -> str:
    """A path as YAML text that no character of it can break; bytes that are not UTF-8 are escaped."""
    text = str(path)
    return "'" + text.replace("'", "''") + "'" if text.isprintable() else json.dumps(text)

"""Ready recipes, one file each; `star init` prints them."""

from __future__ import annotations

import difflib
import re
from importlib.resources import files
from pathlib import Path

from ...cache.errors import UsageError


def names() -> list[str]:
    """The names of the ready recipes."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in files(__name__).iterdir() if entry.name.endswith(".yaml")
    )


def ready(name: str, root: Path, cache: Path) -> str:
    """The text of a ready recipe, its data set's root and its cache filled in. Raises UsageError for a wrong name."""
    if name not in names():
        close = difflib.get_close_matches(name, names(), 1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UsageError(f"init {name}: no such recipe; {hint}there are {', '.join(names())}")
    text = (files(__name__) / f"{name}.yaml").read_text(encoding="utf-8")
    filled = {"ROOT": _quoted(root), "CACHE": _quoted(cache)}
    return re.sub(r"(?<=root: )(ROOT|CACHE)\b", lambda place: filled[place[0]], text)


def _quoted(path: Path) -> str:
    """A path as YAML text that no character of it can break."""
    return "'" + str(path).replace("'", "''") + "'"

"""What is wrong with a recipe, as one line for a person."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError

from ...untrusted_files import shown


def first_problem(error: ValidationError, recipe: type[BaseModel]) -> str:
    """One line for the first thing wrong: the setting, its value, what is allowed."""
    problem = error.errors()[0]
    place = ".".join(str(part)[:80] for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"{place}: unknown key{_suggestion(problem['loc'], recipe)}"
    if problem["type"] == "missing":
        return f"{place}: missing; it has no default"
    if problem["type"] == "value_error":
        return str(problem.get("ctx", {}).get("error"))
    if problem["type"] in ("model_type", "dict_type"):
        return f"{place}: expected a section of settings, got {shown(problem['input'])}"
    message = problem["msg"]
    return f"{place}: {shown(problem['input'])}: {message[0].lower()}{message[1:]}"


def _suggestion(place: tuple[Any, ...], recipe: type[BaseModel]) -> str:
    section: Any = recipe
    for part in place[:-1]:
        field = section.model_fields.get(part)
        section = field.annotation if field else None
        if section is None or not hasattr(section, "model_fields"):
            return ""
    known = list(section.model_fields)
    close = difflib.get_close_matches(str(place[-1])[:80], known, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(known)}"

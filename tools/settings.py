#!/usr/bin/env python3
"""Write docs/recipe.md from the settings themselves: settings.py > docs/recipe.md. A test checks that it is current."""

import sys
import typing
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from star.pipeline.recipe.schema import Recipe

HEAD = """# The recipe

A recipe is a YAML file; `star init NAME --root DIR` prints a ready one. Only `dataset.kind`, `dataset.root` and
`cache.root` have no default. Relative paths count from the recipe's own folder. Any setting can be laid over a recipe
on the command line: `--set heatmaps.sigma=1.5`. An unknown key is an error, never ignored.

What a setting changes decides what has to be computed again:

| section | a change recomputes |
|---|---|
| `decode` | frames, sampling, seed, flip: all. `views`: the new views. jpeg: backbone, tokens. Others: nothing |
| `pose` | pose, heat maps, tokens (and the backbone where `crop: person`). batch: nothing |
| `backbone` | backbone, tokens; size, crop, margin, jitter and local_layer also the heat maps. batch: nothing |
| `heatmaps` | heat maps, tokens |
| `tokens` | tokens |
| `model`, `train`, `finetune`, `pretrain`, `test` | nothing: features do not depend on them |

With `decode.keep: frames` the frames themselves are stored (they depend on `decode`, size, crop and margin), and what
changes the backbone alone reads no video.

This page is made from `pipeline/recipe/schema.py` (`python tools/settings.py > docs/recipe.md`).
"""


def shown(kind: object) -> str:
    """A type as a person reads it."""
    if get_origin(kind) is Annotated:
        return shown(get_args(kind)[0])
    if get_origin(kind) is Literal:
        return " \\| ".join(f"`{value}`" for value in get_args(kind))
    if get_origin(kind) in (Union, UnionType):
        return " or ".join("none" if part is NoneType else shown(part) for part in get_args(kind))
    if get_origin(kind) is tuple:
        return f"list of {shown(get_args(kind)[0])}"
    return {"int": "whole number", "float": "number", "str": "text", "bool": "yes or no", "Path": "path"}.get(
        getattr(kind, "__name__", str(kind)), str(kind)
    )


def rows(section: type[BaseModel], prefix: str) -> typing.Iterator[str]:
    """One table row per setting, sections within sections flattened."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from rows(kind, f"{prefix}{name}.")
            continue
        default = "" if field.is_required() else f"`{plain(field.default)}`"
        yield f"| `{prefix}{name}` | {shown(kind)} | {default} | {field.description or ''} |"


def plain(value: object) -> str:
    """A default as it stands in YAML."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"[{', '.join(map(str, value))}]" if isinstance(value, tuple) else str(value)


def main() -> int:
    """Print the page; exit status 0."""
    lines = [HEAD]
    for name, field in Recipe.model_fields.items():
        section = typing.cast("type[BaseModel]", field.annotation)
        lines += [f"## {name}", "", (section.__doc__ or "").strip().splitlines()[0], ""]
        lines += ["| setting | value | default | |", "|---|---|---|---|", *rows(section, f"{name}."), ""]
    sys.stdout.write("\n".join(lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())

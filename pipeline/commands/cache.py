"""`star cache ls, gc, diff`: what a cache holds, what no recipe uses any more, and in what two of its keys differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...cache.store import StageStore, Store
from ...errors import UsageError
from ...stages import STAGES
from ..planning.graph import graph
from ..planning.status import changes
from ..recipe import schema as recipes
from ..recipe.schema import Recipe
from ..utils.text import amount, table


def ls(root: Path) -> list[dict[str, Any]]:
    """Every stage and key of a cache: rows, bytes, settings. Raises UsageError for a folder that is none."""
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; give a recipe's cache.root")
    return [_about(stage_store) for stage_store in Store(root).stage_stores()]


def _about(stage_store: StageStore) -> dict[str, Any]:
    return {
        "stage": stage_store.stage,
        "key": stage_store.key,
        "rows": len(stage_store.index()),
        "segments": len(stage_store.segments()),
        "bytes": stage_store.bytes(),
        "settings": stage_store.description().get("settings", {}),
    }


def gc(kept: Sequence[Recipe], *, remove: bool = False) -> list[dict[str, Any]]:
    """The stages and keys that none of the recipes uses; removed only if `remove`.

    All recipes must name one cache. Raises UsageError where they do not, StorageError where it cannot be changed.
    """
    roots = {recipe.cache.root for recipe in kept}
    if len(roots) != 1:
        raise UsageError(f"cache gc: the recipes name {len(roots)} caches; give recipes of one cache")
    used = {(name, node.key) for recipe in kept for name, node in graph(recipe).nodes.items()}
    unused = [
        stage_store
        for stage_store in Store(roots.pop()).stage_stores()
        if (stage_store.stage, stage_store.key) not in used
    ]
    found = [_about(stage_store) for stage_store in unused]
    for stage_store in unused if remove else ():
        stage_store.remove()
    return found


def diff(first: Path, second: Path) -> dict[str, list[str]]:
    """Per stage, the settings in which two recipes, or two folders CACHE/STAGE/KEY, differ."""
    before, after = _descriptions(first), _descriptions(second)
    return {stage: changes(before.get(stage, {}), after.get(stage, {})) for stage in before.keys() | after.keys()}


def _descriptions(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_dir():
        return {name: node.description() for name, node in graph(recipes.load(path)).nodes.items()}
    about = StageStore(path, path.parent.name, path.name).description()
    if not about:
        raise UsageError(f"{path}: neither a recipe nor a folder CACHE/STAGE/KEY; `star cache ls CACHE` lists them")
    return {str(about["stage"]): about}


def lines(found: Sequence[dict[str, Any]], last: str = "") -> list[str]:
    """Stages and keys as a table for a person, with their sum."""
    rows: list[tuple[str, ...]] = [("stage", "key", "rows", "bytes", "settings")]
    for about in found:
        settings = ", ".join(
            f"{name} {value}" for name, value in about["settings"].items() if not isinstance(value, dict)
        )
        rows.append((about["stage"], about["key"], f"{about['rows']:,}", amount(about["bytes"]), settings))
    total = amount(sum(about["bytes"] for about in found))
    return [*table(rows), f"{len(found)} keys, {total}{last}"]


def diff_lines(found: dict[str, list[str]]) -> list[str]:
    """One line per stage that differs."""
    said = [f"{stage}: {', '.join(found[stage])}" for stage in STAGES if found.get(stage)]
    return said or ["no difference: both mean the same features"]

"""`star cache ls, gc, diff`: what a cache holds, what no recipe uses any more, and in what two of its keys differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...cache.store import StageStore, Store
from ...errors import UsageError
from ...stages import STAGES
from ..planning.stage_graph import graph
from ..planning.status import changes
from ..recipe import schema as recipes
from ..recipe.schema import Recipe
from ..utils.text import amount, table


@dataclass(frozen=True)
class CacheEntry:
    """One stage under one key: what it holds, and the settings that the key stands for."""

    stage: str
    key: str
    rows: int
    segments: int
    bytes: int
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class CacheListing:
    """Stages and keys of a cache. remark: what they are, after their sum."""

    entries: tuple[CacheEntry, ...]
    remark: str = ""
    exit_code: int = 0

    def to_document(self) -> list[dict[str, Any]]:
        """As JSON."""
        return [asdict(entry) for entry in self.entries]

    def to_lines(self) -> list[str]:
        """As a table for a person, with their sum."""
        rows: list[tuple[str, ...]] = [("stage", "key", "rows", "bytes", "settings")]
        for entry in self.entries:
            plain = (f"{name} {value}" for name, value in entry.settings.items() if not isinstance(value, dict))
            rows.append((entry.stage, entry.key, f"{entry.rows:,}", amount(entry.bytes), ", ".join(plain)))
        total = amount(sum(entry.bytes for entry in self.entries))
        return [*table(rows), f"{len(self.entries)} keys, {total}{self.remark}"]


@dataclass(frozen=True)
class CacheDiff:
    """Per stage, the settings in which two recipes, or two keys, differ."""

    changes: Mapping[str, list[str]]
    exit_code: int = 0

    def to_document(self) -> dict[str, list[str]]:
        """As JSON."""
        return dict(self.changes)

    def to_lines(self) -> list[str]:
        """One line per stage that differs."""
        lines = [f"{stage}: {', '.join(self.changes[stage])}" for stage in STAGES if self.changes.get(stage)]
        return lines or ["no difference: both mean the same features"]


def run_ls(root: Path) -> CacheListing:
    """Every stage and key of a cache. Raises UsageError for a folder that is none."""
    if not root.is_dir():
        raise UsageError(f"{root}: no such folder; give a recipe's cache.root")
    return CacheListing(tuple(_entry(stage_store) for stage_store in Store(root).stage_stores()))


def run_gc(kept: Sequence[Recipe], *, remove: bool = False) -> CacheListing:
    """The stages and keys that none of the recipes uses; removed only if `remove`.

    All recipes must name one cache. Raises UsageError where they do not, StorageError where it cannot be changed.
    """
    roots = {recipe.cache.root for recipe in kept}
    if len(roots) != 1:
        raise UsageError(f"cache gc: the recipes name {len(roots)} caches; give recipes of one cache")
    used = {(name, node.key) for recipe in kept for name, node in graph(recipe).nodes.items()}
    stores = Store(roots.pop()).stage_stores()
    unused = [stage_store for stage_store in stores if (stage_store.stage, stage_store.key) not in used]
    entries = tuple(map(_entry, unused))
    for stage_store in unused if remove else ():
        stage_store.remove()
    return CacheListing(entries, " deleted" if remove else " that none of the recipes uses; --yes deletes")


def run_diff(first: Path, second: Path) -> CacheDiff:
    """Per stage, the settings in which two recipes, or two folders CACHE/STAGE/KEY, differ."""
    before, after = _descriptions(first), _descriptions(second)
    stages = before.keys() | after.keys()
    return CacheDiff({stage: changes(before.get(stage, {}), after.get(stage, {})) for stage in stages})


def _entry(stage_store: StageStore) -> CacheEntry:
    settings = stage_store.description().get("settings", {})
    counts = len(stage_store.index()), len(stage_store.segments()), stage_store.bytes()
    return CacheEntry(stage_store.stage, stage_store.key, *counts, settings)


def _descriptions(path: Path) -> dict[str, dict[str, Any]]:
    if not path.is_dir():
        return {name: node.description() for name, node in graph(recipes.load(path)).nodes.items()}
    about = StageStore(path, path.parent.name, path.name).description()
    if not about:
        raise UsageError(f"{path}: neither a recipe nor a folder CACHE/STAGE/KEY; `star cache ls CACHE` lists them")
    return {str(about["stage"]): about}

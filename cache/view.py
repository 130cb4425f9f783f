"""A cache as a person looks at it: stages, keys, rows and arrays, read only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import StorageError
from .checksum import Row
from .index import RowLocation
from .store import StageStore, Store


def open_cache(root: str | Path) -> CacheView:
    """The cache in a folder, for reading. Raises StorageError where there is no such folder.

    What is written later shows up in a view that is opened later.
    """
    store = Store(root)
    if not store.root.is_dir():
        raise StorageError(f"{root}: no such folder; give the one that cache.root of the recipe names")
    return CacheView(store)


class CacheView(Mapping[str, "Mapping[str, StageView]"]):
    """Stage's name -> key -> `StageView`, both sorted: `cache["backbone"][key]`."""

    def __init__(self, store: Store) -> None:
        self.root = store.root
        self._stages: dict[str, dict[str, StageView]] = {}
        for one in store.stage_stores():
            self._stages.setdefault(one.stage, {})[one.key] = StageView(one)

    def __getitem__(self, stage: str) -> Mapping[str, StageView]:
        return self._stages[stage]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stages)

    def __len__(self) -> int:
        return len(self._stages)


class StageView(Mapping[str, "ArrayView"]):
    """Array's name -> `ArrayView` of one stage under one key.

    rows: what each row is, (video_id, source, view) per clip, in the order of the arrays; a row that stands in several
    segments is here once. description: the stage's settings and what it was computed from.
    """

    def __init__(self, stage_store: StageStore) -> None:
        self._store = stage_store
        self.stage, self.key = stage_store.stage, stage_store.key

    @cached_property
    def description(self) -> dict[str, Any]:
        """What the key stands for: version, settings, keys of the stages before it."""
        return self._store.description()

    @cached_property
    def _located(self) -> dict[Row, RowLocation]:
        located: dict[Row, RowLocation] = {}
        for location, row in self._store.rows():
            located.setdefault(row, location)
        return dict(sorted(located.items(), key=lambda item: (item[0].video_id, item[0].view, item[0].source)))

    @cached_property
    def rows(self) -> list[Row]:
        """The rows, by video and view."""
        return list(self._located)

    @cached_property
    def _arrays(self) -> dict[str, ArrayView]:
        names = self._store.segments()
        arrays = self._store.segment(names[0]).names if names else ()
        return {name: ArrayView(self._store, name, list(self._located.values())) for name in arrays}

    def __getitem__(self, name: str) -> ArrayView:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


class ArrayView:
    """One array of all rows, read when it is indexed: `grid[0]`, `grid[10:20]`, `grid[[3, 1]]`, `numpy.asarray(grid)`.

    shape: (rows, ...). dtype: as it is stored. attributes: axes, units and meaning, as the segment states them.
    """

    def __init__(self, stage_store: StageStore, name: str, locations: list[RowLocation]) -> None:
        self._store, self.name, self._locations = stage_store, name, locations
        first = stage_store.segment(locations[0].segment)
        layout = first.layout(name)
        self.shape: tuple[int, ...] = (len(locations), *layout.shape[1:])
        self.dtype: np.dtype[Any] = layout.dtype
        self.attributes: Mapping[str, str] = first.head.attributes.get(name, {})

    def __len__(self) -> int:
        return len(self._locations)

    def __getitem__(self, rows: int | slice | Any) -> np.ndarray:
        """A copy of one row (...), or of several (n, ...): an int, a slice, or numbers of rows."""
        if isinstance(rows, int | np.integer):
            return self._store.read([self._locations[rows]], self.name)[0]
        numbers = np.arange(len(self))[rows]
        if not len(numbers):
            return np.empty((0, *self.shape[1:]), self.dtype)
        return self._store.read([self._locations[number] for number in numbers.tolist()], self.name)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All rows in memory."""
        return self[:] if dtype is None else self[:].astype(dtype)

    def __repr__(self) -> str:
        return f"<{self.name} {self.shape} {self.dtype}>"

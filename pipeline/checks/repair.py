"""Moving bad segments of a cache aside, and with them all that was made from their clips."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...cache.atomic import reporting
from ...cache.store import StageStore, Store
from ...cache.verify import check_description
from ...errors import CacheError

Clips = set[tuple[str, int]]


class Repair:
    """What was moved aside so far. `moved`: where it lies now."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.moved: list[Path] = []
        self._clips: dict[tuple[str, str], Clips] = {}  # of each stage store, the clips whose rows were moved
        self._unknown: set[tuple[str, str]] = set()  # stores with a moved segment that tells no clips

    def move(self, bad: Mapping[StageStore, set[str]]) -> None:
        """Move segments of some stage stores aside. Raises StorageError."""
        for stage_store, names in bad.items():
            for name in sorted(names):
                if stage_store.file(name).exists():
                    self._move(stage_store, name)

    def describe(self, stage_store: StageStore, description: Mapping[str, Any]) -> None:
        """Write a stage.json anew that is not what it should be. Raises StorageError."""
        if check_description(stage_store):
            with reporting(stage_store.path):
                (stage_store.path / "stage.json").unlink(missing_ok=True)
            stage_store.describe(description)

    def move_derived(self) -> None:
        """Move aside what was made from the clips that were moved, in whatever stage store of the cache, and so on.

        Where a segment could not tell its clips, that is every row whose input is no longer there.
        """
        above: dict[StageStore, Any] = {}  # what the rows of a stage store were made from, as far as it can be read
        for stage_store in self.store.stage_stores():
            with suppress(CacheError):
                above[stage_store] = stage_store.description().get("upstream")
        pending = [*self._clips.keys() | self._unknown]
        while pending:
            source = pending.pop()
            for stage_store, upstream in above.items():
                if not isinstance(upstream, dict) or upstream.get(source[0]) != source[1]:
                    continue
                clips = set(self._clips.get(source, ()))
                if source in self._unknown:
                    clips |= _clips_of(stage_store) - _clips_of(self.store.stage_store(*source))
                names = [n for n in stage_store.segments() if not clips.isdisjoint(_clips(stage_store, n) or ())]
                for name in names:
                    self._move(stage_store, name)
                if names:
                    pending.append((stage_store.stage, stage_store.key))

    def _move(self, stage_store: StageStore, name: str) -> None:
        clips, home = _clips(stage_store, name), (stage_store.stage, stage_store.key)
        if clips is None:
            self._unknown.add(home)
        else:
            self._clips.setdefault(home, set()).update(clips)
        self.moved.append(stage_store.quarantine(name))


def _clips(stage_store: StageStore, name: str) -> Clips | None:
    """The clips in a segment, None where it does not tell."""
    try:
        return {(row.video_id, row.view) for row in stage_store.segment(name).rows}
    except CacheError:
        return None


def _clips_of(stage_store: StageStore) -> Clips:
    """All clips of a stage store that can be read."""
    return set().union(*(_clips(stage_store, name) or set() for name in stage_store.segments()))

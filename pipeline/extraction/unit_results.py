"""What becomes of a unit of work on its way: computed in memory, then written."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from ..planning.source_changes import Digests
from ..planning.work_units import Unit
from .models import ClipState


@dataclass
class ComputedUnit:
    """A unit's clips, the videos that failed, and seconds spent per stage.

    features: what the backbone gives, row by row as in `states`. batches: the networks' calls, done or under way.
    """

    unit: Unit
    states: list[ClipState] = field(default_factory=list)
    failures: list[tuple[str, str, str, str]] = field(default_factory=list)  # video, stage, kind, message
    seconds: Counter[str] = field(default_factory=Counter)
    features: dict[str, np.ndarray] = field(default_factory=dict)
    batches: list[Future[Counter[str]]] = field(default_factory=list)

    def wait(self) -> None:
        """Until the networks are through with it; raises what they raised."""
        while self.batches:
            self.seconds.update(self.batches.pop().result())


@dataclass
class WrittenUnit:
    """What became of a unit: clips written, bytes and segment per stage, the digests that were read, the failures.

    precision: what the backbone computed in; empty where it did not.
    """

    clips: int
    bytes: dict[str, int]
    digests: dict[str, Digests]
    failures: list[tuple[str, str, str, str]]
    seconds: Counter[str]
    segments: dict[str, str] = field(default_factory=dict)
    precision: str = ""

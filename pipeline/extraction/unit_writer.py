"""A computed unit of work, written: one segment per stage, with its provenance."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from ...cache.segment import Row
from ...cache.store import Store
from ..planning.stage_graph import Graph
from ..recipe.schema import Recipe
from .models import Models
from .profile import spent
from .unit_computer import UnitComputer
from .unit_reader import UnitReader
from .unit_results import ComputedUnit, WrittenUnit


class UnitWriter:
    """Writes units into the cache of one recipe. For any thread."""

    def __init__(
        self, recipe: Recipe, nodes: Graph, store: Store, models: Models, reader: UnitReader, computer: UnitComputer
    ) -> None:
        self.recipe, self.graph, self.store, self.models = recipe, nodes, store, models
        self.reader, self.computer = reader, computer

    def write(self, computed: ComputedUnit) -> WrittenUnit:
        """Finish a unit and write one segment per stage, upstream stages first. For any thread.

        Its arrays are gone afterwards: their memory serves a later unit.
        """
        self.computer.finish(computed)
        sizes: dict[str, int] = {}
        segments: dict[str, str] = {}
        with spent(computed.seconds, "write"):
            for name in computed.unit.stages if computed.states else ():
                path = self._segment(computed, name, segments)
                sizes[name], segments[name] = path.stat().st_size, path.stem
        digests = {state.clip.video.id: state.digests for state in computed.states}
        precision = self.models.network.precision if "backbone" in sizes else ""
        done = WrittenUnit(
            len(computed.states), sizes, digests, computed.failures, computed.seconds, segments, precision
        )
        self.computer.recycle(computed.features)
        computed.states, computed.features = [], {}
        return done

    def _segment(self, computed: ComputedUnit, name: str, segments: Mapping[str, str]) -> Path:
        """One segment; returns its file. segments: of the stages that were written before."""
        node, states = self.graph[name], computed.states
        stage_store = self.store.stage_store(name, node.key)
        stage_store.describe(node.description())
        rows = [Row(s.clip.video.id, s.digests.row(node.annotated), s.clip.view) for s in states]
        features = computed.features  # what the backbone gave lies row by row already
        arrays = {
            array: features[array][: len(states)] if array in features else np.stack([s.arrays[array] for s in states])
            for array in node.arrays
        }
        attributes = {array: about.attributes() for array, about in node.arrays.items()}
        provenance = self._provenance(computed, name)
        inputs: dict[str, np.ndarray] = {}  # (rows, 8) uint8: the digests of the rows that these were made from
        for above in node.takes:
            if node.upstream[above] != self.graph[above].key:  # see backbone.keep
                continue
            source = self.store.stage_store(above, self.graph[above].key)
            if above in segments:  # just written
                inputs[above] = source.segment(segments[above]).digests
            else:
                clips = ((clip.video.id, clip.view) for clip in computed.unit.clips)
                places = dict(zip(clips, computed.unit.inputs[above], strict=True))
                inputs[above] = source.digests([places[row.video_id, row.view] for row in rows])
        return stage_store.write(rows, arrays, attributes, provenance, self.recipe.cache.compression, inputs)

    def _provenance(self, computed: ComputedUnit, stage: str) -> dict[str, Any]:
        together = {
            "decode": self.computer.pool.count,
            "pose": self.computer.threads.count,
            "frames": self.computer.threads.count,
            "backbone": self.computer.threads.count,
        }
        seconds = computed.seconds[stage] / together.get(stage, 1) / max(len(computed.states), 1)
        named: dict[str, Any] = {}
        if stage == "pose":  # the names of the joints, for a reader who has neither the data set nor mmpose
            estimated = self.recipe.pose.source == "mmpose"
            own = self.models.estimator.skeleton if estimated and self.reader.layout is None else self.reader.skeleton
            skeleton = self.reader.layout or own
            named = {"skeleton": asdict(skeleton) if skeleton else {}}
        if stage == "backbone":
            named = {"precision": self.models.network.precision}
        return {**self._machine, **named, "seconds_per_clip": round(seconds, 5)}

    @cached_property
    def _machine(self) -> dict[str, Any]:
        """Library versions and the device: recorded beside the key, never in it."""
        return {"device": self.models.device_name, "python": platform.python_version(), **versions()}


def versions() -> dict[str, str]:
    """The installed versions of the packages whose code can move a feature."""
    found = {}
    for package in ("torch", "torchvision", "numpy", "av", "decord", "opencv-python-headless", "mmpose", "h5py"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

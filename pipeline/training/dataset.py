"""Cache -> tensors: the bytes of segments are mapped, never opened as HDF5, and copied once, into the batch.

`Features` answers for single clips and batches of clips; `views_of_epoch` says which clip of each video an epoch sees.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from ...cache.checksum import Row
from ...cache.hdf5_guard import corrupt
from ...cache.store import RowLocation, StageStore
from ...errors import DatasetError, MissingFeatures
from ..planning.inputs import STAGE_OF
from ..planning.selection import Selection
from .memory_budget import choose_preload

Batch = dict[str, Tensor]
Numbers = Sequence[int] | np.ndarray

MAPS = 256  # files that one array holds mapped at once
CHUNK = 256  # clips that are on their way to the device at once


def keys_of(selection: Selection, arrays: Sequence[str]) -> dict[str, str]:
    """Array -> the key of the stage that it comes from."""
    return {name: selection.stage_stores[STAGE_OF[name]].key for name in arrays}


class ClipNames(NamedTuple):
    """What clips are called: ids of their videos, views, digests of their sources; `sources` is empty if unknown."""

    videos: Sequence[str]
    views: Sequence[int]
    sources: Sequence[str]

    def row(self, clip: int, source: str) -> Row:
        """The name of a clip's row; source: where nobody knows better."""
        return Row(self.videos[clip], self.sources[clip] if self.sources else source, self.views[clip])


class Rows:
    """One array of one stage store: where each clip's row lies, and how to copy rows into a batch.

    Segments are mapped when they are first read, in each process by itself; what is sent to another process holds no
    map. At most `MAPS` are held at once. clips: what each row should be called. checksums: prove each row by its
    checksum when this process reads it for the first time; that it is the right clip's is proved in any case.
    """

    def __init__(
        self,
        stage_store: StageStore,
        name: str,
        places: Sequence[RowLocation],
        clips: ClipNames,
        *,
        checksums: bool = True,
    ) -> None:
        self.stage_store, self.name, self.clips, self.checksums = stage_store, name, clips, checksums
        self.unread = np.ones(len(places), bool)
        self.segments = sorted({place.segment for place in places})
        number = {segment: index for index, segment in enumerate(self.segments)}
        self.segment = np.fromiter((number[place.segment] for place in places), np.int32, len(places))
        self.row = np.fromiter((place.row for place in places), np.int32, len(places))
        self.dtype, self.shape, _ = self._layout(self.segments[0])
        self.bytes = len(places) * math.prod(self.shape) * self.dtype.itemsize
        self.maps: dict[int, np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"maps": {}}

    def _layout(self, segment: str) -> tuple[np.dtype, tuple[int, ...], bool]:
        """Type and shape of a row in a segment, and whether it is compressed."""
        layout = self.stage_store.segment(segment).head.datasets.get(self.name)
        if layout is None:
            raise corrupt(self.stage_store.file(segment), f"has no {self.name}")
        return layout.dtype, layout.shape[1:], layout.offset is None

    def gather(self, clips: Numbers, out: np.ndarray) -> None:
        """Copy the rows of `clips`, in their order, into out (len(clips), *shape). Raises CorruptSegment."""
        for slot, clip in enumerate(clips):
            segment, row = int(self.segment[clip]), int(self.row[clip])
            rows = self.maps.get(segment)
            if rows is None:
                rows = self._map(segment)
            if rows is not None:
                out[slot] = rows[row]
            else:
                out[slot] = self.stage_store.segment(self.segments[segment]).read(self.name, [row])[0]
            if self.unread[clip]:
                # what was read of a clip is its own, and what was written
                stored = self.stage_store.segment(self.segments[segment])
                stored.check_row(row, self.clips.row(clip, stored.rows[row].source))
                if self.checksums:
                    stored.check_content(self.name, row, out[slot])
                self.unread[clip] = False

    def _map(self, number: int) -> np.ndarray | None:
        """All rows of a segment as a view of its bytes, None where they are compressed."""
        segment = self.segments[number]
        dtype, shape, compressed = self._layout(segment)
        if (dtype, shape) != (self.dtype, self.shape):
            told = f"{self.name} is {dtype} {shape}, elsewhere {self.dtype} {self.shape}"
            raise corrupt(self.stage_store.file(segment), told)
        if compressed:
            return None
        if len(self.maps) >= MAPS:
            self.maps.clear()
        self.maps[number] = self.stage_store.map(segment, self.name)
        return self.maps[number]


class Features(Dataset[Batch]):
    """The cached arrays of a selection's clips, as a torch data set over clips; safe under fork and spawn.

    arrays: names of `STAGE_OF`. preload: "none" maps files, "memory" copies all to memory first, "device" to the
    device, "auto" chooses by size. checksums: see `Rows`. A batch is {array: (b, …) float16,
    "label": (b) int64, or (b, k) uint8 where clips have several labels, "clip": (b) int64}. labelled: whether every
    clip must have a label.
    Raises MissingFeatures for an empty selection, DatasetError for a clip without a label.
    """

    def __init__(
        self,
        selection: Selection,
        arrays: Sequence[str],
        *,
        preload: str = "none",
        device: torch.device | str = "cpu",
        checksums: bool = True,
        labelled: bool = True,
    ) -> None:
        if not len(selection):
            raise MissingFeatures(
                "no clip of the selection is in the cache; `star extract` first, `star status` says why"
            )
        self.labels = torch.from_numpy(selection.targets)
        unlabelled = np.flatnonzero(selection.labels < 0)
        if labelled and len(unlabelled):
            raise DatasetError(
                f"{selection.videos[unlabelled[0]].id}: has no label; give it one, or leave it out of the split"
            )
        ids = [video.id for video in selection.videos]
        self.rows: dict[str, Rows] = {}
        for name in arrays:
            stage = STAGE_OF[name]
            names = ClipNames(ids, selection.views, selection.sources.get(stage, ()))
            places = selection.places[stage]
            self.rows[name] = Rows(selection.stage_stores[stage], name, places, names, checksums=checksums)
        self.bytes = sum(rows.bytes for rows in self.rows.values())
        self.device = torch.device(device)
        self.preload = choose_preload(preload, self.bytes, self.device)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Array -> the shape of one clip's, as the files have it."""
        return {name: rows.shape for name, rows in self.rows.items()}

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, clip: int) -> Batch:
        """One clip, without the batch axis."""
        return {name: tensor[0] for name, tensor in self.__getitems__([clip]).items()}

    def __getitems__(self, clips: Numbers) -> Batch:
        """The clips of these numbers as one batch, in their order."""
        index = np.asarray(clips, dtype=np.int64)
        where = to_device(index, self.device) if self.preload == "device" else torch.from_numpy(index)
        found = {name: self.loaded[name][where] if self.loaded else self._read(name, clips) for name in self.rows}
        return found | {"label": self._labels[where], "clip": where}

    def _read(self, name: str, clips: Numbers, *, pin: bool = True) -> Tensor:
        rows = self.rows[name]
        shape, kind = (len(clips), *rows.shape), torch.from_numpy(np.empty(0, rows.dtype)).dtype
        if get_worker_info() is None:
            out = torch.empty(shape, dtype=kind, pin_memory=pin and self.device.type == "cuda")
        else:  # a reading process: where its parent can see it, so that nothing is copied, as torch's own collate does
            size = math.prod(shape) * rows.dtype.itemsize
            shared = torch.UntypedStorage._new_shared(size)  # pyright: ignore[reportPrivateUsage]
            out = torch.empty(0, dtype=kind).set_(shared, 0, shape)  # pyright: ignore[reportCallIssue]
        rows.gather(clips, out.numpy())
        return out

    @cached_property
    def _labels(self) -> Tensor:
        """The labels, where the features are."""
        return self.labels.to(self.device) if self.preload == "device" else self.labels

    def load(self) -> None:
        """Preload now what the first batch would preload."""
        _ = self.loaded

    @cached_property
    def loaded(self) -> Batch:
        """All clips where they are preloaded, from the first batch on: a run that is finished already reads nothing."""
        if self.preload == "none":
            return {}
        if self.preload == "memory":
            return {name: self._read(name, range(len(self)), pin=False) for name in self.rows}
        loaded = {name: self._read(name, [], pin=False).to(self.device) for name in self.rows}
        for name, empty in loaded.items():
            loaded[name] = empty.new_empty((len(self), *empty.shape[1:]))
            for start in range(0, len(self), CHUNK):
                part = range(start, min(start + CHUNK, len(self)))
                loaded[name][start : part.stop] = self._read(name, part)
        return loaded


def to_device(values: np.ndarray, device: torch.device) -> Tensor:
    """A few numbers on the device, without waiting for what it is doing: a plain copy would."""
    tensor = torch.from_numpy(np.ascontiguousarray(values))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def part_of(selection: Selection, fraction: float, seed: int) -> list[str]:
    """The ids of a share of the selection's videos: as many of each class as its size asks for, at least one.

    The same seed and a smaller fraction give a subset of what a larger fraction gives.
    """
    by_label: dict[int, list[str]] = {}
    for video, clips in selection.clips_of.items():
        by_label.setdefault(int(selection.labels[clips[0]]), []).append(video)
    kept: set[str] = set()
    for label, videos in by_label.items():
        order = np.random.default_rng([seed, max(label, 0)]).permutation(len(videos))
        kept.update(videos[index] for index in order[: max(1, round(fraction * len(videos)))])
    return [video for video in selection.clips_of if video in kept]


def views_of_epoch(clips_of: Mapping[str, Sequence[int]], videos: Sequence[str], seed: int, epoch: int) -> np.ndarray:
    """(v,) int: each video once, in random order, with a view drawn anew; a pure function of seed and epoch."""
    random = np.random.default_rng([seed, epoch])
    views = random.integers([len(clips_of[video]) for video in videos])
    chosen = [clips_of[video][view] for video, view in zip(videos, views.tolist(), strict=True)]
    return random.permutation(np.asarray(chosen, dtype=np.int64))

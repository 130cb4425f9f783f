"""The cache as a whole: stage stores, one for every stage and key, each a folder of segments (FORMAT.md "Folders")."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FormatError, StorageError
from ..untrusted_files import UntrustedFile, named, one_of, parse_json, plain, record, text, whole
from .atomic import listing, partial, read_error, read_whole, remove_leftovers, replace, reporting
from .checksum import Row
from .hdf5_guard import NAME
from .header import other_version
from .index import Index, RowLocation
from .index_file import SEGMENT_NAME, load_index, segment_names
from .schema import Schema
from .segment import Compression, Segment, write_segment

__all__ = ["Index", "RowLocation", "StageStore", "Store"]

KEY = re.compile(r"[0-9a-f]{32}")
DESCRIPTION = "stage.json"
BAD = "bad"
_MAX_DESCRIPTION = 1 << 20
_DESCRIPTION_VERSION = 1
_STAGE = record({"format": one_of("star stage"), "format_version": whole()})
_ABOUT = record(
    {"stage": text(), "key": text()}, {"version": whole(), "settings": named(plain), "upstream": named(text())}
)
_MAX_MAPS = 1 << 14  # a process may have 65,530 maps on Linux; three stage stores are mapped at once


class StageStore:
    """All rows of one stage under one key. It may be sent to another process; no file stays open but memory maps.

    stage, key: what it holds. path: its folder, which need not exist yet. schema: what its arrays must be; a segment
    that does not fit is no part of the index.
    """

    def __init__(self, path: Path, stage: str, key: str, schema: Schema | None = None) -> None:
        self.path, self.stage, self.key, self.schema = path, stage, key, schema
        self._segments: dict[str, Segment] = {}
        self._mapped: dict[str, None] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_segments": {}, "_mapped": {}}

    def describe(self, description: Mapping[str, Any]) -> None:
        """Write down what the key stands for (version, settings, upstream), unless it is there already.

        Raises StorageError.
        """
        about = {
            "format": "star stage",
            "format_version": _DESCRIPTION_VERSION,
            "stage": self.stage,
            "key": self.key,
            **description,
        }
        path = self.path / DESCRIPTION
        with reporting(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                replace(path, (json.dumps(about, indent=2, ensure_ascii=False) + "\n").encode())

    def description(self) -> dict[str, Any]:
        """What the key stands for; empty where nobody wrote it down. Raises FormatError for a file that is none."""
        path = self.path / DESCRIPTION
        try:
            about = parse_json(read_whole(path, _MAX_DESCRIPTION))
            _STAGE(about, "")
            if about["format_version"] != _DESCRIPTION_VERSION:
                raise FormatError(f"{path}: {other_version(about['format_version'], [_DESCRIPTION_VERSION])}")
            _ABOUT(about, "")
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise read_error(error, path) from None
        except UntrustedFile as error:
            raise FormatError(
                f"{path}: {error}, so it does not describe a stage; remove it, `star extract` writes it anew"
            ) from None
        return about

    def index(self) -> Index:
        """Which rows are there, and where, as of now."""
        return load_index(self.path, self.stage, self.key, self.schema)

    def segments(self) -> list[str]:
        """The names of all segments, sorted."""
        return segment_names(self.path)

    def segment(self, name: str) -> Segment:
        """One segment, its head read once. Raises FormatError for a name that is none, see `Segment` for more."""
        if name not in self._segments:
            segment = Segment(self.file(name))
            segment.check_home(self.stage, self.key)
            self._segments[name] = segment
        return self._segments[name]

    def file(self, segment: str) -> Path:
        """The file of a segment. Raises FormatError for a name that might lead elsewhere."""
        if not SEGMENT_NAME.fullmatch(f"{segment}.h5"):
            raise FormatError(f"{segment!r} is not the name of a segment (32 hex digits)")
        return self.path / f"{segment}.h5"

    def rows(self) -> Iterator[tuple[RowLocation, Row]]:
        """Every row, segment by segment in the order of their names; rows that stand twice come twice.

        Raises what `segment` raises.
        """
        for name in self.segments():
            for number, row in enumerate(self.segment(name).rows):
                yield RowLocation(name, number), row

    def write(
        self,
        rows: Sequence[Row],
        arrays: Mapping[str, np.ndarray],
        attributes: Mapping[str, Mapping[str, str]],
        provenance: Mapping[str, Any],
        compression: Compression = "none",
        inputs: Mapping[str, np.ndarray] | None = None,
    ) -> Path:
        """Add one segment, see `write_segment`."""
        with reporting(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        return write_segment(
            self.path, stage=self.stage, key=self.key, rows=rows, arrays=arrays, attributes=attributes,
            provenance=provenance, compression=compression, inputs=inputs,
        )  # fmt: skip

    def read(self, places: Sequence[RowLocation], name: str, rows: Sequence[Row | None] | None = None) -> np.ndarray:
        """A copy of the rows at these places, stacked in their order: (places, ...). At least one place.

        Each is proved by its checksum. rows: the clips that should be there. Raises CorruptSegment for one that is not
        what was written, or another clip's.
        """
        layout = self.segment(places[0].segment).layout(name)
        out = np.empty((len(places), *layout.shape[1:]), layout.dtype)
        for number, place in enumerate(places):
            segment = self.segment(place.segment)
            expected = rows[number] if rows else None
            if expected is not None:
                segment.check_row(place.row, expected)
            segment.read_into(name, [place.row], out[number : number + 1])
            segment.check_content(name, place.row, out[number])
        return out

    def digests(self, places: Sequence[RowLocation]) -> np.ndarray:
        """(places, 8) uint8: what rows that are made from these name as their inputs."""
        return np.stack([self.segment(place.segment).digests[place.row] for place in places])

    def map(self, segment: str, name: str) -> np.ndarray:
        """All rows of an array in a segment, as a read-only view of the file's bytes.

        Cheap to ask for again and again: ask for each access, rather than hold the views of many segments. Raises
        what `Segment` and `Segment.map` raise.
        """
        view = self.segment(segment).map(name)
        self._mapped.pop(segment, None)
        self._mapped[segment] = None
        while len(self._mapped) > _MAX_MAPS:
            with suppress(StopIteration, RuntimeError, KeyError):  # another thread was faster
                oldest = next(iter(self._mapped))
                del self._mapped[oldest]
                self._segments[oldest].unmap()
        return view

    def bytes(self) -> int:
        """Bytes of all its segments."""
        total = 0
        for name in self.segments():
            with suppress(FileNotFoundError):  # gone since the folder was listed
                total += self.file(name).lstat().st_size
        return total

    def quarantine(self, segment: str) -> Path:
        """Move a bad segment aside, where nothing reads it; its rows are missing from then on. Raises StorageError."""
        source, folder = self.file(segment), self.path / BAD
        with reporting(folder):
            folder.mkdir(exist_ok=True)
            source.replace(folder / source.name)
        self._segments.pop(segment, None)
        self._mapped.pop(segment, None)
        return folder / source.name

    def remove(self) -> None:
        """Delete the stage store: at once for everybody who looks, then file by file. Raises StorageError."""
        if self.path.is_symlink():
            raise StorageError(f"{self.path}: is a link to a folder elsewhere; delete that folder by hand")
        with reporting(self.path), partial(self.path.parent) as name:
            self.path.rename(name)
            shutil.rmtree(name)


class Store:
    """A cache folder. Making one touches nothing; `prepare` does."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def prepare(self) -> None:
        """Create the folder, make sure that it can be written to, delete what killed writers left.

        Raises StorageError.
        """
        with reporting(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            with partial(self.root) as probe:
                probe.write_bytes(b"star")
                now = probe.stat().st_mtime
            folders = [
                self.root,
                *(self.root / stage for stage in self._stages()),
                *(s.path for s in self.stage_stores()),
            ]
            for folder in folders:
                remove_leftovers(folder, now)

    def free_bytes(self) -> int:
        """Free space on the disk of the cache, whether or not the folder exists. Raises StorageError."""
        folder = next((f for f in (self.root, *self.root.absolute().parents) if f.is_dir()), Path("/"))
        with reporting(folder):
            return shutil.disk_usage(folder).free

    def stage_store(self, stage: str, key: str, schema: Schema | None = None) -> StageStore:
        """The stage store of a stage and key, which may be empty; schema: see `StageStore`.

        Raises ValueError for names that might lead elsewhere.
        """
        if not NAME.fullmatch(stage) or not KEY.fullmatch(key):
            raise ValueError(f"{stage!r}/{key!r}: a stage is a word in small letters, a key 32 hex digits")
        return StageStore(self.root / stage / key, stage, key, schema)

    def stage_stores(self) -> list[StageStore]:
        """All stage stores, by stage and key."""
        return [
            self.stage_store(stage, key)
            for stage in self._stages()
            for key in sorted(listing(self.root / stage))
            if KEY.fullmatch(key) and (self.root / stage / key).is_dir()
        ]

    def _stages(self) -> list[str]:
        names = sorted(name for name in listing(self.root) if NAME.fullmatch(name))
        return [name for name in names if (self.root / name).is_dir()]

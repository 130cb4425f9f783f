"""Small segments for the tests of the cache."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest

from star.cache.checksum import Row
from star.cache.segment import Segment
from star.cache.writer import Compression, write_segment
from star.errors import FormatError

KEY = "0123456789abcdef" * 2
ATTRIBUTES = {
    "keypoints": {"axes": "clip t person joint xys", "units": "px", "about": "joints of each person"},
    "frame_count": {"axes": "clip", "units": "1", "about": "frames of the video"},
}


class Clips(NamedTuple):
    rows: list[Row]
    arrays: dict[str, np.ndarray]


def clips(count: int, start: int = 0, view: int = 0) -> Clips:
    """Rows and arrays of `count` clips, each with values of its own; a row of keypoints is worth compressing."""
    random = np.random.default_rng([start, view])
    rows = [Row(f"läuft/clip {number}.mp4", f"{number:032x}", view) for number in range(start, start + count)]
    keypoints = random.integers(1, 999, (count, 16, 2, 13, 3)).astype(np.float32) / 8
    return Clips(rows, {"keypoints": keypoints, "frame_count": random.integers(1, 999, count, np.int32)})


def write(folder: Path, made: Clips, compression: Compression = "none", key: str = KEY) -> Path:
    """Write clips as a segment of the stage `pose`."""
    with suppress(FileExistsError):  # `exist_ok` raises it as well, for a folder that vanishes meanwhile
        folder.mkdir(parents=True)
    return write_segment(
        folder, stage="pose", key=key, rows=made.rows, arrays=made.arrays, attributes=ATTRIBUTES,
        provenance={"numpy": "2.0"}, compression=compression,
    )  # fmt: skip


@pytest.fixture(name="clips")
def _clips() -> Callable[..., Clips]:
    return clips


@pytest.fixture(name="write")
def _write() -> Callable[..., Path]:
    return write


@pytest.fixture
def forge(tmp_path: Path) -> Callable[..., str]:
    """A function: writes a whole segment, changes it with h5py, and returns what reading raises, without the path.

    read: reads the file at a path; by default all of it.
    """

    def made(change: Callable[[h5py.File], object], read: Callable[[Path], object] = _all_of) -> str:
        path = write(tmp_path / "forged", clips(2))
        with h5py.File(path, "r+") as file:
            change(file)
        with pytest.raises(FormatError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        return str(caught.value).removeprefix(f"{path}: ")

    return made


def _all_of(path: Path) -> object:
    return Segment(path).rows  # the ids are read last


@pytest.fixture
def small_disk(disk: Callable[[int], Path]) -> Path:
    """A real disk of 1 MiB, where one may be mounted."""
    return disk(1)

"""Golden files of every format version: every later star must read them, value by value.

They were made by star 0.1.0 (h5py 3.16, HDF5 2.0.0) with `python tests/cache/test_golden.py FOLDER`, from the
closed formulas in `arrays` below, and are never made anew: another format gets a version and a folder of its own.
expected.json was written beside them, from the formulas and not from the files.
"""

from __future__ import annotations

import doctest
import json
import shutil
import sys
from hashlib import blake2b
from pathlib import Path

import h5py
import numpy as np
import pytest

from star.cache.checksum import Row
from star.cache.digest import FORMAT_VERSION, READABLE
from star.cache.keys import stage_key
from star.cache.segment import Segment
from star.cache.store import StageStore, Store
from star.cache.verify import check_description, check_segment

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = {version: ROOT / "tests" / "data" / f"format_v{version}" for version in READABLE}
SETTINGS = {"source": "annotations", "people": 1, "margin": 0.5, "crop": None, "flip": True}
UPSTREAM = {"decode": "00112233445566778899aabbccddeeff"}
ATTRIBUTES = {
    "keypoints": {"axes": "clip t person joint xys", "units": "px", "about": "x, y and score of each joint"},
    "map": {"axes": "clip y x", "units": "1", "about": "a map of halves"},
    "time": {"axes": "clip t", "units": "s", "about": "time of each frame"},
    "frame_count": {"axes": "clip", "units": "1", "about": "frames of the video"},
    "flip": {"axes": "clip", "units": "1", "about": "1 where the clip is mirrored"},
}
SEGMENTS = {
    "none": [Row("walk/a.mp4", "a" * 32, 0), Row("walk/a.mp4", "a" * 32, 1), Row("läuft/ü 1.mp4", "b" * 32, 0)],
    "lzf": [Row("odd/\udcff.avi", "", 0)],  # a file name that is not UTF-8
    "gzip": [Row("日本/" + "長" * 300, "c" * 32, 7), Row("z", "z", 0)],
}


def arrays(compression: str) -> dict[str, np.ndarray]:
    """The values of one golden segment."""
    n, first = len(SEGMENTS[compression]), list(SEGMENTS).index(compression)
    count = np.arange(n * 16 * 1 * 25 * 3) + 1000 * first
    return {
        "keypoints": (count % 977 / 8).astype("<f4").reshape(n, 16, 1, 25, 3),
        "map": ((np.arange(n * 12) + first) % 7 / 2).astype("<f2").reshape(n, 3, 4),
        "time": np.arange(n * 4).astype("<f8").reshape(n, 4) / 30,
        "frame_count": (np.arange(n) + 100 * first).astype("<i4"),
        "flip": (np.arange(n) % 2).astype("u1"),
    }


def inputs(rows: list[Row]) -> dict[str, np.ndarray]:
    """What the rows of a golden segment say they were made from."""
    return {"decode": (np.arange(len(rows) * 8).reshape(-1, 8) * 3 + len(rows)).astype("u1")}


def make(folder: Path) -> None:
    """Write the golden files and what is expected of them."""
    stage_store = Store(folder).stage_store("pose", stage_key("pose", 1, SETTINGS, UPSTREAM))
    stage_store.describe({"version": 1, "settings": SETTINGS, "upstream": UPSTREAM})
    expected: dict[str, object] = {"key": stage_store.key}
    for compression, rows in SEGMENTS.items():
        made = arrays(compression)
        provenance = {"h5py": h5py.__version__}
        path = stage_store.write(rows, made, ATTRIBUTES, provenance, compression, inputs(rows))  # type: ignore[arg-type]
        values = {name: [array.dtype.name, list(array.shape), digest(array)] for name, array in made.items()}
        small = {name: made[name].tolist() for name in ("map", "time", "frame_count", "flip")}
        expected[path.stem] = {"rows": rows, "arrays": values, "values": small, "compression": compression}
        expected[path.stem]["inputs"] = inputs(rows)["decode"].tolist()  # type: ignore[index]
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


def digest(array: np.ndarray) -> str:
    return blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).hexdigest()


@pytest.fixture(scope="module", params=READABLE)
def version(request) -> int:
    return request.param


@pytest.fixture(scope="module")
def expected(version) -> dict:
    return json.loads((GOLDEN[version] / "expected.json").read_text())


@pytest.fixture
def stage_store(tmp_path, version, expected) -> StageStore:
    """A copy, so that no index is written beside the golden files."""
    shutil.copytree(GOLDEN[version], tmp_path / "cache")
    return Store(tmp_path / "cache").stage_store("pose", expected["key"])


def test_golden_files_are_whole(stage_store, version, expected):
    """Their bytes are those of their names, their checksums hold, their description makes their key."""
    assert stage_store.segments() == sorted(set(expected) - {"key"}) and len(stage_store.segments()) == 3
    for name in stage_store.segments():
        assert stage_store.segment(name).head.version == version
        assert check_segment(stage_store.file(name), "pose", expected["key"]) == []
    assert check_description(stage_store) == []
    assert stage_key("pose", 1, SETTINGS, UPSTREAM) == expected["key"]


def test_golden_values_are_read(stage_store, expected):
    """Every row, type, shape and value of every golden segment, compressed or not."""
    for name in stage_store.segments():
        segment, wanted = stage_store.segment(name), expected[name]
        assert segment.rows == [Row(*row) for row in wanted["rows"]]
        assert list(segment.names) == sorted(wanted["arrays"])
        assert {n: {"axes": a["axes"], "units": a["units"], "about": a["about"]} for n, a in
                segment.head.attributes.items()} == ATTRIBUTES  # fmt: skip
        for array, (dtype, shape, blake) in wanted["arrays"].items():
            values = segment.read(array)
            assert (values.dtype.name, list(values.shape), digest(values)) == (dtype, shape, blake)
        for array, values in wanted["values"].items():
            assert segment.read(array).tolist() == values
        if "inputs" in wanted:
            assert segment.head.inputs == ("decode",) and segment.inputs[:, 0].tolist() == wanted["inputs"]


def test_golden_rows_are_found(stage_store, expected):
    """The index over golden segments finds each row where it is."""
    index = stage_store.index()
    assert len(index) == 6
    for name in stage_store.segments():
        for number, row in enumerate(expected[name]["rows"]):
            assert index.find(Row(*row)) == (name, number)


@pytest.mark.parametrize("version", [1, 2], indirect=True)
def test_a_stage_store_holds_segments_of_several_versions(stage_store, version, expected):
    """A cache that an older star made goes on: new rows lie beside the old ones, and all of them are proved."""
    row, made = Row("new.mp4", "d" * 32, 0), {name: array[:1] for name, array in arrays("none").items()}
    path = stage_store.write([row], made, ATTRIBUTES, {}, "none")
    versions = {stage_store.segment(name).head.version for name in stage_store.segments()}
    assert versions == {version, FORMAT_VERSION} and len(stage_store.index()) == 7
    assert [problem for name in stage_store.segments() for problem in check_segment(stage_store.file(name))] == []
    assert stage_store.index().find(row) == (path.stem, 0)


def test_golden_files_are_read_without_star(version, expected):
    """Plain h5py and FORMAT.md are enough: datasets at the root, one row a clip, text padded with NUL."""
    for name, wanted in expected.items():
        if name == "key":
            continue
        with h5py.File(GOLDEN[version] / "pose" / expected["key"] / f"{name}.h5", "r", locking=False) as file:
            ids = [text.decode("utf-8", "surrogateescape") for text in file["video_id"][()].tolist()]
            assert ids == [row[0] for row in wanted["rows"]]
            assert file["view"][()].tolist() == [row[2] for row in wanted["rows"]]
            assert file["keypoints"].compression == {"none": None}.get(wanted["compression"], wanted["compression"])
            assert file["keypoints"].attrs["axes"] == b"clip t person joint xys"
            for array, values in wanted["values"].items():
                assert file[array][()].tolist() == values


@pytest.mark.parametrize("version", [FORMAT_VERSION], indirect=True)
def test_star_still_writes_the_same_values(tmp_path, stage_store, expected):
    """Written anew today, the same rows give the same checksums, types and texts as in the golden files."""
    for name in stage_store.segments():
        golden, compression = stage_store.segment(name), expected[name]["compression"]
        fresh = Store(tmp_path / "fresh").stage_store("pose", expected["key"])
        rows = SEGMENTS[compression]
        path = fresh.write(rows, arrays(compression), ATTRIBUTES, {}, compression, inputs(rows))
        written = Segment(path)
        assert np.array_equal(written.read("checksum"), golden.read("checksum"))
        assert written.head.attributes == golden.head.attributes
        assert {n: (d.dtype, d.shape, d.offset is None) for n, d in written.head.datasets.items()} == {
            n: (d.dtype, d.shape, d.offset is None) for n, d in golden.head.datasets.items()
        }


def test_the_worked_example(monkeypatch):
    """Every line of Python in FORMAT.md gives what is printed there."""
    monkeypatch.chdir(ROOT)
    failed, tried = doctest.testfile(str(ROOT / "cache" / "FORMAT.md"), module_relative=False, encoding="utf-8")
    assert (failed, tried > 5) == (0, True)


if __name__ == "__main__":
    make(Path(sys.argv[1]))

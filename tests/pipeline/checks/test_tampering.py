"""Wrong data in the cache: what feeds a stage or a network is proved first, and what is wrong can be mended."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from star.cache import index_file
from star.cache.digest import segment_name
from star.cache.store import StageStore
from star.cli import main
from star.pipeline.planning.plan import plan
from star.pipeline.recipe import schema as recipes

SIGMA = ("--set", "heatmaps.sigma=1.5")


def star(*words: object) -> Result:
    return CliRunner().invoke(main, [*map(str, words), "-q"])


def stage_store_of(recipe: Path, stage: str) -> StageStore:
    return plan(recipes.load(recipe)).stages[stage].stage_store


def mend(recipe: Path, *words: object) -> None:
    """Do as the messages say: --repair, extract; then all is well, also for the network."""
    for command in (("verify", recipe, *words, "--repair"), ("extract", recipe, *words, "--workers", 1)):
        result = star(*command)
        assert result.exit_code == 0, result.output
    result = star("verify", recipe, *words)
    assert result.exit_code == 0 and result.output.startswith("all is well"), result.output


def change_value(path: Path, array: str, *, rename: bool = False) -> None:
    """Change the first number of an array in place; rename: give the file the name that its bytes now deserve."""
    with h5py.File(path, "r+") as file:
        first = (0,) * file[array].ndim
        file[array][first] = file[array][first] + 1
    if rename:
        with path.open("rb") as file:
            name = segment_name(file)
        path.rename(path.with_name(f"{name}.h5"))


def test_a_changed_row_feeds_no_stage(small: Path) -> None:
    """Joints that were changed in place make no heat maps; after a repair all that was made from them is anew."""
    assert star("extract", small, *SIGMA, "--workers", 1).exit_code == 0
    stage_store = stage_store_of(small, "pose")
    path = stage_store.file(stage_store.segments()[0])
    clips = {row.video_id for row in stage_store.segment(path.stem).rows}
    change_value(path, "keypoints")
    result = star("extract", small, "--set", "heatmaps.sigma=2.5", "--workers", 1)
    assert result.exit_code == 4
    assert "is not what was written; `star verify RECIPE --repair` moves it aside" in result.stderr
    result = star("verify", small, "--repair")
    assert result.exit_code == 0
    for words in ((), SIGMA):  # the heat maps of either recipe were made from what was moved
        stages = plan(recipes.load(small, words[1:])).stages
        lost = {name: {clip.video.id for clip in stage.missing} for name, stage in stages.items()}
        assert lost == {"decode": set(), "pose": clips, "backbone": clips, "heatmaps": clips, "tokens": clips}
    for words in ((), SIGMA):
        assert star("extract", small, *words, "--workers", 1).exit_code == 0
        assert star("verify", small, *words).exit_code == 0


def test_rows_say_what_they_were_made_from(small: Path) -> None:
    """Joints that were replaced by others, with all digests right, do not go with heat maps of the old ones."""
    recipe = recipes.load(small)
    stage_store = stage_store_of(small, "pose")
    name = stage_store.segments()[0]
    segment = stage_store.segment(name)
    arrays = {array: segment.read(array) for array in segment.names}
    arrays["keypoints"][0, :, :, :, 0] += 3
    inputs = {"decode": segment.inputs[:, 0]}
    about = {array: about.attributes() for array, about in plan(recipe).graph["pose"].stage.arrays.items()}
    rows = segment.rows
    stage_store.file(name).unlink()
    stage_store.write(rows, arrays, about, {}, inputs=inputs)
    result = star("verify", small)
    assert result.exit_code == 4
    assert "1 clip was made from other rows of pose than are there" in result.output
    mend(small)


def wrong_places(stage_store: StageStore) -> None:
    """An index with the right digest whose rows are turned by one."""
    path = stage_store.path / "index"
    content = path.read_bytes()
    about = index_file._IndexedStore(stage_store.path, stage_store.stage, stage_store.key, stage_store.schema)
    index = index_file._unpack(content, about)
    index.row[:]
    body = index_file._pack(index.__class__(index.segments, index.keys, index.clips, index.segment,
                                            np.roll(index.row, 1), index.source), about)  # fmt: skip
    assert body[:32] == blake2b(body[33:], digest_size=16).hexdigest().encode() and body != content
    path.write_bytes(body)


def exchanged_names(stage_store: StageStore) -> None:
    first, second = (stage_store.file(name) for name in stage_store.segments()[:2])
    first.rename(first.with_suffix(".x"))
    second.rename(first)
    first.with_suffix(".x").rename(second)


def another_key(stage_store: StageStore) -> None:
    path = stage_store.file(stage_store.segments()[0])
    segment = stage_store.segment(path.stem)
    other = StageStore(stage_store.path.parent / ("f" * 32), stage_store.stage, "f" * 32)
    arrays = {name: segment.read(name) for name in segment.names}
    made = other.write(segment.rows, arrays, segment.head.attributes, {})
    made.replace(path)
    shutil.rmtree(other.path)


def flipped_byte(stage_store: StageStore) -> None:
    path = stage_store.file(stage_store.segments()[0])
    content = bytearray(path.read_bytes())
    content[stage_store.segment(path.stem).layout("global_grid").offset + 5] ^= 16
    path.write_bytes(content)


@pytest.mark.parametrize("fault", [wrong_places, exchanged_names, another_key, flipped_byte])
@pytest.mark.parametrize("preload", ["none", "memory"])
def test_no_row_of_another_place_is_trained_on(
    small: Path, tmp_path: Path, fault: Callable[[StageStore], None], preload: str
) -> None:
    """One line and exit code 4, and the way out that it names works."""
    stage_store = stage_store_of(small, "backbone")
    fault(stage_store)
    train = ("train", small, "--set", f"train.preload={preload}", "--run")
    result = star(*train, tmp_path / "first")
    assert result.exit_code == 4, result.output
    assert len(result.stderr.splitlines()) == 1 and str(stage_store.path) in result.stderr
    result = star("verify", small)
    assert result.exit_code == 4
    mend(small)
    result = star(*train, tmp_path / "second")
    assert result.exit_code == 0, result.output


def extra(file: h5py.File) -> None:
    file["more"] = file["keypoints"][()] * 2
    for name, value in file["keypoints"].attrs.items():
        file["more"].attrs.create(name, value, dtype=h5py.string_dtype("utf-8", max(1, len(value))))


def other_name(file: h5py.File) -> None:
    file["hard"] = file["keypoints"]


def other_units(file: h5py.File) -> None:
    file["keypoints"].attrs.create("units", np.bytes_(b"metres"), dtype=h5py.string_dtype("utf-8", 6))


def other_shape(file: h5py.File) -> None:
    values, about = file["keypoints"][()], dict(file["keypoints"].attrs)
    del file["keypoints"]
    file["keypoints"] = values[:, :5]
    for name, value in (about | {"shape": b" ".join(b"%d" % n for n in (5, *values.shape[2:]))}).items():
        file["keypoints"].attrs.create(name, np.bytes_(value), dtype=h5py.string_dtype("utf-8", max(1, len(value))))


def no_attribute(file: h5py.File) -> None:
    del file.attrs["provenance"]


def negative_view(file: h5py.File) -> None:
    file["view"][0] = -1


def twice(file: h5py.File) -> None:
    for name in ("video_id", "source", "view"):
        file[name][1] = file[name][0]


def later(file: h5py.File) -> None:
    file.attrs["format_version"] = 9


@pytest.mark.parametrize(
    "change", [extra, other_name, other_units, other_shape, no_attribute, negative_view, twice, later]
)
def test_a_segment_of_another_schema_is_not_cached(small: Path, change: Callable[[h5py.File], None]) -> None:
    """Its rows are missing for the planner, `star verify` finds it, and --repair moves it aside, whatever it is."""
    stage_store = stage_store_of(small, "pose")
    path = stage_store.file(stage_store.segments()[0])
    rows = len(stage_store.segment(path.stem))
    with h5py.File(path, "r+") as file:
        change(file)
    with path.open("rb") as file:
        name = segment_name(file)
    path = path.rename(path.with_name(f"{name}.h5"))
    if change is not later:
        missing = plan(recipes.load(small)).stages["pose"]
        assert len(missing.missing) == rows and str(path) in missing.broken[0]
    result = star("verify", small)
    assert result.exit_code == 4 and str(path) in result.output
    mend(small)
    assert not path.exists()


def test_segments_of_other_joints_are_found(small: Path) -> None:
    """The number of joints is not in the key: a segment with another one than the rest is the odd one."""
    stage_store = stage_store_of(small, "pose")
    segment = stage_store.segment(stage_store.segments()[0])
    arrays = {"keypoints": np.concatenate([segment.read("keypoints")] * 2, axis=3)}
    inputs = {"decode": segment.inputs[:, 0]}
    rows, about = segment.rows, segment.head.attributes
    segment.path.unlink()
    path = stage_store.write(rows, arrays, about, {}, inputs=inputs)
    result = star("verify", small)
    assert result.exit_code == 4 and f"{path}: keypoints (16, 1, 26, 3) a clip, unlike most" in result.output
    mend(small)


def test_a_layout_has_so_many_joints(small: Path) -> None:
    """Where the recipe names a layout, the number of joints is known: rows with another one are not cached."""
    words = ("--set", "pose.layout=coco")
    assert star("extract", small, *words, "--workers", 1).exit_code == 0
    stages = plan(recipes.load(small, words[1:])).stages
    for name, array, axis in (("pose", "keypoints", 3), ("heatmaps", "joint_heatmap", 2)):
        stage_store = stages[name].stage_store
        for segment in [stage_store.segment(one) for one in stage_store.segments()]:
            arrays = {array: np.concatenate([segment.read(array)] * 2, axis=axis)}
            inputs = {above: segment.inputs[:, number] for number, above in enumerate(segment.head.inputs)}
            rows, about = segment.rows, segment.head.attributes
            segment.path.unlink()
            stage_store.write(rows, arrays, about, {}, inputs=inputs)
        stage = plan(recipes.load(small, words[1:])).stages[name]
        assert len(stage.missing) == 24 and "where the stage has" in stage.broken[0]
        result = star("verify", small, *words)
        assert result.exit_code == 4 and "17, " in result.output
        mend(small, *words)


@pytest.mark.parametrize("content", [None, "{}", '{"format": "star stage", "format_version": 9}', "[" * 5000])
def test_a_description_is_written_anew(small: Path, content: str | None) -> None:
    """stage.json gone or strange: one line, and --repair or `star extract` writes it anew although all is cached."""
    path = stage_store_of(small, "heatmaps").path / "stage.json"
    before = path.read_bytes()
    path.unlink()
    if content is None:
        assert star("verify", small).exit_code == 4
        assert star("extract", small, "--workers", 1).exit_code == 0
    else:
        path.write_text(content)
        assert star("extract", small).exit_code == 4
        mend(small)
    assert path.read_bytes() == before


def test_train_without_checksums_still_compares_the_clips(small: Path, tmp_path: Path) -> None:
    """`train.checksums: false` trusts the bytes, never the places."""
    stage_store = stage_store_of(small, "backbone")
    flipped_byte(stage_store)
    trust = ("--set", "train.checksums=false", "--run")
    assert star("train", small, *trust, tmp_path / "first").exit_code == 0
    wrong_places(stage_store)
    assert star("train", small, *trust, tmp_path / "second").exit_code == 4

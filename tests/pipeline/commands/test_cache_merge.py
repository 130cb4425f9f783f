"""`star cache copy, merge`: nothing is lost, nothing changed, and what contradicts itself is named and not copied."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from star.cache.store import Store
from star.errors import CorruptSegment, UsageError
from star.pipeline.checks.verify import verify
from star.pipeline.commands.cache_merge import run_copy, run_merge
from star.pipeline.planning.plan import plan
from star.pipeline.recipe import schema as recipes


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*.h5")}


def load_with(path: Path, root: Path) -> recipes.Recipe:
    return recipes.load(path, (f"cache.root={root}",))


def test_two_halves_merge_into_the_whole(small: Path, tmp_path: Path) -> None:
    """Each machine has every second segment; together they are the cache, and no clip is left to extract."""
    whole, halves = tmp_path / "cache", [tmp_path / "first", tmp_path / "second"]
    for number, half in enumerate(halves):
        shutil.copytree(whole, half)
        for stage_store in Store(half).stage_stores():
            for name in stage_store.segments()[number::2]:
                stage_store.file(name).unlink()
    result = run_merge(tmp_path / "into", halves, quiet=True)
    assert result.exit_code == 0
    assert contents(tmp_path / "into") == contents(whole)
    recipe = load_with(small, tmp_path / "into")
    assert plan(recipe).missing == 0
    assert verify(recipe, quiet=True).problems == ()
    again = run_merge(tmp_path / "into", halves, quiet=True)
    assert sum(stage.copied for stage in again.stages) == 0


def test_a_clip_with_other_values_is_named_and_nothing_is_copied(small: Path, tmp_path: Path) -> None:
    whole, other = Store(tmp_path / "cache"), Store(tmp_path / "other")
    stage_store = next(one for one in whole.stage_stores() if one.stage == "tokens")
    segment = stage_store.segment(stage_store.segments()[0])
    arrays = {name: segment.read(name) for name in segment.names}
    arrays["joint_map"][1] += np.float16(1)
    other.stage_store("tokens", stage_store.key).write(
        segment.rows, arrays, segment.head.attributes, segment.provenance, inputs={"none": segment.digests}
        if segment.inputs is None else dict(zip(segment.head.inputs, segment.inputs.transpose(1, 0, 2), strict=True)),
    )  # fmt: skip
    before = contents(whole.root)
    result = run_merge(whole.root, [other.root], quiet=True)
    assert result.exit_code == 4
    assert [one.row for one in result.conflicts] == [segment.rows[1]]
    assert segment.rows[1].video_id in result.to_lines()[0]
    assert contents(whole.root) == before


def test_a_damaged_segment_is_not_copied(small: Path, tmp_path: Path) -> None:
    stage_store = Store(tmp_path / "cache").stage_stores()[0]
    path = stage_store.file(stage_store.segments()[0])
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptSegment, match=path.name):
        run_merge(tmp_path / "into", [tmp_path / "cache"], quiet=True)
    assert not list((tmp_path / "into").rglob(path.name))


def test_copy_takes_what_the_recipe_uses_and_no_more(small: Path, tmp_path: Path) -> None:
    """Another key, and segments of no clip of the recipe, stay behind; training needs no more than what came."""
    root = tmp_path / "cache"
    stage_store = next(one for one in Store(root).stage_stores() if one.stage == "tokens")
    shutil.copytree(stage_store.path, stage_store.path.with_name("0" * 32))
    run_copy(recipes.load(small), root, tmp_path / "to", quiet=True)
    copied = contents(tmp_path / "to")
    assert copied == {name: content for name, content in contents(root).items() if "0" * 32 not in name}
    recipe = load_with(small, tmp_path / "to")
    assert plan(recipe).missing == 0
    assert verify(recipe, quiet=True).problems == ()


def test_folders_are_checked_first(small: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="named twice"):
        run_merge(tmp_path / "cache", [tmp_path / "cache"], quiet=True)
    with pytest.raises(UsageError, match="no such folder"):
        run_copy(recipes.load(small), tmp_path / "none", tmp_path / "to", quiet=True)

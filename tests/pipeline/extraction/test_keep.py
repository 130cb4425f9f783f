"""`backbone.keep: grid`: the same features without the local map on the disk; other tokens read the videos again."""

from __future__ import annotations

from pathlib import Path

import pytest

from star.errors import RecipeError
from star.pipeline.checks.verify import verify
from star.pipeline.extraction.execution import ExecutionConfig
from star.pipeline.extraction.runner import extract
from star.pipeline.planning.cost import clip_bytes
from star.pipeline.planning.plan import Plan, plan
from star.pipeline.planning.status import status
from star.pipeline.planning.work_units import units
from star.pipeline.recipe import schema as recipes

GRID = "backbone.keep=grid"
SIGMA = "heatmaps.sigma=2"
CLIPS = 24


def extracted(path: Path, *overrides: str) -> Plan:
    """The plan of a recipe after its extraction."""
    extract(recipes.load(path, overrides), execution=ExecutionConfig(workers=1), quiet=True)
    return plan(recipes.load(path, overrides))


def rows(planned: Plan, stage: str, array: str) -> dict[tuple[str, int], bytes]:
    found = planned.stages[stage]
    return {clip: found.stage_store.read([place], array).tobytes() for clip, place in found.places.items()}


def test_the_grid_alone_is_stored_and_tokens_are_shared(small: Path) -> None:
    """Beside a full cache only the grid is missing: heat maps and tokens are the same rows, whatever is kept."""
    whole, before = plan(recipes.load(small)), plan(recipes.load(small, (GRID,)))
    assert {name: len(stage.missing) for name, stage in before.stages.items()} == {
        "decode": 0, "pose": 0, "backbone": CLIPS, "heatmaps": 0, "tokens": 0,
    }  # fmt: skip
    after = extracted(small, GRID)
    assert after.missing == 0
    assert rows(after, "backbone", "global_grid") == rows(whole, "backbone", "global_grid")
    stage_store = after.stages["backbone"].stage_store
    assert {name for segment in stage_store.segments() for name in stage_store.segment(segment).head.datasets} >= {
        "global_grid"
    }
    assert not any("local_map" in stage_store.segment(segment).head.datasets for segment in stage_store.segments())
    assert stage_store.bytes() == pytest.approx(CLIPS * clip_bytes(after, "backbone"), rel=0.2)
    assert clip_bytes(whole, "backbone") - clip_bytes(after, "backbone") == 2 * 16 * 128 * 8 * 8
    assert not verify(recipes.load(small, (GRID,)), quiet=True).problems


def test_from_nothing_all_is_made_in_one_pass(small: Path, tmp_path: Path) -> None:
    """The same tokens as with the local map stored, bit for bit."""
    new = extracted(small, GRID, f"cache.root={tmp_path / 'new'}")
    assert new.missing == 0
    assert rows(new, "tokens", "joint_map") == rows(plan(recipes.load(small)), "tokens", "joint_map")


def test_other_heat_maps_need_the_videos_again_and_status_says_so(small: Path) -> None:
    """The backbone runs once more for the tokens, and its rows stay as they are."""
    extracted(small, GRID)
    overrides = (GRID, SIGMA)
    before = plan(recipes.load(small, overrides))
    state = status(before)
    why = {stage.stage: stage.why for stage in state.stages}
    assert why["tokens"] == "heatmaps changed; the videos are read again, see backbone.keep"
    assert why["heatmaps"] == "sigma 1.0 → 2.0"
    assert "the videos are read again, see backbone.keep" in "\n".join(state.to_lines())
    assert "read again" not in "\n".join(status(plan(recipes.load(small, (SIGMA,)))).to_lines())
    work = units(before)
    assert {unit.again for unit in work} == {("backbone",)}
    assert {tuple(unit.inputs) for unit in work} == {("decode", "pose")}
    segments = before.stages["backbone"].stage_store.segments()
    after = extracted(small, *overrides)
    assert after.missing == 0
    assert after.stages["backbone"].stage_store.segments() == segments
    assert rows(after, "tokens", "joint_map") == rows(extracted(small, SIGMA), "tokens", "joint_map")


def test_what_reads_the_local_map_in_training_is_refused(small: Path) -> None:
    """A convolution of its own over the local map."""
    with pytest.raises(RecipeError, match=r"keep: grid: tokens.form: concat_conv reads the local map in training; set"):
        recipes.load(small, (GRID, "tokens.form=concat_conv"))

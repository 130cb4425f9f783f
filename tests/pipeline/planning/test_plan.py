"""Plans and what is said of them: status, cost, selection, stage stores."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from star.errors import DatasetError, StorageError, UsageError
from star.pipeline.commands.cache import run_diff, run_gc, run_ls
from star.pipeline.planning.cost import check_space, clip_bytes
from star.pipeline.planning.gpu_estimate import BACKBONE_FLOPS
from star.pipeline.planning.plan import clips_of, plan, remember, select
from star.pipeline.planning.status import changes, status
from star.pipeline.planning.work_units import units
from star.pipeline.recipe import schema as recipes

STAGES = ("decode", "pose", "backbone", "heatmaps", "tokens")


def test_bytes_are_foretold_from_shapes(extracted: Path) -> None:
    """What a clip will take is known before the first one is extracted, to a tenth of the real segments."""
    found = plan(recipes.load(extracted))
    for name, stage in found.stages.items():
        if name in ("backbone", "heatmaps", "tokens"):
            assert stage.stage_store.bytes() == pytest.approx(24 * clip_bytes(found, name), rel=0.1)


def test_a_disk_that_is_too_small_is_refused_before_the_start(extracted: Path, tmp_path: Path) -> None:
    """The line says what is free and what is needed."""
    overrides = (f"cache.root={tmp_path / 'other'}", "decode.views.train=2000", "backbone.size=1120")
    planned = plan(recipes.load(extracted, overrides))
    with pytest.raises(StorageError, match=r"other has .* free, and .* would be written; free space, "):
        check_space(planned)


def test_status_names_the_setting_and_the_cost(extracted: Path) -> None:
    """Per stage: what is missing, which setting did it, how many bytes and seconds it will take."""
    state = status(plan(recipes.load(extracted, ("heatmaps.sigma=2",))))
    rows = {row.stage: row for row in state.stages}
    assert [rows[name].missing for name in STAGES] == [0, 0, 0, 24, 24]
    assert rows["heatmaps"].why == "sigma 1.0 → 2.0"
    assert rows["heatmaps"].bytes_to_write > 0
    assert rows["heatmaps"].seconds is not None


def test_status_says_what_the_video_network_would_take(extracted: Path) -> None:
    """Only where it is still to be run: FLOPs with the square of the side, bytes of a clip and of a unit."""
    assert status(plan(recipes.load(extracted))).cost.backbone is None
    state = status(plan(recipes.load(extracted, ("backbone.size=224", "cache.segment=16"))))
    cost = state.cost
    assert cost.backbone is not None
    assert cost.backbone.clips == 24
    assert cost.backbone.flops_per_clip == pytest.approx(346.7e9, rel=1e-3)
    assert cost.unit_bytes == 16 * cost.clip_bytes > 16 * 12.8e6
    assert any("347 GFLOP a clip" in line for line in state.to_lines())


def test_the_video_networks_flops_are_torchs() -> None:
    """The constant of the estimate, counted on torchvision's network."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from torchvision.models.video import mc3_18

    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        mc3_18()(torch.empty(1, 3, 16, 112, 112))
    assert counter.get_total_flops() == pytest.approx(BACKBONE_FLOPS, rel=1e-3)


def test_changes_tell_version_from_setting() -> None:
    """A raised version number is a reason of its own; so is a stage above."""
    old = {"version": 1, "settings": {"sigma": 1, "crop": {"margin": 0.1}}, "upstream": {"pose": "a"}}
    new = {"version": 2, "settings": {"sigma": 1, "crop": {"margin": 0.2}}, "upstream": {"pose": "b"}}
    assert changes(old, new) == ["crop.margin 0.1 → 0.2", "version 1 → 2"]
    assert changes(old, {**old, "upstream": {"pose": "b"}}) == ["pose changed"]


def test_units_keep_the_views_of_a_video_together(extracted: Path) -> None:
    """All views of a video come from one decode, so they are one task."""
    planned = plan(recipes.load(extracted, ("decode.views.train=3", "decode.seed=1")))
    work = units(planned)
    views = [(video.id, view) for unit in work for video, view in unit.clips]
    assert views == [(clip.video.id, clip.view) for clip in clips_of(planned.recipe, planned.manifest)]
    assert all(unit.stages == STAGES for unit in work)


def test_a_selection_leaves_out_what_is_not_cached_and_says_so(small: Path) -> None:
    """Training on a cache with a hole goes on without those videos, by name and reason."""
    stage = plan(recipes.load(small)).stages["tokens"]
    gone = stage.stage_store.segments()[0]
    lost = {row.video_id for row in stage.stage_store.segment(gone).rows}
    stage.stage_store.file(gone).unlink()
    planned = plan(recipes.load(small))
    left_out = []
    for split in ("train", "test"):
        chosen = select(planned, split, ("backbone", "tokens"))
        assert not lost & {video.id for video in chosen.videos}
        left_out += chosen.left_out
    assert sorted(left_out) == sorted((video, "not extracted yet") for video in lost)


def test_the_list_of_videos_is_kept_in_the_cache(small: Path, tmp_path: Path) -> None:
    """A laptop that has only the cache can plan and train: labels, splits and digests travel with the features."""
    planned = plan(recipes.load(small, (f"dataset.root={tmp_path / 'elsewhere' / 'data'}",)))
    assert planned.warning.startswith(f"dataset.root: {tmp_path}/elsewhere/data is not there; going on with the list")
    assert all(len(stage.places) == 24 for stage in planned.stages.values())
    assert len(select(planned, "test", ("backbone", "tokens"))) == 8


def test_status_tells_of_videos_that_left_the_data_set(small: Path, drawn: Path, tmp_path: Path) -> None:
    """A video that is taken off the list is named as removed, also later, until it is back."""
    root = tmp_path / "data"
    shutil.copytree(drawn, root)
    overrides = (f"dataset.root={root}",)
    listed = root / "clips.csv"
    before = listed.read_text()
    listed.write_text("\n".join(row for row in before.splitlines() if "wave_000" not in row))
    for _ in range(2):
        planned = plan(recipes.load(small, overrides))
        remember(planned)
        state = status(planned)
        assert state.removed_videos == ("videos/wave_000.mp4",)
        assert state.to_lines()[-1] == "removed from the data set since, and left out: 1 video (videos/wave_000.mp4)"
        assert all(stage.cached == 23 and not stage.missing for stage in state.stages)
    listed.write_text(before)
    assert status(plan(recipes.load(small, overrides))).warnings == ()


def test_a_broken_segment_is_told_and_its_clips_are_missing(small: Path) -> None:
    """Never an exception, and never silence: what cannot be read is named, with the remedy."""
    planned = plan(recipes.load(small))
    stage_store = planned.stages["heatmaps"].stage_store
    name = stage_store.segments()[0]
    rows = len(stage_store.segment(name).rows)
    (stage_store.path / "index").unlink()
    stage_store.file(name).write_bytes(b"no HDF5")
    state = status(plan(recipes.load(small)))
    assert [stage.missing for stage in state.stages] == [0, 0, 0, rows, 0]
    assert name in state.warnings[0]
    assert state.warnings[1] == "broken segments count as missing; `star verify RECIPE --repair` moves them aside"


def test_ls_and_gc_find_what_no_recipe_uses(small: Path) -> None:
    """gc deletes nothing without being told to, and then only what none of the recipes uses."""
    recipe = recipes.load(small)
    other = recipes.load(small, ("heatmaps.sigma=2",))
    assert {entry.stage: entry.rows for entry in run_ls(recipe.cache.root).entries} == dict.fromkeys(STAGES, 24)
    assert [entry.stage for entry in run_gc([other]).entries] == ["heatmaps", "tokens"]
    assert len(run_ls(recipe.cache.root).entries) == 5
    assert run_gc([other, recipe]).entries == ()
    run_gc([other], remove=True)
    assert {entry.stage for entry in run_ls(recipe.cache.root).entries} == {"decode", "pose", "backbone"}


def test_gc_of_two_caches_is_refused(small: Path, tmp_path: Path) -> None:
    """What one recipe does not use in another's cache is none of its business."""
    other = recipes.load(small, (f"cache.root={tmp_path / 'other'}",))
    with pytest.raises(UsageError, match=r"^cache gc: the recipes name 2 caches; give recipes of one cache$"):
        run_gc([recipes.load(small), other])


def test_diff_of_two_recipes(small: Path, tmp_path: Path) -> None:
    """Only what changes features is a difference."""
    other = tmp_path / "other.yaml"
    shutil.copy(small, other)
    other.write_text(other.read_text().replace("epochs: 1", "epochs: 2") + "heatmaps: {sigma: 2}\n")
    assert run_diff(small, other).to_lines() == [
        "heatmaps: sigma 1.0 → 2.0",
        "tokens: heatmaps changed",
    ]
    assert run_diff(small, small).to_lines() == ["no difference: both mean the same features"]


def test_bare_heat_maps_need_no_backbone(extracted: Path) -> None:
    """It is planned only where it is read, or asked for by name."""
    bare = ("tokens.form=heatmap", "model.modalities=joint")
    assert list(plan(recipes.load(extracted, bare)).stages) == ["decode", "pose", "heatmaps"]
    assert "backbone" in plan(recipes.load(extracted, bare), only=("backbone",)).stages
    assert "backbone" in plan(recipes.load(extracted, bare[:1])).stages
    assert "backbone" in plan(recipes.load(extracted, bare[1:])).stages


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_side_of_the_split_without_a_video_is_said(small, split):
    """What can be done about it, and not that `star extract` would help."""
    found = plan(recipes.load(small))
    found.manifest = replace(found.manifest, videos=[v for v in found.manifest.videos if v.split != split])
    with pytest.raises(DatasetError, match=f"no {split} video among the ") as error:
        select(found, split, ("tokens",))
    assert "star extract" not in str(error.value)


def test_one_class_is_nothing_to_learn(small):
    """Every answer would be right."""
    from star.pipeline.planning import train_test_selection as module

    recipe = recipes.load(small)
    found = plan(recipe)
    alone = replace(found.manifest, videos=[v for v in found.manifest.videos if v.label == 0])
    found.manifest = alone
    with pytest.MonkeyPatch.context() as patch, pytest.raises(DatasetError, match="only one class, "):
        patch.setattr(module, "plan", lambda *_, **__: found)
        module.selections(recipe, ("train", "test"), True)

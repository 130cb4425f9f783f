"""`decode.keep: frames`: what the backbone sees is a stage, and with it the backbone runs again without a video."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from star.errors import DatasetError, RecipeError, UsageError
from star.pipeline.checks.verify import verify
from star.pipeline.extraction.audit import audit
from star.pipeline.extraction.execution import ExecutionConfig
from star.pipeline.extraction.runner import extract
from star.pipeline.planning.cost import clip_bytes
from star.pipeline.planning.plan import Plan, plan
from star.pipeline.planning.stage_graph import graph
from star.pipeline.planning.status import status
from star.pipeline.planning.work_units import units
from star.pipeline.recipe import schema as recipes
from star.stages.cropping import crop_frame

KEEP = "decode.keep=frames"
CLIPS = 24
HERE = ExecutionConfig(workers=1)


@pytest.fixture(scope="module")
def kept(drawn: Path, extracted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe with a data set of its own and a full cache with its frames; read it, do not change it."""
    folder = tmp_path_factory.mktemp("kept")
    shutil.copytree(drawn, folder / "data")
    path = folder / "star.yaml"
    text = extracted.read_text().replace(str(drawn), str(folder / "data"))
    path.write_text(text.replace(str(extracted.parent / "cache"), str(folder / "cache")))
    extract(recipes.load(path, (KEEP,)), execution=HERE, quiet=True)
    return path


@pytest.fixture
def gone(kept: Path, tmp_path: Path) -> Path:
    """The same with a cache of one's own, and the videos gone."""
    shutil.copytree(kept.parent / "cache", tmp_path / "cache")
    shutil.copytree(kept.parent / "data", tmp_path / "data")
    path = tmp_path / "star.yaml"
    path.write_text(kept.read_text().replace(str(kept.parent), str(tmp_path)))
    plan_of(path)  # the list of videos is remembered in the cache
    extract(recipes.load(path, (KEEP,)), execution=HERE, quiet=True)
    shutil.rmtree(tmp_path / "data")
    return path


def plan_of(path: Path, *overrides: str) -> Plan:
    return plan(recipes.load(path, (KEEP, *overrides)))


def rows(planned: Plan, stage: str, array: str) -> dict[tuple[str, int], bytes]:
    found = planned.stages[stage]
    return {clip: found.stage_store.read([place], array).tobytes() for clip, place in found.places.items()}


def why(planned: Plan, stage: str) -> str:
    return next(row.why for row in status(planned).stages if row.stage == stage)


@pytest.mark.parametrize("crop", ["frame", "person"])
def test_no_other_key_changes(kept: Path, crop: str) -> None:
    """The same rows either way; the frames' own key has size and region, not the network."""
    cropped = f"backbone.crop={crop}"
    without, with_frames = (graph(recipes.load(kept, (*more, cropped))) for more in ((), (KEEP,)))
    assert {name: without[name].key for name in without.names} == {
        name: with_frames[name].key for name in with_frames.names if name != "frames"
    }
    for override, same in (("backbone.seed=5", True), ("backbone.local_layer=layer1", True), ("backbone.size=48", 0)):
        key = graph(recipes.load(kept, (KEEP, cropped, override)))["frames"].key
        assert (key == with_frames["frames"].key) == bool(same)


def test_frames_are_what_the_backbone_sees(kept: Path) -> None:
    """Those of a sequential decode, cut and resized: here by PyAV and `crop_frame` alone."""
    planned = plan_of(kept)
    for video in planned.manifest.videos[:2]:
        clip = [(video.id, 0)]
        index, size = (planned.stages["decode"].read(clip, name)[0] for name in ("frame_index", "frame_size"))
        joints = planned.stages["pose"].read(clip, "keypoints")[0]
        region = planned.graph["heatmaps"].stage.crop.region(joints, tuple(size), video.id, 0)
        with av.open(str(video.media)) as container:
            decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        expected = np.stack([crop_frame(decoded[number], region, 32) for number in index])
        assert np.array_equal(planned.stages["frames"].read(clip, "frames")[0], expected)


def test_a_cache_from_nothing_is_the_same_and_sound(kept: Path, extracted: Path) -> None:
    """Frames are made in the same pass as all else, which is the same bits as without; verify and audit agree."""
    whole, planned = plan(recipes.load(extracted)), plan_of(kept)
    assert planned.missing == 0
    for stage, array in (("backbone", "local_map"), ("heatmaps", "joint_heatmap"), ("tokens", "joint_map")):
        assert rows(planned, stage, array) == rows(whole, stage, array)
    assert clip_bytes(planned, "frames") == 16 * 32 * 32 * 3 + 100
    assert planned.stages["frames"].stage_store.bytes() == pytest.approx(CLIPS * 16 * 32 * 32 * 3, rel=0.1)
    assert not verify(recipes.load(kept, (KEEP,)), quiet=True).problems
    assert audit(recipes.load(kept, (KEEP,)), 3, execution=HERE, quiet=True).is_good


@pytest.mark.parametrize(
    "override",
    ["backbone.seed=3", "backbone.precision=bfloat16", "backbone.global_layer=layer3", "backbone.model=resnet18"],
)
def test_another_backbone_without_the_videos(kept: Path, gone: Path, tmp_path: Path, override: str) -> None:
    """The same bits as from the videos, which are gone; status says so before."""
    before = plan_of(gone, override)
    assert len(before.stages["backbone"].missing) == CLIPS
    assert why(before, "backbone").endswith("; from kept frames, no video is read")
    work = units(before)
    assert not any(unit.reads_videos for unit in work)
    assert all({"decode", "pose", "frames"} <= unit.inputs.keys() for unit in work)
    extract(recipes.load(gone, (KEEP, override)), only=("backbone",), execution=HERE, quiet=True)
    fresh = (f"cache.root={tmp_path / 'fresh'}", override)
    extract(recipes.load(kept, fresh), execution=HERE, quiet=True)
    after = plan_of(gone, override)
    for array in ("global_grid", "local_map"):
        assert rows(after, "backbone", array) == rows(plan(recipes.load(kept, fresh)), "backbone", array)
    assert not verify(recipes.load(gone, (KEEP, override)), quiet=True).problems


def test_other_cells_without_the_videos(gone: Path) -> None:
    """Another layer for the local map: heat maps and tokens too."""
    extract(recipes.load(gone, (KEEP, "backbone.local_layer=layer1")), execution=HERE, quiet=True)
    assert plan_of(gone, "backbone.local_layer=layer1").missing == 0


def test_tokens_of_maps_that_are_not_stored(gone: Path, kept: Path) -> None:
    """`backbone.keep: grid`: what would be read again from the videos comes from the frames."""
    extract(recipes.load(gone, (KEEP, "backbone.keep=grid")), execution=HERE, quiet=True)
    overrides = ("backbone.keep=grid", "heatmaps.sigma=2")
    assert why(plan_of(gone, *overrides), "tokens") == "heatmaps changed"
    extract(recipes.load(gone, (KEEP, *overrides)), execution=HERE, quiet=True)
    assert plan_of(gone, *overrides).missing == 0


def test_what_is_not_kept_still_needs_the_videos(gone: Path, kept: Path) -> None:
    """Another size: one line, and status does not promise anything."""
    bigger = plan_of(gone, "backbone.size=48")
    assert "no video is read" not in "\n".join(status(bigger).to_lines())
    with pytest.raises(DatasetError, match=r"not there, and frames, backbone, heatmaps, tokens must read the videos"):
        extract(recipes.load(gone, (KEEP, "backbone.size=48")), execution=HERE, quiet=True)


def test_frames_alone_are_made_for_a_full_cache(small: Path) -> None:
    """Kept later: the videos are read once more, no network runs, and status says what it costs."""
    before = plan_of(small)
    assert {name: len(stage.missing) for name, stage in before.stages.items()} == {
        "decode": 0, "pose": 0, "frames": CLIPS, "backbone": 0, "heatmaps": 0, "tokens": 0,
    }  # fmt: skip
    row = next(row for row in status(before).stages if row.stage == "frames")
    assert row.bytes_to_write == CLIPS * clip_bytes(before, "frames")
    _, outcome = extract(recipes.load(small, (KEEP,)), execution=HERE, quiet=True)
    assert dict(outcome.rows) == {"frames": CLIPS}
    assert not outcome.seconds["backbone"]


def test_a_stage_that_a_recipe_has_not(small: Path) -> None:
    """What would silently do nothing."""
    with pytest.raises(UsageError) as caught:
        plan(recipes.load(small), only=("frames",))
    assert str(caught.value) == "--stage frames: this recipe has no such stage; set decode.keep to frames"
    text = (
        "dataset: {kind: joints, root: a.pkl}\ncache: {root: c}\nmodel: {modalities: joint}\ntokens: {form: heatmap}\n"
    )
    with pytest.raises(RecipeError, match=r"decode.keep: frames: a data set of kind joints has no pictures"):
        recipes.parse(text, overrides=(KEEP,))

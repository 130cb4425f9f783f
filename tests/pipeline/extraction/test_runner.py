"""Stage one as a whole: real videos, real children, real networks, real segments."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from star.cache.store import Store
from star.errors import CacheError, DatasetError, VideoError
from star.pipeline.commands.extract import run_dry_run, run_extract
from star.pipeline.extraction.decode_pool import DecodePool
from star.pipeline.extraction.engine import Engine
from star.pipeline.extraction.execution import ExecutionConfig
from star.pipeline.extraction.prefetch import compute_units
from star.pipeline.extraction.runner import ExtractionResult, extract
from star.pipeline.extraction.shared_frames import SharedFrames
from star.pipeline.planning.plan import plan
from star.pipeline.planning.work_units import units
from star.pipeline.recipe import schema as recipes
from star.pipeline.recipe.schema import Recipe

ARRAYS = {
    "decode": {"frame_index", "time", "frame_size", "frame_count", "flip"},
    "pose": {"keypoints"},
    "backbone": {"global_grid", "local_map"},
    "heatmaps": {"joint_heatmap"},
    "tokens": {"joint_map"},
}
CLIPS = 24


def again(path: Path, *overrides: str, **options) -> tuple[Recipe, ExtractionResult]:
    """Extract with a recipe, in this process, with one decoding child."""
    recipe = recipes.load(path, overrides)
    _, outcome = extract(recipe, execution=ExecutionConfig(workers=1), quiet=True, **options)
    return recipe, outcome


def contents(path: Path, *overrides: str) -> dict[tuple[str, str, str, int], bytes]:
    """Every cached value of a recipe: (stage, array, video, view) -> bytes."""
    found = plan(recipes.load(path, overrides))
    return {
        (name, array, video, view): stage.stage_store.read([place], array).tobytes()
        for name, stage in found.stages.items()
        for (video, view), place in stage.places.items()
        for array in found.graph[name].stage.arrays
    }


def penn_action(root: Path) -> Path:
    """A recipe for one Penn Action sequence of 20 frames, whose left wrist (joint 5) is not seen but has a place."""
    (root / "frames/0001").mkdir(parents=True)
    for number in range(1, 21):
        cv2.imwrite(str(root / f"frames/0001/{number:06d}.jpg"), np.full((48, 64, 3), 128, np.uint8))
    x, y = np.tile(np.linspace(10, 50, 13), (20, 1)), np.tile(np.linspace(5, 40, 13), (20, 1))
    seen = np.ones((20, 13), bool)
    seen[:, 5] = False
    fields = {"action": "squat", "train": 1, "pose": "front", "x": x, "y": y, "visibility": seen, "nframes": 20}
    (root / "labels").mkdir()
    savemat(root / "labels/0001.mat", fields | {"bbox": np.tile([5.0, 5, 60, 45], (20, 1))})
    path = root / "star.yaml"
    path.write_text("{dataset: {kind: penn_action, root: .}, cache: {root: cache}, backbone: {weights: random}}")
    return path


def test_joints_that_are_not_seen_count_where_the_recipe_says_so(tmp_path: Path) -> None:
    """The wrist has a heat map with `pose.occluded` alone, all other joints have one always."""
    path = penn_action(tmp_path)
    for over, count in (((), 12), (("pose.occluded=true",), 13)):
        recipe, _ = again(path, *over, only=("heatmaps",))
        stage = plan(recipe).stages["heatmaps"]
        (heat,) = stage.stage_store.read(list(stage.places.values()), "joint_heatmap")
        there = heat.any(axis=(0, 2, 3))
        assert there.sum() == count
        assert there[5] == bool(over)


def test_all_stages_are_cached_with_their_arrays(extracted: Path) -> None:
    """Every clip has a row in each of the five stages, under the names and shapes of docs/architecture.md."""
    found = plan(recipes.load(extracted))
    assert {name: set(node.stage.arrays) for name, node in found.graph.nodes.items()} == ARRAYS
    assert all(len(stage.places) == CLIPS and not stage.missing for stage in found.stages.values())
    shapes = {name: stage.stage_store.segment(stage.stage_store.segments()[0]) for name, stage in found.stages.items()}
    assert shapes["backbone"].read("global_grid").shape[1:] == (16, 512, 2, 2)
    assert shapes["backbone"].read("local_map").shape[1:] == (16, 128, 8, 8)
    assert shapes["pose"].read("keypoints").shape[1:] == (16, 1, 13, 3)
    assert shapes["heatmaps"].read("joint_heatmap").shape[1:] == (16, 13, 8, 8)
    assert shapes["tokens"].read("joint_map").shape[1:] == (16, 13, 64)


def test_heat_maps_lie_where_the_joints_are(extracted: Path) -> None:
    """Joints are in the cache as they were drawn, and no visible one has lost its map."""
    found = plan(recipes.load(extracted))
    video = found.manifest.videos[0]
    place = {name: stage.places[video.id, 0] for name, stage in found.stages.items()}
    index = found.stages["decode"].stage_store.read([place["decode"]], "frame_index")[0]
    keypoints = found.stages["pose"].stage_store.read([place["pose"]], "keypoints")[0]
    truth = np.load(video.annotation)[index]
    np.testing.assert_array_equal(keypoints, truth)
    heat = found.stages["heatmaps"].stage_store.read([place["heatmaps"]], "joint_heatmap")[0]
    seen = truth[:, 0, :, 2] > 0
    assert seen.any()
    assert (heat.max((-1, -2))[seen] > 0.5).mean() > 0.9


def test_a_second_run_has_nothing_to_do(small: Path) -> None:
    """It says so, writes no segment, and exits with 0."""
    before = sorted(small.parent.rglob("*.h5"))
    result = run_extract(recipes.load(small), quiet=True)
    assert result.exit_code == 0
    assert result.to_lines() == ["nothing to do: all 120 rows of 5 stages that can be made are cached"]
    assert sorted(small.parent.rglob("*.h5")) == before


def test_a_dry_run_writes_nothing(small: Path) -> None:
    """It names what would be done and why."""
    before = sorted(small.parent.rglob("*"))
    result = run_dry_run(recipes.load(small, ("heatmaps.sigma=1.5",)))
    stages = {stage.stage: (stage.missing, stage.why) for stage in result.status.stages}
    assert stages["heatmaps"] == (CLIPS, "sigma 1.0 → 1.5")
    assert stages["tokens"] == (CLIPS, "heatmaps changed")
    assert stages["backbone"] == (0, "")
    assert result.to_lines()[-1] == "dry run: 48 rows would be computed, nothing was"
    assert sorted(small.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("override", "computed"),
    [
        ("heatmaps.sigma=1.5", {"heatmaps", "tokens"}),
        ("tokens.form=pool", {"tokens"}),
        ("backbone.seed=1", {"backbone", "tokens"}),
        ("decode.reader=pyav", set()),
        ("decode.jpeg=scaled", {"backbone", "tokens"}),
        ("backbone.batch=3", set()),
        ("train.epochs=9", set()),
    ],
)
def test_a_changed_setting_recomputes_what_depends_on_it(small: Path, override: str, computed: set[str]) -> None:
    """One setting, exactly the stages whose output it can change; the old rows stay beside the new ones."""
    before = contents(small)
    _, outcome = again(small, override)
    assert set(outcome.rows) == computed
    assert all(count == CLIPS for count in outcome.rows.values())
    assert contents(small) == before


def test_heat_maps_and_tokens_need_no_video(small: Path, drawn: Path, tmp_path: Path) -> None:
    """With the videos gone, sigma can still be changed; the result is the one that the videos would have given."""
    again(small, "heatmaps.sigma=2")
    with_videos = contents(small, "heatmaps.sigma=2")
    for stage in ("heatmaps", "tokens"):
        shutil.rmtree(tmp_path / "cache" / stage)
    _, outcome = again(small, "heatmaps.sigma=2", f"dataset.root={tmp_path / 'gone' / 'data'}")
    assert set(outcome.rows) == {"heatmaps", "tokens"}
    assert contents(small, "heatmaps.sigma=2") == with_videos
    assert drawn.exists()


def test_an_unmounted_data_set_is_one_line(small: Path, tmp_path: Path) -> None:
    """Nothing goes to the ledger when the whole root is away."""
    gone = tmp_path / "gone" / "data"
    with pytest.raises(DatasetError) as caught:
        again(small, f"dataset.root={gone}", "backbone.seed=1")
    assert str(caught.value) == (
        f"dataset.root: {gone} is not there, and backbone, tokens must read the videos; "
        "mount it, or recompute only heatmaps and tokens"
    )
    assert not (tmp_path / "cache" / "failures.jsonl").exists()


def test_only_the_named_stage_and_what_it_takes(small: Path, tmp_path: Path) -> None:
    """--stage pose on an empty cache leaves backbone, heat maps and tokens alone."""
    _, outcome = again(small, f"cache.root={tmp_path / 'other'}", only=("pose",))
    assert set(outcome.rows) == {"decode", "pose"}


def test_force_computes_again_and_keeps_one_copy(small: Path) -> None:
    """--force replaces rows only when the new ones stand; the values are the same, to the bit."""
    before = contents(small)
    _, outcome = again(small, only=("heatmaps",), force=True)
    assert outcome.rows == {"heatmaps": CLIPS}
    found = plan(recipes.load(small)).stages["heatmaps"]
    assert sum(len(found.stage_store.segment(name)) for name in found.stage_store.segments()) == CLIPS
    assert contents(small) == before


def test_features_do_not_move_with_who_shares_a_batch(small: Path, tmp_path: Path) -> None:
    """Other segments, other batch mates, another number of children: the same bits."""
    other = ("cache.root=" + str(tmp_path / "other"), "cache.segment=5")
    again(small, *other, only=("backbone",))
    first, second = contents(small), contents(small, *other)
    assert second
    assert all(first[key] == value for key, value in second.items())


def test_views_come_from_one_decode_and_only_add_rows(small: Path) -> None:
    """More views leave view 0 where it is; flipped ones hold mirrored joints and a mirrored picture."""
    before = contents(small)
    _, outcome = again(small, "decode.views.train=3")
    assert outcome.rows == dict.fromkeys(ARRAYS, 32)
    after = contents(small, "decode.views.train=3")
    assert before.items() <= after.items()


def test_new_videos_alone_are_extracted(small: Path, drawn: Path, tmp_path: Path) -> None:
    """A copy of a clip under a new name is one clip of work."""
    root = tmp_path / "grown" / "data"
    shutil.copytree(drawn, root)
    first = (root / "clips.csv").read_text().splitlines()[1].split(",")
    new = first[0].replace(".mp4", "x.mp4")
    shutil.copy(root / first[0], root / new)
    shutil.copy(
        root / first[0].replace("videos", "joints").replace("mp4", "npy"),
        root / new.replace("videos", "joints").replace("mp4", "npy"),
    )
    with (root / "clips.csv").open("a") as rows:
        rows.write(",".join([new, *first[1:]]) + "\n")
    _, outcome = again(small, f"dataset.root={root}")
    assert outcome.rows == dict.fromkeys(ARRAYS, 1)


def test_a_changed_video_is_stale_in_every_stage(small: Path, drawn: Path, tmp_path: Path) -> None:
    """New bytes under an old name: never the old features."""
    root = tmp_path / "changed" / "data"
    shutil.copytree(drawn, root)
    one, other = sorted((root / "videos").glob("squat_*.mp4"))[:2]
    one.write_bytes(other.read_bytes())
    joints = root / "joints"
    (joints / f"{one.stem}.npy").write_bytes((joints / f"{other.stem}.npy").read_bytes())
    found = plan(recipes.load(small, (f"dataset.root={root}",)))
    assert {name: stage.stale for name, stage in found.stages.items()} == {
        name: {f"videos/{one.name}"} for name in ARRAYS
    }
    _, outcome = again(small, f"dataset.root={root}")
    assert outcome.rows == dict.fromkeys(ARRAYS, 1)


def spoil(root: Path, drawn: Path, how: Callable[[Path], object]) -> str:
    """Copy the data set and spoil one of its videos; returns that video's id."""
    shutil.copytree(drawn, root)
    victim = min((root / "videos").iterdir())
    how(victim)
    return f"videos/{victim.name}"


def test_a_bad_video_is_one_row_of_the_ledger(small: Path, drawn: Path, tmp_path: Path) -> None:
    """All others are extracted, exit code 3; the next run believes the ledger, --retry-failed does not."""
    root = tmp_path / "bad" / "data"
    victim = spoil(root, drawn, lambda path: path.write_bytes(b"not a video at all"))
    overrides = (f"dataset.root={root}", f"cache.root={tmp_path / 'other'}")
    recipe = recipes.load(small, overrides)
    result = run_extract(recipe, quiet=True, execution=ExecutionConfig(workers=1))
    assert result.exit_code == 3
    assert result.outcome.rows == dict.fromkeys(ARRAYS, CLIPS - 1)
    (row,) = [json.loads(line) for line in (tmp_path / "other" / "failures.jsonl").read_text().splitlines()]
    assert (row["video"], row["stage"], row["kind"], row["attempts"]) == (victim, "decode", "unreadable", 1)
    second = run_extract(recipe, quiet=True)
    assert (second.exit_code, second.outcome.rows) == (3, {})
    run_extract(recipe, quiet=True, retry_failed=True, execution=ExecutionConfig(workers=1))
    (row,) = [json.loads(line) for line in (tmp_path / "other" / "failures.jsonl").read_text().splitlines()]
    assert row["attempts"] == 2
    (root / victim).write_bytes((drawn / victim).read_bytes())
    third = run_extract(recipe, quiet=True, execution=ExecutionConfig(workers=1))
    assert (third.exit_code, third.outcome.clips) == (0, 1)


def test_shared_memory_comes_back_and_changes_nothing(small: Path, drawn: Path, tmp_path: Path) -> None:
    """Every slot is free again after good and bad videos; without slots, or with too few, the bits are the same."""
    root = tmp_path / "bad" / "data"
    spoil(root, drawn, lambda path: path.write_bytes(b"not a video at all"))
    recipe = recipes.load(small, (f"dataset.root={root}", f"cache.root={tmp_path / 'other'}"))
    planned, found = plan(recipe), []
    for slots in (100, 3, 0):
        children = DecodePool(1, 60, SharedFrames(slots, (16, 32, 32, 3)))
        engine = Engine(recipe, planned.graph, "cpu", children, planned.manifest.skeleton)
        work = compute_units(engine, units(planned), 1, lambda: False, lambda count: None)
        done = [engine.computer.finish(one) for _, one in work]
        found.append({s.clip: s.arrays["local_map"].tobytes() for one in done for s in one.states})
        assert len(children.slots) == slots
        assert sum(len(one.failures) for one in done) == 1
        engine.close()
    assert len(found[0]) == CLIPS - 1
    assert found[0] == found[1] == found[2]


def test_the_document_says_where_the_time_went(small: Path, tmp_path: Path) -> None:
    """Seconds of all that worked and of all waits, in whole runs and not in those that had nothing to do."""
    recipe = recipes.load(small, (f"cache.root={tmp_path / 'other'}",))
    document = run_extract(recipe, quiet=True, execution=ExecutionConfig(device="cpu", workers=1)).to_document()
    seconds = document["time"]["seconds"]
    work, waits = {"decode", "pose", "backbone", "heatmaps", "tokens", "write"}, {"waiting", "networks_full"}
    assert set(seconds) == work | waits | {"writers_full"}
    assert all(seconds[name] > 0 for name in work - {"pose"})  # annotated joints cost next to nothing
    assert sum(seconds[name] for name in waits) <= document["seconds"] + 0.1
    assert (document["time"]["children"], document["time"]["device"]) == (1, "cpu")
    assert 0 < document["time"]["cores_busy"] <= 1.1
    assert run_extract(recipe, quiet=True).time is None


def test_too_many_failures_end_the_run(small: Path, drawn: Path, tmp_path: Path) -> None:
    """--max-failures 0: the first bad video is the last."""
    root = tmp_path / "bad" / "data"
    spoil(root, drawn, lambda path: path.write_bytes(b""))
    with pytest.raises(VideoError, match=r"^--max-failures: 1 video failed, 0 may; see "):
        again(small, f"dataset.root={root}", f"cache.root={tmp_path / 'other'}", max_failures=lambda videos: 0)


def test_a_cache_of_another_format_version_is_refused(small: Path) -> None:
    """It is neither read nor overwritten."""
    store = Store(small.parent / "cache")
    path = store.stage_stores()[0].path / "stage.json"
    path.write_text(path.read_text().replace('"format_version": 1', '"format_version": 7'))
    with pytest.raises(CacheError, match=r"format version 7; this star reads 1"):
        again(small)


def test_two_dask_workers_write_what_one_process_writes(small: Path, tmp_path: Path) -> None:
    """The same bits through a real scheduler and real worker processes, whoever computed them.

    Dask's settings for its workers do not stay behind in this process's environment.
    """
    before = dict(os.environ)
    overrides = ("cache.root=" + str(tmp_path / "other"),)
    recipe = recipes.load(small, overrides)
    _, outcome = extract(recipe, execution=ExecutionConfig(device="cpu,cpu", workers=2), quiet=True)
    assert outcome.rows == dict.fromkeys(ARRAYS, CLIPS)
    assert contents(small, *overrides) == contents(small)
    assert dict(os.environ) == before

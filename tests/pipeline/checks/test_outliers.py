"""The clips to look at first: what is broken comes first, and the worst of each kind is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from star.cli import main
from star.errors import MissingFeatures
from star.pipeline.checks.outliers import Figures, measure, worst
from star.pipeline.planning.plan import plan
from star.pipeline.recipe import schema as recipes
from star.pipeline.visualization import contact_sheet, drawing
from star.pipeline.visualization.clip_figure import cached


def change(recipe: Path, stage: str, array: str, video: str, by: Callable[[np.ndarray], object]) -> None:
    """Write the segment that holds a clip again, with one of its arrays changed in place."""
    planned = plan(recipes.load(recipe))
    stage_store, place = planned.stages[stage].stage_store, planned.stages[stage].places[video, 0]
    segment = stage_store.segment(place.segment)
    arrays = {name: segment.read(name) for name in segment.names}
    by(arrays[array][place.row])
    about = planned.graph[stage].stage.arrays
    attributes = {name: about[name].attributes() for name in arrays}
    rows, provenance = segment.rows, segment.provenance
    stage_store.file(place.segment).unlink()
    stage_store.write(rows, arrays, attributes, provenance)


def weaken(keypoints: np.ndarray) -> None:
    keypoints[..., 2] = 0.25


def test_the_worst_of_each_kind_is_found(small: Path, tmp_path: Path) -> None:
    """NaN and constant features first; then low scores, empty maps and ten times the energy, each with its reason."""
    change(small, "backbone", "global_grid", "videos/bow_000.mp4", lambda grid: grid[3, 7].fill(np.nan))
    change(small, "backbone", "global_grid", "videos/kick_001.mp4", lambda grid: grid.fill(0.5))
    change(
        small, "backbone", "global_grid", "videos/jumping_jacks_002.mp4", lambda grid: np.multiply(grid, 10, out=grid)
    )
    change(small, "pose", "keypoints", "videos/wave_000.mp4", weaken)
    change(small, "heatmaps", "joint_heatmap", "videos/squat_001.mp4", lambda maps: maps[:12].fill(0))
    result = CliRunner().invoke(
        main, ["inspect", str(small), "--worst", "5", "-o", str(tmp_path / "a.png"), "--json", "-q"]
    )
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    found = {row["video"]: row for row in document["worst"]}
    assert list(found)[:2] == ["videos/bow_000.mp4", "videos/kick_001.mp4"]
    assert set(list(found)[2:]) == {"videos/jumping_jacks_002.mp4", "videos/wave_000.mp4", "videos/squat_001.mp4"}
    assert found["videos/bow_000.mp4"]["reasons"][0] == "features: not finite; `star verify RECIPE` says where"
    assert found["videos/bow_000.mp4"]["energy"] is None
    assert found["videos/kick_001.mp4"]["reasons"][0] == "features: the same everywhere in the picture"
    assert found["videos/wave_000.mp4"]["score"] == 0.25
    assert "joints: mean score 0.25, of the median clip 1.00" in found["videos/wave_000.mp4"]["reasons"]
    assert found["videos/squat_001.mp4"]["empty"] == pytest.approx(0.75, abs=0.02)
    assert found["videos/jumping_jacks_002.mp4"]["strange"] > 5
    look_at(small, tmp_path / "a.png", list(found))


def look_at(recipe: Path, path: Path, videos: list[str]) -> None:
    """Each clip's dots are on the sheet where its joints are in the middle frame."""
    sheet = cv2.imread(str(path))[..., ::-1]
    planned = plan(recipes.load(recipe))
    colours = {drawing.LEFT, drawing.RIGHT, drawing.MIDDLE}
    for number, video in enumerate(videos):
        row, column = divmod(number, contact_sheet.COLUMNS)
        x, y = contact_sheet.EDGE + column * contact_sheet.CELL[0], contact_sheet.TOP + row * contact_sheet.CELL[1]
        arrays = cached(planned, video, 0)
        width, height = arrays["frame_size"]
        ratio = min(contact_sheet.WIDE / width, contact_sheet.SIDE / height)
        x += (contact_sheet.WIDE - round(width * ratio)) // 2
        y += (contact_sheet.SIDE - round(height * ratio)) // 2
        places = [drawing.place(joint, ratio) for joint in arrays["keypoints"][8, 0]]
        hits = [tuple(int(value) for value in sheet[y + down, x + right]) in colours for right, down in places]
        assert sum(hits) >= 12, video


def test_figures_are_what_they_say(small: Path) -> None:
    """Each against its definition, computed from the whole arrays of one clip."""
    planned = plan(recipes.load(small))
    found = measure(planned, quiet=True)
    assert len(found) == 24
    arrays = cached(planned, "videos/wave_000.mp4", 0)
    grid = arrays["global_grid"].astype(np.float64)
    figures = found["videos/wave_000.mp4"]
    assert figures.score == pytest.approx(arrays["keypoints"][..., 2].mean())
    assert figures.empty == pytest.approx((arrays["joint_heatmap"].max((2, 3)) == 0).mean())
    assert figures.energy == pytest.approx(np.sqrt((grid**2).mean()), rel=1e-4)
    assert figures.contrast == pytest.approx(np.sqrt(grid.var((2, 3)).mean() / (grid**2).mean()), rel=1e-3)


def test_a_cache_without_features_is_looked_at_by_its_joints(small: Path) -> None:
    """What is not cached is not measured: no reason names it."""
    change(small, "pose", "keypoints", "videos/wave_000.mp4", weaken)
    planned = plan(recipes.load(small))
    del planned.stages["backbone"], planned.stages["heatmaps"]
    (clip,) = worst(planned, 1, quiet=True)
    assert clip.video.id == "videos/wave_000.mp4"
    assert clip.reasons == ["joints: mean score 0.25, of the median clip 1.00"]
    assert np.isnan([clip.figures.energy, clip.figures.empty]).all()


def test_an_empty_cache_is_one_line(small: Path, tmp_path: Path) -> None:
    """Nothing to look at is exit code 4."""
    planned = plan(recipes.load(small, (f"cache.root={tmp_path / 'none'}",)))
    with pytest.raises(MissingFeatures) as caught:
        worst(planned, 3, quiet=True)
    assert str(caught.value) == f"cache.root: {tmp_path}/none has no clip; run `star extract` first"
    assert Figures().strange == 0

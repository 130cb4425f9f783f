"""Verify, audit, inspect, predict: what looks at a cache and at a run from outside."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from star.cli import main
from star.errors import MissingFeatures
from star.pipeline.checks.verify import verify
from star.pipeline.extraction.audit import audit
from star.pipeline.extraction.execution import ExecutionConfig
from star.pipeline.extraction.runner import extract
from star.pipeline.planning.plan import plan
from star.pipeline.recipe import schema as recipes
from star.pipeline.visualization.clip_figure import inspect

HERE = ExecutionConfig(workers=1)


def test_a_sound_cache_is_sound(small: Path) -> None:
    """Nothing to say, nothing moved."""
    found = verify(recipes.load(small), quiet=True)
    assert (found.problems, found.moved, found.rows) == ((), (), 120)


def test_a_flipped_bit_is_found_named_and_repaired(small: Path) -> None:
    """One bit in one segment: its videos are named, moved aside, and exactly they are made again, to the bit."""
    recipe = recipes.load(small)
    stage_store = plan(recipe).stages["backbone"].stage_store
    name = stage_store.segments()[0]
    rows = stage_store.segment(name).rows
    path = stage_store.file(name)
    whole = path.read_bytes()
    spoiled = bytearray(whole)
    spoiled[len(whole) // 2] ^= 4
    path.write_bytes(spoiled)
    found = verify(recipe, quiet=True)
    assert {finding.problem.kind for finding in found.problems} >= {"digest", "checksum"}
    assert {video for finding in found.problems for video in finding.problem.videos} == {row.video_id for row in rows}
    assert CliRunner().invoke(main, ["verify", str(small), "-q"]).exit_code == 4
    moved = verify(recipe, repair=True, quiet=True).moved
    assert sorted(path.parts[-4] for path in moved) == ["backbone", "tokens"]  # and what was made from it
    _, outcome = extract(recipe, execution=HERE, quiet=True)
    assert outcome.rows == {"backbone": len(rows), "tokens": len(rows)}
    assert verify(recipe, quiet=True).problems == ()
    assert audit(recipe, 2, execution=HERE, quiet=True).is_good


def test_rows_of_other_frames_are_found(small: Path) -> None:
    """Sound segments whose rows do not belong to their settings: frames are a function of seed, id and view."""
    recipe = recipes.load(small)
    stage = plan(recipe).stages["decode"]
    name = stage.stage_store.segments()[0]
    segment = stage.stage_store.segment(name)
    arrays = {
        array: segment.read(array) for array in segment.names if array not in ("video_id", "source", "view", "checksum")
    }
    arrays["frame_index"] = np.roll(arrays["frame_index"], 1, axis=1)
    about = {array: about.attributes() for array, about in plan(recipe).graph["decode"].stage.arrays.items()}
    rows = segment.rows
    stage.stage_store.file(name).unlink()
    stage.stage_store.write(rows, arrays, about, {})
    problems = verify(recipe, quiet=True).problems
    assert {finding.problem.kind for finding in problems} == {"misaligned", "derived"}
    decoded = [finding for finding in problems if finding.stage_store.stage == "decode"]
    assert {finding.problem.videos[0] for finding in decoded} == {row.video_id for row in rows}
    made = {finding.stage_store.stage for finding in problems if finding.problem.kind == "derived"}
    assert made == {"pose", "backbone", "heatmaps"}
    assert mended(small) == "all is well"


def mended(path: Path) -> str:
    """What `star verify` says after `--repair` and `star extract`, all of which must go well."""
    for words in (["verify", str(path), "--repair"], ["extract", str(path), "--workers", "1"], ["verify", str(path)]):
        result = CliRunner().invoke(main, [*words, "-q"])
        assert result.exit_code == 0, result.output
    return result.output.splitlines()[-1].split(":")[0]


def test_an_audit_finds_features_that_are_not_its_own(small: Path) -> None:
    """Recomputed clips equal cached ones to the bit; rows that another recipe computed are beyond the tolerance."""
    recipe = recipes.load(small)
    found = audit(recipe, 3, execution=HERE, quiet=True)
    assert (found.clips, found.is_good, set(found.cached_in)) == (3, True, {found.computed_in})
    assert {(entry.equal, entry.within, entry.largest) for entry in found.arrays.values()} == {(3, 3, 0.0)}
    stage = plan(recipe).stages["backbone"]
    for segment_name in stage.stage_store.segments():
        segment = stage.stage_store.segment(segment_name)
        arrays = {array: segment.read(array) for array in segment.names}
        about = {name: array.attributes() for name, array in plan(recipe).graph["backbone"].stage.arrays.items()}
        arrays["local_map"] = np.roll(arrays["local_map"], 1, axis=2)
        rows, provenance = segment.rows, segment.provenance
        stage.stage_store.file(segment_name).unlink()
        stage.stage_store.write(rows, arrays, about, provenance)
    result = CliRunner().invoke(main, ["extract", str(small), "--audit", "3", "-q", "--json"])
    assert result.stdout, result.stderr + str(result.exception)
    arrays = json.loads(result.stdout)["arrays"]
    assert (result.exit_code, arrays["local_map"]["within"], arrays["global_grid"]["within"]) == (4, 0, 3)


def test_inspect_draws_what_is_cached(small: Path, tmp_path: Path) -> None:
    """A picture of a clip; a line where there is none."""
    recipe = recipes.load(small)
    video = plan(recipe).manifest.videos[0].id
    assert inspect(recipe, video, tmp_path / "new" / "clip.png").read_bytes().startswith(b"\x89PNG")
    empty = recipes.load(small, (f"cache.root={tmp_path / 'empty'}",))
    with pytest.raises(MissingFeatures, match=rf"^{video}: nothing of it is in .*; run `star extract` first$"):
        inspect(empty, video, tmp_path / "clip.png")


def test_predict_gives_the_probabilities_of_test(small: Path, drawn: Path, tmp_path: Path) -> None:
    """Extraction on the fly and from the cache are the same code: the same numbers come out."""
    run = tmp_path / "run"
    assert CliRunner().invoke(main, ["train", str(small), "--run", str(run), "-q"]).exit_code == 0
    assert CliRunner().invoke(main, ["test", str(small), "--run", str(run), "-q"]).exit_code == 0
    first = (run / "test" / "predictions.csv").read_text().splitlines()[1].split(",")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    result = CliRunner().invoke(
        main, ["predict", str(drawn / first[0]), str(broken), "--run", str(run), "--json", "-q"]
    )
    assert result.exit_code == 3
    good, bad = json.loads(result.stdout)
    assert good["top"][0]["class"] == first[2]
    assert good["top"][0]["probability"] == pytest.approx(float(first[4]), abs=2e-6)
    assert "error" in bad


def test_sources_are_read_whatever_their_stamps_say(small: Path, drawn: Path, tmp_path: Path) -> None:
    """Bytes that changed although size, times and inode are those that were noted: named, and made anew."""
    root = tmp_path / "data"
    shutil.copytree(drawn, root)
    words = ["--set", f"dataset.root={root}", "-q"]

    def star(*more: str) -> Result:
        return CliRunner().invoke(main, [more[0], str(small), *more[1:], *words])

    assert star("extract", "--workers", "1").exit_code == 0
    assert "24 videos what was read" in star("verify", "--sources").output
    video = root / "videos" / "bow_000.mp4"
    content = bytearray(video.read_bytes())
    content[-1] ^= 1
    video.write_bytes(content)
    (path,) = (tmp_path / "cache" / "catalogues").glob("*.json")
    document, status = json.loads(path.read_text()), video.stat()
    (number,) = [index for index, row in enumerate(document["videos"]) if row[0] == "videos/bow_000.mp4"]
    document["videos"][number][8:10] = [status.st_size, status.st_mtime_ns]
    document["inodes"][number][:2] = [status.st_ino, status.st_ctime_ns]
    path.write_text(json.dumps(document))
    assert star("verify").exit_code == 0  # nothing shows it
    result = star("verify", "--sources")
    assert result.exit_code == 4
    assert f"{video}: its bytes are not those that decode was made from" in result.output
    assert star("extract", "--workers", "1").exit_code == 0
    assert star("verify", "--sources").exit_code == 0

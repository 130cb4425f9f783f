"""`star cache export`: plain files hold what the cache holds, and the manifest says which clip is which."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from star.errors import UsageError
from star.pipeline.commands.cache_export import run_export
from star.pipeline.planning.plan import plan
from star.pipeline.recipe import schema as recipes


def test_npy_files_are_the_rows_of_the_cache(extracted: Path, tmp_path: Path) -> None:
    recipe = recipes.load(extracted)
    result = run_export(recipe, tmp_path / "out", "npy", quiet=True)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    planned = plan(recipe)
    assert result.clips == len(manifest["clips"]) == len(planned.stages["decode"].places)
    assert result.left_out == 0
    videos = {video.id: video for video in planned.manifest.videos}
    for clip in manifest["clips"]:
        name, video = (clip["video"], clip["view"]), videos[clip["video"]]
        assert (clip["label"], clip["split"]) == (manifest["classes"][video.label], video.split)
        assert clip["frame_times"] == planned.stages["decode"].read([name], "time")[0].tolist()
        for array, about in manifest["arrays"].items():
            found = np.load(tmp_path / "out" / array / f"{clip['sample']}.npy")
            assert (str(found.dtype), list(found.shape)) == (about["dtype"], about["shape"])
            assert np.array_equal(found, planned.stages[about["stage"]].read([name], array)[0])


def test_tars_hold_the_same_and_are_the_same_each_time(extracted: Path, tmp_path: Path) -> None:
    recipe = recipes.load(extracted)
    for name in ("a", "b"):
        run_export(recipe, tmp_path / name, "webdataset", ["keypoints", "joint_map"], quiet=True)
    tars = sorted((tmp_path / "a").glob("*.tar"))
    assert [path.name for path in tars] == ["test-000000.tar", "train-000000.tar"]
    planned = plan(recipe)
    for path in tars:
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
        with tarfile.open(path) as tar:
            members = {member.name: tar.extractfile(member).read() for member in tar}
        for name in {member.split(".")[0] for member in members}:
            about = json.loads(members[f"{name}.json"])
            assert int(members[f"{name}.cls"]) == about["class"]
            assert path.name.startswith(about["split"])
            array = np.load(io.BytesIO(members[f"{name}.keypoints.npy"]))
            clip = (about["video"], about["view"])
            assert np.array_equal(array, planned.stages["pose"].read([clip], "keypoints")[0])


def test_a_folder_that_holds_something_and_an_unknown_array_are_refused(extracted: Path, tmp_path: Path) -> None:
    recipe = recipes.load(extracted)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not an empty folder"):
        run_export(recipe, tmp_path, "npy", quiet=True)
    with pytest.raises(UsageError, match="grids: is none of"):
        run_export(recipe, tmp_path / "out", "npy", ["grids"], quiet=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]

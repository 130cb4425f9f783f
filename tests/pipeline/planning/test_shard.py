"""--shard I/N."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from star.errors import UsageError
from star.pipeline.commands.extract import run_dry_run, run_extract
from star.pipeline.planning.plan import plan, select
from star.pipeline.planning.shard import Shard
from star.pipeline.recipe import schema as recipes
from star.pipeline.training.dataset import Features

PAGE = Path(__file__).resolve().parents[3] / "docs" / "clusters.md"


def contents(path: Path, *overrides: str) -> dict[tuple[str, str, str, int], bytes]:
    """Every cached value of a recipe: (stage, array, video, view) -> bytes."""
    found = plan(recipes.load(path, overrides))
    return {
        (name, array, video, view): stage.stage_store.read([place], array).tobytes()
        for name, stage in found.stages.items()
        for (video, view), place in stage.places.items()
        for array in found.graph[name].stage.arrays
    }


@pytest.mark.parametrize("text", ["0/4", "5/4", "x", "1", "1/0", "-1/2", "1/2/3", "", "1.5/2"])
def test_a_share_that_is_none_is_one_line(text: str) -> None:
    """Exit code 2, and what would be right."""
    with pytest.raises(UsageError) as caught:
        Shard.parse(text)
    assert str(caught.value) == f"--shard {text}: expected I/N with I from 1 to N, like 1/4"
    assert caught.value.exit_code == 2


def test_shares_are_equal_and_together_everything() -> None:
    """Whatever the order in which the videos are listed."""
    names = [f"v{number}" for number in range(23)]
    shares = [Shard(number, 4).share(reversed(names)) for number in range(1, 5)]
    assert sorted(map(len, shares)) == [5, 6, 6, 6]
    assert sorted(name for share in shares for name in share) == sorted(names)
    assert shares[0] == Shard(1, 4).share(names)


def test_a_dry_run_counts_one_share(extracted: Path, tmp_path: Path) -> None:
    """Of 24 videos, a third."""
    recipe = recipes.load(extracted, (f"cache.root={tmp_path / 'other'}",))
    result = run_dry_run(recipe, shard="3/3")
    assert {stage.missing for stage in result.status.stages} == {8}
    assert not (tmp_path / "other").exists()


def job(number: int, of: int, folder: Path) -> subprocess.Popen[str]:
    """The job script of docs/clusters.md, as SLURM runs one job of an array."""
    (script,) = re.findall(r"```bash\n(#!/bin/bash\n.*?)```", PAGE.read_text(), re.DOTALL)
    array = {"SLURM_ARRAY_TASK_ID": str(number), "SLURM_ARRAY_TASK_COUNT": str(of), "OMP_NUM_THREADS": "1"}
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.Popen(
        ["bash", "-c", script], cwd=folder, env=os.environ | array | path, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_two_shards_at_once_are_one_run(extracted: Path, tmp_path: Path) -> None:
    """Two jobs of SLURM's, as docs/clusters.md writes them, at the same moment into one cache.

    Nothing is missing, nothing is there twice, the same bits.
    Both remember the digests that they read, so that training needs no video afterwards.
    """
    cache = f"cache.root={tmp_path / 'other'}"
    (tmp_path / "star.yaml").write_text(extracted.read_text().replace(f"{extracted.parent}/cache", f"{tmp_path}/other"))
    both = [job(number, 2, tmp_path) for number in (1, 2)]
    said = [process.communicate(timeout=900) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert all("12 clips in " in told for told, _ in said)
    assert contents(extracted, cache) == contents(extracted)
    found = plan(recipes.load(extracted, (cache, f"dataset.root={tmp_path / 'gone' / 'data'}")))
    assert found.missing == 0
    chosen = select(found, "train", ("backbone", "tokens"))
    assert len(Features(chosen, ("joint_map",))) == 16
    result = run_extract(recipes.load(extracted, (cache,)), quiet=True)
    assert result.to_lines() == ["nothing to do: all 120 rows of 5 stages that can be made are cached"]
    assert len(list((tmp_path / "other" / "catalogues").iterdir())) == 1, "the shards' memories are in the list now"

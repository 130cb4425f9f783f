"""`star test --run A --run B`: runs of two recipes, judged apart and together, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from star.cli import main


def star(*words: str | Path) -> str:
    """Run a command; its standard output."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_runs_of_two_recipes_are_judged_together(small: Path, tmp_path: Path) -> None:
    """Each by its own recipe, on the data and cache of the one that is named; the mean of what they say."""
    both, joints = tmp_path / "both", tmp_path / "joints"
    star("train", small, "--run", both, "--device", "cpu", "-q")
    bare = ("tokens.form=heatmap", "model.modalities=joint")
    star("train", small, "--run", joints, "--device", "cpu", "-q", *(w for s in bare for w in ("--set", s)))
    found = json.loads(star("test", small, "--run", both, "--run", joints, "--device", "cpu", "-q", "--json"))
    assert [row["run"] for row in found["runs"]] == [str(both), str(joints)]
    assert json.loads((both / "fusion" / "metrics.json").read_text()) == found
    scores = []
    for run in (both, joints):
        with np.load(run / "test" / "predictions.npz") as file:
            scores.append(file["probabilities"])
            labels = file["label"]
    mean = (scores[0] + scores[1]) / 2
    assert found["top1"] == pytest.approx((mean.argmax(1) == labels).mean())
    said = star("test", small, "--run", both, "--run", joints, "--device", "cpu", "-q", "-o", tmp_path / "out")
    assert [line.split()[0] for line in said.splitlines()[:4]] == ["run", str(both), str(joints), "together"]
    assert (tmp_path / "out" / "reliability.png").exists()


def test_options_of_one_run_and_of_several_are_told_apart(small: Path, tmp_path: Path) -> None:
    """One line each."""
    run = ["test", str(small), "--run", str(tmp_path / "a")]
    for words, told in (
        (["--out", str(tmp_path)], "star: test --out: of one run the result is in RUN/test; leave it out, or name sev"),
        (["--run", str(tmp_path / "b"), "--embeddings"], "star: test --embeddings: of one run at a time; leave it out"),
    ):
        result = CliRunner().invoke(main, [*run, *words])
        assert result.exit_code == 2
        assert result.stderr.startswith(told)
